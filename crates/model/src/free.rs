//! Free names: one used as a distribution's parameter is a param; one that `data x = …` computes from is a column.

use crate::graph::Role;
use crate::tables::{Axis, Kind, Lhs, Rhs, Tables};
use lvmc_base::Span;
use lvmc_syntax::ast::{self, BinaryOp, Expr, ExprKind};

impl<'a> Tables<'a> {
    /// Enters the free names of all model statements.
    pub fn free_names(&mut self) {
        for s in 0..self.stmts.len() {
            let (ent, guide) = (self.stmts[s].ent, self.stmts[s].guide);
            match self.stmts[s].rhs {
                Rhs::Random(e) if !guide => self.free_in_dist(e, s),
                Rhs::Equal(e, ..) if matches!(self.ents[ent].written, Some((ast::Role::Data, _))) => {
                    self.columns_of(e, s);
                }
                _ => {}
            }
        }
        self.block_columns();
    }

    /// The name is bound by the statement: an index of its left side or of its chain.
    pub(crate) fn bound_index(&self, name: &str, s: usize) -> bool {
        let stmt = &self.stmts[s];
        stmt.chain.is_some_and(|c| self.chains[c].index == name)
            || stmt
                .lhs
                .iter()
                .any(|l| matches!(l, Lhs::Range(r) if self.ranges[*r].name == name))
    }

    fn free_in_dist(&mut self, e: &'a Expr, s: usize) {
        match &e.kind {
            ExprKind::Call { callee, args } if lvmc_families::registry::find(&callee.name).is_some() => {
                for (_, a) in args {
                    self.parameter_place(a, e.span, s);
                }
            }
            ExprKind::If(_, a, b) => {
                self.free_in_dist(a, s);
                self.free_in_dist(b, s);
            }
            ExprKind::Match(_, arms) => arms.iter().for_each(|(_, a)| self.free_in_dist(a, s)),
            _ => {}
        }
    }

    fn parameter_place(&mut self, e: &'a Expr, call: Span, s: usize) {
        match &e.kind {
            ExprKind::Name(name) => self.free_param(name, e.span, 0, call, s),
            ExprKind::Index { base, indices } => {
                if let ExprKind::Name(name) = &base.kind {
                    self.free_param(name, base.span, indices.len(), call, s);
                }
            }
            ExprKind::Call { callee, args } if callee.name == "diag" && args.len() == 1 => {
                self.parameter_place(&args[0].1, call, s);
            }
            ExprKind::Binary(BinaryOp::Mul, a, b) if is_identity(b) => self.parameter_place(a, call, s),
            ExprKind::Binary(BinaryOp::Mul, a, b) if is_identity(a) => self.parameter_place(b, call, s),
            ExprKind::If(_, a, b) => {
                self.parameter_place(a, call, s);
                self.parameter_place(b, call, s);
            }
            ExprKind::Match(_, arms) => arms.iter().for_each(|(_, a)| self.parameter_place(a, call, s)),
            _ => {}
        }
    }

    fn free_param(&mut self, name: &str, span: Span, indices: usize, call: Span, s: usize) {
        if name == "I" || self.find(name, false).is_some() || self.bound_index(name, s) {
            return;
        }
        let id = self.add_ent(name, span, Kind::Var, false);
        let axes = (0..indices)
            .map(|i| Axis {
                first: 1,
                size: self.place_size(span, u8::try_from(i).unwrap_or(u8::MAX)),
                index: None,
            })
            .collect();
        let text = self.text(call).to_string();
        let e = &mut self.ents[id];
        e.plate = 0;
        e.role = Role::Param;
        e.free_in = Some(call);
        e.because = format!("free in {text}");
        e.axes = axes;
        e.axes_known = true;
    }

    fn columns_of(&mut self, e: &'a Expr, s: usize) {
        let mut free = vec![];
        crate::walk::names(e, &mut |name, span| free.push((name, span)));
        for (name, span) in free {
            if self.find(name, false).is_none() && !self.bound_index(name, s) && name != "I" {
                let id = self.add_ent(name, span, Kind::Var, false);
                let because = format!("column that {} is computed from", self.ents[self.stmts[s].ent].name);
                let (plate, chain) = (self.stmts[s].plate, None);
                let e = &mut self.ents[id];
                e.plate = plate;
                e.chain = chain;
                e.role = Role::Given;
                e.column = Some(because);
                e.axes_known = true;
            }
        }
    }

    /// Columns that `by`, `for each` and `weight` name are given, as if declared.
    fn block_columns(&mut self) {
        use crate::tables::PlateKind;
        let mut columns: Vec<(String, Span, usize, String)> = vec![];
        for (i, p) in self.plates.iter().enumerate() {
            match &p.kind {
                PlateKind::Group { column, .. } => {
                    columns.push((column.clone(), p.span, 1, format!("for each {column}")));
                }
                PlateKind::Chain { chain, .. } => {
                    if let Some(by) = &self.chains[*chain].by {
                        let plate = if self.chains[*chain].range.is_none() { i } else { 1 };
                        columns.push((
                            by.clone(),
                            p.span,
                            plate,
                            format!("orders the chain {}", self.chains[*chain].index),
                        ));
                    }
                }
                _ => {}
            }
        }
        if let Some((w, span)) = &self.weight {
            columns.push((w.clone(), *span, 1, "weight of a row".into()));
        }
        for (name, span, _, because) in columns {
            let kind = if because.starts_with("for each") {
                lvmc_term::Support::Category(self.place_size(span, 9))
            } else if because.starts_with("weight") {
                lvmc_term::Support::NonNegative
            } else {
                lvmc_term::Support::Real
            };
            if self.names.contains_key(&name) {
                continue;
            }
            let id = self.add_ent(&name, span, Kind::Var, false);
            let e = &mut self.ents[id];
            e.role = Role::Given;
            e.column = Some(because);
            e.shape = Some(vec![]);
            e.support = Some(kind);
            e.axes_known = true;
        }
    }
}

fn is_identity(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Name(n) => n == "I",
        ExprKind::Index { base, .. } => matches!(&base.kind, ExprKind::Name(n) if n == "I"),
        _ => false,
    }
}
