//! Numbers for people: few digits, aligned. JSON has all of them.

/// A number with that many decimals and a true minus sign.
#[must_use]
pub fn fixed(x: f64, decimals: usize) -> String {
    if x.is_nan() {
        return "none".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "∞".into() } else { "−∞".into() };
    }
    let text = format!("{:.decimals$}", x.abs());
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    if x < 0.0 && !zero { format!("−{text}") } else { text }
}

/// Decimals that show the largest of these to four digits.
#[must_use]
pub fn decimals(values: &[f64]) -> usize {
    let largest = values
        .iter()
        .copied()
        .filter(|x| x.is_finite())
        .fold(0.0_f64, |a, x| a.max(x.abs()));
    if largest == 0.0 {
        return 1;
    }
    let order = largest.log10().floor();
    (3.0 - order).clamp(0.0, 12.0) as usize
}

/// Numbers side by side, to four digits of the largest; very small and very large ones with an exponent.
#[must_use]
pub fn row(values: &[f64]) -> Vec<String> {
    let d = decimals(values);
    let largest = values
        .iter()
        .copied()
        .filter(|x| x.is_finite())
        .fold(0.0_f64, |a, x| a.max(x.abs()));
    if d > 7 || largest >= 1e8 {
        return values.iter().map(|x| format!("{x:.3e}").replace('-', "−")).collect();
    }
    values.iter().map(|&x| fixed(x, d)).collect()
}

/// A standard error to two digits of its own.
#[must_use]
pub fn error(x: Option<f64>) -> String {
    let Some(x) = x.filter(|x| x.is_finite()) else {
        return "–".into();
    };
    if x == 0.0 {
        return "0".into();
    }
    if !(1e-4..1e8).contains(&x) {
        return format!("{x:.1e}").replace('-', "−");
    }
    let order = x.log10().floor();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fixed(x, (1.0 - order).clamp(0.0, 12.0) as usize)
}

/// A number to four digits of its own.
#[must_use]
pub fn short(x: f64) -> String {
    if x != 0.0 && x.is_finite() && (x.abs() < 1e-4 || x.abs() >= 1e8) {
        return format!("{x:.3e}").replace('-', "−");
    }
    let d = decimals(&[x]);
    fixed(x, d.min(6))
}

/// A count with thin blanks between thousands.
#[must_use]
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 row`, `2 rows`.
#[must_use]
pub fn counted(n: usize, one: &str) -> String {
    if n == 1 {
        format!("1 {one}")
    } else {
        format!("{} {one}s", count(n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_of_the_largest() {
        assert_eq!(row(&[0.17, -0.941]), ["0.1700", "−0.9410"]);
        assert_eq!(row(&[79.968, 54.5]), ["79.97", "54.50"]);
        assert_eq!(row(&[123_456.0]), ["123456"]);
        assert_eq!(row(&[1e-9]), ["1.000e−9"]);
        assert_eq!(row(&[0.0]), ["0.0"]);
    }

    #[test]
    fn no_negative_zero() {
        assert_eq!(fixed(-1e-9, 3), "0.000");
        assert_eq!(fixed(-1130.2639, 3), "−1130.264");
    }

    #[test]
    fn counts() {
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(272, "row"), "272 rows");
        assert_eq!(counted(1_234_567, "row"), "1,234,567 rows");
    }
}
