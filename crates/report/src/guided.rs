//! The derivation of a model that is fitted by gradients: the bound, and how each of its expectations is taken.

use crate::derivation::{Derivation, Line, Part};
use crate::math::{Style, statement, term};
use lvmc_derive::guided::{BoundTerm, Guided, Objective, Taken};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Store, SymId, Term};

/// Writes the derivation.
#[must_use]
pub fn derivation(graph: &ModelGraph, guided: &Guided, style: Style) -> Derivation {
    let guide = graph.guide.iter().flat_map(|g| &g.factors);
    let statements = graph
        .factors
        .iter()
        .map(|f| (statement(&graph.store, f, style), graph.source.line(f.span.start)))
        .collect();
    let mut w = Writer {
        guided,
        s: guided.store.clone(),
        style,
    };
    let mut parts = vec![w.joint()];
    if graph.guide.is_some() {
        let lines = guide
            .map(|f| Line {
                right: statement(&graph.store, f, style),
                ..Line::default()
            })
            .collect();
        parts.push(Part {
            title: "Guide: the posterior q, one row".into(),
            with: vec![],
            lines,
        });
        parts.push(w.bound());
        parts.push(w.expectations());
        if let Some(part) = w.draws() {
            parts.push(part);
        }
    }
    parts.push(w.gradient());
    Derivation {
        model: graph.name.clone(),
        statements,
        parts,
    }
}

struct Writer<'a> {
    guided: &'a Guided,
    s: Store,
    style: Style,
}

impl Writer<'_> {
    fn text(&self, t: Term) -> String {
        term(&self.s, t, self.style)
    }

    fn name(&mut self, sym: SymId) -> String {
        let t = self.s.var(sym);
        self.text(t)
    }

    fn all(&mut self, of: impl Fn(&BoundTerm) -> bool) -> Vec<String> {
        let syms: Vec<SymId> = self.guided.terms.iter().filter(|t| of(t)).map(|t| t.of).collect();
        syms.into_iter().map(|s| self.name(s)).collect()
    }

    fn log(&self, letter: &str, of: &str) -> String {
        match self.style {
            Style::Latex => format!("\\log {letter}({of})"),
            Style::Unicode => format!("log {letter}({of})"),
        }
    }

    fn expectation(&self, of: &str) -> String {
        match self.style {
            Style::Latex => format!("\\mathbb{{E}}_q\\left[{of}\\right]"),
            Style::Unicode => format!("E_q[{of}]"),
        }
    }

    fn joint(&mut self) -> Part {
        let names = self.all(|t| !t.guide).join(", ");
        let written: Vec<Term> = self.guided.terms.iter().filter(|t| !t.guide).map(|t| t.written).collect();
        let sum = self.s.sum(&written);
        let mut lines = vec![Line {
            left: self.log("p", &names),
            right: self.text(sum),
            ..Line::default()
        }];
        for &p in &self.guided.prior {
            lines.push(Line {
                left: self.log("p", "θ"),
                right: self.text(p),
                ..Line::default()
            });
        }
        Part {
            title: "Joint, one row".into(),
            with: vec![],
            lines,
        }
    }

    fn bound(&mut self) -> Part {
        let mut sum = String::new();
        for t in &self.guided.terms {
            let sym = self.s.var(t.of);
            let shown = term(&self.s, sym, self.style);
            let log = self.log(if t.guide { "q" } else { "p" }, &shown);
            let e = self.expectation(&log);
            let sign = match (t.guide, sum.is_empty()) {
                (true, _) => " − ",
                (false, true) => "",
                (false, false) => " + ",
            };
            sum.push_str(sign);
            sum.push_str(&e);
        }
        let (left, remark) = match self.guided.objective {
            Objective::Point => ("objective", "q is a point: no bound on the evidence"),
            Objective::Elbo => ("ELBO", "at most log p of the data; the gap is the divergence of q from the posterior"),
            Objective::LogLikelihood => ("log-likelihood", ""),
        };
        Part {
            title: "Bound, one row".into(),
            with: vec![],
            lines: vec![Line {
                left: left.into(),
                right: sum,
                remark: remark.into(),
                ..Line::default()
            }],
        }
    }

    /// Each expectation; both terms of a latent together where both are in closed form: minus a divergence.
    fn expectations(&mut self) -> Part {
        let mut lines = vec![];
        let mut done: Vec<SymId> = vec![];
        for t in &self.guided.terms.clone() {
            if done.contains(&t.of) {
                continue;
            }
            let name = self.name(t.of);
            let twin = self.guided.terms.iter().find(|u| u.guide && u.of == t.of && !t.guide);
            let closed = |t: &BoundTerm| matches!(t.taken, Taken::Plain | Taken::Moments | Taken::Enumerated);
            if let Some(q) = twin.filter(|q| closed(q) && closed(t)) {
                let sum = self.s.add(t.expected, q.expected);
                let left = match self.style {
                    Style::Latex => format!("-\\mathrm{{KL}}(q({name})\\,\\|\\,p({name}))"),
                    Style::Unicode => format!("−KL(q({name}) ‖ p({name}))"),
                };
                lines.push(Line {
                    left,
                    right: self.text(sum),
                    rule: q.taken.max(t.taken).rule().into(),
                    ..Line::default()
                });
                done.push(t.of);
                continue;
            }
            let log = self.log(if t.guide { "q" } else { "p" }, &name);
            let e = self.expectation(&log);
            let shown = if t.guide { self.s.neg(t.expected) } else { t.expected };
            lines.push(Line {
                left: e,
                right: self.text(shown),
                rule: t.taken.rule().into(),
                ..Line::default()
            });
        }
        Part {
            title: "Expectations under q".into(),
            with: vec![],
            lines,
        }
    }

    /// Draws as functions of noise.
    fn draws(&mut self) -> Option<Part> {
        let mut lines = vec![];
        for l in self.guided.latents.iter().filter(|l| l.finite.is_none()) {
            let z = self.s.var(l.sym);
            lines.push(Line {
                left: self.text(z),
                right: self.text(l.draw),
                rule: if l.point { "point" } else { "reparametrisation" }.into(),
                ..Line::default()
            });
        }
        (!lines.is_empty()).then_some(Part {
            title: "Draws of q, of standard noise ε".into(),
            with: vec![],
            lines,
        })
    }

    fn gradient(&mut self) -> Part {
        let names: Vec<String> = self
            .guided
            .params
            .iter()
            .filter(|p| !self.s.sym(**p).name.contains('.'))
            .map(|p| self.s.sym(*p).name.clone())
            .collect();
        let of = if names.is_empty() { "the nets' weights".to_owned() } else { format!("the nets' weights, {}", names.join(", ")) };
        let (sum, grad) = match self.style {
            Style::Latex => ("\\theta", "\\theta + \\eta\\, \\mathrm{step}(\\tfrac1B \\sum_{n} \\nabla_\\theta\\, \\mathrm{ELBO}_n)"),
            Style::Unicode => ("θ", "θ + η step( 1/B Σₙ ∇θ ELBOₙ )"),
        };
        Part {
            title: "Gradient ascent".into(),
            with: vec![],
            lines: vec![Line {
                left: sum.into(),
                right: grad.into(),
                rule: "reverse-mode".into(),
                remark: format!("θ: {of}; B rows at a time"),
                ..Line::default()
            }],
        }
    }
}
