//! Family axes, chain positions and what each left side ranges over.

use crate::errors::ModelError;
use crate::left_side::Written;
use crate::sizes::Freedom;
use crate::tables::{Axis, EntId, Kind, PlateKind, Pos, Rhs, Tables};
use lvmc_base::Span;
use lvmc_syntax::ast::{Expr, ExprKind, Role};
use lvmc_term::{Size, sum_sizes};

impl<'a> Tables<'a> {
    /// Ranges of the chains.
    pub fn chain_ranges(&mut self) {
        for c in 0..self.chains.len() {
            let span = self.chains[c].span;
            let Some((a, b)) = self.chains[c].range else {
                let d = self.sizes.add(None, Freedom::Fixed, span);
                self.chains[c].size = Size::Dim(d);
                continue;
            };
            let (first, last) = (self.end_of(a), self.end_of(b));
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            let down = last.dim.is_none() && (first.dim.is_some() || first.off > last.off);
            let (lo, hi) = if down { (last, first) } else { (first, last) };
            self.chains[c].down = down;
            if let Some((lo, size)) = self.extent(&lo, &hi, a.span.to(b.span)) {
                self.chains[c].lo = lo;
                self.chains[c].hi = Some(hi);
                self.chains[c].size = size;
            }
        }
    }

    /// An end of a range: names nobody declared become sizes.
    fn end_of(&mut self, e: &Expr) -> Option<Pos> {
        if let ExprKind::Name(_) = &e.kind
            && self.pos(e).is_some_and(|p| p.index.is_some())
        {
            self.size_of(e)?;
        }
        let pos = self.pos(e).filter(|p| p.index.is_none());
        if pos.is_none() {
            let what = format!("the end `{}` of a range", self.text(e.span));
            self.unsupported(
                what,
                e.span,
                "an end is a number or a dim, plus or minus a number: 1..T, 0..T-1",
            );
        }
        pos
    }

    pub(crate) fn unsupported(&mut self, what: String, at: Span, help: &str) {
        self.error(ModelError::Unsupported {
            what,
            at,
            help: help.into(),
        });
    }

    /// First position and number of positions of `lo..hi`.
    fn extent(&mut self, lo: &Pos, hi: &Pos, at: Span) -> Option<(i64, Size)> {
        let count = hi.off - lo.off + 1;
        if lo.dim.is_some() {
            self.unsupported("a range that starts at a dim".into(), at, "start it at a number: 1..T");
            return None;
        }
        let size = match &hi.dim {
            None if (1..=1_000_000_000).contains(&count) => Size::Const(count as usize),
            None => {
                self.error(ModelError::Index {
                    what: "this range is empty or too long".into(),
                    at,
                    label: format!("from {} to {}", lo.off, hi.off),
                    help: "a range runs from its first to its last position, both included: 1..T".into(),
                });
                return None;
            }
            Some(d) if count >= 0 => sum_sizes([d.clone(), Size::Const(count as usize)]),
            Some(_) => {
                self.unsupported(
                    "a range with fewer positions than its dim".into(),
                    at,
                    "declare the shorter size as a dim of its own",
                );
                return None;
            }
        };
        Some((lo.off, size))
    }

    /// Decides axes of every declared name, then what each left side ranges over.
    pub fn axes(&mut self) {
        for id in 0..self.ents.len() {
            if matches!(self.ents[id].kind, Kind::Var | Kind::Det | Kind::Const) {
                self.chain_of(id);
            }
        }
        self.pull_into_row_chains();
        for id in 0..self.ents.len() {
            if matches!(self.ents[id].kind, Kind::Var | Kind::Det | Kind::Const) && !self.ents[id].axes_known {
                self.axes_of(id);
            }
        }
    }

    /// The chain a name lives in: that of its model statements, or of the guide for names of the guide's own.
    fn chain_of(&mut self, id: EntId) {
        let e = &self.ents[id];
        if matches!(e.written, Some((Role::Param, _))) || e.kind == Kind::Const || e.global.is_some() {
            self.ents[id].plate = 0;
            return;
        }
        let guide = e.guide;
        let found = self
            .stmts
            .iter()
            .find(|s| s.ent == id && s.guide == guide && s.chain.is_some());
        if let Some(s) = found {
            self.ents[id].chain = s.chain;
            self.ents[id].plate = s.plate;
        }
    }

