//! Trees printed and read back, texts formatted and read back.

use crate::common::{erased, model, read};
use lvmc_syntax::{format, print_ast, source_text};
use proptest::prelude::*;

/// Puts a comment and a line break wherever a bit is set and a line may break.
fn broken_up(text: &str, bits: &[bool]) -> String {
    let mut out = String::new();
    let mut bits = bits.iter().cycle();
    for (i, c) in text.char_indices() {
        out.push(c);
        let rest = &text[i + c.len_utf8()..];
        let before = &text[..i + c.len_utf8()];
        let breakable = "([{".contains(c)
            || [" + ", " * ", " ~ ", " = ", " => ", " <= ", " and ", " then ", ", "]
                .iter()
                .any(|o| before.ends_with(o))
            || rest.starts_with(" then ")
            || rest.starts_with(" else ")
            || rest.starts_with(" -> ");
        if breakable && !before.trim_start().starts_with('#') && bits.next() == Some(&true) {
            out.push_str("  # why\n\n\n");
        }
    }
    out
}

proptest! {
    #![proptest_config(crate::common::cases(400))]

    #[test]
    fn a_printed_model_reads_back(m in model()) {
        let text = source_text(&m);
        let again = read(&text).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}")))?;
        prop_assert_eq!(&erased(again.clone()), &m, "{}", text);
        prop_assert_eq!(print_ast(&again), print_ast(&m));
    }

    #[test]
    fn formatting_keeps_the_model_and_is_idempotent(m in model(), bits in prop::collection::vec(any::<bool>(), 1..9)) {
        let m = lvmc_syntax::ast::Model { doc: None, ..m };
        let text = broken_up(&source_text(&m), &bits);
        let once = format(&text).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}")))?;
        let again = read(&once).map_err(|e| TestCaseError::fail(format!("{e:?}\n{text}\n{once}")))?;
        prop_assert_eq!(erased(again), erased(m), "{}\n{}", &text, &once);
        prop_assert_eq!(once.matches("# why").count(), text.matches("# why").count());
        prop_assert!(!once.contains("\n\n\n") && once.lines().all(|l| l.trim_end() == l));
        prop_assert_eq!(format(&once).unwrap(), once);
    }

    #[test]
    fn different_models_are_shown_differently(a in model(), b in model()) {
        prop_assert_eq!(print_ast(&a) == print_ast(&b), a == b);
    }
}
