//! Every family in the registry, in every way to write it, against quadrature: it normalises, ∇A = E[T], means and
//! samplers agree with it, and gradients of its log density agree with central differences.

use crate::cases::{Case, case, cases, m2, n, v};
use crate::quadrature::Domain;
use lvmc_families::{Array, Event, Exponential, Family, Noise, registry};
use lvmc_term::{Env, Shape, Size, Store, Support, Sym, SymId, SymKind, Term};
use rand::{RngExt, SeedableRng};

/// A case as terms: symbols for the value and the arguments, and an environment with the arguments' values.
struct Setting {
    s: Store,
    env: Env<'static>,
    family: &'static dyn Family,
    signature: usize,
    x: (SymId, Term),
    args: Vec<(SymId, Term)>,
    density: Term,
}

fn symbol(s: &mut Store, name: &str, like: &Array, support: Support) -> (SymId, Term) {
    let shape: Shape = like.shape.iter().map(|&n| Size::Const(n)).collect();
    let sym = Sym {
        name: name.into(),
        kind: SymKind::Param,
        shape,
        family: 0,
        per_row: false,
        support,
    };
    let id = s.add_sym(sym);
    (id, s.var(id))
}

impl Setting {
    fn new(c: &Case) -> Self {
        let family = registry::find(c.family).unwrap_or_else(|| panic!("no family {}", c.family));
        let signature = &family.signatures()[c.signature];
        assert_eq!(signature.args.len(), c.args.len(), "{}", c.family);
        let mut s = Store::new();
        let mut env = Env::new();
        let mut args = vec![];
        for (arg, value) in signature.args.iter().zip(&c.args) {
            assert_eq!(arg.rank, value.shape.len(), "{} {}", c.family, arg.name);
            let a = symbol(&mut s, arg.name, value, (arg.support)());
            env.set(a.0, value.clone());
            args.push(a);
        }
        let terms: Vec<Term> = args.iter().map(|a| a.1).collect();
        let support = family.support(&mut s, c.signature, &terms);
        let x = symbol(&mut s, "x", &c.probe, support);
        let density = family.log_density(&mut s, c.signature, x.1, &terms);
        assert!(s.shape(density).is_empty(), "{}: one event has one density", c.family);
        Self {
            s,
            env,
            family,
            signature: c.signature,
            x,
            args,
            density,
        }
    }

    fn terms(&self) -> Vec<Term> {
        self.args.iter().map(|a| a.1).collect()
    }

    /// The arguments that a density is smooth in: a total, which says what values there are, is none.
    fn smooth(&self) -> impl Fn(usize) -> bool + use<> {
        let args = self.family.signatures()[self.signature].args;
        move |i| (args[i].support)() != Support::Count
    }

    fn at(&mut self, x: &Array, t: Term) -> Array {
        self.env.set(self.x.0, x.clone());
        self.s
            .eval(t, &self.env)
            .unwrap_or_else(|e| panic!("{}: {e}", self.family.name()))
    }

    fn exponential(&mut self) -> Option<Exponential> {
        let terms = self.terms();
        self.family.exponential(&mut self.s, self.signature, self.x.1, &terms)
    }

    /// What is averaged: T(x), or x itself where there is no T.
    fn statistics(&mut self) -> Vec<Term> {
        self.exponential().map_or_else(|| vec![self.x.1], |e| e.statistics)
    }

    /// E[t] for each t, by quadrature; the first is E[1].
    fn expectations(&mut self, domain: &Domain, ts: &[Term]) -> (f64, Vec<Array>) {
        let mut mass = 0.0;
        let mut sums: Vec<Option<Array>> = vec![None; ts.len()];
        let like = self
            .s
            .shape(self.x.1)
            .iter()
            .map(|n| self.env.size(&self.s, n).expect("constant"))
            .collect::<Vec<_>>();
        for (x, w) in domain.nodes(&like) {
            let p = self.at(&x, self.density).as_scalar().exp() * w;
            if p.is_nan() || p < 1e-18 || p.is_infinite() {
                continue;
            }
            mass += p;
            for (sum, &t) in sums.iter_mut().zip(ts) {
                let value = self.at(&x, t).map(|y| y * p);
                *sum = Some(sum.take().map_or(value.clone(), |s| s.zip(&value, |a, b| a + b)));
            }
        }
        (mass, sums.into_iter().map(|s| s.expect("some mass")).collect())
    }
}

