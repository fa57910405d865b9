//! Fit files: whole or not at all, and refused where they are none.

use lvmc_runtime::fitfile::{read, write_atomic};
use std::path::Path;

#[test]
fn a_write_replaces_the_file_or_leaves_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("fit.json");
    write_atomic(&path, b"one").expect("written");
    write_atomic(&path, b"two").expect("replaced");
    assert_eq!(std::fs::read(&path).expect("read"), b"two");
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("listed").count(),
        1,
        "no neighbour is left"
    );
    let missing = write_atomic(&dir.path().join("no/fit.json"), b"x").expect_err("no such folder");
    assert!(missing.to_string().contains("its folder does not exist"), "{missing}");
    assert!(write_atomic(dir.path(), b"x").is_err(), "a folder is no file");
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    let full = Path::new("/dev/full");
    if full.exists() {
        let e = write_atomic(full, b"x").expect_err("full");
        assert_eq!(e.exit(), lvmc_base::Exit::Usage);
        assert!(e.to_string().contains("/dev/full"), "{e}");
        assert!(full.exists(), "the device is still there");
    }
}

#[test]
fn what_is_no_fit_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("fit.json");
    for (text, part) in [
        ("", "no JSON"),
        ("{\"format\": 1, ", "no JSON"),
        ("[1, 2]", "no `format`"),
        ("{\"format\": 99, \"version\": \"9.9\"}", "written by lvmc 9.9"),
        ("{\"format\": 1}", "missing field"),
    ] {
        std::fs::write(&path, text).expect("written");
        let e = read(&path).expect_err(text);
        assert!(e.to_string().contains(part), "{text}: {e}");
    }
    assert!(read(&dir.path().join("none.json")).is_err());
}
