//! Formulas in LaTeX.

use super::names::latex_letter;
use super::{Big, Math, number};

/// The formula, for math mode.
pub(super) fn write(m: &Math) -> String {
    match m {
        Math::Num(x) => number::latex(*x),
        Math::Name { .. } | Math::Sub(..) => subscripted(m, None),
        Math::Sum(parts) => sum(parts),
        Math::Prod(fs) => product(fs),
        Math::Hadamard(fs) => fs.iter().map(|f| held(f, 3)).collect::<Vec<_>>().join(" \\odot "),
        Math::Frac(a, b) => fraction(a, b),
        Math::Pow(a, p) => raised(a, &write(p)),
        Math::Root(a) => format!("\\sqrt{{{}}}", write(a)),
        Math::Transpose(a) => match &**a {
            Math::Inverse(b) => raised(b, "-\\top"),
            _ => raised(a, "\\top"),
        },
        Math::Inverse(a) => raised(a, "-1"),
        Math::Call(f, args) => {
            let args: Vec<String> = args.iter().map(write).collect();
            format!("{}({})", function(f), args.join(", "))
        }
        Math::Apply(f, x) => match &**x {
            Math::Bars(_) | Math::Big(..) => format!("\\{f} {}", write(x)),
            _ if x.holds() >= 6 => format!("\\{f} {}", write(x)),
            _ => format!("\\{f}({})", write(x)),
        },
        Math::Bars(x) => format!("|{}|", write(x)),
        Math::SquaredNorm(x) => format!("\\|{}\\|^2", write(x)),
        Math::Big(big, i, body) => {
            let sign = if *big == Big::Sum { "\\sum" } else { "\\prod" };
            let range = match &**i {
                Math::Relation(i, "=", span) => match &**span {
                    Math::Span(a, b) => format!("_{{{}={}}}^{}", write(i), write(a), group(&write(b))),
                    _ => format!("_{{{}}}", write(i)),
                },
                _ => format!("_{}", group(&write(i))),
            };
            format!("{sign}{range} {}", held(body, 2))
        }
        Math::Indicator(x) => format!("[{}]", write(x)),
        Math::Relation(a, op, b) => {
            let op = match *op {
                "≤" => "\\le",
                "≠" => "\\ne",
                other => other,
            };
            format!("{} {op} {}", write(a), write(b))
        }
        Math::If(c, a, b) => {
            format!(
                "\\begin{{cases}} {} & {} \\\\ {} & \\text{{otherwise}} \\end{{cases}}",
                write(a),
                write(c),
                write(b)
            )
        }
        Math::List(parts, sep) => {
            let sep = if *sep == "; " { ";\\, " } else { ", " };
            format!("[{}]", parts.iter().map(write).collect::<Vec<_>>().join(sep))
        }
        Math::Normal(parts) => {
            format!(
                "\\mathcal{{N}}({}; {}, {})",
                write(&parts[0]),
                write(&parts[1]),
                write(&parts[2])
            )
        }
        Math::Span(a, b) => format!("{}..{}", write(a), write(b)),
        Math::Range(base, a, b) => format!("{}_{{{}:{}}}", held(base, 7), write(a), write(b)),
    }
}

fn held(m: &Math, at_least: u8) -> String {
    if m.holds() < at_least {
        format!("({})", write(m))
    } else {
        write(m)
    }
}

fn sum(parts: &[(bool, Math)]) -> String {
    let mut out = String::new();
    for (i, (negative, m)) in parts.iter().enumerate() {
        out.push_str(match (i, negative) {
            (0, true) => "-",
            (0, false) => "",
            (_, true) => " - ",
            (_, false) => " + ",
        });
        out.push_str(&held(m, 2));
    }
    out
}

/// A number stands before the bar: ½ a/b.
fn fraction(a: &Math, b: &Math) -> String {
    if let Math::Prod(fs) = a
        && let [Math::Num(x), rest @ ..] = &fs[..]
        && number::fraction(*x).is_some()
    {
        let rest = if let [single] = rest {
            write(single)
        } else {
            product(rest)
        };
        return format!("{} \\frac{{{rest}}}{{{}}}", number::latex(*x), write(b));
    }
    format!("\\frac{{{}}}{{{}}}", write(a), write(b))
}

