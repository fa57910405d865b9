//! The derivation of a model that is fitted by gradients: the bound, and how each of its expectations is taken.

use crate::derivation::{Derivation, Line, Part, sections};
use crate::math::{Style, statement, term};
use lvmc_derive::guided::exact;
use lvmc_derive::guided::{BoundTerm, Guided, Noising, Objective, Taken};
use lvmc_derive::plan::{Mask, Section};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Node, Store, Support, SymId, Term, children};
use std::collections::HashMap;

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
    if let Some(n) = guided.noising.clone() {
        return Derivation {
            model: graph.name.clone(),
            statements,
            parts: w.noising(graph, &n),
        };
    }
    let mut parts = vec![w.joint()];
    if graph.guide.is_some() {
        let mut lines: Vec<Line> = guide
            .map(|f| Line {
                right: statement(&graph.store, f, style),
                ..Line::default()
            })
            .collect();
        lines.extend(w.read_instead(graph));
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
    parts.extend(w.exact());
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

    /// Families that count from 1 at the position that a reader counts: β_t, whose entry stands at t − 1.
    fn counted(&mut self, graph: &ModelGraph, t: Term, memo: &mut HashMap<Term, Term>) -> Term {
        if let Some(&done) = memo.get(&t) {
            return done;
        }
        let from_one = |s: &Store, base: Term| {
            let var = s
                .as_symbol(base)
                .and_then(|(sym, _)| graph.var_of(sym))
                .map(|v| graph.var(v));
            var.is_some_and(|v| v.family_first.first() == Some(&1))
        };
        let out = match self.s.node(t).clone() {
            Node::At(base, at) if at.len() == 1 && from_one(&self.s, base) => {
                let one = self.s.num(1.0);
                let i = self.s.add(at[0], one);
                self.s.at(base, &[i])
            }
            node => {
                let parts: Vec<Term> = children(&node)
                    .into_iter()
                    .map(|c| self.counted(graph, c, memo))
                    .collect();
                if parts == children(&node) {
                    t
                } else {
                    self.s.rebuild(&node, &parts)
                }
            }
        };
        memo.insert(t, out);
        out
    }

    /// What the guide reads of variables with missing cells.
    fn read_instead(&mut self, graph: &ModelGraph) -> Vec<Line> {
        let masks = self.guided.masks.clone();
        let read = |sym: SymId| {
            let mut guide = graph.guide.iter().flat_map(|g| &g.factors);
            guide.any(|f| f.dist.mentions(&graph.store, sym))
        };
        let line = |m: &Mask| Line {
            right: self.name(m.of),
            remark: match self.s.sym(m.of).support {
                Support::Category(_) => "its most frequent value where it is missing",
                _ => "the mean of its column where a cell is missing",
            }
            .into(),
            ..Line::default()
        };
        masks.iter().filter(|m| read(m.of)).map(line).collect()
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
        let written: Vec<Term> = self
            .guided
            .terms
            .iter()
            .filter(|t| !t.guide)
            .map(|t| t.written)
            .collect();
        let sum = self.s.sum(&written);
        let mut lines = vec![Line {
            left: self.log("p", &names),
            right: self.text(sum),
            ..Line::default()
        }];
        for &p in &self.guided.prior {
            lines.push(Line {
                left: self.log("p", if self.style == Style::Latex { "\\theta" } else { "θ" }),
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
                (true, _) if self.style == Style::Latex => " - ",
                (true, _) => " − ",
                (false, true) => "",
                (false, false) => " + ",
            };
            sum.push_str(sign);
            sum.push_str(&e);
        }
        let (left, remark) = match self.guided.objective {
            Objective::Point => ("objective", "q is a point: no bound on the evidence"),
            Objective::Elbo => (
                "ELBO",
                "at most log p of the data; the gap is the divergence of q from the posterior",
            ),
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
            let closed = |t: &BoundTerm| !matches!(t.taken, Taken::Point | Taken::Drawn | Taken::Scored);
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

    /// A draw whose derivative is that of the equation it solves.
    fn implicit(&self, draw: Term) -> bool {
        self.s.depends_on(draw, |n| matches!(n, Node::Draw(..)))
    }

    /// Draws as functions of noise.
    fn draws(&mut self) -> Option<Part> {
        let mut lines = vec![];
        for l in self.guided.latents.iter().filter(|l| l.finite.is_none()) {
            let z = self.s.var(l.sym);
            lines.push(Line {
                left: self.text(z),
                right: self.text(l.draw),
                rule: match l.score {
                    Some(_) => "score-function",
                    None if l.point => "point",
                    None if self.implicit(l.draw) => "implicit-reparametrisation",
                    None => "reparametrisation",
                }
                .into(),
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
            .filter(|p| !self.s.sym(**p).name.contains('.') && !self.guided.is_exact(**p))
            .map(|p| self.s.sym(*p).name.clone())
            .collect();
        let of = if names.is_empty() {
            "the nets' weights".to_owned()
        } else {
            format!("the nets' weights, {}", names.join(", "))
        };
        let (sum, grad) = match self.style {
            Style::Latex => (
                "\\theta",
                "\\theta + \\eta\\, \\mathrm{step}(\\tfrac1B \\sum_{n} \\nabla_\\theta\\, \\mathrm{ELBO}_n)",
            ),
            Style::Unicode => ("θ", "θ + η step( 1/B Σₙ ∇θ ELBOₙ )"),
        };
        let mut lines = vec![Line {
            left: sum.into(),
            right: grad.into(),
            rule: "reverse-mode".into(),
            remark: format!("θ: {of}; B rows at a time"),
            ..Line::default()
        }];
        lines.extend(self.scores());
        Part {
            title: "Gradient ascent".into(),
            with: vec![],
            lines,
        }
    }

    /// E- and M-steps of the parameters without gradients, and what stands in them.
    fn exact(&mut self) -> Option<Part> {
        let exact = self.guided.exact.as_ref()?;
        let wanted = |s: Section| matches!(s, Section::EStep | Section::MStep);
        let inner = sections(&exact.graph, &exact.plan, self.style, &wanted);
        let mut lines = vec![];
        for row in &exact.rows {
            let (left, right) = (self.s.var(row.sym), row.written);
            if self.s.as_symbol(right).is_some() {
                continue; // a draw, by its own name
            }
            lines.push(Line {
                left: self.text(left),
                right: self.text(right),
                rule: exact::NAME.into(),
                ..Line::default()
            });
        }
        for f in exact.fixed.iter().filter(|f| f.rooted) {
            let l = self.s.var(f.sym);
            let lt = self.s.transpose(l);
            let square = self.s.matmul(lt, l);
            lines.push(Line {
                left: self.text(square),
                right: self.text(f.term),
                rule: exact::NAME.into(),
                ..Line::default()
            });
        }
        let mut with = vec![];
        for part in inner {
            lines.extend(part.lines);
            with.extend(part.with);
        }
        let names: Vec<String> = exact.params.iter().map(|&p| self.name(p)).collect();
        let draws = exact.rows.iter().any(|r| {
            self.guided
                .latents
                .iter()
                .any(|l| self.s.depends_on_sym(r.written, l.sym))
        });
        let at = if draws { ", at a draw of q" } else { "" };
        Some(Part {
            title: format!("Exact updates, once an epoch{at}: {}", names.join(", ")),
            with,
            lines,
        })
    }

    /// The gradient of what is drawn of a discrete latent.
    fn scores(&mut self) -> Vec<Line> {
        let heard = |sym: SymId| self.guided.terms.iter().any(|t| t.signals.iter().any(|s| s.0 == sym));
        let syms: Vec<SymId> = self
            .guided
            .latents
            .iter()
            .map(|l| l.sym)
            .filter(|&s| heard(s))
            .collect();
        let mut lines = vec![];
        for sym in syms {
            let name = self.name(sym);
            let (left, right) = match self.style {
                Style::Latex => (
                    format!("\\nabla_\\theta\\, \\mathbb{{E}}_q[f({name})]"),
                    format!("\\mathbb{{E}}_q[\\nabla_\\theta f + (f - c)\\, \\nabla_\\theta \\log q({name})]"),
                ),
                Style::Unicode => (
                    format!("∇θ E_q[f({name})]"),
                    format!("E_q[∇θ f + (f − c) ∇θ log q({name})]"),
                ),
            };
            lines.push(Line {
                left,
                right,
                rule: "score-function".into(),
                remark: format!(
                    "f: what is drawn of {name} above; c: the mean of f over the other draws, two at least"
                ),
                ..Line::default()
            });
        }
        lines
    }

    fn of(&mut self, graph: &ModelGraph, t: Term) -> String {
        let t = self.counted(graph, t, &mut HashMap::new());
        self.text(t)
    }

    /// A fixed chain away from the data, and the chain back.
    fn noising(&mut self, graph: &ModelGraph, n: &Noising) -> Vec<Part> {
        let line = |left: String, right: String, rule: &str, remark: &str| Line {
            left,
            right,
            rule: rule.into(),
            remark: remark.into(),
            ..Line::default()
        };
        let part = |title: &str, lines: Vec<Line>| Part {
            title: title.into(),
            with: vec![],
            lines,
        };
        let guide = graph.guide.iter().flat_map(|g| &g.factors);
        let statements = guide.map(|f| line(String::new(), statement(&graph.store, f, self.style), "", ""));
        let mut parts = vec![part("Guide: a fixed chain away from the data", statements.collect())];
        let latex = self.style == Style::Latex;
        let table = |w: &mut Self, sym: SymId, rule: &str| -> Line {
            let (left, right, first) = {
                let t = n.tables.iter().find(|t| t.sym == sym);
                let value = t.map(|t| t.value);
                let (base, ix) = (w.s.var(sym), w.s.index(n.index));
                let entry = w.s.at(base, &[ix]);
                let right = value.map_or(String::new(), |v| w.of(graph, v));
                (w.text(entry), right, t.map_or(0.0, |t| t.first))
            };
            let remark = if right.contains(&left.replace('ₜ', "ₜ₋₁")) || rule == "recursion" {
                format!("{} at t = 0", first)
            } else {
                String::new()
            };
            line(left, right, "", &remark)
        };
        let head = |text: &str, tex: &str| if latex { tex.to_owned() } else { text.to_owned() };
        let mut lines = vec![line(
            String::new(),
            head(
                "q(xₜ | x₀) = N(Aₜ x₀, Vₜ I)",
                "q(x_t \\mid x_0) = \\mathcal{N}(A_t x_0, V_t I)",
            ),
            "linear-Gaussian marginal",
            "",
        )];
        lines.push(table(self, n.tables[0].sym, ""));
        lines.push(table(self, n.tables[1].sym, ""));
        lines.push(table(self, n.marginal.0, "recursion"));
        lines.push(table(self, n.marginal.1, "recursion"));
        parts.push(part("Marginals", lines));
        let mut lines = vec![line(
            String::new(),
            head(
                "q(xₜ₋₁ | xₜ, x₀) = N(Cₜ xₜ + Eₜ x₀, Uₜ I)",
                "q(x_{t-1} \\mid x_t, x_0) = \\mathcal{N}(C_t x_t + E_t x_0, U_t I)",
            ),
            "product of Gaussians",
            "",
        )];
        for sym in [n.posterior.0, n.posterior.1, n.posterior.2] {
            lines.push(table(self, sym, ""));
        }
        parts.push(part("Posteriors", lines));
        let mut s = self.s.clone();
        let (start, cost, error) = (n.start(&mut s), n.cost(&mut s), n.error(&mut s));
        let draw = n.draw(&mut s);
        self.s = s;
        parts.push(part(
            "Bound, one row",
            vec![
                line(
                    head("−ELBO", "-\\mathrm{ELBO}"),
                    head(
                        "KL(q(x_T | x₀) ‖ p(x_T)) + Σₜ Lₜ",
                        "\\mathrm{KL}(q(x_T \\mid x_0) \\,\\|\\, p(x_T)) + \\sum_t L_t",
                    ),
                    "",
                    &head(
                        "Lₜ = KL(q(xₜ₋₁ | xₜ, x₀) ‖ p(xₜ₋₁ | xₜ)) for t ≥ 2; L₁ = −log p(x₀ | x₁)",
                        "the divergence of each step's posterior from the model's; at t = 1 minus log p of the data",
                    ),
                ),
                line(
                    head("KL_T", "\\mathrm{KL}_T"),
                    self.of(graph, start),
                    "gaussian-expectation",
                    "",
                ),
            ],
        ));
        let mut lines = vec![line(
            {
                let x = self.s.var(n.state);
                self.text(x)
            },
            self.of(graph, draw),
            "reparametrisation",
            "",
        )];
        if let Some(p) = n.predicted.clone() {
            let call = self.of(graph, p.call);
            let (state, gain) = (self.of(graph, p.state), self.of(graph, p.gain));
            lines.push(line(
                head("mean of p(xₜ₋₁ | xₜ)", "\\text{mean of } p(x_{t-1} \\mid x_t)"),
                head(&format!("P xₜ + G {call}"), &format!("P x_t + G\\, {call}")),
                "affine in one net",
                "",
            ));
            lines.push(line("P".into(), state, "", ""));
            lines.push(line("G".into(), gain, "", ""));
            let mut s = self.s.clone();
            let target = n.target(&mut s, &p);
            self.s = s;
            let target = self.of(graph, target);
            lines.push(line(
                head("τ", "\\tau"),
                target,
                "",
                &head(
                    "what the net predicts: the posterior's mean is P xₜ + G τ",
                    "what the net predicts: with it the mean is the posterior's",
                ),
            ));
            lines.push(table(self, p.data, ""));
            lines.push(table(self, p.noise, ""));
            if let Some(w) = p.weight {
                lines.push(table(self, w, ""));
            }
        }
        lines.push(line(
            head("Lₜ", "L_t"),
            self.of(graph, cost),
            "gaussian-expectation",
            "",
        ));
        parts.push(part("Each term as a squared error", lines));
        parts.push(part(
            "Training",
            vec![
                line(
                    head("simple objective", "\\text{simple objective}"),
                    self.of(graph, error),
                    "",
                    &head(
                        "to be made small; t uniform on 1 … T, ε standard normal",
                        "to be made small; t uniform on its values, the noise standard normal",
                    ),
                ),
                line(
                    head("θ", "\\theta"),
                    head(
                        "θ − η step( ∇θ 1/B Σₙ Lₜ or its simple objective )",
                        "\\theta - \\eta\\, \\mathrm{step}(\\nabla_\\theta\\, \\tfrac1B \\sum_n L_t)",
                    ),
                    "reverse-mode",
                    "",
                ),
            ],
        ));
        parts.push(part(
            "Sampling",
            vec![
                line(
                    head("x_T", "x_T"),
                    head("a draw of p(x_T)", "\\text{a draw of } p(x_T)"),
                    "",
                    "",
                ),
                line(
                    head("xₜ₋₁", "x_{t-1}"),
                    {
                        let (m, v) = (self.of(graph, n.mean), self.of(graph, n.variance));
                        head(
                            &format!("{m} + √({v}) ε"),
                            &format!("{m} + \\sqrt{{{v}}}\\, \\varepsilon"),
                        )
                    },
                    "",
                    &head(
                        "t = T … 1; the last step is its mean",
                        "t from T down to 1; the last step is its mean",
                    ),
                ),
            ],
        ));
        parts
    }
}
