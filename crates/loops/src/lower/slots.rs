//! Slots: which buffer holds which parameter, constant, column and posterior.

use super::context::Lower;
use crate::builder::ProgramBuilder;
use crate::ir::BufKind;
use crate::lowered::{ColumnSlot, ConstSlot, GroupSlot, LabelSlot, LatentSlot, MissingCells, ParamSlot, RotationSlot};
use lvmc_model::ModelGraph;
use lvmc_model::graph::Role;
use lvmc_term::Support;

/// Degrees of freedom of one element of a family: shape is the type's own.
fn free_of(support: &Support, shape: &[usize]) -> usize {
    let n: usize = shape.iter().product();
    match support {
        Support::Simplex => n.saturating_sub(1),
        Support::Cov => shape.first().map_or(1, |d| d * (d + 1) / 2),
        Support::Corr => shape.first().map_or(0, |d| d * d.saturating_sub(1) / 2),
        _ => n,
    }
}

impl Lower<'_> {
    /// A `Param` buffer for every parameter.
    pub fn add_params(&mut self, pb: &mut ProgramBuilder, graph: &ModelGraph) -> Vec<ParamSlot> {
        let mut slots = vec![];
        for v in graph.vars.iter().filter(|v| v.role == Role::Param) {
            let sym = self.s.sym(v.sym).clone();
            let shape = self.dims(&sym.shape);
            let buf = pb.buffer(&v.name, BufKind::Param, shape.iter().product::<usize>().max(1));
            self.flat.insert(v.sym, buf);
            let (outer, own) = shape.split_at(sym.family.min(shape.len()));
            let free = outer.iter().product::<usize>() * free_of(&sym.support, own);
            slots.push(ParamSlot {
                sym: v.sym,
                name: v.name.clone(),
                buf,
                family: sym.family,
                support: sym.support,
                shape,
                free,
            });
        }
        slots
    }

    /// An `Input` buffer for every constant.
    pub fn add_consts(&mut self, pb: &mut ProgramBuilder, graph: &ModelGraph) -> Vec<ConstSlot> {
        let mut slots = vec![];
        for v in graph.vars.iter().filter(|v| v.role == Role::Const) {
            let shape = self.s.sym(v.sym).shape.clone();
            let len = self.dims(&shape).iter().product::<usize>().max(1);
            let buf = pb.buffer(&v.name, BufKind::Input, len);
            self.flat.insert(v.sym, buf);
            slots.push(ConstSlot { sym: v.sym, buf });
        }
        slots
    }

    /// An `Out` buffer for every finite variable's marginal.
    pub fn latent_slots(&mut self, pb: &mut ProgramBuilder) -> Vec<LatentSlot> {
        let mut slots = vec![];
        for (i, f) in self.plan.finite.iter().enumerate().filter(|(_, f)| f.lag.is_none()) {
            let name = self.s.sym(f.sym).name.clone();
            let size = self.finite_size(i);
            let marginal = pb.buffer(&format!("{name}.posterior"), BufKind::Out, size);
            slots.push(LatentSlot {
                sym: f.sym,
                name,
                marginal,
                size,
                first: f.first,
                observed: f.observed,
            });
        }
        slots
    }

    /// The rotations of latents with their loadings.
    pub fn rotation_slots(&self, params: &[ParamSlot]) -> Vec<RotationSlot> {
        let slot = |r: &lvmc_derive::symmetry::Rotation| {
            let position = |w: &lvmc_term::SymId| params.iter().position(|p| p.sym == *w);
            let loadings: Vec<usize> = r.loadings.iter().filter_map(position).collect();
            let first = &params[*loadings.first()?];
            Some(RotationSlot {
                latent: self.s.sym(r.latent).name.clone(),
                size: self.size(&r.size),
                members: first.shape[..first.family].iter().product(),
                loadings,
            })
        };
        self.plan.rotations.iter().filter_map(slot).collect()
    }

    /// The latents whose labels may be permuted.
    pub fn label_slots(&self, params: &[ParamSlot], latents: &[LatentSlot]) -> Vec<LabelSlot> {
        let position = |p: lvmc_term::SymId| params.iter().position(|slot| slot.sym == p);
        let slot = |l: &lvmc_derive::labels::Labels| {
            let syms = l.latents.iter().map(|&v| self.plan.finite[v].sym);
            let found: Vec<usize> = syms
                .filter_map(|sym| latents.iter().position(|slot| slot.sym == sym))
                .collect();
            let axes: Option<Vec<_>> = l.axes.iter().map(|&(p, axis)| Some((position(p)?, axis))).collect();
            Some(LabelSlot {
                size: latents.get(*found.first()?)?.size,
                latents: found,
                axes: axes?,
                weights: l.weights.and_then(position),
            })
        };
        self.plan.labels.iter().filter_map(slot).collect()
    }

    /// Where the posteriors of effects lie.
    pub fn group_slots(&self) -> Vec<GroupSlot> {
        let slot = |p: &lvmc_derive::plan::GroupPosterior| {
            let place = |t| self.flat.get(&self.s.as_symbol(t)?.0).copied();
            let (mean, variance) = (place(p.mean)?, place(p.variance)?);
            let cols = self.len_of(p.mean).max(1);
            let sym = self.s.sym(p.sym);
            Some(GroupSlot {
                sym: p.sym,
                name: sym.name.clone(),
                by: p.code,
                members: self.dims(&sym.shape[..sym.family].to_vec()).iter().product(),
                cols,
                mean,
                variance,
            })
        };
        self.plan.group_posteriors.iter().filter_map(slot).collect()
    }

    /// What the runtime is told of the columns.
    pub fn column_slots(&self, graph: &ModelGraph) -> Vec<ColumnSlot> {
        let mut slots: Vec<ColumnSlot> = self
            .columns
            .iter()
            .map(|(&x, c)| {
                let sym = self.s.sym(x);
                let category = matches!(sym.support, Support::Category(_));
                let summed = self.finite_of(x).is_some_and(|v| self.plan.finite[v].observed);
                let masks = &self.plan.masks;
                let missing = if let Some(mask) = masks.iter().find(|m| m.sym == x) {
                    MissingCells::MaskOf(mask.of)
                } else if masks.iter().any(|m| m.of == x) {
                    MissingCells::Masked
                } else if summed && sym.kind == lvmc_term::SymKind::Data {
                    MissingCells::Summed
                } else {
                    MissingCells::Refused
                };
                ColumnSlot {
                    sym: x,
                    name: sym.name.clone(),
                    buf: c.buf,
                    cols: c.cols,
                    centre: c.centre,
                    scale: c.scale,
                    categories: category.then(|| self.category_size(x)),
                    missing,
                    made: graph
                        .var_of(x)
                        .is_some_and(|v| graph.chain.as_ref().is_some_and(|c| c.makes(v))),
                }
            })
            .collect();
        slots.sort_by_key(|s| s.sym);
        slots
    }
}
