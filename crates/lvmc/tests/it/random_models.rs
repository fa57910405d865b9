//! Random well-typed models, with data drawn from the model itself, through the whole compiler: each is derived,
//! compiled and certified (posterior against enumeration, M-steps stationary, bound monotone, interpreter = JIT, with
//! and without block kernels). Every rule and every family must fire often.
//!
//! `LVMC_MODELS=n` asks for more models, `LVMC_SEED=s` for others; `LVMC_INTEGRATE=1` (minutes) has Gamma, Beta and
//! inverse Gamma latents among them.

use lvmc_base::Source;
use lvmc_model::graph::{Dist, ModelGraph};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Simulated rows: enough for every combination of the latents, few enough for many models.
const ROWS: usize = 120;
/// Rows where a latent is integrated point by point.
const INTEGRATED_ROWS: usize = 8;

/// A small deterministic generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn often(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// A model being written: declarations and statements.
#[derive(Default)]
struct Writer {
    declarations: String,
    statements: String,
    names: usize,
}

impl Writer {
    fn name(&mut self, stem: &str) -> String {
        self.names += 1;
        format!("{stem}{}", self.names)
    }
    fn declare(&mut self, line: &str) {
        let _ = writeln!(self.declarations, "{line}");
    }
    fn state(&mut self, line: &str) {
        let _ = writeln!(self.statements, "{line}");
    }
    /// A parameter that may be a family over a latent, with a prior now and then; returns how it is used.
    fn param(
        &mut self,
        r: &mut Random,
        stem: &str,
        ty: &str,
        latent: Option<(&str, &str)>,
        prior: Option<&str>,
    ) -> String {
        self.param_with(r, stem, ty, latent, prior, 25)
    }
    /// As `param`, with the prior in so many cases of a hundred.
    fn param_with(
        &mut self,
        r: &mut Random,
        stem: &str,
        ty: &str,
        latent: Option<(&str, &str)>,
        prior: Option<&str>,
        percent: usize,
    ) -> String {
        let name = self.name(stem);
        let prior = prior
            .filter(|_| r.often(percent))
            .map(|p| format!(" ~ {p}"))
            .unwrap_or_default();
        match latent.filter(|_| r.often(80)) {
            Some((z, size)) => {
                let index = if prior.is_empty() {
                    size.to_owned()
                } else {
                    format!("i in 1..{size}")
                };
                self.declare(&format!("param {name}[{index}] : {ty}{prior}"));
                format!("{name}[{z}]")
            }
            None => {
                self.declare(&format!("param {name} : {ty}{prior}"));
                name
            }
        }
    }
}

/// Latents: none, one, two in a row, or a binary switch. Returns (variable, size) pairs that parameters may be indexed by.
fn latents(w: &mut Writer, r: &mut Random) -> (Vec<(String, String)>, Option<String>) {
    match r.below(10) {
        0 => (vec![], None),
        1 | 2 => {
            let p = w.param(r, "p", "unit", None, Some("Beta(2, 2)"));
            w.state(&format!("on ~ Bernoulli({p})"));
            (vec![], Some("on".into()))
        }
        3 | 4 => {
            w.declare("dim K = 2, J = 3");
            let pi = w.param(r, "pi", "simplex[K]", None, Some("Dirichlet(2)"));
            w.state(&format!("z ~ Categorical({pi})"));
            if r.often(60) {
                w.declare("param A[K] : simplex[J]");
                w.state("y ~ Categorical(A[z])");
            } else {
                w.declare("param rho : simplex[J]");
                w.state("y ~ Categorical(rho)");
            }
            (vec![("z".into(), "K".into()), ("y".into(), "J".into())], None)
        }
        5 => {
            w.declare("dim K = 2\ngiven g : real[P]\nparam gate[K] : real[P]\nparam gate0[K] : real");
            w.state("z ~ Categorical(softmax(gate * g + gate0))");
            (vec![("z".into(), "K".into())], None)
        }
        _ => {
            let k = r.pick(&["2", "3"]).to_owned();
            w.declare(&format!("dim K = {k}"));
            let pi = w.param(r, "pi", "simplex[K]", None, Some("Dirichlet(3)"));
            w.state(&format!("z ~ Categorical({pi})"));
            (vec![("z".into(), "K".into())], None)
        }
    }
}

