//! A derivation as mathematics: the plan's steps, section by section, the very terms that are lowered to code.

use crate::abbreviate::{Letter, Short, densities, density_text, replace, shared_sums};
use crate::math::{Style, condition, dist_text, left, statement, term};
use lvmc_derive::plan::{Condition, Left, Plan, RowFactor, Section, Step};
use lvmc_model::graph::{Dist, ModelGraph, When};
use lvmc_term::{Fun, Node, Store, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// A line: `left = right`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Left of `=`; empty for a bare line.
    pub left: String,
    /// Right of `=`.
    pub right: String,
    /// The rule that gave it.
    pub rule: String,
    /// What it satisfies, as mathematics.
    pub condition: String,
    /// Side conditions, in words.
    pub remark: String,
}

/// A numbered section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it derives.
    pub title: String,
    /// `with nₖ = Σₙ rₙₖ`: abbreviations, as (name, meaning).
    pub with: Vec<(String, String)>,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A derivation, written in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// The model's name.
    pub model: String,
    /// Its statements with their lines in the text.
    pub statements: Vec<(String, usize)>,
    /// The sections.
    pub parts: Vec<Part>,
}

/// Writes a plan's derivation.
#[must_use]
pub fn derivation(graph: &ModelGraph, plan: &Plan, style: Style) -> Derivation {
    let statements = graph
        .factors
        .iter()
        .map(|f| {
            let mut text = statement(&graph.store, f, style);
            if let (Some(chain), true) = (&graph.chain, f.when != When::Always) {
                text = format!("{text}   {}", f.when.text(&chain.index));
            }
            (text, graph.source.line(f.span.start))
        })
        .collect();
    Derivation {
        model: graph.name.clone(),
        statements,
        parts: sections(graph, plan, style, &|_| true),
    }
}

/// Sections of a plan's derivation.
pub(crate) fn sections(graph: &ModelGraph, plan: &Plan, style: Style, wanted: &dyn Fn(Section) -> bool) -> Vec<Part> {
    let mut writer = Writer {
        graph,
        plan,
        store: plan.store.clone(),
        shorts: vec![],
        letters: vec![],
        style,
    };
    writer.shorts = densities(&mut writer.store, graph, plan, style);
    writer.letters = shared_sums(&mut writer.store, &update_terms(plan));
    let mut parts: Vec<Part> = vec![];
    for step in plan.steps.iter().filter(|s| wanted(s.section)) {
        let title = title(plan, step.section);
        if parts.last().is_none_or(|p| p.title != title) {
            let with = if step.section == Section::MStep {
                writer.abbreviations()
            } else {
                vec![]
            };
            parts.push(Part {
                title,
                with,
                lines: vec![],
            });
        }
        let line = writer.line(step);
        if let Some(part) = parts.last_mut()
            && !part.lines.contains(&line)
        {
            part.lines.push(line);
        }
    }
    parts
}

/// The right sides and conditions of the updates.
fn update_terms(plan: &Plan) -> Vec<Term> {
    let mut out = vec![];
    for step in plan.steps.iter().filter(|s| s.section == Section::MStep) {
        out.push(step.right);
        if let Some(Condition::Maximises(t) | Condition::Zero(t)) = &step.condition {
            out.push(*t);
        }
    }
    out
}

