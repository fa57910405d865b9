//! Left sides: what their brackets mean, and what a statement ranges over.

use crate::tables::{EntId, Kind, Lhs, Pos, Range, Rhs, Tables};
use lvmc_syntax::ast::{Expr, TargetIndex};
use lvmc_term::Size;

/// What one written index of one left side turns out to be.
#[derive(Debug, Clone)]
pub(crate) enum Written<'a> {
    /// `k in a..b`.
    Family(String, &'a Expr, &'a Expr),
    /// `K`: a family of 1..K.
    Size(&'a Expr),
    /// The chain's index plus that.
    Chain(i64),
    /// A name that ranges over the axis.
    Over(String),
    /// One position.
    At(Pos),
}

impl<'a> Tables<'a> {
    /// What the brackets of a left side mean.
    pub(crate) fn written_indices(&mut self, s: usize) -> Vec<Written<'a>> {
        let target = self.stmts[s].target;
        target.indices.iter().map(|ix| self.written_index(s, ix)).collect()
    }

    fn written_index(&mut self, s: usize, ix: &'a TargetIndex) -> Written<'a> {
        let (chain, declares, id) = (self.stmts[s].chain, self.stmts[s].declares, self.stmts[s].ent);
        let own = self.ents[id].chain;
        let e = match ix {
            TargetIndex::Family { index, from, to } => return Written::Family(index.name.clone(), from, to),
            TargetIndex::Position(e) => e,
        };
        let pos = self.pos(e);
        if let Some(Pos {
            index: Some(name), off, ..
        }) = &pos
        {
            if chain.is_some_and(|c| self.chains[c].index == *name) {
                return Written::Chain(*off);
            }
            if *off == 0 && (self.index_names.contains_key(name) || !declares) {
                return Written::Over(name.clone());
            }
        }
        let number = matches!(&pos, Some(p) if p.dim.is_none() && p.index.is_none());
        let position = number && own.is_some() || chain.is_some() && own.is_some();
        if declares && !position && self.ents[id].kind != Kind::Det {
            return Written::Size(e);
        }
        match pos.filter(|p| p.index.is_none()) {
            Some(p) => Written::At(p),
            None => {
                let what = format!("the position `{}` on a left side", self.text(e.span));
                self.unsupported(
                    what,
                    e.span,
                    "a position is a number, a dim or an index, plus or minus a number",
                );
                Written::At(Pos {
                    dim: None,
                    index: None,
                    off: 1,
                })
            }
        }
    }

    /// Fills in `lhs` of a statement that has a right side.
    pub(crate) fn left_side(&mut self, id: EntId, s: usize, written: &[Written<'a>]) {
        let axes = self.ents[id].axes.clone();
        let mut lhs = vec![];
        for (a, axis) in axes.iter().enumerate() {
            let name = match written.get(a) {
                Some(Written::Chain(off)) => {
                    lhs.push(Lhs::Chain(*off));
                    continue;
                }
                Some(Written::At(p)) => {
                    lhs.push(Lhs::At(p.clone()));
                    continue;
                }
                Some(Written::Family(n, ..) | Written::Over(n)) => Some(n.clone()),
                Some(Written::Size(_)) | None => axis.index.clone(),
            };
            let name = name.unwrap_or_else(|| self.index_name(&axis.size));
            self.ranges.push(Range {
                name,
                first: axis.first,
                size: axis.size.clone(),
            });
            lhs.push(Lhs::Range(self.ranges.len() - 1));
        }
        self.stmts[s].lhs = lhs;
    }

    /// An index's name from its size's: k of K.
    fn index_name(&self, size: &Size) -> String {
        let name = self.sizes.text(size).to_lowercase();
        if name.chars().count() == 1 && name.chars().all(char::is_alphabetic) && !self.names.contains_key(&name) {
            name
        } else {
            "i".into()
        }
    }

    /// Two random statements for the same positions.
    pub(crate) fn clashes(&mut self, id: EntId) {
        let key = |t: &Self, s: usize| -> Vec<String> {
            let part = |l: &Lhs| match l {
                Lhs::Range(_) => "*".into(),
                Lhs::Chain(o) => format!("chain {o}"),
                Lhs::At(p) => format!("{p:?}"),
            };
            t.stmts[s].lhs.iter().map(part).collect()
        };
        let random: Vec<usize> = (0..self.stmts.len())
            .filter(|&s| self.stmts[s].ent == id && matches!(self.stmts[s].rhs, Rhs::Random(_)))
            .collect();
        for (i, &s) in random.iter().enumerate() {
            let same = |&&r: &&usize| self.stmts[r].guide == self.stmts[s].guide && key(self, r) == key(self, s);
            if let Some(&first) = random[..i].iter().find(same) {
                let name = self.ents[id].name.clone();
                let (at, first) = (self.stmts[s].span, self.stmts[first].span);
                self.twice(
                    &name,
                    "given a distribution",
                    at,
                    first,
                    "keep one of the two statements",
                );
            }
        }
    }
}
