//! Whatever the input, there is an answer: no panic, no hang, no overflow.

use crate::common::read;
use lvmc_syntax::{SyntaxError, decode, format, source_text};
use miette::{GraphicalReportHandler, GraphicalTheme, Report};
use proptest::prelude::*;

/// What holds of every text.
fn check(text: &str) -> Result<(), TestCaseError> {
    match read(text) {
        Ok(m) => {
            let once = format(text).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}")))?;
            prop_assert_eq!(format(&once).unwrap(), once);
            let printed = source_text(&m);
            let again = read(&printed).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}\n{printed}")))?;
            // Without its description, whose lines a printer cannot keep apart from other comments.
            prop_assert_eq!(crate::common::erased(again).items, crate::common::erased(m).items);
        }
        Err(e) => {
            prop_assert!(!matches!(e, SyntaxError::Bug(_)), "{:?}\n{}", e, text);
            if let Some(span) = e.span() {
                prop_assert!(text.get(span.range()).is_some(), "{:?}\n{}", e, text);
            }
            let mut out = String::new();
            let report = Report::new(e).with_source_code(text.to_owned());
            let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor());
            handler.render_report(&mut out, report.as_ref()).unwrap();
        }
    }
    Ok(())
}

const WORDS: [&str; 78] = [
    "model", "dim", "const", "param", "latent", "data", "given", "noise", "global", "net", "for", "each", "row",
    "chain", "guide", "fit", "weight", "if", "then", "else", "match", "and", "or", "not", "in", "by", "x", "mu", "μ",
    "Normal", "real", "simplex", "_", "1", "2.5", "1e-3", "(", ")", "[", "]", "{", "}", "(", ")", "[", "]", "{", "}",
    ",", ";", ":", "~", "=", "==", "=>", "->", "..", "+", "-", "*", "/", "^", "<", "<=", ">", "!=", "\n", "\n", "\n",
    "# c\n", "\r\n", " ", "**", ":=", ".", "²", "\u{2028}", "\u{a0}",
];

fn built_in() -> Vec<String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect()
}

/// Cuts, doubles and replaces pieces of a text.
fn mutated(text: &str, edits: &[(usize, usize, usize)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for &(at, len, word) in edits {
        let at = at % (chars.len() + 1);
        let end = (at + len % 6).min(chars.len());
        match word % (WORDS.len() + 2) {
            w if w < WORDS.len() => drop(chars.splice(at..end, WORDS[w].chars())),
            w if w == WORDS.len() => drop(chars.drain(at..end)),
            _ => {
                let piece: Vec<char> = chars[at..end].to_vec();
                chars.splice(at..at, piece);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(crate::common::cases(1500))]

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(source) = decode("x", &bytes) {
            check(&source.text)?;
        }
    }

    #[test]
    fn characters(text in "\\PC{0,60}") {
        check(&text)?;
    }

    #[test]
    fn token_soups(words in prop::collection::vec(0..WORDS.len(), 0..40), glue in any::<bool>()) {
        let words: Vec<&str> = words.into_iter().map(|w| WORDS[w]).collect();
        check(&words.join(if glue { "" } else { " " }))?;
    }

    #[test]
    fn mutations(file in 0..16_usize, edits in prop::collection::vec((any::<usize>(), any::<usize>(), any::<usize>()), 1..6)) {
        let files = built_in();
        check(&mutated(&files[file % files.len()], &edits))?;
    }
}