#[test]
fn every_way_to_write_a_family_has_a_case() {
    let cases = cases();
    for f in registry::FAMILIES {
        for (i, signature) in f.signatures().iter().enumerate() {
            assert!(signature.positional <= signature.args.len());
            let covered = cases.iter().any(|c| c.family == f.name() && c.signature == i);
            assert!(covered, "{} signature {i} has no case in this test", f.name());
        }
        assert!(registry::find(f.name()).is_some_and(|g| g.name() == f.name()));
    }
}

#[test]
fn densities_normalise_and_agree_with_their_exponential_form() {
    for c in cases() {
        let mut set = Setting::new(&c);
        let label = format!("{} {:?}", c.family, c.args);
        if c.domain == Domain::Improper {
            assert!(!set.family.is_proper(), "{label}");
            assert_eq!(set.at(&c.probe, set.density).as_scalar(), 0.0);
            continue;
        }
        let statistics = set.statistics();
        let (mass, means) = set.expectations(&c.domain, &statistics);
        assert!((mass - 1.0).abs() < 1e-6, "{label} has mass {mass}");
        if let Some(e) = set.exponential() {
            exponential_form(&mut set, &c, &e, &means, &label);
        }
        let mut rng = rand::rngs::StdRng::seed_from_u64(20_240_607);
        let draws = (0..DRAWS).map(|_| set.family.sample(&mut rng, c.signature, &c.args));
        sampler(&mut set, &draws.collect::<Vec<_>>(), &statistics, &means, &label);
        if let Some(draws) = of_noise(&mut set, &c) {
            sampler(&mut set, &draws, &statistics, &means, &format!("{label} of noise"));
        }
        mean(&mut set, &c, &label);
        variance(&mut set, &c, &label);
        finite(&mut set, &c, &label);
    }
}

/// Σ η·T − A + log h is the log density, and the gradient of Σ η·E[T] − A in the arguments vanishes (∇A = E[T]).
fn exponential_form(set: &mut Setting, c: &Case, e: &Exponential, means: &[Array], label: &str) {
    let minus = set.s.neg(e.log_normaliser);
    let mut form = vec![minus, e.log_base];
    let mut expected = vec![minus];
    for (i, (&eta, &t)) in e.natural.iter().zip(&e.statistics).enumerate() {
        assert_eq!(set.s.shape(eta), set.s.shape(t), "{label}");
        let product = set.s.mul(eta, t);
        form.push(set.s.total(product));
        let average = symbol(&mut set.s, &format!("T{i}"), &means[i], Support::Real);
        set.env.set(average.0, means[i].clone());
        let product = set.s.mul(eta, average.1);
        expected.push(set.s.total(product));
    }
    let (form, expected) = (set.s.sum(&form), set.s.sum(&expected));
    let (a, b) = (
        set.at(&c.probe, form).as_scalar(),
        set.at(&c.probe, set.density).as_scalar(),
    );
    assert!(
        (a - b).abs() < 1e-9 * (1.0 + b.abs()),
        "{label}: {a} is not the log density {b}"
    );
    let (terms, smooth) = (set.terms(), set.smooth());
    let terms: Vec<Term> = (0..terms.len()).filter(|&i| smooth(i)).map(|i| terms[i]).collect();
    for g in set.s.gradient(expected, &terms) {
        let scale = 1.0
            + c.args
                .iter()
                .enumerate()
                .filter(|(i, _)| smooth(*i))
                .flat_map(|(_, a)| &a.data)
                .fold(0.0f64, |m, x| m.max(x.abs().recip()));
        let g = set.at(&c.probe, g);
        assert!(
            g.data.iter().all(|x| x.abs() < 1e-5 * scale * scale),
            "{label}: ∇A − E[T] is {:?}",
            g.data
        );
    }
}

const DRAWS: usize = 10_000;

/// Draws as functions of noise, where the family has them.
fn of_noise(set: &mut Setting, c: &Case) -> Option<Vec<Array>> {
    let (kinds, terms) = (set.family.noise(c.signature)?, set.terms());
    let noise: Vec<(SymId, Term)> = kinds
        .iter()
        .map(|_| symbol(&mut set.s, "noise", &c.probe, Support::Real))
        .collect();
    let names: Vec<Term> = noise.iter().map(|n| n.1).collect();
    let draw = set.family.draw_from(&mut set.s, c.signature, &terms, &names)?;
    let mut rng = rand::rngs::StdRng::seed_from_u64(20_260_607);
    let draws = (0..DRAWS).map(|_| {
        for (&(sym, _), kind) in noise.iter().zip(kinds) {
            let value = Array::from_fn(&c.probe.shape, |_| match kind {
                Noise::Uniform => rng.random::<f64>().max(1e-300),
                // Box and Muller
                Noise::Normal => {
                    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
                    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
                }
            });
            set.env.set(sym, value);
        }
        set.s.eval(draw, &set.env).expect("a draw")
    });
    Some(draws.collect())
}