/// One observed column (or vector) with a density.
fn observed(w: &mut Writer, r: &mut Random, latent: Option<(&str, &str)>, switch: Option<&str>) {
    let x = w.name("x");
    match r.below(21) {
        14 | 15 => curved(w, r, &x, latent),
        0 => normal(w, r, &x, latent),
        1 | 2 | 16 => vector_normal(w, r, &x, latent),
        18 | 19 => {
            w.declare(&format!("data {x} : count"));
            let p = w.param(r, "q", "unit", latent, Some("Beta(2, 3)"));
            w.state(&format!("{x} ~ Binomial(4, {p})"));
        }
        20 => {
            w.declare(&format!("data {x} : count[3]"));
            let p = w.param(r, "c", "simplex[3]", latent, Some("Dirichlet(2)"));
            w.state(&format!("{x} ~ Multinomial(5, {p})"));
        }
        3 => {
            w.declare(&format!("data {x} : count"));
            let rate = w.param(r, "rate", "positive", latent, Some("Gamma(2, 1)"));
            match switch {
                Some(on) if r.often(50) => w.state(&format!("{x} ~ if {on} then Poisson({rate}) else Delta(0)")),
                Some(on) => w.state(&format!("{x} ~ Poisson(if {on} then {rate} else 0)")),
                None => w.state(&format!("{x} ~ Poisson({rate})")),
            }
        }
        4 | 17 => {
            w.declare(&format!("data {x} : positive"));
            let rate = w.param(r, "rate", "positive", latent, Some("Gamma(2, 1)"));
            w.state(&format!("{x} ~ Exponential({rate})"));
        }
        5 | 6 => {
            let family = r.pick(&["Gamma", "InverseGamma"]);
            w.declare(&format!("data {x} : positive"));
            let shape = if r.often(70) {
                w.param(r, "a", "positive", latent, None)
            } else {
                "3".into()
            };
            let rate = w.param(r, "b", "positive", latent, Some("Gamma(3, 1)"));
            w.state(&format!("{x} ~ {family}({shape}, {rate})"));
        }
        7 => {
            w.declare(&format!("data {x} : unit"));
            let (a, b) = (
                w.param(r, "a", "positive", latent, None),
                w.param(r, "b", "positive", latent, None),
            );
            w.state(&format!("{x} ~ Beta({a}, {b})"));
        }
        8 => {
            let shape = r.pick(&["", "[3]"]);
            w.declare(&format!("data {x} : binary{shape}"));
            let p = w.param(
                r,
                "q",
                &format!("unit{shape}"),
                latent,
                (shape.is_empty()).then_some("Beta(2, 3)"),
            );
            w.state(&format!("{x} ~ Bernoulli({p})"));
        }
        9 => {
            w.declare(&format!("data {x} : category[3]"));
            let p = w.param(r, "c", "simplex[3]", latent, Some("Dirichlet(2)"));
            w.state(&format!("{x} ~ Categorical({p})"));
        }
        10 | 11 => regression(w, r, &x, latent),
        12 => {
            w.declare(&format!(
                "given u{x} : real[2]\nparam w{x} : real[2]\nparam b{x} : real"
            ));
            if r.often(50) {
                w.declare(&format!("data {x} : binary"));
                w.state(&format!("{x} ~ Bernoulli(sigmoid(dot(w{x}, u{x}) + b{x}))"));
            } else {
                w.declare(&format!("data {x} : count"));
                w.state(&format!("{x} ~ Poisson(exp(0.2 * dot(w{x}, u{x}) + b{x}))"));
            }
        }
        _ => {
            w.declare(&format!(
                "given u{x} : real[2]\ndata {x} : real[2]\nparam W{x} : real[2, 2]\nparam m{x} : real[2]"
            ));
            w.declare(&format!("param S{x} : cov[2]"));
            w.state(&format!("{x} ~ Normal(W{x} * u{x} + m{x}, S{x})"));
        }
    }
}

