//! The built-in models by name, and their first sentences.

use lvmc::builtin::{MODELS, find, summary};

#[test]
fn the_first_sentence_is_the_summary() {
    assert_eq!(summary("# One. Two.\nmodel a"), "One");
    assert_eq!(summary("# A 2.5 thing\n# goes on. Two.\n"), "A 2.5 thing goes on");
    assert_eq!(summary("z ~ Categorical(pi)\n"), "z ~ Categorical(pi)");
}

#[test]
fn names_are_sorted_and_found() {
    assert!(MODELS.is_sorted());
    for (name, text) in MODELS {
        assert_eq!(find(name), Some(*text));
    }
    assert_eq!(find("no such model"), None);
}