fn title(plan: &Plan, section: Section) -> String {
    let latent = !plan.finite.is_empty() || !plan.posteriors.is_empty() || !plan.group_posteriors.is_empty();
    let symbols = plan
        .finite
        .iter()
        .filter(|f| f.lag.is_none())
        .map(|f| f.sym)
        .chain(plan.posteriors.iter().map(|p| p.sym))
        .chain(plan.group_posteriors.iter().map(|p| p.sym));
    let names: Vec<&str> = symbols.map(|x| plan.store.sym(x).name.as_str()).collect();
    match section {
        Section::Joint => "Joint, one row".into(),
        Section::Prior => "Prior".into(),
        Section::Complete if latent => "Complete-data log-likelihood".into(),
        Section::Complete => "Log-likelihood".into(),
        Section::EStep => match plan.factorisation() {
            Some(q) => format!("E-step: {q}, a structured mean field"),
            None => format!("E-step: the posterior of {}", names.join(", ")),
        },
        Section::Expected | Section::Elbo => "Expected complete-data log-likelihood and bound".into(),
        Section::MStep if latent => "M-step".into(),
        Section::MStep if plan.objective.is_penalised() => "Maximum a posteriori".into(),
        Section::MStep => "Maximum likelihood".into(),
    }
}

struct Writer<'a> {
    graph: &'a ModelGraph,
    plan: &'a Plan,
    store: Store,
    shorts: Vec<Short>,
    letters: Vec<Letter>,
    style: Style,
}