/// What has no closed form: a curve, a variance that depends on a covariate, a shared parameter inside a function.
fn curved(w: &mut Writer, r: &mut Random, x: &str, latent: Option<(&str, &str)>) {
    match r.below(4) {
        0 => {
            w.declare(&format!("given u{x} : real\ndata {x} : real\nparam c{x}, d{x} : real"));
            let mean = w.param(r, "m", "real", latent, None);
            w.state(&format!("{x} ~ Normal({mean}, exp(0.3 * d{x} * u{x} + c{x}))"));
        }
        1 => {
            w.declare(&format!("data {x} : unit"));
            let (a, b) = (
                w.param(r, "a", "positive", None, Some("Gamma(4, 2)")),
                w.param(r, "b", "positive", latent, None),
            );
            w.state(&format!("{x} ~ Beta({a}, {b})"));
        }
        2 => {
            w.declare(&format!("given u{x} : unit\ndata {x} : count"));
            let (a, b) = (
                w.param(r, "a", "positive", latent, None),
                w.param(r, "b", "positive", latent, None),
            );
            w.state(&format!("{x} ~ Poisson({a} + {b} * u{x})"));
        }
        _ => {
            w.declare(&format!("data {x} : category[3]\nparam h{x} : unit"));
            w.state(&format!(
                "{x} ~ Categorical([h{x} * h{x}, 2 * h{x} * (1 - h{x}), (1 - h{x}) * (1 - h{x})])"
            ));
        }
    }
}

fn normal(w: &mut Writer, r: &mut Random, x: &str, latent: Option<(&str, &str)>) {
    w.declare(&format!("data {x} : real"));
    let prior = r.pick(&["Normal(0, 10)", "Flat()"]);
    let mean = w.param(r, "m", "real", latent, Some(prior));
    let prior = r.pick(&["InverseGamma(3, 2)", "Gamma(3, 3)"]);
    let scale = w.param(r, "v", "positive", latent, Some(prior));
    let how = r.pick(&["", "", "sd = ", "prec = "]);
    w.state(&format!("{x} ~ Normal({mean}, {how}{scale})"));
}

fn vector_normal(w: &mut Writer, r: &mut Random, x: &str, latent: Option<(&str, &str)>) {
    let d = r.pick(&["2", "3"]);
    w.declare(&format!("data {x} : real[{d}]"));
    let mean = w.param(r, "mu", &format!("real[{d}]"), latent, Some("Normal(0, 10 * I)"));
    let wishart = format!("InverseWishart({d} + 3, I)");
    let structure = match r.below(5) {
        0 => {
            let s = w.param(r, "s", &format!("positive[{d}]"), latent, None);
            format!("diag({s})")
        }
        1 => {
            let s = w.param(r, "s", "positive", latent, None);
            format!("{s} * I")
        }
        2 => {
            let p = w.param(r, "P", &format!("cov[{d}]"), latent, None);
            format!("prec = {p}")
        }
        _ => w.param_with(r, "Sigma", &format!("cov[{d}]"), latent, Some(&wishart), 90),
    };
    w.state(&format!("{x} ~ Normal({mean}, {structure})"));
}

fn regression(w: &mut Writer, r: &mut Random, x: &str, latent: Option<(&str, &str)>) {
    w.declare(&format!("given u{x} : real[2]\ndata {x} : real"));
    let slope = w.param(r, "w", "real[2]", latent, Some("Normal(0, 4 * I)"));
    let offset = w.param_with(r, "b", "real", latent, Some("Flat()"), 60);
    let noise = w.param(r, "v", "positive", latent, None);
    w.state(&format!("{x} ~ Normal(dot({slope}, u{x}) + {offset}, {noise})"));
}

/// Latents that the certificate integrates point by point are part of the long run.
fn integrates() -> bool {
    std::env::var_os("LVMC_INTEGRATE").is_some()
}

