//! "Did you mean": names near to one another.

use lvmc_base::closest;

/// The known name that is meant: another case of it, or, for names of three letters and more, a slip of the keyboard.
/// Any two short names are near to each other, which says nothing.
pub(crate) fn near<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let same = known.iter().copied().find(|k| *k != name && k.to_lowercase() == lower);
    same.or_else(|| {
        let long = name.chars().count() >= 3;
        closest(name, known.iter().copied().filter(|k| long && k.chars().count() >= 3))
    })
}
