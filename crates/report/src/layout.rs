//! Text in columns.

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// To the left.
    Left,
    /// To the right, as numbers are.
    Right,
}

/// The width of a text in a terminal: combining marks take no room.
#[must_use]
pub fn width(text: &str) -> usize {
    text.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).count()
}

/// `text` padded to a width.
#[must_use]
pub fn pad(text: &str, to: usize, align: Align) -> String {
    let blanks = " ".repeat(to.saturating_sub(width(text)));
    match align {
        Align::Left => format!("{text}{blanks}"),
        Align::Right => format!("{blanks}{text}"),
    }
}

/// Rows of cells as lines: every column as wide as its widest cell, `gap` blanks between, `indent` before. A column
/// without an alignment of its own is set to the left.
#[must_use]
pub fn table(rows: &[Vec<String>], aligns: &[Align], indent: usize, gap: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|c| {
            rows.iter()
                .filter_map(|r| r.get(c))
                .map(|t| width(t))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (c, cell) in row.iter().enumerate() {
            if c > 0 {
                line.push_str(&" ".repeat(gap));
            }
            line.push_str(&pad(cell, widths[c], aligns.get(c).copied().unwrap_or(Align::Left)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `left`, and `right` at the right margin; on a line of its own where both do not fit.
#[must_use]
pub fn margin(left: &str, right: &str, to: usize) -> String {
    if right.is_empty() {
        return left.to_owned();
    }
    let (l, r) = (width(left), width(right));
    if l + 2 + r <= to {
        format!("{left}{}{right}", " ".repeat(to - l - r))
    } else {
        format!("{left}\n{}{right}", " ".repeat(to.saturating_sub(r)))
    }
}

/// Breaks a text into lines of at most that width, at blanks; lines after the first are indented.
#[must_use]
pub fn wrap(text: &str, to: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut at = 0;
    for word in text.split_whitespace() {
        let w = width(word);
        if at > 0 && at + 1 + w > to {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            at = indent;
        } else if at > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += w;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["bcd".into(), "20".into()]];
        assert_eq!(table(&rows, &[Align::Left, Align::Right], 2, 1), "  a    1\n  bcd 20\n");
    }

    #[test]
    fn a_margin_that_does_not_fit_gets_its_own_line() {
        assert_eq!(margin("ab", "cd", 8), "ab    cd");
        assert_eq!(margin("abcdef", "gh", 8), "abcdef\n      gh");
        assert_eq!(margin("ab", "", 8), "ab");
    }

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("one two three", 8, 2), "one two\n  three");
    }
}
