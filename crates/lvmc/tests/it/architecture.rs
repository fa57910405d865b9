//! The shape of the workspace: crates depend on earlier ones alone, and no code knows a built-in model.

use crate::common::{models, root};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each crate may depend on those before it.
const ORDER: [&str; 13] = [
    "lvmc-base",
    "lvmc-kernels",
    "lvmc-syntax",
    "lvmc-term",
    "lvmc-families",
    "lvmc-model",
    "lvmc-derive",
    "lvmc-loops",
    "lvmc-dense",
    "lvmc-jit",
    "lvmc-runtime",
    "lvmc-report",
    "lvmc",
];

/// Dependencies that one crate alone may have.
const ONLY: [(&str, &str); 2] = [("pest", "lvmc-syntax"), ("cranelift", "lvmc-jit")];

#[test]
fn crates_depend_on_earlier_ones_alone() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), ORDER.len(), "a crate without a place in the order");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let at = ORDER
            .iter()
            .position(|n| *n == name)
            .unwrap_or_else(|| panic!("{name} has no place in the order"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            if let Some(other) = ORDER.iter().position(|n| *n == on) {
                assert!(other < at, "{name} depends on {on}, which comes later");
            }
            if dependency["kind"] == "dev" {
                continue;
            }
            for (prefix, owner) in ONLY {
                assert!(
                    !on.starts_with(prefix) || name == owner,
                    "{name} depends on {on}; only {owner} may"
                );
            }
        }
    }
}

#[test]
fn no_code_names_a_built_in_model() {
    let names: Vec<String> = models().into_iter().map(|m| m.0).collect();
    let mut found = vec![];
    for file in sources(&root().join("crates")) {
        let text = std::fs::read_to_string(&file).expect("a readable source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in literals(code) {
            for name in &names {
                if literal == *name || literal.contains(&format!("{name}.lvm")) {
                    found.push(format!("{}: {literal:?}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Tests are gathered in one binary a crate, and a crate without tests among its sources has no binary for them: that
/// saves minutes of linking, and must lose no test.
#[test]
fn no_test_is_left_out() {
    let mut lost = vec![];
    for entry in std::fs::read_dir(root().join("crates")).expect("crates").flatten() {
        let folder = entry.path();
        let settings = std::fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
        let lib = settings
            .split("[lib]")
            .nth(1)
            .and_then(|s| s.split("\n[").next())
            .expect("a library");
        for file in rust_files(&folder.join("src")) {
            let text = std::fs::read_to_string(&file).expect("a readable source");
            let tested = ["#[test]", "proptest! {"].iter().any(|t| text.contains(t));
            let example = fences(&text).step_by(2).any(|opening| matches!(opening, "" | "rust"));
            if lib.contains("\ntest = false") && tested || lib.contains("doctest = false") && example {
                lost.push(file);
            }
        }
        let Ok(main) = std::fs::read_to_string(folder.join("tests/it/main.rs")) else {
            continue;
        };
        for entry in std::fs::read_dir(folder.join("tests/it")).expect("tests").flatten() {
            let name = entry
                .path()
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name != "main" && name != "snapshots" && !main.contains(&format!("mod {name};")) {
                lost.push(entry.path());
            }
        }
    }
    assert!(lost.is_empty(), "tests that never run: {lost:#?}");
}

/// What stands behind the fences of documentation, of those that open and those that close.
fn fences(text: &str) -> impl Iterator<Item = &str> {
    let comments = text.lines().map(str::trim);
    let inner = comments.filter_map(|l| l.strip_prefix("//! ").or_else(|| l.strip_prefix("/// ")));
    inner.filter_map(|l| l.strip_prefix("```"))
}

/// Every `.rs` file that is not a test.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let skipped = ["tests", "target", "examples", "benches"];
    let mut files = rust_files(folder);
    files.retain(|f| {
        let inner = f.strip_prefix(folder).expect("inside");
        !inner.iter().any(|part| skipped.iter().any(|s| part == *s)) && !inner.ends_with("tests.rs")
    });
    files
}

/// Every `.rs` file under a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut out = vec![];
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(rust_files(&path));
        } else if path.extension().is_some_and(|x| x == "rs") {
            out.push(path);
        }
    }
    out
}

/// The string literals of a source, comments left out; enough for this test.
fn literals(code: &str) -> Vec<String> {
    let mut out = vec![];
    for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
        let mut rest = line;
        while let Some(start) = rest.find('"') {
            let tail = &rest[start + 1..];
            let Some(end) = tail.find('"') else { break };
            out.push(tail[..end].to_owned());
            rest = &tail[end + 1..];
        }
    }
    out
}
