//! Columns: `:`, `~` and `=` of neighbouring statements of one kind stand below each other, and so do the roles `data`
//! and `given`, and the `~` or `=` after types of nearly the same width.

use super::lines::{Line, Piece};
use super::space::Spacing;
use crate::scan::{Mark, Scan};
use crate::token::Kind;

/// Names are padded to the longest where they differ by no more than this.
const NAMES_APART: usize = 24;

/// Types are.
const TYPES_APART: usize = 2;

/// Additional blanks of one line: before which piece, how many.
type Pads = Vec<(usize, usize)>;

/// What of a line can be aligned.
#[derive(Debug)]
struct Head {
    line: usize,
    /// Lines of one kind are aligned: the words before the name, and the mark after it.
    kind: (String, String),
    /// `data` or `given`: the width of that word.
    role: Option<usize>,
    /// The piece of the first `:`, `~` or `=`.
    mark: usize,
    /// The piece of the `~` or `=` after a type.
    second: Option<usize>,
}

/// The pads of every line.
pub(super) fn pads(lines: &[Line<'_>], scan: &Scan, spacing: &Spacing<'_>) -> Vec<Pads> {
    let mut out: Vec<Pads> = lines.iter().map(|_| Pads::new()).collect();
    let mut group: Vec<Head> = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let only_comment = line.pieces.iter().all(|p| scan.tokens[p.token].kind == Kind::Comment);
        if line.blank_before {
            close(&mut group, lines, spacing, &mut out);
        }
        if only_comment {
            continue;
        }
        let head = head(i, line, scan);
        let joins = match (&head, group.last()) {
            (Some(h), Some(g)) => h.kind == g.kind && line.indent == lines[g.line].indent,
            _ => false,
        };
        if !joins {
            close(&mut group, lines, spacing, &mut out);
        }
        group.extend(head);
    }
    close(&mut group, lines, spacing, &mut out);
    out
}

/// Reads a line: one statement that begins there, with a mark outside brackets.
fn head(index: usize, line: &Line<'_>, scan: &Scan) -> Option<Head> {
    let in_list = line.inside.is_some_and(|o| scan.marks[o] != Mark::Block);
    if line.continues || in_list || line.pieces.iter().any(|p| p.text == ";") {
        return None;
    }
    let words = line.pieces.iter().take_while(|p| is_word(p, scan)).count();
    // The last word is the name.
    let before: Vec<&str> = line.pieces[..words.saturating_sub(1)].iter().map(|p| p.text).collect();
    if words == 0
        || matches!(
            before.first(),
            Some(&("dim" | "net" | "chain" | "model" | "for" | "weight"))
        )
    {
        return None;
    }
    let marks = outside_brackets(&line.pieces, scan);
    let mut marks = marks
        .into_iter()
        .filter(|&k| matches!(line.pieces[k].text, ":" | "~" | "="));
    let mark = marks.next()?;
    let text = line.pieces[mark].text;
    let second = if text == ":" { marks.next() } else { None };
    let role = match before[..] {
        [role @ ("data" | "given")] => Some(role.len()),
        _ => None,
    };
    let class = if role.is_some() {
        "observed".into()
    } else {
        before.join(" ")
    };
    Some(Head {
        line: index,
        kind: (class, text.into()),
        role,
        mark,
        second,
    })
}

fn is_word(p: &Piece<'_>, scan: &Scan) -> bool {
    matches!(scan.tokens[p.token].kind, Kind::Name | Kind::Keyword)
}

/// The symbols of a line that stand in no bracket opened there.
fn outside_brackets(pieces: &[Piece<'_>], scan: &Scan) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut out = Vec::new();
    for (k, p) in pieces.iter().enumerate() {
        match scan.tokens[p.token].kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Symbol if depth == 0 => out.push(k),
            _ => {}
        }
    }
    out
}

/// Aligns the lines of a group and empties it.
fn close(group: &mut Vec<Head>, lines: &[Line<'_>], spacing: &Spacing<'_>, out: &mut [Pads]) {
    let group = std::mem::take(group);
    let role = group.iter().filter_map(|h| h.role).max().unwrap_or(0);
    let pad_of_role = |h: &Head| h.role.map_or(0, |r| role - r);
    let first: Vec<usize> = group
        .iter()
        .map(|h| spacing.width(&lines[h.line].pieces, h.mark) + pad_of_role(h))
        .collect();
    for h in &group {
        out[h.line].push((1, pad_of_role(h)));
    }
    for run in runs(&first, NAMES_APART) {
        let widest = first[run.clone()].iter().copied().max().unwrap_or(0);
        for k in run {
            out[group[k].line].push((group[k].mark, widest - first[k]));
        }
    }
    // Neighbours that have a second mark.
    let mut k = 0;
    while k < group.len() {
        let neighbours: Vec<(&Head, usize)> = group[k..].iter().map_while(|h| h.second.map(|s| (h, s))).collect();
        let types: Vec<usize> = neighbours
            .iter()
            .map(|(h, s)| spacing.width(&lines[h.line].pieces[h.mark..], s - h.mark))
            .collect();
        for run in runs(&types, TYPES_APART) {
            let widest = types[run.clone()].iter().copied().max().unwrap_or(0);
            for j in run {
                let (head, second) = neighbours[j];
                out[head.line].push((second, widest - types[j]));
            }
        }
        k += neighbours.len().max(1);
    }
}

/// Splits widths into runs in which no two differ by more than a limit.
fn runs(widths: &[usize], apart: usize) -> Vec<std::ops::Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    let (mut least, mut most) = (usize::MAX, 0);
    for (k, &w) in widths.iter().enumerate() {
        if k > start && w.max(most) - w.min(least) > apart {
            out.push(start..k);
            start = k;
            (least, most) = (w, w);
        } else {
            (least, most) = (least.min(w), most.max(w));
        }
    }
    if start < widths.len() {
        out.push(start..widths.len());
    }
    out
}
