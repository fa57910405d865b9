//! Nets as terms: values against plain loops, gradients against central differences, with the reference evaluator in f64.

use crate::net_models::{Net, wobble};
use proptest::prelude::*;

/// Every function of nets: inputs, body and output of one that uses it.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("x : real[3]", "y = dense(x, 4)", "real[4]"),
    ("x : real[3]", "h = dense(x, 5, relu); y = dense(h, 2, tanh)", "real[2]"),
    ("x : real[3]", "y = dense(x, 4, silu)", "real[4]"),
    ("x : real[3]", "y = dense(x, 4, gelu)", "real[4]"),
    ("x : real[3]", "y = dense(x, 4, sigmoid)", "unit[4]"),
    ("x : real[3]", "y = dense(x, 4, softplus)", "positive[4]"),
    ("x : real[3]", "y = dense(x, 4, exp)", "positive[4]"),
    ("x : real[3]", "y = dense(x, 4, softmax)", "simplex[4]"),
    (
        "x : real[3]",
        "y = identity(gelu(silu(dense(x, 4, identity))))",
        "real[4]",
    ),
    (
        "x : real[3]",
        "y = relu(x) + tanh(x) * sigmoid(x) - softplus(x) / exp(x)",
        "real[3]",
    ),
    ("x : real[3]", "y = softmax(2 * x)", "simplex[3]"),
    ("x : real", "y = dense(x, 3)", "real[3]"),
    ("x : real[3]", "y = dense(x, 1)", "real"),
    (
        "x : real[3]",
        "h = dense(x, 4, relu); y = h + dense(h, 4, tanh)",
        "real[4]",
    ),
    ("x : real[3]", "y = residual(residual(x, 3, tanh), 3, silu)", "real[3]"),
    ("x : real[3]", "y = layernorm(dense(x, 4))", "real[4]"),
    ("x : real[2, 3]", "y = layernorm(x)", "real[2, 3]"),
    ("x : real[3]", "y = dropout(dense(x, 4, relu), 0.25)", "real[4]"),
    (
        "x : real[3], t : real",
        "y = concat(x, sinusoidal(t, 6), t)",
        "real[10]",
    ),
    ("x : real[3], t : real", "y = sinusoidal(t, 5)", "real[5]"),
    (
        "c : category[4], x : real[2]",
        "y = concat(embedding(c, 3), x)",
        "real[5]",
    ),
    ("c : category[4], x : real[3]", "y = embed(c, 3) * x", "real[3]"),
    ("t : int", "y = embedding(t, 3, 4)", "real[3]"),
    ("x : real[4, 4]", "y = conv2d(x, 3, 3, relu)", "real[3, 4, 4]"),
    (
        "x : real[2, 4, 5]",
        "y = conv2d(conv2d(x, 3, 3, silu), 2, 3, stride = 2)",
        "real[2, 2, 3]",
    ),
    (
        "x : real[4, 4]",
        "h = conv2d(x, 2, 4, 2, tanh); y = dense(h, 3)",
        "real[3]",
    ),
    (
        "x : real[2, 2, 3]",
        "y = conv_transpose2d(x, 3, 3, stride = 2, tanh)",
        "real[3, 4, 6]",
    ),
    (
        "x : real[2, 2, 2]",
        "y = conv_transpose2d(conv_transpose2d(x, 2, 4, 2, silu), 1, 4, 2)",
        "real[8, 8]",
    ),
    (
        "x : real[4]",
        "h = conv2d(reshape(x, 2, 2), 2, 3); y = conv2d(h + silu(h), 1, 1)",
        "real[2, 2]",
    ),
    (
        "x : real[2, 3, 3]",
        "h = concat(conv2d(x, 1, 3), x); y = conv2d(h, 2, 1)",
        "real[2, 3, 3]",
    ),
    ("x : real[2, 3]", "y = flatten(x) * reshape(x, 6)", "real[6]"),
    ("x : real[3]", "y = if x > 0 then x else 0.1 * x", "real[3]"),
    ("x : real[4]", "y = x[1..2] * x[3..4] + [x[1], x[4]]", "real[2]"),
    (
        "x : real[4]",
        "y = max(x, 0.1) - min(x, dot(x, x)) + mean(x) * sum(x)",
        "real[4]",
    ),
    ("x : real[K]", "y = level * dense(x, K) + beta[2] / H", "real[K]"),
    ("x : real[2], t : int", "y = x * beta[t]", "real[2]"),
];

fn net(inputs: &str, body: &str, output: &str) -> Net {
    Net::new(&format!("net f({inputs}) -> y : {output} {{ {body} }}"))
}

#[test]
fn gradients_match_central_differences() {
    for (inputs, body, output) in FUNCTIONS {
        let mut net = net(inputs, body, output);
        let worst = net.gradient_error(true);
        assert!(worst < 1e-6, "{worst}: {body}");
        let worst = net.gradient_error(false);
        assert!(worst < 1e-6, "{worst} without dropout: {body}");
    }
}