/// The average of T over draws is E[T], within six standard errors.
fn sampler(set: &mut Setting, draws: &[Array], statistics: &[Term], means: &[Array], label: &str) {
    for (&t, mean) in statistics.iter().zip(means) {
        let values: Vec<Array> = draws.iter().map(|x| set.at(x, t)).collect();
        for (i, &wanted) in mean.data.iter().enumerate() {
            let average = values.iter().map(|v| v.data[i]).sum::<f64>() / DRAWS as f64;
            let variance = values.iter().map(|v| (v.data[i] - average).powi(2)).sum::<f64>() / DRAWS as f64;
            let error = (variance / DRAWS as f64).sqrt();
            let gap = (average - wanted).abs();
            assert!(
                gap <= 6.0 * error + 1e-6,
                "{label}: draws average {average}, not {wanted} (± {error})"
            );
        }
    }
}

fn mean(set: &mut Setting, c: &Case, label: &str) {
    let terms = set.terms();
    let Some(mean) = set.family.mean(&mut set.s, c.signature, &terms) else {
        return;
    };
    let x = set.x.1;
    let (_, wanted) = set.expectations(&c.domain, &[x]);
    let mean = set.at(&c.probe, mean);
    for (a, b) in mean.data.iter().zip(&wanted[0].data) {
        assert!(
            (a - b).abs() < 1e-5 * (1.0 + b.abs()),
            "{label}: mean {a}, by quadrature {b}"
        );
    }
}

/// E[x²] − E[x]² is the variance that the family states.
fn variance(set: &mut Setting, c: &Case, label: &str) {
    let terms = set.terms();
    let Some(variance) = set.family.variance(&mut set.s, c.signature, &terms) else {
        return;
    };
    let x = set.x.1;
    let square = set.s.square(x);
    let (_, moments) = set.expectations(&c.domain, &[x, square]);
    let variance = set.at(&c.probe, variance);
    for ((v, m), q) in variance.data.iter().zip(&moments[0].data).zip(&moments[1].data) {
        let wanted = q - m * m;
        assert!(
            (v - wanted).abs() < 1e-4 * (1.0 + q.abs()),
            "{label}: variance {v}, by quadrature {wanted}"
        );
    }
}

fn finite(set: &mut Setting, c: &Case, label: &str) {
    let terms = set.terms();
    let Some(size) = set.family.finite_support(&set.s, c.signature, &terms) else {
        return;
    };
    let Domain::Atoms(atoms) = &c.domain else {
        panic!("{label} is finite, and its case is not")
    };
    assert_eq!(set.env.size(&set.s, &size), Ok(atoms.len()), "{label}");
    assert_eq!(set.family.signatures()[c.signature].event, Event::Scalar);
    assert!(
        atoms.iter().enumerate().all(|(i, &x)| x == i as f64),
        "{label}: the values are 0, 1, …"
    );
}

#[test]
fn gradients_of_log_densities_match_central_differences() {
    for c in cases() {
        let mut set = Setting::new(&c);
        let continuous = !matches!(
            c.domain,
            Domain::Atoms(_) | Domain::Counts | Domain::CountVectors(_) | Domain::Improper
        );
        let smooth = set.smooth();
        let moving = |i: &usize| smooth(*i) && c.family != "Delta";
        let mut leaves: Vec<(SymId, Term)> = (0..c.args.len()).filter(moving).map(|i| set.args[i]).collect();
        let mut values: Vec<Array> = (0..c.args.len()).filter(moving).map(|i| c.args[i].clone()).collect();
        if continuous {
            leaves.push(set.x);
            values.push(c.probe.clone());
        }
        set.env.set(set.x.0, c.probe.clone());
        let wrt: Vec<Term> = leaves.iter().map(|l| l.1).collect();
        let gradients = set.s.gradient(set.density, &wrt);
        for ((leaf, value), g) in leaves.into_iter().zip(values).zip(gradients) {
            let g = set.s.eval(g, &set.env).expect("defined");
            let symmetric = set.s.sym(leaf.0).support == Support::Cov;
            for i in 0..value.len() {
                let mirror = if symmetric {
                    i % value.cols() * value.cols() + i / value.cols()
                } else {
                    i
                };
                let mut step = |h: f64| {
                    let mut moved = value.clone();
                    moved.data[i] += h;
                    if mirror != i {
                        moved.data[mirror] += h;
                    }
                    set.env.set(leaf.0, moved);
                    set.s.eval_scalar(set.density, &set.env).expect("defined")
                };
                let h = 1e-4 * value.data[i].abs().clamp(1e-3, 1.0);
                let numeric = (8.0 * (step(h) - step(-h)) - (step(2.0 * h) - step(-2.0 * h))) / (12.0 * h);
                set.env.set(leaf.0, value.clone());
                let symbolic = if mirror == i {
                    g.data[i]
                } else {
                    g.data[i] + g.data[mirror]
                };
                let gap = (numeric - symbolic).abs() / (1.0 + numeric.abs());
                assert!(gap < 1e-6, "{} {:?}: {numeric} is not {symbolic}", c.family, c.args);
            }
        }
    }
}

