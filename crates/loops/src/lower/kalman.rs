//! The scan of a chain of Gaussian states: slopes and covariances in `prepare`, what differs from row to row in `potentials`.

use super::context::Lower;
use super::jobs::{Job, What};
use super::rowexpr::RowScope;
use crate::builder::{FuncBuilder, ProgramBuilder};
use crate::ir::{BufId, BufKind};
use crate::lowered::ScoreSlot;
use crate::scan::{LinearGaussian, Offset, Part, Statement};
use lvmc_derive::plan::Linear;
use lvmc_term::{SymId, Term};

/// Buffers of a Gaussian chain.
#[derive(Debug, Clone)]
pub struct GaussianChain {
    /// The scan.
    pub scan: LinearGaussian,
    /// Offsets that differ from row to row, and their columns.
    rows: Vec<(Term, BufId)>,
}

impl Lower<'_> {
    /// Buffers and tables of the Gaussian chain, if the plan has one.
    pub fn add_gaussian_chain(&mut self, pb: &mut ProgramBuilder, starts: &[ScoreSlot]) {
        let Some(chain) = self.plan.gaussian_chain.clone().filter(|c| !c.mean_field) else {
            return;
        };
        let Some(parts) = self.chain_parts(&chain, starts) else {
            return;
        };
        let mut rows = vec![];
        let mut statements = vec![];
        for (i, st) in chain.statements.iter().enumerate() {
            let size = self.len_of(st.offset).max(1);
            let name = format!("chain.{i}");
            let offset = if self.s.per_row(st.offset) {
                let buf = pb.buffer(&format!("{name}.offset"), BufKind::Out, size);
                rows.push((st.offset, buf));
                Offset::Rows(buf)
            } else {
                Offset::Table(self.chain_job(pb, &format!("{name}.offset"), st.offset))
            };
            let slopes = st.slopes.iter();
            let slopes = slopes
                .map(|&(part, t)| (part, self.chain_job(pb, &format!("{name}.slope.{part}"), t)))
                .collect();
            statements.push(Statement {
                when: st.when,
                of: st.of,
                size,
                offset,
                slopes,
                covariance: self.chain_job(pb, &format!("{name}.covariance"), st.covariance),
                mask: self.mask_column(st),
            });
        }
        let scan = LinearGaussian {
            parts,
            statements,
            regimes: chain.regimes,
            row_score: self.fixed.row_score,
        };
        self.gaussian_chain = Some(GaussianChain { scan, rows });
    }

    /// The column of a statement's mask, and how many it has.
    pub fn mask_column(&self, st: &Linear) -> Option<(BufId, usize)> {
        let column = self.columns.get(&st.mask?)?;
        Some((column.buf, column.cols))
    }

    /// Buffers of the latents that a row knows.
    pub fn chain_parts(&self, chain: &lvmc_derive::plan::LinearGaussian, starts: &[ScoreSlot]) -> Option<Vec<Part>> {
        let buffer = |x: &SymId| self.temps.get(x).copied();
        let part = |p: &lvmc_derive::plan::Part| {
            let shape = &self.s.sym(p.sym).shape;
            Some(Part {
                size: self.dims(shape).iter().product::<usize>().max(1),
                lagged: p.lagged,
                next: p.next,
                mean: buffer(&p.mean)?,
                moves: p.moves.iter().filter_map(buffer).collect(),
                start: starts.iter().find(|s| s.sym == p.sym).map(|s| s.buf),
            })
        };
        chain.parts.iter().map(part).collect()
    }

    fn chain_job(&mut self, pb: &mut ProgramBuilder, name: &str, t: Term) -> BufId {
        let out = pb.buffer(name, BufKind::Table, self.len_of(t).max(1));
        self.jobs.push(Job {
            ixs: vec![],
            out,
            what: What::Term(t),
        });
        out
    }

    /// What the scan reads of a row.
    pub fn gaussian_chain_rows(&mut self, b: &mut FuncBuilder<'_>) {
        let rows = self
            .gaussian_chain
            .iter()
            .flat_map(|g| g.rows.clone())
            .collect::<Vec<_>>();
        for (t, out) in rows {
            let mut scope = RowScope::default();
            self.copy_row(b, &mut scope, t, out);
        }
    }
}