#[test]
fn nets_apply_nets() {
    let mut net = Net::new(
        "net g(u : real[2], v : real) -> m : real[2], s : positive[2] {
           h = dropout(dense(concat(u, v), 4, tanh), 0.5); m = dense(h, 2); s = dense(h, 2, exp) }
         net f(x : real[2], y : real) -> y : real[2] {
           m, s = g(x, y)
           n, r = g(m, 1)
           y = (m - n) / (s + r) }",
    );
    assert!(net.gradient_error(true) < 1e-6);
    assert_eq!(net.noises, 2, "an application has a mask of its own");
    assert_eq!(net.weights(), 6, "weights are shared");
}

#[test]
fn applications_of_applications_stay_shared() {
    let lines: String = (0..40)
        .map(|i| {
            format!(
                "net g{}(x : real) -> y : real {{ h = g{i}(x); y = h * sigmoid(h) }}\n",
                i + 1
            )
        })
        .collect();
    let text =
        format!("net g0(x : real) -> y : real {{ y = tanh(x) }}\n{lines}net f(x : real) -> y : real {{ y = g40(x) }}");
    let mut net = Net::new(&text);
    assert!(net.gradient_error(true) < 1e-6);
    assert!(net.terms() < 5000, "{} terms", net.terms());
}

#[test]
fn sinusoidal_is_sines_then_cosines() {
    let net = net("t : real", "y = sinusoidal(t, 8)", "real[8]");
    for t in [0.0, 1.0, 7.5, 999.0] {
        let found = net.apply(&[vec![t]]);
        for (i, y) in found.iter().enumerate() {
            let angle = t * (-(1e4f64.ln()) * (i % 4) as f64 / 4.0).exp();
            let wanted = if i < 4 { angle.sin() } else { angle.cos() };
            assert!((y - wanted).abs() < 1e-12, "{i} at {t}: {y} is not {wanted}");
        }
    }
}

#[test]
fn an_embedding_is_the_row_of_its_category() {
    let net = net("c : category[3]", "y = embedding(c, 2)", "real[2]");
    let table = net.weight("f.y.E");
    for c in 1..=3usize {
        assert_eq!(net.apply(&[vec![c as f64]]), table[(c - 1) * 2..c * 2]);
    }
}

#[test]
fn layernorm_has_mean_and_variance_of_its_weights() {
    let net = net("x : real[5]", "y = layernorm(x)", "real[5]");
    let x: Vec<f64> = (0..5).map(|i| 3.0 * wobble(i) + 1.0).collect();
    let (gain, bias) = (net.weight("f.y.gain"), net.weight("f.y.bias"));
    let mean = x.iter().sum::<f64>() / 5.0;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5.0;
    for (i, y) in net.apply(std::slice::from_ref(&x)).into_iter().enumerate() {
        let wanted = (x[i] - mean) / (variance + 1e-5).sqrt() * gain[i] + bias[i];
        assert!((y - wanted).abs() < 1e-12);
    }
}

/// An image `[c][h][w]`, padded with zeros.
fn pixel(image: &[f64], (c, h, w): (usize, usize, usize), (k, y, x): (usize, i64, i64)) -> f64 {
    let inside = k < c && (0..h as i64).contains(&y) && (0..w as i64).contains(&x);
    if inside {
        image[(k * h + y as usize) * w + x as usize]
    } else {
        0.0
    }
}

#[test]
fn convolutions_are_sums_over_windows() {
    let cases: [(usize, usize, usize, usize, usize, usize); 5] = [
        (1, 4, 4, 2, 3, 1),
        (2, 5, 4, 3, 3, 2),
        (3, 6, 6, 1, 4, 2),
        (2, 3, 3, 2, 1, 1),
        (1, 7, 5, 2, 5, 3),
    ];
    for (c, h, w, k, s, stride) in cases {
        let (oh, ow) = (h.div_ceil(stride), w.div_ceil(stride));
        let net = net(
            &format!("x : real[{c}, {h}, {w}]"),
            &format!("y = conv2d(x, {k}, {s}, stride = {stride})"),
            &format!("real[{k}, {oh}, {ow}]"),
        );
        let x: Vec<f64> = (0..c * h * w).map(|i| wobble(i as u32)).collect();
        let (kernels, bias) = (net.weight("f.y.W"), net.weight("f.y.b"));
        let found = net.apply(std::slice::from_ref(&x));
        let margin = (s as i64 - 1) / 2;
        for (j, y) in found.iter().enumerate() {
            let (out, v, u) = (j / (oh * ow), j / ow % oh, j % ow);
            let mut sum = bias[out];
            for e in 0..c * s * s {
                let (ch, dy, dx) = (e / (s * s), e / s % s, e % s);
                let at = (ch, (v * stride + dy) as i64 - margin, (u * stride + dx) as i64 - margin);
                sum += kernels[out * c * s * s + e] * pixel(&x, (c, h, w), at);
            }
            assert!(
                (y - sum).abs() < 1e-12,
                "{c}×{h}×{w} to {k}, size {s}, stride {stride}: element {j}"
            );
        }
    }
}