fn product(fs: &[Math]) -> String {
    let texts = fs.iter().enumerate().map(|(i, f)| match f {
        Math::Frac(..) => write(f),
        _ if i + 1 < fs.len() && f.open_on_the_right() => format!("({})", write(f)),
        _ => held(f, 3),
    });
    texts.collect::<Vec<_>>().join(" ")
}

/// {x} where it is more than one character.
fn group(text: &str) -> String {
    let single = text.chars().count() == 1 || (text.starts_with('\\') && text[1..].chars().all(char::is_alphabetic));
    if single { text.to_owned() } else { format!("{{{text}}}") }
}

fn raised(a: &Math, above: &str) -> String {
    match a {
        Math::Name { square: true, .. } => format!("({})^{}", write(a), group(above)),
        Math::Name { .. } => subscripted(a, Some(above)),
        Math::Sub(inner, _) if matches!(**inner, Math::Name { square: false, .. }) => subscripted(a, Some(above)),
        _ if a.holds() >= 7 && !matches!(a, Math::Sub(..)) => format!("{}^{}", write(a), group(above)),
        _ => format!("({})^{}", write(a), group(above)),
    }
}

/// A name with everything below and above it.
fn subscripted(m: &Math, above: Option<&str>) -> String {
    let (head, mut subs) = match m {
        Math::Sub(head, subs) => (&**head, subs.iter().map(|i| write(i).replace(' ', "")).collect()),
        other => (other, vec![]),
    };
    let (text, square) = match head {
        Math::Name { base, digits, square } => {
            if !digits.is_empty() {
                subs.insert(0, digits.clone());
            }
            // a name's own subscript comes before those of its position: LaTeX allows one
            match base.split_once('_') {
                Some((head, tail)) if head.chars().count() == 1 && !tail.is_empty() => {
                    subs.insert(0, format!("\\mathrm{{{}}}", tail.replace('_', "\\_")));
                    (word(head), *square)
                }
                _ => (word(base), *square),
            }
        }
        Math::Call(..) | Math::List(..) => (write(head), false),
        other => (format!("({})", write(other)), false),
    };
    let joint = if subs.iter().all(|t| t.chars().count() == 1 || t.starts_with('\\')) {
        " "
    } else {
        ","
    };
    let below = match subs.len() {
        0 => String::new(),
        1 => format!("_{}", group(&subs[0])),
        _ if joint == " " && subs.iter().all(|t| t.chars().count() == 1) => format!("_{{{}}}", subs.concat()),
        _ => format!("_{{{}}}", subs.join(joint)),
    };
    let above = match (above, square) {
        (Some(a), _) => format!("^{}", group(a)),
        (None, true) => "^2".into(),
        (None, false) => String::new(),
    };
    format!("{text}{below}{above}")
}

/// A letter, a Greek letter, or an upright word.
fn word(name: &str) -> String {
    // of a row before: α[t-1]
    if let Some((head, row)) = name.split_once('[') {
        let head = if head.is_empty() { String::new() } else { word(head) };
        return format!("{head}[{row}");
    }
    // before the row's data: a⁻
    if let Some(head) = name.strip_suffix('⁻') {
        return format!("{{{}^-}}", word(head));
    }
    let mut chars = name.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => latex_letter(c).unwrap_or_else(|| c.to_string()),
        (Some(c), Some('_')) => {
            let tail: String = chars.collect();
            format!("{}_{{\\mathrm{{{}}}}}", word(&c.to_string()), tail.replace('_', "\\_"))
        }
        _ => format!("\\mathrm{{{}}}", name.replace('_', "\\_")),
    }
}

fn function(f: &str) -> String {
    match f {
        "exp" | "tanh" | "sin" | "cos" => format!("\\{f}"),
        "Γ" => "\\Gamma".into(),
        "ψ" => "\\psi".into(),
        "ψ′" => "\\psi'".into(),
        "ψ″" => "\\psi''".into(),
        "Φ" => "\\Phi".into(),
        "tr" => "\\operatorname{tr}".into(),
        _ if f.ends_with("⁻¹") => {
            format!(
                "\\operatorname{{{}}}^{{-1}}",
                f.trim_end_matches("⁻¹").replace('∂', "\\partial ")
            )
        }
        _ => format!("\\operatorname{{{}}}", f.replace('_', "\\_")),
    }
}
