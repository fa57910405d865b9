//! The built-in models: the files of `models/`, embedded when lvmc is built.

/// (name, text) of every file, in alphabetical order.
pub static MODELS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/models.rs"));

/// The text of the built-in model of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    MODELS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// The first sentence of a model's head comment: its line in `lvmc models`.
#[must_use]
pub fn summary(text: &str) -> String {
    let mut words = String::new();
    for line in text.lines().map_while(|line| line.strip_prefix('#')) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(line.trim());
        if let Some(end) = sentence_end(&words) {
            words.truncate(end);
            return words;
        }
    }
    if words.is_empty() {
        text.lines().next().unwrap_or_default().to_owned()
    } else {
        words
    }
}

/// The end of the first sentence: a full stop before a blank or the end of the line.
fn sentence_end(text: &str) -> Option<usize> {
    let ends = |i: usize| text[i + 1..].chars().next().is_none_or(char::is_whitespace);
    text.match_indices('.').map(|(i, _)| i).find(|&i| ends(i))
}
