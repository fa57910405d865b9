//! What is printed of every built-in model: its check, and its derivation where it has one. Reviewed as mathematics.

use crate::common::{lvmc, models, stderr, stdout};

#[test]
fn derivations_read_as_mathematics() {
    let mut derived = 0;
    for (name, path) in models() {
        let output = lvmc(&["derive", &path.to_string_lossy()]);
        if output.status.success() {
            derived += 1;
            insta::assert_snapshot!(format!("derive_{name}"), stdout(&output));
        } else {
            assert_eq!(output.status.code(), Some(3), "{name}: {}", stderr(&output));
        }
    }
    assert!(derived >= 5, "only {derived} models were derived");
}

#[test]
fn checks_show_what_was_inferred() {
    for (name, path) in models() {
        // the file's place differs from machine to machine
        let relative = format!("models/{}", path.file_name().unwrap_or_default().to_string_lossy());
        let output = lvmc(&["check", &relative]);
        insta::assert_snapshot!(
            format!("check_{name}"),
            format!("{}\n{}", stdout(&output), stderr(&output))
        );
    }
}

#[test]
fn latex_is_a_document() {
    for (name, path) in models() {
        let output = lvmc(&["derive", &path.to_string_lossy(), "--format", "latex"]);
        if !output.status.success() {
            continue;
        }
        let text = stdout(&output);
        assert!(
            text.starts_with("\\documentclass") && text.trim_end().ends_with("\\end{document}"),
            "{name}"
        );
        for (open, close) in [("{", "}"), ("\\begin{align*}", "\\end{align*}"), ("\\left", "\\right")] {
            let escaped = if open == "{" {
                text.replace("\\{", "").replace("\\}", "")
            } else {
                text.clone()
            };
            assert_eq!(
                escaped.matches(open).count(),
                escaped.matches(close).count(),
                "{name}: {open}"
            );
        }
        let foreign: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
        assert!(foreign.is_empty(), "{name}: not LaTeX: {foreign:?}");
    }
}

#[test]
fn models_are_formatted() {
    let files: Vec<String> = models()
        .into_iter()
        .map(|m| m.1.to_string_lossy().into_owned())
        .collect();
    let mut args = vec!["fmt", "--check"];
    args.extend(files.iter().map(String::as_str));
    let output = lvmc(&args);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn what_is_derived_is_certified() {
    for (name, path) in models() {
        let output = lvmc(&["check", &path.to_string_lossy(), "--numeric", "--json"]);
        if output.status.code() == Some(3) {
            continue;
        }
        assert!(
            output.status.success(),
            "{name}: {}\n{}",
            stdout(&output),
            stderr(&output)
        );
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let list = object["certificates"].as_array().expect("certificates");
        assert!(
            list.len() >= 3 && list.iter().all(|c| c["ok"] == true),
            "{name}: {list:?}"
        );
    }
}
