//! Missing observations, draws and forecasts of Gaussian chains, against the dense joint Gaussian of all cells of a
//! sequence, past and future.

use crate::common::{Numbers, Place, cells, lvmc, stderr, stdout};
use lvmc_term::Array;

/// s_1 ~ N(m, P), s_t ~ N(A s_{t−1} + B u_t, Q), y_t ~ N(C s_t + d + h u_t, R); covariances by their roots.
struct Model {
    a: Array,
    b: Array,
    q: Array,
    m: Array,
    p: Array,
    c: Array,
    d: Array,
    h: Array,
    r: Array,
    /// R is written as `diag(…)`.
    diagonal: bool,
}

fn literal(a: &Array) -> String {
    let row = |r: &[f64]| r.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ");
    match a.shape[..] {
        [_, n] => format!(
            "[{}]",
            a.data
                .chunks(n)
                .map(|r| format!("[{}]", row(r)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        _ => format!("[{}]", row(&a.data)),
    }
}

fn squared(l: &Array) -> Array {
    l.matmul(&l.transposed())
}

impl Model {
    fn random(n: &mut Numbers, (k, d): (usize, usize), diagonal: bool) -> Self {
        let mut root = |size: usize, scale: f64, full: bool| {
            Array::from_fn(&[size, size], |i| match (i / size, i % size) {
                (r, c) if r == c => scale * (0.7 + n.unit()),
                (r, c) if r > c && full => scale * 0.4 * n.centred(),
                _ => 0.0,
            })
        };
        let (q, p, r) = (root(k, 0.6, true), root(k, 1.5, true), root(d, 0.5, !diagonal));
        let mut any = |shape: &[usize], scale: f64| Array::from_fn(shape, |_| scale * n.centred());
        Self {
            a: any(&[k, k], 0.5),
            b: any(&[k], 0.7),
            q,
            m: any(&[k], 1.0),
            p,
            c: any(&[d, k], 1.0),
            d: any(&[d], 2.0),
            h: any(&[d], 0.5),
            r,
            diagonal,
        }
    }

    fn text(&self) -> String {
        let r = if self.diagonal {
            let own = (0..self.r.shape[0]).map(|i| self.r.at2(i, i).powi(2)).collect();
            format!("diag({})", literal(&Array::vector(own)))
        } else {
            literal(&squared(&self.r))
        };
        format!(
            "data y : real[{}]\ngiven u : real\nfor each who {{ chain t by time {{\n  s[1] ~ Normal({}, {})\n  s[t] ~ \
             Normal({} * s[t-1] + {} * u[t], {})\n  y[t] ~ Normal({} * s[t] + {} + {} * u[t], {r})\n}} }}\n",
            self.d.data.len(),
            literal(&self.m),
            literal(&squared(&self.p)),
            literal(&self.a),
            literal(&self.b),
            literal(&squared(&self.q)),
            literal(&self.c),
            literal(&self.d),
            literal(&self.h),
        )
    }

    /// Mean and a root of the covariance of (s_1, y_1, s_2, y_2, …).
    fn joint(&self, u: &[f64]) -> (Vec<f64>, Array) {
        let (k, d) = (self.m.data.len(), self.d.data.len());
        let rows = u.len() * (k + d);
        let (mut mean, mut root) = (vec![0.0; rows], Array::filled(&[rows, rows], 0.0));
        let mut affine =
            |to: usize, size: usize, slope: &Array, from: Option<usize>, add: &dyn Fn(usize) -> f64, noise: &Array| {
                for i in 0..size {
                    mean[to + i] = add(i);
                    for j in (0..slope.shape[1]).filter(|_| from.is_some()) {
                        let at = from.unwrap_or(0) + j;
                        mean[to + i] += slope.at2(i, j) * mean[at];
                        for c in 0..rows {
                            root.data[(to + i) * rows + c] += slope.at2(i, j) * root.at2(at, c);
                        }
                    }
                    (0..size).for_each(|c| root.data[(to + i) * rows + to + c] += noise.at2(i, c));
                }
            };
        for (t, u) in u.iter().enumerate() {
            let s = t * (k + d);
            match t {
                0 => affine(s, k, &self.a, None, &|i| self.m.data[i], &self.p),
                _ => affine(s, k, &self.a, Some(s - k - d), &|i| self.b.data[i] * u, &self.q),
            }
            affine(
                s + k,
                d,
                &self.c,
                Some(s),
                &|i| self.d.data[i] + self.h.data[i] * u,
                &self.r,
            );
        }
        (mean, root)
    }
}

/// log p(seen), and mean and covariance of everything given what is seen (NaN where it is not).
fn given(mean: &[f64], cov: &Array, x: &[f64]) -> (f64, Vec<f64>, Array) {
    let n = x.len();
    let seen: Vec<usize> = (0..n).filter(|&i| !x[i].is_nan()).collect();
    let k = seen.len();
    let block = Array::from_fn(&[k, k], |i| cov.at2(seen[i / k.max(1)], seen[i % k.max(1)]));
    let e = Array::vector(seen.iter().map(|&i| x[i] - mean[i]).collect());
    let inverse = block.spd_inverse().expect("a covariance");
    let solved = inverse.matmul(&e);
    let quad: f64 = e.data.iter().zip(&solved.data).map(|(a, b)| a * b).sum();
    let log = -0.5 * (k as f64 * std::f64::consts::TAU.ln() + block.spd_log_det().expect("a covariance") + quad);
    let cross = Array::from_fn(&[n, k.max(1)], |i| {
        seen.get(i % k.max(1)).map_or(0.0, |&j| cov.at2(i / k.max(1), j))
    });
    let gain = if k == 0 { cross.clone() } else { cross.matmul(&inverse) };
    let mean = (0..n).map(|i| {
        mean[i]
            + seen
                .iter()
                .enumerate()
                .map(|(j, _)| gain.at2(i, j) * e.data[j])
                .sum::<f64>()
    });
    let minus = gain.matmul(&cross.transposed());
    (
        log,
        mean.collect(),
        Array::from_fn(&[n, n], |i| cov.data[i] - minus.data[i]),
    )
}

fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{what}: {a}, not {b}");
}

/// Sequences of a table: inputs, and cells with those that are missing.
struct Data {
    u: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
}

const AHEAD: usize = 3;

impl Data {
    /// Of several lengths, one of them 1; the last row of the second sequence is missing as a whole.
    fn simulated(model: &Model, n: &mut Numbers) -> Self {
        let (k, d) = (model.m.data.len(), model.d.data.len());
        let mut out = Self { u: vec![], y: vec![] };
        for (s, length) in [5, 4, 1].into_iter().enumerate() {
            let u: Vec<f64> = (0..length + AHEAD).map(|_| n.centred()).collect();
            let (mean, root) = model.joint(&u);
            let noise = Array::vector(mean.iter().map(|_| n.centred()).collect());
            let moved = root.matmul(&noise);
            let mut y = vec![];
            for t in 0..length {
                let whole = n.unit() < 0.2 || (s, t) == (1, 3);
                for i in 0..d {
                    let at = t * (k + d) + k + i;
                    let gone = if model.diagonal { n.unit() < 0.3 || whole } else { whole };
                    y.push(if gone && (s, t) != (0, 0) {
                        f64::NAN
                    } else {
                        mean[at] + moved.data[at]
                    });
                }
            }
            out.u.push(u);
            out.y.push(y);
        }
        out
    }

    /// As a file, sequences row by row in turns.
    fn text(&self, d: usize) -> String {
        let names: Vec<String> = (1..=d).map(|i| format!("y{i}")).collect();
        let mut out = format!("time,who,u,{}\n", names.join(","));
        for t in 0..self.u.iter().map(Vec::len).max().unwrap_or(0) {
            for (s, y) in self.y.iter().enumerate() {
                let Some(row) = y.chunks(d).nth(t) else { continue };
                let cell = |x: &f64| if x.is_nan() { String::new() } else { format!("{x:?}") };
                let row: Vec<String> = row.iter().map(cell).collect();
                out.push_str(&format!("{},s{s},{:?},{}\n", 10 * t, self.u[s][t], row.join(",")));
            }
        }
        out
    }

    fn future(&self, d: usize) -> String {
        let mut out = String::from("who,time,u\n");
        for (s, u) in self.u.iter().enumerate() {
            for (t, u) in u.iter().enumerate().skip(self.y[s].len() / d) {
                out.push_str(&format!("s{s},{},{u:?}\n", 10 * t));
            }
        }
        out
    }
}

#[test]
fn the_dense_joint_gaussian() {
    let place = Place::new();
    let mut n = Numbers(7);
    for (k, d, diagonal) in [(1, 1, true), (2, 3, true), (2, 2, false), (3, 1, true)] {
        let model = Model::random(&mut n, (k, d), diagonal);
        let data = Data::simulated(&model, &mut n);
        let (text, file) = (
            place.file("model.lvm", &model.text()),
            place.file("data.csv", &data.text(d)),
        );
        let (fit, future) = (place.path("fit.json"), place.file("future.csv", &data.future(d)));
        let made = lvmc(&["fit", &text, &file, "--out", &fit, "--json"]);
        assert!(made.status.success(), "{}: {}", model.text(), stderr(&made));
        let ahead = lvmc(&["predict", &fit, &file, "--ahead", "3", "--given", &future]);
        let (header, ahead) = cells(&stdout(&ahead));
        assert_eq!(&header[..3], ["who", "time", "ahead"]);
        let column = |name: &str| {
            header
                .iter()
                .position(|h| h == name)
                .unwrap_or_else(|| panic!("{name} {header:?}"))
        };
        let (_, filled) = cells(&stdout(&lvmc(&["impute", &fit, &file, "--sd"])));
        let (head, smoothed) = cells(&stdout(&lvmc(&["predict", &fit, &file])));
        assert_eq!(head.len(), 2 * k, "{head:?}");
        let (filled_head, _) = cells(&stdout(&lvmc(&["impute", &fit, &file, "--sd"])));
        let score: serde_json::Value =
            serde_json::from_slice(&lvmc(&["score", &fit, &file, "--json"]).stdout).expect("JSON");
        let mut total = 0.0;
        for (s, u) in data.u.iter().enumerate() {
            let (mean, root) = model.joint(u);
            let length = data.y[s].len() / d;
            let mut x = vec![f64::NAN; mean.len()];
            for (i, y) in data.y[s].iter().enumerate() {
                x[(i / d) * (k + d) + k + i % d] = *y;
            }
            let (log, mean, cov) = given(&mean, &squared(&root), &x);
            total += log;
            let sd = |i: usize| cov.at2(i, i).max(0.0).sqrt();
            for t in 0..u.len() {
                let own = t * (k + d);
                let table = (0..t)
                    .map(|t| data.y.iter().filter(|y| y.len() / d > t).count())
                    .sum::<usize>()
                    + data.y[..s].iter().filter(|y| y.len() / d > t).count();
                for i in 0..k {
                    let (m, v) = if t < length {
                        (smoothed[table][2 * i], smoothed[table][2 * i + 1])
                    } else {
                        let name = if k == 1 { "s".to_owned() } else { format!("s_{}", i + 1) };
                        let row = &ahead[AHEAD * s + t - length];
                        (row[column(&name)], row[column(&format!("{name}_sd"))])
                    };
                    close(m, mean[own + i], 1e-9, "state");
                    close(v, sd(own + i), 1e-7, "state's sd");
                }
                for i in 0..d {
                    let at = own + k + i;
                    if t >= length {
                        let row = &ahead[AHEAD * s + t - length];
                        close(row[column(&format!("y{}", i + 1))], mean[at], 1e-9, "forecast");
                        close(row[column(&format!("y{}_sd", i + 1))], sd(at), 1e-7, "forecast's sd");
                    } else if x[at].is_nan() {
                        let name = |end: &str| format!("y{}{end}", i + 1);
                        let place = |name: &str| filled_head.iter().position(|h| h == name).expect("a column");
                        close(filled[table][place(&name(""))], mean[at], 1e-9, "cell");
                        close(filled[table][place(&name("_sd"))], sd(at), 1e-7, "cell's sd");
                    }
                }
            }
        }
        close(
            score["total"].as_f64().expect("a number"),
            total,
            1e-10,
            "log-likelihood",
        );
    }
}

/// Means and covariances of many draws, those of neighbours in time among them.
#[test]
fn draws_have_the_posterior_of_the_cells() {
    let place = Place::new();
    let mut n = Numbers(3);
    const DRAWS: usize = 4000;
    for diagonal in [true, false] {
        let model = Model::random(&mut n, (2, 2), diagonal);
        let data = Data::simulated(&model, &mut n);
        let (text, file) = (
            place.file("model.lvm", &model.text()),
            place.file("data.csv", &data.text(2)),
        );
        let fit = place.path("fit.json");
        let made = lvmc(&["fit", &text, &file, "--out", &fit, "--json"]);
        assert!(made.status.success(), "{}", stderr(&made));
        let drawn = lvmc(&["impute", &fit, &file, "--draws", &DRAWS.to_string(), "--seed", "5"]);
        assert!(drawn.status.success(), "{}", stderr(&drawn));
        let (_, rows) = cells(&stdout(&drawn));
        let count: usize = data.y.iter().map(|y| y.len() / 2).sum();
        for (s, u) in data.u.iter().enumerate() {
            let length = data.y[s].len() / 2;
            let (mean, root) = model.joint(&u[..length]);
            let mut x = vec![f64::NAN; mean.len()];
            for (i, y) in data.y[s].iter().enumerate() {
                x[(i / 2) * 4 + 2 + i % 2] = *y;
            }
            let (_, mean, cov) = given(&mean, &squared(&root), &x);
            let table = |t: usize| {
                (0..t)
                    .map(|t| data.y.iter().filter(|y| y.len() / 2 > t).count())
                    .sum::<usize>()
                    + data.y[..s].iter().filter(|y| y.len() / 2 > t).count()
            };
            let missing: Vec<usize> = (0..x.len()).filter(|i| i % 4 >= 2 && x[*i].is_nan()).collect();
            let value = |draw: usize, at: usize| rows[draw * count + table(at / 4)][4 + at % 4 - 2];
            for &a in &missing {
                for &b in &missing {
                    let (ma, mb) = (mean[a], mean[b]);
                    let m = (0..DRAWS).map(|i| value(i, a)).sum::<f64>() / DRAWS as f64;
                    let c = (0..DRAWS).map(|i| (value(i, a) - ma) * (value(i, b) - mb)).sum::<f64>() / DRAWS as f64;
                    let (va, vb) = (cov.at2(a, a), cov.at2(b, b));
                    let error = 5.0 / (DRAWS as f64).sqrt();
                    assert!((m - ma).abs() < error * va.sqrt(), "mean {m} {ma}");
                    assert!(
                        (c - cov.at2(a, b)).abs() < 1.5 * error * (va * vb).sqrt(),
                        "{c} {}",
                        cov.at2(a, b)
                    );
                }
            }
        }
    }
}

/// Rows of a group share an effect: cells of one group are drawn together.
#[test]
fn draws_share_the_effects_of_groups() {
    let place = Place::new();
    const DRAWS: usize = 4000;
    let model = "given g : category[G]\ndata y : real\nconst a = 1\nglobal latent u[G] : real ~ Normal(0, 2)\n\
                 y ~ Normal(a + u[g], 0.5)\n";
    let (text, fit) = (place.file("m.lvm", model), place.path("fit.json"));
    let data = place.file("d.csv", "g,y\nv,2\nw,0.4\nv,\nv,\nw,\nw,-1\n");
    let made = lvmc(&["fit", &text, &data, "--out", &fit, "--json"]);
    assert!(matches!(made.status.code(), Some(0 | 1)), "{}", stderr(&made));
    let output = lvmc(&["impute", &fit, &data, "--draws", &DRAWS.to_string()]);
    let (_, rows) = cells(&stdout(&output));
    assert_eq!(rows.len(), 6 * DRAWS, "{}", stderr(&output));
    let (group, y) = ([0, 1, 0, 0, 1, 1], [2.0, 0.4, f64::NAN, f64::NAN, f64::NAN, -1.0]);
    let cov = Array::from_fn(&[6, 6], |i| {
        let (r, c) = (i / 6, i % 6);
        let shared = if group[r] == group[c] { 2.0 } else { 0.0 };
        shared + if r == c { 0.5 } else { 0.0 }
    });
    let (_, mean, cov) = given(&[1.0; 6], &cov, &y);
    let error = 5.0 / (DRAWS as f64).sqrt();
    for a in [2, 3, 4] {
        for b in [2, 3, 4] {
            let value = |i: usize, r: usize| rows[6 * i + r][2] - mean[r];
            let m = (0..DRAWS).map(|i| value(i, a)).sum::<f64>() / DRAWS as f64;
            let c = (0..DRAWS).map(|i| value(i, a) * value(i, b)).sum::<f64>() / DRAWS as f64;
            let scale = (cov.at2(a, a) * cov.at2(b, b)).sqrt();
            assert!(m.abs() < error * cov.at2(a, a).sqrt(), "{m}");
            assert!((c - cov.at2(a, b)).abs() < 1.5 * error * scale, "{c} {}", cov.at2(a, b));
        }
    }
}