#[test]
fn a_transposed_convolution_is_the_transpose_of_one() {
    // ⟨conv(a), b⟩ = ⟨a, convᵀ(b)⟩ with the same kernels and no biases
    for (c, h, w, k, s, stride) in [(1, 4, 4, 2, 3, 1), (2, 6, 4, 3, 3, 2), (3, 6, 6, 1, 4, 2)] {
        let (oh, ow) = (h / stride, w / stride);
        let conv = net(
            &format!("x : real[{c}, {h}, {w}]"),
            &format!("y = conv2d(x, {k}, {s}, {stride})"),
            &format!("real[{k}, {oh}, {ow}]"),
        );
        let mut back = net(
            &format!("x : real[{k}, {oh}, {ow}]"),
            &format!("y = conv_transpose2d(x, {c}, {s}, {stride})"),
            &format!("real[{c}, {h}, {w}]"),
        );
        back.set_weight("f.y.W", conv.weight("f.y.W"));
        let a: Vec<f64> = (0..c * h * w).map(|i| wobble(i as u32)).collect();
        let b: Vec<f64> = (0..k * oh * ow).map(|i| wobble(i as u32 + 500)).collect();
        let forth = conv.apply(std::slice::from_ref(&a));
        let back_b = back.apply(std::slice::from_ref(&b));
        let (bias, back_bias) = (conv.weight("f.y.b"), back.weight("f.y.b"));
        let left: f64 = forth
            .iter()
            .enumerate()
            .map(|(j, y)| (y - bias[j / (oh * ow)]) * b[j])
            .sum();
        let right: f64 = back_b
            .iter()
            .enumerate()
            .map(|(j, y)| (y - back_bias[j / (h * w)]) * a[j])
            .sum();
        assert!((left - right).abs() < 1e-10, "{left} is not {right}");
    }
}

/// A random net: layers that fit one another.
fn random_net(choices: &[u8]) -> (String, String, String) {
    let mut at = 0;
    let mut pick = |n: usize| {
        at += 1;
        choices.get(at - 1).map_or(0, |&c| usize::from(c) % n)
    };
    let acts = ["tanh", "silu", "gelu", "sigmoid", "softplus", "identity", "softmax"];
    let mut lines = vec![];
    // a vector's length, or an image's sizes
    let mut shape = if pick(2) == 0 { vec![3] } else { vec![2, 3, 4] };
    let input = shape.clone();
    lines.push("h = x".to_string());
    for _ in 0..1 + pick(5) {
        let act = acts[pick(6)];
        let act_or_softmax = acts[pick(7)];
        let text = |s: &[usize]| s.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let image = shape.len() == 3;
        let small = shape.iter().product::<usize>() <= 64;
        match pick(11) {
            0 | 1 => {
                shape = vec![1 + pick(4)];
                lines.push(format!("h = dense(h, {}, {act_or_softmax})", shape[0]));
            }
            2 if !image => lines.push(format!("h = residual(h, {}, {act})", shape[0])),
            3 => lines.push("h = layernorm(h)".into()),
            4 => lines.push("h = dropout(h, 0.3)".into()),
            5 if !image => {
                lines.push("h = concat(h, sinusoidal(t, 4), embedding(c, 2))".into());
                shape[0] += 6;
            }
            6 if !image => {
                lines.push(format!("h = reshape(dense(h, 12), 2, 2, 3) + {}", pick(3)));
                shape = vec![2, 2, 3];
            }
            7 | 8 if image => {
                let (k, s, stride) = (1 + pick(3), 1 + pick(4), 1 + pick(2));
                lines.push(format!("h = conv2d(h, {k}, {s}, stride = {stride}, {act})"));
                shape = vec![k, shape[1].div_ceil(stride), shape[2].div_ceil(stride)];
            }
            9 if image && small => {
                let (k, s) = (1 + pick(2), 1 + pick(4));
                lines.push(format!("h = conv_transpose2d(h, {k}, {s}, 2, {act})"));
                shape = vec![k, 2 * shape[1], 2 * shape[2]];
            }
            _ => lines.push(format!("h = h * {act}(h) - t / 7")),
        }
        assert!(!text(&shape).is_empty());
    }
    lines.push("y = h".into());
    let text = |s: &[usize]| s.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let inputs = format!("x : real[{}], t : real, c : category[3]", text(&input));
    (inputs, lines.join("; "), format!("real[{}]", text(&shape)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn gradients_of_random_nets(choices in prop::collection::vec(any::<u8>(), 0..40)) {
        let (inputs, body, output) = random_net(&choices);
        let mut net = net(&inputs, &body, &output);
        let worst = net.gradient_error(true);
        prop_assert!(worst < 1e-6, "{}: {}", worst, body);
    }
}