    /// Rows are the positions of a chain over rows: what a statement of such a chain refers to is a sequence too.
    fn pull_into_row_chains(&mut self) {
        for _ in 0..=self.ents.len() {
            let mut changed = false;
            for s in 0..self.stmts.len() {
                let names = self.names_in_stmt(s);
                if let Some(c) = self.stmts[s].chain.filter(|&c| self.is_row_chain(c)) {
                    for id in names {
                        changed |= self.pull_ent(id, c);
                    }
                } else if self.is_rows(self.stmts[s].plate) && !self.stmts[s].guide {
                    let chain = names
                        .iter()
                        .filter_map(|&id| self.ents[id].chain)
                        .find(|&c| self.is_row_chain(c));
                    if let Some(c) = chain {
                        self.stmts[s].chain = Some(c);
                        self.stmts[s].plate = self.chains[c].plate;
                        changed = true;
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn is_rows(&self, plate: usize) -> bool {
        matches!(self.plates[plate].kind, PlateKind::Row { .. })
    }

    fn pull_ent(&mut self, id: EntId, chain: usize) -> bool {
        let e = &self.ents[id];
        let movable = matches!(e.kind, Kind::Var | Kind::Det) && e.chain.is_none() && self.is_rows(e.plate);
        if movable {
            self.ents[id].chain = Some(chain);
            self.ents[id].plate = self.chains[chain].plate;
        }
        movable
    }

    /// Entities that a statement's two sides name.
    pub(crate) fn names_in_stmt(&self, s: usize) -> Vec<EntId> {
        let stmt = &self.stmts[s];
        let mut out = vec![stmt.ent];
        if let Rhs::Random(e) | Rhs::Equal(e, ..) = stmt.rhs {
            let guide = stmt.guide;
            crate::walk::names(e, &mut |name, _| out.extend(self.find(name, guide)));
        }
        out
    }

    fn axes_of(&mut self, id: EntId) {
        self.ents[id].axes_known = true;
        let stmts: Vec<usize> = (0..self.stmts.len()).filter(|&s| self.stmts[s].ent == id).collect();
        let mut written: Vec<Vec<Written<'a>>> = vec![];
        for &s in &stmts {
            let w = self.written_indices(s);
            written.push(w);
        }
        let chain = self.ents[id].chain;
        // the chain's axis: where its index stands; the first where only positions are written
        let chain_at = written
            .iter()
            .find_map(|w| w.iter().position(|x| matches!(x, Written::Chain(_))))
            .unwrap_or(0);
        self.ents[id].chain_written = if chain.is_some() { chain_at } else { 0 };
        for w in &mut written {
            if chain.is_some() && chain_at < w.len() {
                let x = w.remove(chain_at);
                w.insert(0, x);
            } else if chain.is_some() && w.is_empty() {
                w.push(Written::Chain(0));
            }
        }
        let count = written.iter().map(Vec::len).max().unwrap_or(0);
        let mut axes = vec![];
        for a in 0..count {
            let column: Vec<(usize, Written<'a>)> = stmts
                .iter()
                .zip(&written)
                .filter_map(|(&s, w)| Some((s, w.get(a)?.clone())))
                .collect();
            let axis = match chain {
                Some(c) if a == 0 => self.chain_axis(id, c, &column),
                _ => self.family_axis(&column),
            };
            axes.push(axis.unwrap_or(Axis {
                first: 1,
                size: Size::Const(1),
                index: None,
            }));
        }
        self.ents[id].axes = axes;
        for (s, w) in stmts.into_iter().zip(written) {
            self.left_side(id, s, &w);
        }
        self.clashes(id);
    }

    fn chain_axis(&mut self, id: EntId, c: usize, column: &[(usize, Written<'a>)]) -> Option<Axis> {
        let index = Some(self.chains[c].index.clone());
        let (lo, size) = (self.chains[c].lo, self.chains[c].size.clone());
        let Some(hi) = self.chains[c].hi.clone() else {
            return Some(Axis { first: 1, size, index });
        };
        let (mut first, mut last) = (None::<i64>, None::<Pos>);
        let mut see = |from: Option<i64>, to: Pos| {
            first = [first, from].into_iter().flatten().min();
            last = Some(match last.take() {
                Some(p) if (p.dim.is_some(), p.off) >= (to.dim.is_some(), to.off) => p,
                _ => to,
            });
        };
        for (s, w) in column {
            match w {
                Written::Chain(off) if self.stmts[*s].chain.is_some() => see(
                    Some(lo + off),
                    Pos {
                        off: hi.off + off,
                        ..hi.clone()
                    },
                ),
                Written::At(p) => {
                    see(p.dim.is_none().then_some(p.off), p.clone());
                    if matches!(self.ents[id].written, Some((Role::Data, _))) && matches!(self.stmts[*s].rhs, Rhs::None)
                    {
                        self.ents[id].data_at = Some(p.clone());
                    }
                }
                Written::Family(_, a, b) => {
                    if let (Some(a), Some(b)) = (self.end_of(a), self.end_of(b)) {
                        see(a.dim.is_none().then_some(a.off), b);
                    }
                }
                _ => {}
            }
        }
        let lo = Pos {
            dim: None,
            index: None,
            off: first.unwrap_or(lo),
        };
        let span = self.ents[id].span;
        let (first, size) = self.extent(&lo, &last.unwrap_or(hi), span)?;
        Some(Axis { first, size, index })
    }

    fn family_axis(&mut self, column: &[(usize, Written<'a>)]) -> Option<Axis> {
        for (_, w) in column {
            match w {
                Written::Family(name, a, b) => {
                    let (lo, hi) = (self.end_of(a)?, self.end_of(b)?);
                    let (first, size) = self.extent(&lo, &hi, a.span.to(b.span))?;
                    let index = Some(name.clone());
                    return Some(Axis { first, size, index });
                }
                Written::Size(e) => {
                    let size = self.size_of(e)?;
                    return Some(Axis {
                        first: 1,
                        size,
                        index: None,
                    });
                }
                _ => {}
            }
        }
        for (s, w) in column {
            if let Written::Over(name) = w {
                let Some(&(a, b)) = self.index_names.get(name) else {
                    let span = self.stmts[*s].target.span;
                    self.error(ModelError::Undeclared {
                        name: name.clone(),
                        at: span,
                        help: format!(
                            "say what it runs over: {}[{name} in 1..K]",
                            self.ents[self.stmts[*s].ent].name
                        ),
                    });
                    return None;
                };
                let (lo, hi) = (self.end_of(a)?, self.end_of(b)?);
                let (first, size) = self.extent(&lo, &hi, a.span.to(b.span))?;
                let index = Some(name.clone());
                return Some(Axis { first, size, index });
            }
        }
        let last = column.iter().filter_map(|(_, w)| match w {
            Written::At(p) if p.dim.is_none() => Some(p.off),
            _ => None,
        });
        let n = last.max().filter(|n| (1..=1_000_000).contains(n))?;
        Some(Axis {
            first: 1,
            size: Size::Const(n as usize),
            index: None,
        })
    }
}
