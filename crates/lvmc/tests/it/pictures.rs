//! Pictures and plots: files that are there, of the right size, and what is said where there can be none.

use crate::common::{Place, lvmc, root, stderr};

const VAE: &str = "dim Q = 2, H = 8
data x : unit[8, 8] = pixels / 16
net decoder(z : real[Q]) -> p : unit[8, 8] { p = reshape(dense(dense(z, H, relu), 64, sigmoid), 8, 8) }
net encoder(x : real[8, 8]) -> m : real[Q], v : positive[Q] {
  h = dense(x, H, relu)
  m = dense(h, Q)
  v = dense(h, Q, exp)
}
z ~ Normal(0, I[Q])
x ~ Bernoulli(decoder(z))
guide {
  m, v = encoder(x)
  z ~ Normal(m, diag(v))
}
";

fn data(name: &str) -> String {
    root().join("data").join(name).display().to_string()
}

fn run(args: &[&str]) {
    let output = lvmc(args);
    let fine = output.status.code().is_some_and(|c| c < 2);
    assert!(fine, "{args:?}: {}", stderr(&output));
}

/// Width and height of a PNG, from its header.
fn size(path: &str) -> (u32, u32) {
    let bytes = std::fs::read(path).expect("a picture");
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n", "{path}");
    let at = |i: usize| u32::from_be_bytes(bytes[i..i + 4].try_into().expect("four bytes"));
    (at(16), at(20))
}

#[test]
fn a_fit_of_pictures_shows_them() {
    let at = Place::new();
    let (model, fit, digits) = (at.file("m.lvm", VAE), at.path("m.json"), data("digits.csv"));
    let plots = at.path("plots");
    run(&[
        "fit",
        &model,
        &digits,
        "--bind",
        "pixels=p0..p63",
        "--epochs",
        "2",
        "--out",
        &fit,
        "--plots",
        &plots,
    ]);
    let read = |name: &str| std::fs::read_to_string(format!("{plots}/{name}")).expect("a plot");
    assert!(read("training.svg").contains("<polyline"));
    let codes = read("codes.svg");
    assert_eq!(codes.matches("<circle").count(), 1797);
    assert!(codes.contains("coloured by digit"));
    // 8 × 8 enlarged six times, gaps of 2
    let side = |n: u32| n * (8 * 6 + 2) + 2;
    assert_eq!(size(&format!("{plots}/samples.png")), (side(8), side(8)));
    assert_eq!(size(&format!("{plots}/reconstructions.png")), (side(16), side(8)));
    let png = at.path("a.png");
    run(&["sample", &fit, "-n", "10", "--means", "--png", &png]);
    assert_eq!(size(&png), (side(4), side(3)));
    run(&["predict", &fit, &digits, "--png", &png]);
    assert_eq!(size(&png), (side(16), side(8)));
    // codes are decoded without the columns that the data are computed from
    let file = at.file("codes.csv", "a,b\n0,0\n1,-1\n");
    run(&["predict", &fit, &file, "--bind", "z=a,b", "--png", &png]);
    assert_eq!(size(&png), (side(2), side(1)));
    for (says, args) in [
        ("--steps walks a chain", vec!["sample", &fit, "--steps", "3"]),
        (
            "9 × 9 have 81 numbers",
            vec!["sample", &fit, "--shape", "9x9", "--png", &png],
        ),
        ("height x width", vec!["sample", &fit, "--shape", "9", "--png", &png]),
        (
            "--select belongs to fits by EM",
            vec!["fit", &model, &digits, "--bind", "pixels=p0..p63", "--select", "Q=1..2"],
        ),
        (
            "there is nothing to go on from",
            vec![
                "fit",
                &model,
                &digits,
                "--bind",
                "pixels=p0..p63",
                "--resume",
                "nowhere.json",
            ],
        ),
    ] {
        let output = lvmc(&args);
        let err = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
}

#[test]
fn a_fit_by_em_has_a_map_and_samples_of_a_vector_are_pictures() {
    let at = Place::new();
    let (fit, plots) = (at.path("p.json"), at.path("plots"));
    let model = root().join("models/ppca.lvm").display().to_string();
    let digits = data("digits.csv");
    run(&[
        "fit",
        &model,
        &digits,
        "--bind",
        "x=p0..p63",
        "--set",
        "Q=2",
        "--max-iter",
        "5",
        "--restarts",
        "1",
        "--tol",
        "0",
        "--out",
        &fit,
        "--plots",
        &plots,
        "--shape",
        "8x8",
    ]);
    for name in ["training.svg", "codes.svg", "samples.png"] {
        assert!(std::path::Path::new(&format!("{plots}/{name}")).exists(), "{name}");
    }
    let output = lvmc(&["predict", &fit, &digits, "--png", &at.path("a.png")]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
