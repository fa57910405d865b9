//! The Gaussian part of a structured mean-field posterior: slopes and covariances of every case in `prepare`, offsets that
//! differ from row to row in `offsets`, and the finite part's weights in `weights`.

use super::context::{Lower, each};
use super::jobs::{Job, What};
use super::rowexpr::RowScope;
use crate::builder::{FuncBuilder, ProgramBuilder};
use crate::ir::{BufId, BufKind, Index};
use crate::lowered::ScoreSlot;
use crate::scan::{LinearGaussian, MeanField, Offset, SeenPart, Weighted};
use lvmc_derive::plan::{self, Linear};
use lvmc_term::{IxId, SymId, Term};

/// Buffers of the Gaussian part.
#[derive(Debug, Clone)]
pub struct MeanFieldCode {
    /// The scan.
    pub scan: MeanField,
    /// Offsets that differ from row to row: for each value of the indices, the columns.
    rows: Vec<(Vec<IxId>, Term, BufId)>,
    /// The finite variables of each of the scan's weights.
    weights: Vec<Vec<SymId>>,
}

impl Lower<'_> {
    /// Buffers and tables of the Gaussian part, if q is a product.
    pub fn add_mean_field(&mut self, pb: &mut ProgramBuilder, starts: &[ScoreSlot]) {
        let Some(chain) = self.plan.gaussian_chain.clone().filter(|c| c.mean_field) else {
            return;
        };
        let Some(parts) = self.chain_parts(&chain, starts) else {
            return;
        };
        let mut code = MeanFieldCode {
            scan: MeanField {
                frame: LinearGaussian {
                    parts,
                    statements: vec![],
                    regimes: 0,
                    row_score: self.fixed.row_score,
                },
                statements: vec![],
                weights: vec![],
                seen: vec![],
            },
            rows: vec![],
            weights: vec![],
        };
        for (i, st) in chain.statements.iter().enumerate() {
            let weight = self.weight_of(pb, &mut code, st);
            let statement = self.weighted_statement(pb, &mut code, i, st, weight);
            code.scan.statements.push(statement);
        }
        self.seen_parts(pb, &mut code, &chain);
        self.mean_field = Some(code);
    }

    /// The parts that are data variables, of which rows have some elements.
    fn seen_parts(&mut self, pb: &mut ProgramBuilder, code: &mut MeanFieldCode, chain: &plan::LinearGaussian) {
        for (part, p) in chain.parts.iter().enumerate() {
            let own = self.plan.masks.iter().find(|m| m.completed && m.of == p.sym);
            let Some(mask) = own.and_then(|m| self.columns.get(&m.sym)).map(|c| c.buf) else {
                continue;
            };
            let x = self.s.var(p.sym);
            let values = pb.buffer(&format!("chain.seen.{part}"), BufKind::Out, self.len_of(x));
            code.rows.push((vec![], x, values));
            code.scan.seen.push(SeenPart { part, values, mask });
        }
    }

    fn weight_of(&mut self, pb: &mut ProgramBuilder, code: &mut MeanFieldCode, st: &Linear) -> Option<usize> {
        if st.scope.is_empty() {
            return None;
        }
        let key: Vec<SymId> = st.scope.iter().map(|&v| self.plan.finite[v].sym).collect();
        let known = code.weights.iter().position(|k| *k == key);
        Some(known.unwrap_or_else(|| {
            let cols = self.configs_over(&st.scope);
            let buf = pb.buffer(&format!("weight.{}", code.weights.len()), BufKind::Out, cols);
            code.scan.weights.push((buf, cols));
            code.weights.push(key);
            code.weights.len() - 1
        }))
    }

    fn weighted_statement(
        &mut self,
        pb: &mut ProgramBuilder,
        code: &mut MeanFieldCode,
        i: usize,
        st: &Linear,
        weight: Option<usize>,
    ) -> Weighted {
        let ixs: Vec<IxId> = st.scope.iter().map(|&v| self.plan.finite[v].ix).collect();
        let configs = self.configs_over(&st.scope);
        let size = self.len_of(st.offset).max(1);
        let name = format!("chain.{i}");
        let offset = if self.s.per_row(st.offset) {
            let buf = pb.buffer(&format!("{name}.offset"), BufKind::Out, configs * size);
            code.rows.push((ixs.clone(), st.offset, buf));
            Offset::Rows(buf)
        } else {
            Offset::Table(self.case_table(pb, &format!("{name}.offset"), &ixs, st.offset))
        };
        let slopes = st.slopes.iter();
        let slopes = slopes
            .map(|&(part, t)| (part, self.case_table(pb, &format!("{name}.slope.{part}"), &ixs, t)))
            .collect();
        Weighted {
            when: st.when,
            of: st.of,
            size,
            weight,
            configs,
            holds: (0..configs).filter(|&k| self.case_holds(st, k)).collect(),
            offset,
            slopes,
            covariance: self.case_table(pb, &format!("{name}.covariance"), &ixs, st.covariance),
            mask: self.mask_column(st),
        }
    }

    /// Configuration number `k` of a statement's scope, the last variable fastest, is one of its case's.
    fn case_holds(&self, st: &Linear, k: usize) -> bool {
        let mut rest = k;
        st.scope.iter().rev().all(|&v| {
            let value = rest % self.finite_size(v);
            rest /= self.finite_size(v);
            let differs = st.fixed.iter().any(|f| f.0 == v && f.1 != value);
            !differs && !st.excluded.contains(&(v, value))
        })
    }

    fn case_table(&mut self, pb: &mut ProgramBuilder, name: &str, ixs: &[IxId], t: Term) -> BufId {
        let count: usize = ixs.iter().map(|&i| self.extent(i)).product();
        let out = pb.buffer(name, BufKind::Table, count * self.len_of(t).max(1));
        self.jobs.push(Job {
            ixs: ixs.to_vec(),
            out,
            what: What::Term(t),
        });
        out
    }

    /// Offsets of a row's statements, for every configuration.
    pub fn mean_field_rows(&mut self, b: &mut FuncBuilder<'_>) {
        let rows = self.mean_field.iter().flat_map(|m| m.rows.clone()).collect::<Vec<_>>();
        for (ixs, t, out) in rows {
            let dims = self.dims_of(t);
            let stride = dims.iter().product::<usize>().max(1);
            let (scope, at) = (super::context::Scope::default(), Index::default());
            self.nest(b, &ixs, scope, at, &mut |l, b, scope, at| {
                let mut rows = RowScope {
                    flat: scope.clone(),
                    ..RowScope::default()
                };
                l.ensure_row(b, &mut rows, t);
                each(b, &dims.clone(), &mut |b, i| {
                    let col = at.clone() * stride + Index::row_major(i, &dims);
                    b.rows(|b| {
                        let v = l.row_elem(b, &mut rows, t, i);
                        b.store_row(out.col(col.clone()), v);
                    });
                });
            });
        }
    }

    /// The finite part's weights, as the scan reads them.
    pub fn mean_field_weights(&mut self, b: &mut FuncBuilder<'_>) {
        let Some(code) = self.mean_field.clone() else { return };
        for (key, &(out, cols)) in code.weights.iter().zip(&code.scan.weights) {
            let table = self.weights_for(b, key);
            b.for_(cols, |b, i| {
                b.rows(|b| {
                    let v = b.load_row(table.col(i));
                    b.store_row(out.col(i), v);
                });
            });
        }
    }
}
