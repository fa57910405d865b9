//! Positions of chains and families: which statement holds where, and where none does.

use crate::errors::ModelError;
use crate::tables::{Axis, EntId, Kind, Lhs, Pos, Rhs, Tables};
use lvmc_syntax::ast::{Expr, ExprKind, Subscript};
use lvmc_term::Size;

/// The last position of an axis.
fn last_of(axis: &Axis) -> Pos {
    let (dim, count) = match &axis.size {
        Size::Const(n) => (None, *n as i64),
        Size::Dim(_) => (Some(axis.size.clone()), 0),
        Size::Sum(parts) => {
            let count = parts
                .iter()
                .map(|p| if let Size::Const(n) = p { *n as i64 } else { 0 })
                .sum();
            (parts.iter().find(|p| !matches!(p, Size::Const(_))).cloned(), count)
        }
    };
    Pos {
        dim,
        index: None,
        off: axis.first + count - 1,
    }
}

impl Tables<'_> {
    /// Positions of axis `a` that have statements of their own.
    pub(crate) fn explicit_positions(&self, id: EntId, a: usize, guide: bool) -> Vec<Pos> {
        self.stmts
            .iter()
            .filter(|s| s.ent == id && s.guide == guide && matches!(s.rhs, Rhs::Random(_)))
            .filter_map(|s| match s.lhs.get(a) {
                Some(Lhs::At(p)) => Some(p.clone()),
                _ => None,
            })
            .collect()
    }

    /// The first and last value of an index at which everything exists that the statement's right side refers to;
    /// `None` where nothing binds it.
    pub(crate) fn reach(&self, s: usize, index: &str) -> (Option<i64>, Option<Pos>) {
        let (Rhs::Random(e) | Rhs::Equal(e, ..)) = self.stmts[s].rhs else {
            return (None, None);
        };
        let mut low: Option<i64> = None;
        let mut high: Option<Pos> = None;
        let mut todo: Vec<&Expr> = vec![e];
        while let Some(e) = todo.pop() {
            todo.extend(crate::walk::parts(e));
            let ExprKind::Index { base, indices } = &e.kind else {
                continue;
            };
            let ExprKind::Name(name) = &base.kind else { continue };
            let Some(id) = self.find(name, self.stmts[s].guide) else {
                continue;
            };
            let ent = &self.ents[id];
            if !matches!(ent.kind, Kind::Var | Kind::Const | Kind::Det) {
                continue;
            }
            for (k, ix) in indices.iter().enumerate() {
                let Subscript::At(x) = ix else { continue };
                // written order to storage order
                let a = match (k, ent.chain_written) {
                    (k, w) if k == w && ent.chain.is_some() => 0,
                    (k, w) if k < w && ent.chain.is_some() => k + 1,
                    (k, _) => k,
                };
                let (Some(p), Some(axis)) = (self.pos(x), ent.axes.get(a)) else {
                    continue;
                };
                if p.index.as_deref() != Some(index) {
                    continue;
                }
                low = low.max(Some(axis.first - p.off));
                let last = last_of(axis);
                let here = Pos {
                    off: last.off - p.off,
                    ..last
                };
                high = Some(match high {
                    Some(h) if self.same_dim(&h, &here) && h.off <= here.off => h,
                    Some(h) if !self.same_dim(&h, &here) => h,
                    _ => here,
                });
            }
        }
        (low, high)
    }

    fn same_dim(&self, a: &Pos, b: &Pos) -> bool {
        let dim = |p: &Pos| p.dim.as_ref().map(|d| self.sizes.resolve(d));
        dim(a) == dim(b)
    }

    /// Every position of a chain or of a family with statements has one.
    pub fn positions(&mut self) {
        for id in 0..self.ents.len() {
            if self.ents[id].kind != Kind::Var {
                continue;
            }
            for a in 0..self.ents[id].axes.len() {
                self.covered(id, a, false);
            }
            if !self.guides.is_empty() && self.ents[id].chain.is_some() {
                self.covered(id, 0, true);
            }
        }
    }

    fn covered(&mut self, id: EntId, a: usize, guide: bool) {
        let stmts: Vec<usize> = (0..self.stmts.len())
            .filter(|&s| {
                let x = &self.stmts[s];
                x.ent == id && x.guide == guide && matches!(x.rhs, Rhs::Random(_))
            })
            .collect();
        if stmts.is_empty() {
            return;
        }
        let axis = self.ents[id].axes[a].clone();
        let mut explicit = self.explicit_positions(id, a, guide);
        explicit.extend(self.ents[id].data_at.clone().filter(|_| a == 0));
        let general: Vec<usize> = stmts
            .iter()
            .copied()
            .filter(|&s| !matches!(self.stmts[s].lhs.get(a), Some(Lhs::At(_))))
            .collect();
        let last = last_of(&axis);
        let Some(&s) = general.first() else {
            let s = stmts[0];
            self.only_explicit(id, s, &axis, &last, &explicit);
            return;
        };
        let (low, high) = match self.stmts[s].lhs.get(a) {
            Some(Lhs::Chain(off)) => {
                let off = *off;
                let Some(c) = self.stmts[s].chain.map(|c| self.chains[c].clone()) else {
                    return;
                };
                let (low, high) = self.reach(s, &c.index);
                let low = low.unwrap_or(c.lo).max(c.lo) + off;
                let end = c.hi.clone().unwrap_or(last.clone());
                let high = match high {
                    Some(h) if self.same_dim(&h, &end) && h.off < end.off => h,
                    _ => end,
                };
                (
                    low,
                    Pos {
                        off: high.off + off,
                        ..high
                    },
                )
            }
            Some(Lhs::Range(r)) => {
                let r = self.ranges[*r].clone();
                let (low, high) = self.reach(s, &r.name);
                let high = match high {
                    Some(h) if self.same_dim(&h, &last) && h.off < last.off => h,
                    _ => last.clone(),
                };
                (low.unwrap_or(r.first).max(r.first), high)
            }
            _ => return,
        };
        self.gap(id, s, &axis, (low, &high), &last, &explicit);
    }

    fn gap(&mut self, id: EntId, s: usize, axis: &Axis, (low, high): (i64, &Pos), last: &Pos, explicit: &[Pos]) {
        let has = |t: &Self, p: &Pos| explicit.iter().any(|e| t.same_dim(e, p) && e.off == p.off);
        for off in axis.first..low.min(axis.first + 50) {
            let p = Pos {
                dim: None,
                index: None,
                off,
            };
            if !has(self, &p) {
                self.missing(id, s, &p);
                return;
            }
        }
        if self.same_dim(high, last) {
            for off in (high.off + 1..=last.off).take(50) {
                let p = Pos { off, ..last.clone() };
                if !has(self, &p) {
                    self.missing(id, s, &p);
                    return;
                }
            }
        }
    }

    fn only_explicit(&mut self, id: EntId, s: usize, axis: &Axis, last: &Pos, explicit: &[Pos]) {
        if last.dim.is_some() {
            self.missing(id, s, last);
            return;
        }
        let gap = (axis.first..=last.off)
            .take(10_000)
            .find(|&off| !explicit.iter().any(|e| e.dim.is_none() && e.off == off));
        if let Some(off) = gap {
            let p = Pos { off, ..last.clone() };
            self.missing(id, s, &p);
        }
    }

    fn missing(&mut self, id: EntId, s: usize, p: &Pos) {
        let name = self.ents[id].name.clone();
        let position = match (&p.dim, p.off) {
            (None, n) => n.to_string(),
            (Some(d), 0) => self.sizes.text(d),
            (Some(d), n) if n > 0 => format!("{} + {n}", self.sizes.text(d)),
            (Some(d), n) => format!("{} - {}", self.sizes.text(d), -n),
        };
        self.error(ModelError::MissingPosition {
            help: format!("add one:  {name}[{position}] ~ …"),
            name,
            position,
            at: self.stmts[s].span,
        });
    }
}