/// A continuous latent with what depends on it: Gaussian ones in a row, or a scale, rate or probability.
fn continuous(w: &mut Writer, r: &mut Random, latent: Option<(&str, &str)>, several: bool) {
    let x = w.name("x");
    // points are integrated for every combination of the finite latents: few
    let most = if several || !integrates() { 28 } else { 50 };
    match r.below(100) {
        kind if kind >= most => {}
        0..14 => {
            let q = r.pick(&["1", "2"]);
            w.state(&format!("f{x} ~ Normal(0, I[{q}])"));
            let load = w.param(r, "W", &format!("real[3, {q}]"), latent, None);
            let mean = w.param(r, "mu", "real[3]", latent, Some("Normal(0, 10 * I)"));
            let noise = match r.below(3) {
                0 => format!("diag({})", w.param(r, "s", "positive[3]", latent, None)),
                1 => format!("{} * I", w.param(r, "s", "positive", latent, None)),
                _ => w.param(r, "S", "cov[3]", latent, None),
            };
            w.declare(&format!("data {x} : real[3]"));
            w.state(&format!("{x} ~ Normal({load} * f{x} + {mean}, {noise})"));
        }
        14..28 => {
            w.declare(&format!("data {x} : real\ndata y{x} : real"));
            let (level, slope) = (
                w.param(r, "m", "real", None, None),
                w.param(r, "c", "real", latent, None),
            );
            let spread = w.param(r, "t", "positive", latent, None);
            w.state(&format!("f{x} ~ Normal({level}, 1)"));
            w.state(&format!("h{x} ~ Normal({slope} * f{x}, {spread})"));
            let (a, v) = (
                w.param(r, "a", "real", latent, None),
                w.param(r, "v", "positive", latent, None),
            );
            w.state(&format!("{x} ~ Normal({a} + h{x}, {v})"));
            let (b, u) = (
                w.param(r, "b", "real", None, Some("Normal(0, 4)")),
                w.param(r, "u", "positive", None, None),
            );
            w.state(&format!("y{x} ~ Normal(h{x} + {b} * f{x}, {u})"));
        }
        28..35 => {
            w.declare(&format!("data {x} : real"));
            let (m, v) = (
                w.param(r, "m", "real", latent, None),
                w.param(r, "v", "positive", latent, None),
            );
            w.state(&format!("u{x} ~ Gamma(2, 2)"));
            w.state(&format!("{x} ~ Normal({m}, {v} / u{x})"));
        }
        35..41 => {
            w.declare(&format!("data {x} : count\ndata y{x} : count"));
            let (a, b) = (
                w.param(r, "a", "positive", None, None),
                w.param(r, "b", "positive", latent, None),
            );
            w.state(&format!("u{x} ~ Gamma({a}, 1)"));
            w.state(&format!("{x} ~ Poisson({b} * u{x})"));
            w.state(&format!("y{x} ~ Poisson(u{x})"));
        }
        41..46 => {
            w.declare(&format!("data {x} : binary\ndata y{x} : binary"));
            let (a, b) = (
                w.param(r, "a", "positive", latent, None),
                w.param(r, "b", "positive", None, None),
            );
            w.state(&format!("u{x} ~ Beta({a}, {b})"));
            w.state(&format!("{x} ~ Bernoulli(u{x})"));
            w.state(&format!("y{x} ~ Bernoulli(u{x})"));
        }
        46..50 => {
            w.declare(&format!("data {x} : real"));
            let (m, b) = (
                w.param(r, "m", "real", latent, None),
                w.param(r, "b", "positive", latent, None),
            );
            w.state(&format!("u{x} ~ InverseGamma(3, {b})"));
            w.state(&format!("{x} ~ Normal({m}, u{x})"));
        }
        _ => {}
    }
}

fn model(seed: u64) -> String {
    let mut r = Random(seed.wrapping_mul(0x5851_f42d_4c95_7f2d) + 11);
    let mut w = Writer::default();
    let (indices, switch) = latents(&mut w, &mut r);
    for _ in 0..1 + r.below(3) {
        let at = if indices.is_empty() {
            None
        } else {
            Some(r.below(indices.len()))
        };
        let latent = at.map(|i| (indices[i].0.as_str(), indices[i].1.as_str()));
        observed(&mut w, &mut r, latent, switch.as_deref());
    }
    let at = indices.first().map(|i| (i.0.as_str(), i.1.as_str()));
    continuous(&mut w, &mut r, at, indices.len() > 1);
    // a latent that nothing observed depends on would be data
    for (z, k) in &indices {
        let x = w.name("x");
        w.declare(&format!(
            "data {x} : real\nparam m{x}[{k}] : real\nparam v{x} : positive"
        ));
        w.state(&format!("{x} ~ Normal(m{x}[{z}], v{x})"));
    }
    if let Some(on) = switch {
        let x = w.name("x");
        w.declare(&format!("data {x} : count\nparam l{x} : positive"));
        if r.often(75) {
            w.state(&format!("{x} ~ if {on} then Poisson(l{x}) else Delta(0)"));
        } else {
            w.state(&format!("{x} ~ Poisson(if {on} then l{x} else 0)"));
        }
    }
    format!("{}{}", w.declarations, w.statements)
}

fn families_of(dist: &Dist, found: &mut BTreeMap<String, usize>) {
    match dist {
        Dist::Family { family, .. } => *found.entry(family.name().to_owned()).or_default() += 1,
        Dist::If { then, otherwise, .. } => {
            families_of(then, found);
            families_of(otherwise, found);
        }
    }
}

