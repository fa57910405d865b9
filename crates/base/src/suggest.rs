//! "Did you mean": the nearest of a set of names.

/// Edit distance with transpositions (optimal string alignment) between `a` and `b`, in characters.
#[must_use]
pub fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substitute = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substitute.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The candidate nearest to `name`, where it is near enough to be a slip of the keyboard: at most a third of the
/// name's characters (at least one) are wrong.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|c| *c != name)
        .map(|c| {
            (
                if c.eq_ignore_ascii_case(name) {
                    0
                } else {
                    edit_distance(name, c)
                },
                c,
            )
        })
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!(edit_distance("Normal", "Norml"), 1);
        assert_eq!(edit_distance("Nomral", "Normal"), 1);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("mu", "mu"), 0);
    }

    #[test]
    fn far_names_are_not_suggested() {
        assert_eq!(closest("Norml", ["Gamma", "Normal"]), Some("Normal"));
        assert_eq!(closest("normal", ["Gamma", "Normal"]), Some("Normal"));
        assert_eq!(closest("Foo", ["Gamma", "Normal"]), None);
    }
}
