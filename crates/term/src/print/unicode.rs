//! Formulas in Unicode.

use super::names::{subscript, superscript};
use super::{Big, Math, number};

/// The formula on one line.
pub(super) fn write(m: &Math) -> String {
    match m {
        Math::Num(x) => number::unicode(*x),
        Math::Name { base, digits, square } => {
            let below = subscript(digits).unwrap_or_else(|| digits.clone());
            format!("{base}{below}{}", if *square { "²" } else { "" })
        }
        Math::Sub(base, subs) => subscripted(base, subs),
        Math::Sum(parts) => sum(parts),
        Math::Prod(fs) => product(fs),
        Math::Hadamard(fs) => fs.iter().map(|f| held(f, 3)).collect::<Vec<_>>().join(" ⊙ "),
        Math::Frac(a, b) => fraction(a, b, " / "),
        Math::Pow(a, p) => power(a, p),
        Math::Root(a) => format!("√{}", held(a, 6)),
        Math::Transpose(a) => format!("{}ᵀ", marked(a)),
        Math::Inverse(a) => format!("{}⁻¹", marked(a)),
        Math::Call(f, args) => format!("{f}({})", args.iter().map(write).collect::<Vec<_>>().join(", ")),
        Math::Apply(f, x) => match &**x {
            Math::Bars(_) => format!("{f}{}", write(x)),
            Math::Big(..) => format!("{f} {}", write(x)),
            Math::Num(v) if number::is_fraction(*v) => format!("{f}({})", write(x)),
            _ => format!("{f}{}", applied(x)),
        },
        Math::Bars(x) => format!("|{}|", write(x)),
        Math::SquaredNorm(x) => format!("‖{}‖²", write(x)),
        Math::Big(big, i, body) => {
            let sign = if *big == Big::Sum { "Σ" } else { "Π" };
            format!("{} {}", subscripted_text(sign, std::slice::from_ref(i)), held(body, 2))
        }
        Math::Indicator(x) => format!("[{}]", write(x)),
        Math::Relation(a, op, b) => format!("{} {op} {}", write(a), write(b)),
        Math::If(c, a, b) => format!("if {} then {} else {}", write(c), write(a), write(b)),
        Math::List(parts, sep) => format!("[{}]", parts.iter().map(write).collect::<Vec<_>>().join(sep)),
        Math::Normal(parts) => format!("N({}; {}, {})", write(&parts[0]), write(&parts[1]), write(&parts[2])),
        Math::Span(a, b) => format!("{}..{}", write(a), write(b)),
        Math::Range(base, a, b) => format!("{}[{}..{}]", held(base, 7), write(a), write(b)),
    }
}

/// In parentheses where it holds less than asked.
fn held(m: &Math, at_least: u8) -> String {
    if m.holds() < at_least {
        format!("({})", write(m))
    } else {
        write(m)
    }
}

fn applied(x: &Math) -> String {
    if x.holds() >= 6 {
        format!(" {}", write(x))
    } else {
        format!("({})", write(x))
    }
}

/// The base of ᵀ and ⁻¹: another such mark may stand under it.
fn marked(a: &Math) -> String {
    match a {
        Math::Transpose(_) | Math::Inverse(_) => write(a),
        Math::Name { square: true, .. } => format!("({})", write(a)),
        _ => held(a, 7),
    }
}

fn sum(parts: &[(bool, Math)]) -> String {
    let mut out = String::new();
    for (i, (negative, m)) in parts.iter().enumerate() {
        out.push_str(match (i, negative) {
            (0, true) => "−",
            (0, false) => "",
            (_, true) => " − ",
            (_, false) => " + ",
        });
        out.push_str(&held(m, 2));
    }
    out
}

fn product(fs: &[Math]) -> String {
    let mut out = String::new();
    for (i, f) in fs.iter().enumerate() {
        let last = i + 1 == fs.len();
        let text = match f {
            Math::Frac(a, b) if i == 0 => fraction(a, b, "/"),
            Math::Frac(..) => format!("({})", write(f)),
            _ if !last && f.open_on_the_right() => format!("({})", write(f)),
            _ => held(f, 3),
        };
        let tight = out.is_empty()
            || (out.ends_with(')') && text.starts_with('('))
            || (i == 1 && matches!(fs[0], Math::Num(x) if number::of_pi(x).is_some()));
        if !tight {
            out.push(' ');
        }
        out.push_str(&text);
    }
    out
}

fn fraction(a: &Math, b: &Math, bar: &str) -> String {
    let above = match a {
        Math::Frac(..) => format!("({})", write(a)),
        _ => held(a, 3),
    };
    let below = match b {
        Math::Big(..) if bar != "/" => write(b),
        Math::Apply(..) => write(b),
        _ => held(b, 5),
    };
    format!("{above}{bar}{below}")
}

fn power(a: &Math, p: &Math) -> String {
    let base = match a {
        Math::Name { square: true, .. } => format!("({})", write(a)),
        Math::Sub(inner, _) if matches!(**inner, Math::Name { square: true, .. }) => format!("({})", write(a)),
        _ => held(a, 7),
    };
    match p {
        Math::Num(x) => match superscript(&number::unicode(*x)) {
            Some(above) => format!("{base}{above}"),
            None => format!("{base}^{}", held(p, 5)),
        },
        _ => format!("{base}^{}", held(p, 7)),
    }
}

fn subscripted(base: &Math, subs: &[Math]) -> String {
    match base {
        // σₖ², not σ²ₖ
        Math::Name {
            base,
            digits,
            square: true,
        } => {
            let plain = Math::Name {
                base: base.clone(),
                digits: digits.clone(),
                square: false,
            };
            format!("{}²", subscripted(&plain, subs))
        }
        Math::Name { .. } => subscripted_text(&write(base), subs),
        Math::Call(..) | Math::List(..) | Math::Range(..) => subscripted_text(&write(base), subs),
        _ => subscripted_text(&format!("({})", write(base)), subs),
    }
}

/// Subscript characters where all exist: rₙₖ, zₜ₋₁; otherwise `μ_zₙ`, `x_{nd}`, `A_{zₙ,k}`.
fn subscripted_text(base: &str, subs: &[Math]) -> String {
    let texts: Vec<String> = subs.iter().map(|i| write(i).replace(' ', "")).collect();
    let short = texts.len() == 1 || texts.iter().all(|t| t.chars().count() == 1);
    let below: Option<String> = texts.iter().map(|t| subscript(t)).collect();
    match below {
        Some(below) if short => format!("{base}{below}"),
        _ if texts.len() == 1 && subs.iter().all(|i| i.holds() >= 7) => format!("{base}_{}", texts[0]),
        _ => format!("{base}_{{{}}}", texts.join(if short { "" } else { "," })),
    }
}
