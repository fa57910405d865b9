//! A planted error in a rule's result changes the printed page, the fit and the certificate: there is no second copy of
//! an equation anywhere.

use lvmc_base::Source;
use lvmc_derive::Plan;
use lvmc_derive::plan::Solution;
use lvmc_model::ModelGraph;

/// One model per rule, and the rule.
const MODELS: &[(&str, &str)] = &[
    (
        "simplex-argmax",
        "dim K = 2\nz ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])",
    ),
    (
        "quadratic-argmax",
        "dim K = 2\nz ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])",
    ),
    (
        "covariance-argmax",
        "dim K = 2\nz ~ Categorical(pi); x ~ Normal(mu[z], Sigma[z])",
    ),
    ("log-linear", "data y : count\nparam l : positive\ny ~ Poisson(l)"),
    ("unit-argmax", "data y : binary\nparam p : unit\ny ~ Bernoulli(p)"),
    ("newton", "data y : positive\nparam a, b : positive\ny ~ Gamma(a, b)"),
    (
        "least-squares",
        "given u : real[2]\ndata y : real\nparam w : real[2]\nparam b : real\nparam v : positive\ny ~ Normal(dot(w, u) + b, v)",
    ),
    (
        "newton-step",
        "given u : real[2]\ndata y : binary\nparam w : real[2]\nparam b : real\ny ~ Bernoulli(sigmoid(dot(w, u) + b))",
    ),
    (
        "gradient-step",
        "given u : real\ndata y : real\nparam a, c, d : real\ny ~ Normal(a, exp(d * u + c))",
    ),
];

fn derived(text: &str) -> (ModelGraph, Plan) {
    let source = Source::new("planted.lvm", text);
    let ast = lvmc_syntax::parse(&source).expect("a model");
    let graph = lvmc_model::build(&ast, &source, &lvmc_model::Settings::default()).expect("a graph");
    let plan = lvmc_derive::derive(&graph).expect("a plan");
    (graph, plan)
}

/// What a rule would give with a slip in it: a factor 1.3, or the wrong sign of a direction.
fn plant(plan: &mut Plan, rule: &str) {
    let at = plan
        .updates
        .iter()
        .position(|u| u.rule == rule)
        .expect("the rule fired");
    let s = &mut plan.store;
    let slip = s.num(1.3);
    match &mut plan.updates[at].solution {
        Solution::Explicit(values) => {
            for v in values {
                // a share of a total must not be lost in rounding to the simplex: raise it to a power as well
                let scaled = s.mul(slip, *v);
                *v = if s.shape(scaled).is_empty() {
                    s.mul(scaled, *v)
                } else {
                    scaled
                };
            }
        }
        Solution::Linear { g, .. } => *g = s.mul(slip, *g),
        Solution::Newton { parts } => parts[0].0 = s.mul(slip, parts[0].0),
        Solution::Ascent { score, .. } => *score = s.neg(*score),
        Solution::Gradient { blocks } => blocks[0].score = s.neg(blocks[0].score),
    }
    let written: Vec<_> = plan.factors.iter().map(|f| (f.factor, f.cases[0].term)).collect();
    plan.steps = lvmc_derive::steps::steps(plan, &written);
}

fn page(graph: &ModelGraph, plan: &Plan) -> String {
    lvmc_report::page::unicode(&lvmc_report::derivation::derivation(
        graph,
        plan,
        lvmc_report::math::Style::Unicode,
    ))
}

#[test]
fn a_slip_in_any_rule_shows_on_the_page_in_the_fit_and_in_the_certificate() {
    for (rule, text) in MODELS {
        let (graph, plan) = derived(text);
        let mut wrong = plan.clone();
        plant(&mut wrong, rule);
        assert_ne!(
            page(&graph, &plan),
            page(&graph, &wrong),
            "{rule}: the page does not show it"
        );
        let good = lvmc::certify::certify(&graph, &plan, 3).unwrap_or_else(|e| panic!("{rule}: {e:?}"));
        assert!(good.iter().all(|c| c.ok), "{rule}: {good:?}");
        let bad = lvmc::certify::certify(&graph, &wrong, 3).unwrap_or_else(|e| panic!("{rule}: {e:?}"));
        assert!(
            bad.iter().any(|c| !c.ok && c.part != "E-step"),
            "{rule}: no certificate fails: {bad:?}"
        );
    }
}