fn build(text: &str) -> Result<ModelGraph, String> {
    let source = Source::new("random.lvm", text);
    let ast = lvmc_syntax::parse(&source).map_err(|e| format!("{e}"))?;
    lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).map_err(|e| format!("{e:?}"))
}

/// Certifies one model; counts the rules and families that it used.
fn run(seed: u64, rules: &mut BTreeMap<String, usize>, families: &mut BTreeMap<String, usize>) -> Result<(), String> {
    let text = model(seed);
    let fail = |why: String| format!("seed {seed}: {why}\n{text}");
    let graph = build(&text).map_err(&fail)?;
    // a model that no rule covers is refused, with reasons: not a wrong answer, but it must stay rare
    let plan = match lvmc_derive::derive(&graph) {
        Ok(plan) => plan,
        Err(lvmc_derive::DeriveError::NoUpdate { .. }) => {
            *rules.entry("refused".into()).or_default() += 1;
            return Ok(());
        }
        Err(e) => return Err(fail(format!("{e:?}"))),
    };
    for f in &graph.factors {
        families_of(&f.dist, families);
    }
    for u in &plan.updates {
        *rules.entry(u.rule.to_owned()).or_default() += 1;
    }
    for p in &plan.posteriors {
        *rules.entry(p.rule.to_owned()).or_default() += 1;
    }
    let integrated = plan.posteriors.iter().any(|p| p.rule == "conjugate-posterior");
    let rows = match (integrated, plan.posteriors.is_empty()) {
        (true, _) => INTEGRATED_ROWS,
        // an integral per row and combination
        (false, false) => ROWS / 2,
        (false, true) => ROWS,
    };
    if !plan.finite.is_empty() {
        *rules.entry("finite-posterior".into()).or_default() += 1;
    }
    let certificates = lvmc::certify::certify_on(&graph, &plan, seed, rows).map_err(|e| fail(format!("{e:?}")))?;
    let bad: Vec<String> = certificates
        .iter()
        .filter(|c| !c.ok)
        .map(|c| format!("{c:?}"))
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(fail(bad.join("\n")))
    }
}

#[test]
fn random_models_are_certified_and_every_rule_and_family_fires() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (count, first) = (number("LVMC_MODELS", 160), number("LVMC_SEED", 1));
    let half = |parity: u64| {
        let (mut rules, mut families) = (BTreeMap::new(), BTreeMap::new());
        let mut failures = vec![];
        for seed in (first..first + count).filter(|s| s % 2 == parity) {
            let (rules, families) = (&mut rules, &mut families);
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, rules, families))) {
                Ok(Ok(())) => {}
                Ok(Err(why)) => failures.push(why),
                Err(_) => failures.push(format!("seed {seed}: panic\n{}", model(seed))),
            }
        }
        (rules, families, failures)
    };
    let (even, odd) = std::thread::scope(|s| {
        let other = s.spawn(|| half(1));
        (half(0), other.join().expect("the other half ran"))
    });
    let (mut rules, mut families, mut failures) = even;
    odd.0.into_iter().for_each(|(k, n)| *rules.entry(k).or_insert(0) += n);
    odd.1
        .into_iter()
        .for_each(|(k, n)| *families.entry(k).or_insert(0) += n);
    failures.extend(odd.2);
    let refused = rules.get("refused").copied().unwrap_or(0);
    assert!(refused as u64 * 8 <= count, "{refused} of {count} models are refused");
    assert!(
        failures.is_empty(),
        "{} of {count} models fail:\n{}",
        failures.len(),
        failures.join("\n----\n")
    );
    for rule in [
        "simplex-argmax",
        "covariance-argmax",
        "log-linear",
        "unit-argmax",
        "newton",
        "quadratic-argmax",
        "least-squares",
        "newton-step",
        "gradient-step",
        "finite-posterior",
        "gaussian-posterior",
        if integrates() {
            "conjugate-posterior"
        } else {
            "gaussian-posterior"
        },
    ] {
        assert!(
            rules.get(rule).is_some_and(|&n| n >= 20),
            "{rule} fired {:?} times: {rules:?}",
            rules.get(rule)
        );
    }
    for family in lvmc_families::registry::FAMILIES {
        let fired = families.get(family.name()).copied().unwrap_or(0);
        assert!(fired >= 10, "{} fired {fired} times: {families:?}", family.name());
    }
}
