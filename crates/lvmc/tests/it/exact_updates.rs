//! Closed forms beside gradients: which parameters take them, what they reach, and where they are not taken.

use crate::common::{Place, fit, lvmc, root, stderr, stdout};
use serde_json::{Value, json};

const IRIS: [&str; 3] = [
    "data/iris.csv",
    "--bind",
    "x=sepal_length,sepal_width,petal_length,petal_width",
];

fn model(name: &str) -> String {
    let path = root().join(format!("crates/lvmc/tests/gradients/{name}.lvm"));
    path.to_string_lossy().into_owned()
}

/// Rules by parameter, and what the certificates of exact updates say.
fn checked(name: &str) -> Value {
    let output = lvmc(&["check", &model(name), "--numeric", "--json"]);
    assert!(
        output.status.success(),
        "{name}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The rule of every parameter that takes no gradients; each with a certificate that its model is the bound's part.
#[test]
fn parameters_with_closed_forms_take_them() {
    let cases: [(&str, &[(&str, &str)]); 6] = [
        (
            "linear_decoder",
            &[
                ("W", "least-squares"),
                ("mu", "least-squares"),
                ("sigma2", "log-linear"),
            ],
        ),
        (
            "mixture_code",
            &[
                ("pi", "simplex-argmax"),
                ("mu", "quadratic-argmax"),
                ("s", "log-linear"),
            ],
        ),
        ("mixture_of_regressions", &[("w", "least-squares"), ("s", "log-linear")]),
        ("embedded", &[("s", "log-linear")]),
        (
            "priors",
            &[("b", "quadratic-argmax"), ("s", "newton"), ("S", "covariance-argmax")],
        ),
        ("vae", &[]),
    ];
    for (name, wanted) in cases {
        let found = checked(name);
        for (param, rule) in wanted {
            let rows = found["inference"].as_array().expect("rows");
            let own = rows
                .iter()
                .find(|r| r["rule"] == *rule && r["names"].to_string().contains(&format!("\"{param}\"")));
            assert!(own.is_some(), "{name}: {param} by {rule} in {}", found["inference"]);
        }
        let certificates = found["certificates"].as_array().expect("certificates");
        let of = certificates.iter().filter(|c| c["part"] == "exact update").count();
        assert_eq!(of > 0, !wanted.is_empty(), "{name}: {certificates:?}");
    }
}

/// With a linear decoder, one variance and a guide that contains the posterior the maximum is probabilistic PCA's
/// log-likelihood, and gradients of the guide beside exact updates of the rest are there when gradients alone are not.
#[test]
fn a_linear_decoder_reaches_the_log_likelihood() {
    let how = ["--fit", "precision=f64", "--fit", "epochs=5000"];
    let path = model("linear_decoder");
    let at = |more: &[&str]| {
        let found = fit(&[&[&*path][..], &IRIS, &how, more].concat());
        found["elbo"].as_f64().unwrap_or_else(|| panic!("{found}"))
    };
    let exact = at(&[]);
    assert!((exact + 404.962_8).abs() < 1e-3, "{exact}");
    // the same bound, every parameter by gradients
    let gradients = at(&["--fit", "objective=beta(beta=1)"]);
    assert!(gradients < exact - 1.0, "{gradients}");
}

/// Where nothing else moves the exact parameters are those of the closed form: a variance around a net's output is the mean
/// of the squared residuals.
#[test]
fn a_variance_is_the_mean_square_of_the_residuals() {
    let place = Place::new();
    let text: String = (0..60)
        .map(|i| f64::from(i) / 10.0)
        .map(|x| format!("{x},{}\n", (2.0 * x).sin() + 0.3 * (17.0 * x).cos()))
        .collect();
    let data = place.file("xy.csv", &format!("x,y\n{text}"));
    let source = "given x : real\ndata y : real\nnet f(x : real) -> m : real {\n  h = dense(x, 6, tanh)\n  m = dense(h, 1)[1]\n}\n\
                  param s : positive\ny ~ Normal(f(x), s)\nfit { optimizer = adam(lr = 1e-2), batch = 60, epochs = 40, \
                  precision = f64 }\n";
    let path = place.file("regression.lvm", source);
    let out = place.path("fit.json");
    let found = fit(&[&path, &data, "--out", &out]);
    let s = found["parameters"]["s"].as_f64().unwrap_or_else(|| panic!("{found}"));
    // log-likelihood = −n/2 (log 2πs + mean square / s): at the maximum the second is 1
    let log = found["log_likelihood"].as_f64().expect("a number");
    let at_maximum = -30.0 * ((2.0 * std::f64::consts::PI * s).ln() + 1.0);
    assert!((log - at_maximum).abs() < 1e-8 * log.abs(), "{log} {at_maximum} {s}");
}

/// L-BFGS walks along one function of all parameters; families of simplices have closed forms alone.
#[test]
fn what_has_no_coordinates_needs_its_closed_form() {
    let place = Place::new();
    let source = "dim K = 2\ngiven x : real\ndata c : category[3]\nnet gate(x : real) -> g : simplex[K] { g = softmax(dense(x, K)) }\n\
                  param theta[K] : simplex[3]\nk ~ Categorical(gate(x))\nc ~ Categorical(theta[k])\n\
                  fit { optimizer = adam(lr = 1e-1), batch = 40, epochs = 30 }\n";
    let path = place.file("gated.lvm", source);
    let rows: String = (0..80)
        .map(|i| format!("{},{}\n", (i % 8) - 4, if i % 8 < 4 { i % 2 } else { 1 + i % 2 }))
        .collect();
    let data = place.file("c.csv", &format!("x,c\n{rows}"));
    let found = fit(&[&path, &data]);
    let theta: Vec<Vec<f64>> = serde_json::from_value(found["parameters"]["theta"].clone()).expect("numbers");
    for member in &theta {
        assert!((member.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{theta:?}");
    }
    assert!(
        found["log_likelihood"].as_f64().is_some_and(|l| l > -80.0 * 3f64.ln()),
        "{found}"
    );
    let refused = lvmc(&["fit", &path, &data, "--fit", "optimizer=lbfgs"]);
    assert!(
        stderr(&refused).contains("constrained as a whole"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(json!(refused.status.code()), json!(3), "{}", stderr(&refused));
}
