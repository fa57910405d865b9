//! Diffusion of variables that are pictures: the same rules as of vectors, for the number of elements.

use crate::common::{Place, cells, fit, lvmc, root, stderr, stdout};
use serde_json::Value;

const DIGITS: &str = "data/digits.csv";

fn model() -> String {
    let path = root().join("crates/lvmc/tests/gradients/ddpm_pictures.lvm");
    path.to_string_lossy().into_owned()
}

fn done(args: &[&str]) -> String {
    let output = lvmc(args);
    assert!(
        output.status.success(),
        "{args:?}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    stdout(&output)
}

#[test]
fn certificates() {
    let found: Value =
        serde_json::from_str(&done(&["check", &model(), "--numeric", "--json", "--set", "H=4"])).expect("JSON");
    let list = found["certificates"].as_array().expect("certificates");
    for part in ["objective", "gradient", "marginal", "posterior", "target", "bound"] {
        assert!(
            list.iter().any(|c| c["part"] == part && c["ok"] == true),
            "{part}: {list:#?}"
        );
    }
    // all of its elements
    let text = done(&["derive", &model(), "--set", "H=4"]);
    assert!(text.contains("+ ½ H² (if "), "{text}");
}

#[test]
fn fits_and_samples() {
    let place = Place::new();
    let (half, rest, whole) = (
        place.path("half.json"),
        place.path("rest.json"),
        place.path("whole.json"),
    );
    let path = model();
    let fixed = [&*path, DIGITS, "--bind", "x=p0..p63"];
    fit(&[&fixed[..], &["--fit", "epochs=2", "--out", &half]].concat());
    fit(&[&fixed[..], &["--fit", "epochs=4", "--resume", &half, "--out", &rest]].concat());
    fit(&[&fixed[..], &["--fit", "epochs=4", "--out", &whole]].concat());
    let parameters = |path: &str| {
        let text = std::fs::read_to_string(path).expect("a fit");
        serde_json::from_str::<Value>(&text).expect("JSON")["parameters"].clone()
    };
    assert!(parameters(&whole).is_array() || parameters(&whole).is_object());
    assert_eq!(parameters(&whole), parameters(&rest));
    for steps in [&[][..], &["--steps", "5"]] {
        let (header, rows) = cells(&done(&[&["sample", &*whole, "-n", "7"], steps].concat()));
        assert_eq!((header.len(), rows.len()), (64, 7));
        assert!(rows.iter().flatten().all(|x| x.is_finite()));
        let png = place.path("grid.png");
        done(&[&["sample", &*whole, "-n", "9", "--png", &png, "-q"], steps].concat());
        assert!(std::fs::metadata(&png).is_ok_and(|m| m.len() > 100));
    }
    let scores = done(&["score", &whole, DIGITS, "--draws", "2", "-q"]);
    assert_eq!(scores.lines().count(), 1798);
}