impl Writer<'_> {
    fn abbreviations(&self) -> Vec<(String, String)> {
        let text = |t: Term| term(&self.store, t, self.style);
        self.letters.iter().map(|l| (text(l.name), text(l.meaning))).collect()
    }

    fn line(&mut self, step: &Step) -> Line {
        let mut line = Line {
            rule: step.rule.into(),
            remark: step.remark.clone(),
            ..Line::default()
        };
        line.left = left(&mut self.store, &step.left, self.style);
        line.right = match (step.section, &step.left) {
            (Section::EStep, Left::Term(_)) if step.rule == lvmc_derive::chain::NAME => self.chain_line(step),
            (Section::EStep, Left::Term(t))
                if matches!(self.store.node(*t), Node::Resp(_))
                    && self.plan.posteriors.is_empty()
                    && step.rule != lvmc_derive::factorial::NAME =>
            {
                line.remark = self.posterior_remark();
                self.posterior()
            }
            (Section::Joint | Section::Prior | Section::EStep, _) => term(&self.store, step.right, self.style),
            (Section::MStep, _) => {
                let t = self.lettered(step.right);
                term(&self.store, t, self.style)
            }
            _ => self.shortened(step.right),
        };
        if let Some(c) = &step.condition {
            let c = match c {
                Condition::Maximises(t) => Condition::Maximises(self.lettered(*t)),
                Condition::Zero(t) => Condition::Zero(self.lettered(*t)),
            };
            line.condition = condition(&self.store, &c, self.style);
        }
        line
    }

    /// Sums over rows by their letters.
    fn lettered(&mut self, t: Term) -> Term {
        let with: Vec<(Term, Term)> = self.letters.iter().flat_map(|l| l.with.iter().copied()).collect();
        if with.is_empty() {
            t
        } else {
            replace(&mut self.store, t, &with, &mut HashMap::new())
        }
    }

    /// Log densities by their distributions.
    fn shortened(&mut self, t: Term) -> String {
        let with: Vec<(Term, Term)> = self.shorts.iter().flat_map(|s| s.with.iter().copied()).collect();
        let t = replace(&mut self.store, t, &with, &mut HashMap::new());
        let mut text = term(&self.store, t, self.style);
        for short in &self.shorts {
            let token = term(&self.store, short.placeholder, self.style);
            text = text.replace(&token, &short.text);
        }
        text
    }

    /// A recursion of a chain's messages: densities by their distributions.
    fn chain_line(&mut self, step: &Step) -> String {
        let Some(chain) = self.plan.chains.first().cloned() else {
            return String::new();
        };
        let letters: Vec<String> = self
            .plan
            .finite
            .iter()
            .map(|f| self.store.ix(f.ix).name.clone())
            .collect();
        // α and β; moments of Gaussian latents are symbols of a row too
        let message = |x: &SymId| {
            let sym = self.store.sym(*x);
            sym.kind == SymKind::Aux && sym.per_row && self.plan.definitions.iter().all(|d| d.sym != *x)
        };
        let messages: Vec<Term> = self
            .store
            .subterms(step.right)
            .into_iter()
            .filter(|&t| matches!(self.store.node(t), Node::At(base, _) if matches!(self.store.node(*base), Node::Sym(x) if message(x))))
            .collect();
        let left = match step.left {
            Left::Term(t) => self.store.free_indices(t),
            _ => Default::default(),
        };
        let axes = chain.axes();
        let first = messages.is_empty();
        let mentioned = |v: usize| !first || chain.state.contains(&v);
        // what neither the left side nor the first row has is summed over
        let summed = (0..letters.len()).filter(|&v| {
            let bound = matches!(
                self.store.node(match step.left {
                    Left::Term(t) => t,
                    _ => step.right,
                }),
                Node::Resp(_)
            );
            let inside = axes.contains(&v);
            if inside {
                !bound && mentioned(v) && !left.contains(&self.plan.finite[v].ix)
            } else {
                true
            }
        });
        let sums: Vec<String> = summed
            .map(|v| match self.style {
                Style::Unicode => format!("Σ{} ", subscript(&letters[v])),
                Style::Latex => format!("\\sum_{{{}}} ", letters[v]),
            })
            .collect();
        let holds = |when: When| {
            if first {
                when.holds(0)
            } else {
                matches!(when, When::Always | When::From(_))
            }
        };
        let rows: Vec<RowFactor> = self
            .plan
            .factors
            .iter()
            .filter(|f| !f.scope.is_empty() && holds(f.when))
            .cloned()
            .collect();
        let with = self.values(&letters);
        let mut words: Vec<String> = messages.iter().map(|&m| term(&self.store, m, self.style)).collect();
        let last = if words.len() > 1 { words.pop() } else { None };
        for row in &rows {
            words.push(self.density(row, &with));
        }
        words.extend(last);
        format!("{}{}", sums.concat(), words.join(" "))
    }

    /// The normalised posterior: the densities of the statements that hold the variables, over their sum.
    fn posterior(&mut self) -> String {
        let letters: Vec<String> = self
            .plan
            .finite
            .iter()
            .map(|f| self.store.ix(f.ix).name.clone())
            .collect();
        let mut taken = letters.clone();
        let others: Vec<String> = letters.iter().map(|_| fresh_letter(&mut taken)).collect();
        let (above, below) = (self.product(&letters), self.product(&others));
        let sums: Vec<String> = others
            .iter()
            .map(|letter| match self.style {
                Style::Unicode => format!("Σ{} ", subscript(letter)),
                Style::Latex => format!("\\sum_{{{letter}}} "),
            })
            .collect();
        match self.style {
            Style::Unicode => format!("{above} / {}{below}", sums.concat()),
            Style::Latex => format!("\\frac{{{above}}}{{{}{below}}}", sums.concat()),
        }
    }

    fn posterior_remark(&self) -> String {
        let observed: Vec<&str> = self
            .plan
            .finite
            .iter()
            .filter(|f| f.observed)
            .map(|f| self.plan.store.sym(f.sym).name.as_str())
            .collect();
        let mut words = vec![];
        if self.plan.cliques.iter().any(|c| c.parent.is_some()) {
            words.push("by variable elimination".to_owned());
        }
        if !observed.is_empty() {
            words.push(format!("an observed {} is certain", observed.join(", ")));
        }
        words.join("; ")
    }

    /// Π of the densities of the statements that hold finite variables, whose values are written with these letters.
    fn product(&mut self, letters: &[String]) -> String {
        let with = self.values(letters);
        let mut factors = vec![];
        for row in self.plan.factors.iter().filter(|f| !f.scope.is_empty()) {
            factors.push(self.density(row, &with));
        }
        factors.join(" ")
    }

    /// The finite variables by letters for their values.
    fn values(&mut self, letters: &[String]) -> HashMap<Term, Term> {
        let mut with = HashMap::new();
        for (f, letter) in self.plan.finite.iter().zip(letters) {
            let sym = Sym {
                name: letter.clone(),
                kind: SymKind::Aux,
                per_row: false,
                ..self.store.sym(f.sym).clone()
            };
            let sym = self.store.add_sym(sym);
            let (from, to) = (self.store.var(f.sym), self.store.var(sym));
            with.insert(from, to);
        }
        with
    }

    /// The density of a statement; exp E[log of it] where q of Gaussian latents stands beside.
    fn density(&mut self, row: &RowFactor, with: &HashMap<Term, Term>) -> String {
        let chain = self.plan.gaussian_chain.as_ref().filter(|c| c.mean_field);
        let expected = chain.is_some_and(|c| c.statements.iter().any(|st| st.factor == row.factor));
        let text = self.plain_density(row, with);
        match (expected, self.style) {
            (false, _) => text,
            (true, Style::Unicode) => format!("exp E[log {text}]"),
            (true, Style::Latex) => format!("\\exp \\mathrm{{E}}[\\log {text}]"),
        }
    }

    fn plain_density(&mut self, row: &RowFactor, with: &HashMap<Term, Term>) -> String {
        // log π_k is a table of logs: its density is the element itself
        if let [case] = &row.cases[..]
            && let Node::Fun(Fun::Log, x) = *self.store.node(case.term)
        {
            let mut from_index = HashMap::new();
            for f in &self.plan.finite {
                let (ix, sym) = (self.store.index(f.ix), self.store.var(f.sym));
                if let Some(&to) = with.get(&sym) {
                    from_index.insert(ix, to);
                }
            }
            let x = self.store.substitute(x, &from_index);
            return term(&self.store, x, self.style);
        }
        let factor = &self.graph.factors[row.factor];
        match density_text(&mut self.store, factor, with, self.style) {
            Some(text) => text,
            // a choice between distributions: its own words
            None => {
                let value = self.store.substitute(factor.value, with);
                let value = term(&self.store, value, self.style);
                let dist = substituted(&mut self.store, &factor.dist, with);
                let dist = dist_text(&self.store, &dist, self.style);
                match self.style {
                    Style::Unicode => format!("p({value}; {dist})"),
                    Style::Latex => format!("p\\left({value}; {dist}\\right)"),
                }
            }
        }
    }
}

