//! Names as mathematics: Greek words, trailing digits.

use super::Math;

/// Greek letters as people spell them, and as LaTeX does (its capitals that look Latin are written in Latin).
const GREEK: &[(&str, &str)] = &[
    ("alpha", "α"),
    ("beta", "β"),
    ("gamma", "γ"),
    ("delta", "δ"),
    ("epsilon", "ε"),
    ("eps", "ε"),
    ("zeta", "ζ"),
    ("eta", "η"),
    ("theta", "θ"),
    ("iota", "ι"),
    ("kappa", "κ"),
    ("lambda", "λ"),
    ("mu", "μ"),
    ("nu", "ν"),
    ("xi", "ξ"),
    ("pi", "π"),
    ("rho", "ρ"),
    ("sigma", "σ"),
    ("tau", "τ"),
    ("upsilon", "υ"),
    ("phi", "φ"),
    ("chi", "χ"),
    ("psi", "ψ"),
    ("omega", "ω"),
    ("Gamma", "Γ"),
    ("Delta", "Δ"),
    ("Theta", "Θ"),
    ("Lambda", "Λ"),
    ("Xi", "Ξ"),
    ("Pi", "Π"),
    ("Sigma", "Σ"),
    ("Phi", "Φ"),
    ("Psi", "Ψ"),
    ("Omega", "Ω"),
];

/// `mu` → μ, `gate0` → gate₀, `sigma2` → σ² (a variance; so `tau2`).
pub(super) fn parse(name: &str) -> Math {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[letters.len()..];
    let (letters, digits) = if letters.is_empty() {
        (name, "")
    } else {
        (letters, digits)
    };
    let square = digits == "2" && matches!(letters, "sigma" | "tau" | "σ" | "τ");
    Math::Name {
        base: greek(letters),
        digits: if square {
            String::new()
        } else {
            digits.trim_start_matches('_').to_owned()
        },
        square,
    }
}

/// The Greek letter of a word, also of the first of words joined by `_`.
fn greek(word: &str) -> String {
    let (head, tail) = word.split_once('_').map_or((word, None), |(h, t)| (h, Some(t)));
    let head = GREEK
        .iter()
        .find(|(spelt, _)| *spelt == head)
        .map_or(head, |(_, letter)| letter);
    match tail {
        Some(tail) if !tail.is_empty() => format!("{head}_{tail}"),
        _ => head.to_owned(),
    }
}

/// The LaTeX command of a Greek letter.
pub(super) fn latex_letter(c: char) -> Option<String> {
    let mut buffer = [0; 4];
    let letter: &str = c.encode_utf8(&mut buffer);
    match letter {
        "ε" => Some("\\varepsilon".into()),
        _ => GREEK
            .iter()
            .find(|(_, l)| *l == letter)
            .map(|(spelt, _)| format!("\\{spelt}")),
    }
}

/// A character of prose that LaTeX has in mathematics only: Greek letters and subscripts.
pub(super) fn latex_in_prose(c: char) -> Option<String> {
    if let Some(command) = latex_letter(c) {
        return Some(format!("${command}$"));
    }
    match c {
        'ᵀ' => return Some("$^\\top$".into()),
        '⁻' => return Some("$^-$".into()),
        _ => {}
    }
    let at = SUBSCRIPTS.1.chars().position(|s| s == c)?;
    let below = SUBSCRIPTS.0.chars().nth(at)?;
    Some(format!(
        "$_{{{}}}$",
        latex_letter(below).unwrap_or_else(|| below.to_string())
    ))
}

/// Characters, and their subscripts.
const SUBSCRIPTS: (&str, &str) = (
    "0123456789+−=()aehijklmnoprstuvxβγρφχ",
    "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
);

/// A text in subscript characters, where all its characters have one.
pub(super) fn subscript(text: &str) -> Option<String> {
    map_chars(text, SUBSCRIPTS.0, SUBSCRIPTS.1)
}

/// A text in superscript characters, where all its characters have one.
pub(super) fn superscript(text: &str) -> Option<String> {
    map_chars(text, "0123456789+−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
}

fn map_chars(text: &str, from: &str, to: &str) -> Option<String> {
    text.chars()
        .map(|c| from.chars().zip(to.chars()).find(|&(f, _)| f == c).map(|(_, t)| t))
        .collect()
}
