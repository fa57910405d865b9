//! Numbers as they are written in formulas.

use std::f64::consts::PI;

const VULGAR: &[(u32, u32, &str)] = &[
    (1, 2, "½"),
    (1, 3, "⅓"),
    (2, 3, "⅔"),
    (1, 4, "¼"),
    (3, 4, "¾"),
    (1, 5, "⅕"),
    (2, 5, "⅖"),
    (3, 5, "⅗"),
    (4, 5, "⅘"),
    (1, 6, "⅙"),
    (5, 6, "⅚"),
    (1, 8, "⅛"),
    (3, 8, "⅜"),
    (5, 8, "⅝"),
    (7, 8, "⅞"),
];

/// p and q of a number p/q with a small q that is not a whole number nor a short decimal.
pub(super) fn fraction(x: f64) -> Option<(u32, u32)> {
    (2..=12u32).find_map(|q| {
        let p = (x * f64::from(q)).round();
        let exact = (p / f64::from(q) - x).abs() <= 1e-15 * x.abs();
        let short = q == 2 || VULGAR.iter().any(|v| f64::from(v.0) == p && v.1 == q) || has_long_decimals(x);
        (exact && short && p > 0.0 && p < 1000.0 && x.fract() != 0.0).then_some((p as u32, q))
    })
}

/// 1/5 is written ⅕, 1.2 is written 1.2, 7/3 is written 7/3.
fn has_long_decimals(x: f64) -> bool {
    format!("{x}").len() > 8
}

/// The multiple of π that a number is (a whole one, or a half).
pub(super) fn of_pi(x: f64) -> Option<f64> {
    let m = x / PI;
    (m > 0.0 && m < 100.0 && (2.0 * m).fract() == 0.0 && m * PI == x).then_some(m)
}

/// Written with a slash, so that it cannot stand bare before another factor.
pub(super) fn is_fraction(x: f64) -> bool {
    of_pi(x).is_none() && fraction(x).is_some_and(|(p, q)| vulgar(p, q).is_none())
}

fn vulgar(p: u32, q: u32) -> Option<&'static str> {
    VULGAR.iter().find(|v| v.0 == p && v.1 == q).map(|v| v.2)
}

/// A number ≥ 0 for a terminal.
pub(super) fn unicode(x: f64) -> String {
    if let Some(m) = of_pi(x) {
        return if m == 1.0 {
            "π".into()
        } else {
            format!("{}π", unicode(m))
        };
    }
    if let Some((p, q)) = fraction(x) {
        return vulgar(p, q).map_or_else(|| format!("{p}/{q}"), Into::into);
    }
    let (mantissa, exponent) = decimal(x);
    match exponent {
        0 => mantissa,
        e => {
            let power = super::names::superscript(&e.to_string().replace('-', "−")).unwrap_or_default();
            if mantissa == "1" {
                format!("10{power}")
            } else {
                format!("{mantissa}·10{power}")
            }
        }
    }
}

/// A number ≥ 0 in LaTeX.
pub(super) fn latex(x: f64) -> String {
    if let Some(m) = of_pi(x) {
        return if m == 1.0 {
            "\\pi".into()
        } else {
            format!("{}\\pi", latex(m))
        };
    }
    if let Some((p, q)) = fraction(x) {
        return if p < 10 && q < 10 {
            format!("\\tfrac{p}{q}")
        } else {
            format!("\\tfrac{{{p}}}{{{q}}}")
        };
    }
    if x.is_infinite() {
        return "\\infty".into();
    }
    let (mantissa, exponent) = decimal(x);
    match exponent {
        0 => mantissa,
        e if mantissa == "1" => format!("10^{{{e}}}"),
        e => format!("{mantissa} \\cdot 10^{{{e}}}"),
    }
}

/// Mantissa and power of ten: plain between 10⁻³ and 10⁶, at most seven digits.
fn decimal(x: f64) -> (String, i32) {
    if x.is_infinite() {
        return ("∞".into(), 0);
    }
    if x == 0.0 {
        return ("0".into(), 0);
    }
    if x.fract() == 0.0 && x < 1e6 {
        return (format!("{x}"), 0);
    }
    let short = format!("{x:.6e}");
    let (mantissa, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.').to_owned();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..6).contains(&exponent) {
        let places = usize::try_from(6 - exponent).unwrap_or(0);
        let plain = format!("{x:.places$}");
        return (plain.trim_end_matches('0').trim_end_matches('.').to_owned(), 0);
    }
    (mantissa, exponent)
}
