//! A derivation as a page: text for a terminal, a LaTeX document, or JSON.

use crate::derivation::{Derivation, Line, Part};
use crate::layout::{margin, width};
use serde_json::{Value, json};

/// Columns of a page.
const PAGE: usize = 100;
/// Where a line of mathematics begins.
const INDENT: usize = 3;

/// For a terminal.
#[must_use]
pub fn unicode(d: &Derivation) -> String {
    let mut out = format!("Model {}\n", d.model);
    for (statement, line) in &d.statements {
        out.push_str(&margin(&format!("  {statement}"), &format!("line {line}"), PAGE));
        out.push('\n');
    }
    for (i, part) in d.parts.iter().enumerate() {
        out.push_str(&format!("\n{}\n", heading(i + 1, part)));
        let left = part
            .lines
            .iter()
            .map(|l| width(&l.left))
            .filter(|&w| w <= 16)
            .max()
            .unwrap_or(0);
        for line in &part.lines {
            out.push_str(&text_line(line, left));
        }
    }
    out
}

fn heading(number: usize, part: &Part) -> String {
    let mut text = format!("{number:<INDENT$}{}", part.title);
    if !part.with.is_empty() {
        let list: Vec<String> = part
            .with
            .iter()
            .map(|(name, meaning)| format!("{name} = {meaning}"))
            .collect();
        text.push_str(&format!(", with {}", list.join(", ")));
    }
    text
}

/// `left = right`, what it satisfies, and its rule at the right margin.
fn text_line(line: &Line, left: usize) -> String {
    let mut head = " ".repeat(INDENT);
    if !line.left.is_empty() {
        head.push_str(&line.left);
        head.push_str(&" ".repeat(left.saturating_sub(width(&line.left))));
        head.push_str(" = ");
    }
    let note = match (line.remark.is_empty(), line.rule.is_empty()) {
        (false, false) => format!("{} · {}", line.remark, line.rule),
        (false, true) => line.remark.clone(),
        _ => line.rule.clone(),
    };
    let indent = width(&head);
    let mut lines = broken(&format!("{head}{}", line.right), PAGE, indent.min(24));
    let condition = &line.condition;
    let last = lines.pop().unwrap_or_default();
    let room = PAGE.saturating_sub(width(&note) + 2);
    if condition.is_empty() {
        lines.push(margin(&last, &note, PAGE));
    } else if width(&last) + 4 + width(condition) <= room && width(&last) <= 44 {
        let padded = format!(
            "{last}{}{condition}",
            " ".repeat(48usize.saturating_sub(width(&last)).max(4))
        );
        let padded = if width(&padded) <= room {
            padded
        } else {
            format!("{last}    {condition}")
        };
        lines.push(margin(&padded, &note, PAGE));
    } else {
        lines.push(margin(&last, &note, PAGE));
        lines.extend(broken(
            &format!("{}{condition}", " ".repeat(INDENT + 4)),
            PAGE,
            INDENT + 8,
        ));
    }
    lines.iter().fold(String::new(), |mut out, l| {
        out.push_str(l.trim_end());
        out.push('\n');
        out
    })
}

/// Breaks a long formula before `+` and `−` outside of all brackets (else inside the outermost), and indents what
/// follows.
fn broken(text: &str, to: usize, indent: usize) -> Vec<String> {
    let mut lines = vec![];
    let mut rest = text.to_owned();
    while width(&rest) > to {
        let Some(at) = (0..3).find_map(|depth| break_at(&rest, to, indent, depth)) else {
            break;
        };
        let tail = rest.split_off(at);
        lines.push(rest.trim_end().to_owned());
        rest = format!("{}{}", " ".repeat(indent), tail.trim_start());
    }
    lines.push(rest);
    lines
}