fn substituted(store: &mut Store, dist: &Dist, with: &HashMap<Term, Term>) -> Dist {
    match dist {
        Dist::Family {
            family,
            signature,
            args,
            span,
        } => Dist::Family {
            family: *family,
            signature: *signature,
            args: args.iter().map(|&a| store.substitute(a, with)).collect(),
            span: *span,
        },
        Dist::If {
            condition,
            then,
            otherwise,
        } => Dist::If {
            condition: store.substitute(*condition, with),
            then: Box::new(substituted(store, then, with)),
            otherwise: Box::new(substituted(store, otherwise, with)),
        },
    }
}

/// A letter that is not taken.
fn fresh_letter(taken: &mut Vec<String>) -> String {
    let found = ["l", "m", "i", "h", "q", "v"]
        .into_iter()
        .find(|l| !taken.iter().any(|t| t == l))
        .unwrap_or("w");
    taken.push(found.to_owned());
    found.to_owned()
}

fn subscript(letter: &str) -> String {
    const SMALL: [(char, char); 10] = [
        ('h', 'ₕ'),
        ('i', 'ᵢ'),
        ('j', 'ⱼ'),
        ('k', 'ₖ'),
        ('l', 'ₗ'),
        ('m', 'ₘ'),
        ('n', 'ₙ'),
        ('p', 'ₚ'),
        ('s', 'ₛ'),
        ('v', 'ᵥ'),
    ];
    let small = |c: char| SMALL.iter().find(|(a, _)| *a == c).map(|(_, b)| *b);
    match letter.chars().map(small).collect::<Option<String>>() {
        Some(text) => text,
        None => format!("_{letter}"),
    }
}
