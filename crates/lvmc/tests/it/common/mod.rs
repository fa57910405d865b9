//! What the tests of the command line share.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}

/// Runs lvmc at the root of the repository.
pub fn lvmc(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lvmc"));
    command
        .args(args)
        .current_dir(root())
        .env_remove("NO_COLOR")
        .output()
        .expect("lvmc runs")
}

/// What `lvmc fit … --json` prints.
pub fn fit(args: &[&str]) -> serde_json::Value {
    let output = lvmc(&[&["fit"], args, &["--json"]].concat());
    assert!(!output.stdout.is_empty(), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// The built-in models by name.
pub fn models() -> Vec<(String, PathBuf)> {
    let mut out: Vec<(String, PathBuf)> = std::fs::read_dir(root().join("models"))
        .expect("models/")
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|x| x == "lvm"))
        .map(|p| (p.file_stem().unwrap_or_default().to_string_lossy().into_owned(), p))
        .collect();
    out.sort();
    out
}

/// A folder for a fit, and the paths in it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    }
}

/// Cells of a CSV text, NaN where empty or no number.
pub fn cells(text: &str) -> (Vec<String>, Vec<Vec<f64>>) {
    let mut lines = text.lines();
    let header = lines.next().expect("a header").split(',').map(str::to_owned).collect();
    let number = |c: &str| c.parse().unwrap_or(f64::NAN);
    (header, lines.map(|l| l.split(',').map(number).collect()).collect())
}

/// Numbers that look random, the same every time (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    /// From [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
    /// Of mean 0 and variance 1.
    pub fn centred(&mut self) -> f64 {
        (2.0 * self.unit() - 1.0) * 3.0_f64.sqrt()
    }
}