/// The last place at that depth of brackets where a line may end.
fn break_at(text: &str, to: usize, indent: usize, most: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut found = None;
    for (column, (at, c)) in text.char_indices().enumerate() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '+' | '−' | '/'
                if depth <= most
                    && (indent + 9..=to).contains(&column)
                    && text[..at].ends_with(' ')
                    && text[at..].chars().nth(1) == Some(' ') =>
            {
                found = Some(at);
            }
            _ => {}
        }
    }
    found
}

/// A LaTeX document.
#[must_use]
pub fn latex(d: &Derivation) -> String {
    let mut out = String::from(
        "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{amsmath,amssymb}\n\
         \\usepackage[margin=2.5cm]{geometry}\n\\allowdisplaybreaks\n\\begin{document}\n",
    );
    out.push_str(&format!("\\section*{{Model \\texttt{{{}}}}}\n", words(&d.model)));
    out.push_str("\\begin{align*}\n");
    let statements: Vec<String> = d
        .statements
        .iter()
        .map(|(s, _)| s.replacen("\\sim", "&\\sim", 1))
        .collect();
    out.push_str(&format!("  {}\n\\end{{align*}}\n", statements.join(" \\\\\n  ")));
    for part in &d.parts {
        out.push_str(&format!("\\subsection*{{{}}}\n", words(&part.title)));
        if !part.with.is_empty() {
            let list: Vec<String> = part
                .with
                .iter()
                .map(|(name, meaning)| format!("${name} = {meaning}$"))
                .collect();
            out.push_str(&format!("With {}.\n", list.join(", ")));
        }
        out.push_str("\\begin{align*}\n");
        let lines: Vec<String> = part.lines.iter().map(latex_line).collect();
        out.push_str(&format!("  {}\n\\end{{align*}}\n", lines.join(" \\\\\n  ")));
    }
    out.push_str("\\end{document}\n");
    out
}

fn latex_line(line: &Line) -> String {
    let mut text = if line.left.is_empty() {
        format!("& {}", line.right)
    } else {
        format!("{} &= {}", line.left, line.right)
    };
    let note: Vec<&str> = [line.remark.as_str(), line.rule.as_str()]
        .into_iter()
        .filter(|n| !n.is_empty())
        .collect();
    if !note.is_empty() {
        text.push_str(&format!(" && \\text{{{}}}", words(&note.join(", "))));
    }
    if !line.condition.is_empty() {
        text.push_str(&format!(" \\\\\n  & \\qquad {}", line.condition));
    }
    text
}

/// Plain words inside LaTeX.
fn words(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '_' | '&' | '%' | '#' | '$' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '−' => out.push('-'),
            _ => match lvmc_term::print::latex_in_prose(c) {
                Some(command) => out.push_str(&command),
                None => out.push(c),
            },
        }
    }
    out
}

/// Both styles as data.
#[must_use]
pub fn json(unicode: &Derivation, latex: &Derivation) -> Value {
    let statements: Vec<Value> = unicode
        .statements
        .iter()
        .zip(&latex.statements)
        .map(|((u, line), (l, _))| json!({ "unicode": u, "latex": l, "line": line }))
        .collect();
    let sections: Vec<Value> = unicode
        .parts
        .iter()
        .zip(&latex.parts)
        .map(|(u, l)| {
            let lines: Vec<Value> = u.lines.iter().zip(&l.lines).map(|(u, l)| json_line(u, l)).collect();
            let with: Vec<Value> = u
                .with
                .iter()
                .zip(&l.with)
                .map(|(u, l)| json!({ "unicode": format!("{} = {}", u.0, u.1), "latex": format!("{} = {}", l.0, l.1) }))
                .collect();
            json!({ "title": u.title, "with": with, "lines": lines })
        })
        .collect();
    json!({ "model": unicode.model, "statements": statements, "sections": sections })
}

fn json_line(u: &Line, l: &Line) -> Value {
    json!({
        "unicode": { "left": u.left, "right": u.right, "condition": u.condition },
        "latex": { "left": l.left, "right": l.right, "condition": l.condition },
        "rule": u.rule,
        "remark": u.remark,
    })
}
