//! What is allowed but worth a remark, and names that clash with the data's.

use crate::errors::ModelError;
use crate::graph::Role;
use crate::tables::{EntId, Kind, PlateKind, Rhs, Tables};
use lvmc_syntax::ast::{self, Expr, StmtKind, TargetIndex};

impl<'a> Tables<'a> {
    /// Counts how often each name is referred to.
    pub fn count_uses(&mut self, model: &'a ast::Model) {
        let mut exprs: Vec<(&Expr, bool)> = vec![];
        let mut todo: Vec<(&ast::Stmt, bool)> = model.items.iter().map(|s| (s, false)).collect();
        while let Some((s, guide)) = todo.pop() {
            match &s.kind {
                StmtKind::Dim(ds) => exprs.extend(ds.iter().filter_map(|(_, e)| e.as_ref()).map(|e| (e, guide))),
                StmtKind::Const { target, ty, value } => {
                    exprs.extend(target_exprs(target).into_iter().map(|e| (e, guide)));
                    exprs.extend(ty.iter().flat_map(|t| &t.sizes).chain(value).map(|e| (e, guide)));
                }
                StmtKind::Var(v) => {
                    exprs.extend(v.targets.iter().flat_map(target_exprs).map(|e| (e, guide)));
                    exprs.extend(v.ty.iter().flat_map(|t| &t.sizes).map(|e| (e, guide)));
                    if let Some(ast::Body::Random(e) | ast::Body::Equal(e)) = &v.body {
                        exprs.push((e, guide));
                    }
                }
                StmtKind::Net(n) => {
                    exprs.extend(n.body.iter().map(|(_, e, _)| (e, guide)));
                    let types = n.inputs.iter().chain(&n.outputs);
                    exprs.extend(types.flat_map(|(_, t)| &t.sizes).map(|e| (e, guide)));
                }
                StmtKind::ForEach { body, .. } => todo.extend(body.iter().map(|s| (s, guide))),
                StmtKind::Chain { body, range, .. } => {
                    exprs.extend(range.iter().flat_map(|(a, b)| [(a, guide), (b, guide)]));
                    todo.extend(body.iter().map(|s| (s, guide)));
                }
                StmtKind::Guide(body) => todo.extend(body.iter().map(|s| (s, true))),
                StmtKind::Fit(_) | StmtKind::Weight(_) => {}
            }
        }
        for (e, guide) in exprs {
            let mut found = vec![];
            crate::walk::names(e, &mut |name, _| found.extend(self.find(name, guide)));
            let mut calls = vec![e];
            while let Some(e) = calls.pop() {
                if let ast::ExprKind::Call { callee, .. } = &e.kind {
                    found.extend(self.names.get(&callee.name).copied());
                }
                calls.extend(crate::walk::parts(e));
            }
            for id in found {
                self.ents[id].uses += 1;
            }
        }
    }

    /// Remarks and the clash of a latent with a column.
    pub fn checks(&mut self) {
        // a model of hundreds of undeclared names was not written by hand
        let by_hand = self.ents.iter().filter(|e| e.free_in.is_some()).count() < 100;
        for id in 0..self.ents.len() {
            self.column_clash(id);
            self.unused(id);
            if by_hand {
                self.close_name(id);
            }
            self.free_indices(id);
        }
    }

    fn column_clash(&mut self, id: EntId) {
        let e = &self.ents[id];
        if e.role == Role::Latent
            && e.kind == Kind::Var
            && e.written.is_none()
            && self.settings.columns.contains(&e.name)
        {
            let (name, at, because) = (e.name.clone(), e.span, e.because.clone());
            self.error(ModelError::ColumnIsLatent {
                help: format!("it is observed:  data {name}\nit is not that column:  latent {name}"),
                because: format!("latent: {because}"),
                name,
                at,
            });
        }
    }

    fn unused(&mut self, id: EntId) {
        let e = &self.ents[id];
        let random = self
            .stmts
            .iter()
            .any(|s| s.ent == id && matches!(s.rhs, Rhs::Random(_)));
        if e.uses > 0 || e.column.is_some() || self.names_a_block(&e.name) {
            return;
        }
        let what = match (e.kind, e.role) {
            (Kind::Dim(_), _) => "dim",
            (Kind::Const, _) => "const",
            (Kind::Net(_), _) => "net",
            (Kind::Det, _) => "definition",
            (Kind::Var, Role::Param) => "param",
            (Kind::Var, Role::Given) => "given",
            (Kind::Var, Role::Latent | Role::Noise) if random => "variable",
            _ => return,
        };
        let text = format!("line {}: the {what} `{}` is never used", self.line(e.span), e.name);
        self.remarks.push(text);
    }

    /// `for each`, `by` or `weight` uses the name.
    fn names_a_block(&self, name: &str) -> bool {
        self.weight.as_ref().is_some_and(|(w, _)| w == name)
            || self.chains.iter().any(|c| c.by.as_deref() == Some(name))
            || self
                .plates
                .iter()
                .any(|p| matches!(&p.kind, PlateKind::Group { column, .. } if column == name))
    }

    /// A name that was free, and looks like a slip of another.
    fn close_name(&mut self, id: EntId) {
        let e = &self.ents[id];
        let implicit =
            matches!(e.kind, Kind::Dim(d) if self.sizes.slots[d.index()].freedom == crate::sizes::Freedom::Named);
        if e.uses > 1 || e.name.chars().count() < 3 || !(e.free_in.is_some() || implicit) {
            return;
        }
        let mut others: Vec<&str> = (0..self.ents.len())
            .filter(|&x| x != id && self.ents[x].free_in.is_none())
            .map(|x| self.ents[x].name.as_str())
            .collect();
        others.sort_unstable();
        if let Some(c) = crate::names::near(&e.name, &others) {
            let text = format!(
                "line {}: `{}` appears once and is not declared; is `{c}` meant?",
                self.line(e.span),
                e.name
            );
            self.remarks.push(text);
        }
    }

    /// A family of latents of every row that some category indexes is seldom meant.
    fn free_indices(&mut self, id: EntId) {
        let e = &self.ents[id];
        let chain = usize::from(e.chain.is_some());
        if e.kind == Kind::Var
            && e.role == Role::Latent
            && e.written.is_none()
            && e.global.is_none()
            && e.axes.len() > chain
        {
            let text = format!(
                "line {}: every row has its own `{}`; one for all rows is written: global latent {}",
                self.line(e.span),
                e.name,
                e.name
            );
            self.remarks.push(text);
        }
    }
}

fn target_exprs(t: &ast::Target) -> Vec<&Expr> {
    let mut out = vec![];
    for ix in &t.indices {
        match ix {
            TargetIndex::Family { from, to, .. } => out.extend([from, to]),
            TargetIndex::Position(e) => out.push(e),
        }
    }
    out
}
