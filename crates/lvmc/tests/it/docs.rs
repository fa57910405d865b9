//! Every command and output shown in README.md and docs/ is what lvmc prints.
//!
//! A fenced block `console` holds commands (`$ lvmc …`) and what they print, both streams as a terminal shows them. A
//! block `lvm NAME` is a file of that name, there for the commands after it. `LVMC_UPDATE_DOCS=1` writes what is printed
//! into the pages.

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn commands_print_what_the_pages_show() {
    let root = crate::common::root();
    let mut pages: Vec<PathBuf> = std::fs::read_dir(root.join("docs"))
        .expect("docs/")
        .flatten()
        .map(|e| e.path())
        .collect();
    pages.push(root.join("README.md"));
    pages.retain(|p| p.extension().is_some_and(|x| x == "md"));
    pages.sort();
    let mut commands = 0;
    let mut wrong = vec![];
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a readable page");
        let folder = workplace(&root);
        let (new, count) = rewritten(&quoted(&text, &root), folder.path());
        commands += count;
        if std::env::var_os("LVMC_UPDATE_DOCS").is_some() {
            std::fs::write(&page, &new).expect("a writable page");
        } else if same(&page, &text) != same(&page, &new) {
            wrong.push(format!(
                "{}:\n{}",
                page.display(),
                difference(&same(&page, &text), &same(&page, &new))
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nLVMC_UPDATE_DOCS=1 updates the pages",
        wrong.join("\n")
    );
    assert!(commands >= 20, "only {commands} commands were found");
}

/// The page with what it quotes from sources put in anew: `<!-- from PATH -->` to `<!-- end -->` holds a file's module
/// documentation, or the whole of a grammar.
fn quoted(text: &str, root: &Path) -> String {
    let mut out = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(path) = line.strip_prefix("<!-- from ").and_then(|l| l.strip_suffix(" -->")) else {
            continue;
        };
        let source = std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        if path.ends_with(".rs") {
            out.push_str(&documentation(&source));
        } else {
            out.push_str(&format!("```\n{}\n```\n", source.trim_end()));
        }
        if lines.by_ref().any(|l| l == "<!-- end -->") {
            out.push_str("<!-- end -->\n");
        }
    }
    out
}

/// A module's documentation as a section: its first words, up to a colon or full stop, are the heading.
fn documentation(source: &str) -> String {
    let lines: Vec<&str> = source
        .lines()
        .map_while(|l| l.strip_prefix("//!"))
        .map(str::trim_end)
        .collect();
    let text = lines
        .iter()
        .map(|l| l.strip_prefix(' ').unwrap_or(l))
        .collect::<Vec<_>>()
        .join("\n");
    let end = text.find([':', '.']).unwrap_or(0);
    let (head, rest) = (text[..end].replace('\n', " "), text[end + 1..].trim());
    let rest = rest
        .replace("\nSide conditions:", "\n\nSide conditions:")
        .replace("\nProof:", "\n\nProof:")
        .replace("[`", "`")
        .replace("`]", "`");
    let mut letters = rest.chars();
    let rest: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect();
    format!("### {head}\n\n{rest}\n")
}

/// A folder as a user has it: models and data beside each other.
fn workplace(root: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["models", "data"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).expect("a link");
    }
    folder
}

/// The page with the outputs of its commands put in anew, and how many there are.
fn rewritten(text: &str, folder: &Path) -> (String, usize) {
    let mut out = String::new();
    let mut lines = text.lines();
    let mut commands = 0;
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if let Some(name) = line.strip_prefix("```lvm ") {
            let mut file = String::new();
            for line in lines.by_ref() {
                out.push_str(line);
                out.push('\n');
                if line == "```" {
                    break;
                }
                file.push_str(line);
                file.push('\n');
            }
            std::fs::write(folder.join(name.trim()), file).expect("a writable folder");
        } else if line == "```console" {
            let mut empty = false;
            for line in lines.by_ref() {
                if line == "```" {
                    out.push_str("```\n");
                    break;
                }
                let Some(command) = line.strip_prefix("$ ") else {
                    empty = line.is_empty();
                    continue;
                };
                if std::mem::take(&mut empty) {
                    out.push('\n');
                }
                out.push_str(line);
                out.push('\n');
                out.push_str(&printed(command, folder));
                commands += 1;
            }
        }
    }
    (out, commands)
}

fn printed(command: &str, folder: &Path) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_lvmc"));
    let path = format!(
        "{}:{}",
        binary.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .env("PATH", path)
        .current_dir(folder)
        .output()
        .expect("a shell");
    let mut text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// What a page must show again. Of fits by gradients, which the chapter on them is full of, that is everything but decimals.
fn same(page: &Path, text: &str) -> String {
    let text = normal(text);
    if page.file_name().is_none_or(|n| n != "gradients.md") {
        return text;
    }
    let mut out = String::new();
    for part in text.split_inclusive([' ', ',', '\n']) {
        let word = part.trim_end_matches([' ', ',', '\n']);
        let number = word.trim_start_matches(['±', '−', '(']).trim_end_matches(')');
        if number.contains(['.', 'e']) && number.parse::<f64>().is_ok() {
            out.push('#');
            out.push_str(&part[word.len()..]);
        } else {
            out.push_str(part);
        }
    }
    out
}

/// Timings and certificates' last digits differ from run to run and machine to machine.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let timing = line.contains("compile") && line.contains(": read ");
        let certificate = words.last().is_some_and(|w| w == "ok");
        // after thousands of steps in 32 bits the last bits of a processor's products are in the first digits
        let search = line.contains("converged") || line.contains(" a row");
        if timing || certificate || search {
            let digits = |w: &String| w.chars().next().is_some_and(|c| c.is_ascii_digit());
            out.push_str(
                &words
                    .iter()
                    .filter(|w| !digits(w))
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(" "),
            );
        } else {
            out.push_str(&rounded(line.trim_end()));
        }
        out.push('\n');
    }
    out
}

/// Long numbers to six digits: the last ones differ between processors.
fn rounded(line: &str) -> String {
    let mut out = String::new();
    for part in line.split_inclusive([' ', ',']) {
        let number = part.trim_end_matches([' ', ',']);
        match number.parse::<f64>() {
            Ok(x) if number.len() > 9 => {
                out.push_str(&format!("{x:.5e}"));
                out.push_str(&part[number.len()..]);
            }
            _ => out.push_str(part),
        }
    }
    out
}

fn difference(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let first = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let window = |lines: &[&str]| {
        lines
            .iter()
            .skip(first)
            .take(6)
            .map(|l| format!("  {l}\n"))
            .collect::<String>()
    };
    format!("shown:\n{}printed:\n{}", window(&a), window(&b))
}
