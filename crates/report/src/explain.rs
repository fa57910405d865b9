//! `lvmc explain`: one variable's story.

use crate::layout::{table, wrap};
use crate::math::{Style, condition, term};
use crate::words;
use lvmc_derive::plan::Plan;
use lvmc_model::graph::{ModelGraph, Role, Var};
use lvmc_model::role_text;
use serde_json::{Value, json};

/// How a variable is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The variable.
    pub name: String,
    /// Its role.
    pub role: &'static str,
    /// How it is found, in one sentence.
    pub how: String,
    /// The rule that took it.
    pub rule: Option<String>,
    /// What its update satisfies.
    pub condition: Option<String>,
    /// The terms of the objective in which it stands: (line, term).
    pub terms: Vec<(usize, String)>,
    /// Rules that declined before: (rule, reason).
    pub declined: Vec<(String, String)>,
    /// Edits that would restore a closed form.
    pub edits: Vec<String>,
}

/// Explains one variable of a plan.
#[must_use]
pub fn explain(graph: &ModelGraph, plan: &Plan, var: &Var) -> Explanation {
    let mut out = Explanation {
        name: var.name.clone(),
        role: role_text(var.role),
        how: String::new(),
        rule: None,
        condition: None,
        terms: vec![],
        declined: vec![],
        edits: vec![],
    };
    for row in &plan.expected {
        for case in row.cases.iter().filter(|c| plan.store.depends_on_sym(c.term, var.sym)) {
            out.terms.push((
                graph.source.line(row.span.start),
                term(&plan.store, case.term, Style::Unicode),
            ));
        }
    }
    for prior in plan
        .priors
        .iter()
        .filter(|p| plan.store.depends_on_sym(p.term, var.sym))
    {
        out.terms.push((
            graph.source.line(prior.span.start),
            term(&plan.store, prior.term, Style::Unicode),
        ));
    }
    if let Some(update) = plan
        .updates
        .iter()
        .find(|u| words::targets(&plan.store, u).contains(&var.sym))
    {
        out.how = words::how(&plan.store, update);
        out.rule = Some(update.rule.to_owned());
        out.condition = Some(condition(&plan.store, &update.condition, Style::Unicode));
        if let Some(d) = plan.remarks.iter().find(|d| d.param == var.sym) {
            let says = |r: &&(&str, String)| r.0 != update.rule && !r.1.starts_with("its type is not");
            let before = d.reasons.iter().filter(says);
            out.declined = before.map(|(rule, why)| ((*rule).to_owned(), why.clone())).collect();
        }
        return out;
    }
    out.how = match var.role {
        Role::Latent => match words::inference(graph, plan)
            .into_iter()
            .find(|l| l.names.contains(&var.name))
        {
            Some(l) => {
                out.rule = Some(l.rule);
                l.how
            }
            None => "summed out".into(),
        },
        Role::Data => "observed, with a distribution; a missing cell is integrated out".into(),
        Role::Given => "a covariate: conditioned on, never modelled".into(),
        Role::Const => "a constant: --set changes it".into(),
        Role::Param => "no statement mentions it: it keeps its starting value".into(),
        Role::Noise => "an auxiliary variable of the guide".into(),
        Role::Deterministic => "a definition: it is substituted wherever it stands".into(),
    };
    out
}

impl Explanation {
    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let rule = self.rule.as_ref().map_or(String::new(), |r| format!(" ({r})"));
        let mut out = format!("{}, a {}: {}{rule}\n", self.name, self.role, self.how);
        if !self.terms.is_empty() {
            out.push_str("  it stands in\n");
            let rows: Vec<Vec<String>> = self
                .terms
                .iter()
                .map(|(line, t)| vec![format!("line {line}"), wrap(t, 86, 13)])
                .collect();
            out.push_str(&table(&rows, &[], 4, 3));
        }
        if let Some(c) = &self.condition {
            out.push_str(&format!("  its update satisfies\n    {}\n", wrap(c, 96, 6)));
        }
        if !self.declined.is_empty() {
            out.push_str("  declined before\n");
            let rows: Vec<Vec<String>> = self
                .declined
                .iter()
                .map(|(r, why)| vec![r.clone(), why.clone()])
                .collect();
            out.push_str(&table(&rows, &[], 4, 3));
        }
        if !self.edits.is_empty() {
            out.push_str("  closed form again with\n");
            for edit in &self.edits {
                out.push_str(&format!("    {edit}\n"));
            }
        }
        out
    }

    /// As data.
    #[must_use]
    pub fn json(&self) -> Value {
        let terms: Vec<Value> = self
            .terms
            .iter()
            .map(|(line, t)| json!({ "line": line, "term": t }))
            .collect();
        let declined: Vec<Value> = self
            .declined
            .iter()
            .map(|(r, why)| json!({ "rule": r, "why": why }))
            .collect();
        json!({
            "name": self.name,
            "role": self.role,
            "how": self.how,
            "rule": self.rule,
            "condition": self.condition,
            "terms": terms,
            "declined": declined,
            "closed_form_with": self.edits,
        })
    }
}