/// Densities at the edge of their parameters: `Poisson(0)` and certain coins.
#[test]
fn boundaries_have_their_limits() {
    let impossible = f64::NEG_INFINITY;
    for (family, args, x, wanted) in [
        ("Poisson", vec![0.0], 0.0, 0.0),
        ("Poisson", vec![0.0], 2.0, impossible),
        ("Bernoulli", vec![0.0], 0.0, 0.0),
        ("Bernoulli", vec![1.0], 1.0, 0.0),
        ("Bernoulli", vec![1.0], 0.0, impossible),
        ("Binomial", vec![4.0, 0.0], 0.0, 0.0),
        ("Binomial", vec![4.0, 1.0], 4.0, 0.0),
        ("Binomial", vec![4.0, 1.0], 3.0, impossible),
        ("Binomial", vec![4.0, 0.5], 5.0, impossible),
        ("Binomial", vec![4.0, 0.5], 6.0, impossible),
    ] {
        let terms = args.iter().map(|&a| n(a)).collect();
        let mut set = Setting::new(&case(family, 0, terms, Domain::Counts, n(x)));
        let found = set.at(&n(x), set.density).as_scalar();
        assert_eq!(found, wanted, "{family}({args:?}) at {x}");
    }
    for (p, x, wanted) in [
        ([0.0, 1.0], [0.0, 3.0], 0.0),
        ([0.0, 1.0], [1.0, 2.0], impossible),
        ([0.5, 0.5], [1.0, 1.0], impossible),
    ] {
        let args = vec![n(3.0), v(&p)];
        let mut set = Setting::new(&case("Multinomial", 0, args, Domain::CountVectors(3), v(&x)));
        assert_eq!(set.at(&v(&x), set.density).as_scalar(), wanted, "{p:?} at {x:?}");
    }
}

#[test]
fn small_shapes_stay_in_the_support() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(5);
    let find = |name| registry::find(name).expect("listed");
    for _ in 0..2000 {
        assert!(find("Gamma").sample(&mut rng, 0, &[n(0.001), n(1.0)]).as_scalar() > 0.0);
        let p = find("Dirichlet").sample(&mut rng, 0, &[Array::filled(&[4], 0.001)]);
        assert!((p.data.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}", p.data);
        let beta = find("Beta").sample(&mut rng, 0, &[n(0.001), n(0.002)]).as_scalar();
        assert!((0.0..=1.0).contains(&beta));
    }
}

/// A covariance that is a point, and arguments that are none: no draw panics.
#[test]
fn degenerate_arguments_do_not_panic() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(5);
    let normal = registry::find("Normal").expect("listed");
    let zero = Array::filled(&[2, 2], 0.0);
    assert_eq!(
        normal.sample(&mut rng, 3, &[v(&[1.0, 2.0]), zero.clone()]),
        v(&[1.0, 2.0])
    );
    let singular = normal.sample(&mut rng, 3, &[v(&[0.0, 0.0]), m2(1.0, 1.0, 1.0)]);
    assert!((singular.data[0] - singular.data[1]).abs() < 1e-12);
    assert!(normal.sample(&mut rng, 3, &[v(&[0.0, 0.0]), m2(1.0, 3.0, 1.0)]).data[0].is_nan());
    for f in registry::FAMILIES {
        for (i, signature) in f.signatures().iter().enumerate() {
            let bad = |rank: usize| Array::filled(&vec![2; rank], -1.0);
            let args: Vec<Array> = signature.args.iter().map(|a| bad(a.rank)).collect();
            let _ = f.sample(&mut rng, i, &args);
        }
    }
}
