//! The passes in order, and the graph they end in.

use crate::errors::{ModelError, ModelErrors};
use crate::graph::{Guide, ModelGraph, Plate, PlateId, Role, Var, VarId};
use crate::lower::Lower;
use crate::tables::{EntId, Kind, PlateKind, Tables};
use crate::{Settings, walk};
use lvmc_base::{Limit, Source};
use lvmc_syntax::ast;
use lvmc_term::{Size, Store, Support, Sym, SymKind};
use std::collections::HashMap;

/// From syntax to the typed graph.
///
/// # Errors
/// Every mistake found, each with its place and the edit that mends it.
pub fn build(model: &ast::Model, source: &Source, settings: &Settings) -> Result<ModelGraph, ModelErrors> {
    if walk::too_deep(model) {
        return Err(ModelErrors(vec![ModelError::Limit(Limit {
            what: "the nesting of the model".into(),
            found: format!("more than {}", walk::DEEPEST),
            limit: walk::DEEPEST.to_string(),
            advice: "give parts of the expression names of their own".into(),
        })]));
    }
    let mut t = Tables::new(source, settings);
    t.collect(model);
    t.dim_numbers();
    t.types();
    t.chain_ranges();
    t.axes();
    t.globals_to_plate();
    t.free_names();
    t.count_uses(model);
    t.infer_all();
    t.roles();
    // a mistake among the names, or a distribution that is none, makes shapes and supports guesswork: then only plain
    // mistakes are added
    let early = t.errors.len();
    t.name_sizes();
    t.check_settings();
    let mut lower = Lower::new(t);
    let mut graph = lower.graph(model, source, settings);
    let mut t = lower.t;
    t.positions();
    t.guide_covers();
    t.checks();
    let guessed = |e: &ModelError| matches!(e, ModelError::UnknownDistribution { .. });
    if early > 0 || t.errors.iter().any(guessed) {
        let late = t.errors.split_off(early);
        t.errors.extend(late.into_iter().filter(plain));
    }
    if !t.errors.is_empty() {
        t.errors.sort_by_key(error_place);
        return Err(ModelErrors(t.errors));
    }
    graph.remarks = t.remarks;
    crate::groups::flatten(&mut graph);
    crate::rows::flatten(&mut graph);
    Ok(graph)
}

impl Tables<'_> {
    /// Notes what number each declared size has.
    fn dim_numbers(&mut self) {
        for id in 0..self.ents.len() {
            if let Kind::Dim(d) = self.ents[id].kind {
                let x = self.value_of_name(&self.ents[id].name, 0);
                let whole = x.filter(|x| *x >= 1.0 && x.fract() == 0.0 && *x <= crate::types::LARGEST);
                self.sizes.slots[d.index()].value = whole.map(|x| x as usize);
            }
        }
    }

    /// Resolves written types.
    fn types(&mut self) {
        for id in 0..self.ents.len() {
            if let Some(ty) = self.ents[id].ty
                && let Some((support, shape)) = self.type_of(ty)
            {
                self.ents[id].shape = Some(shape);
                self.ents[id].support = Some(support);
            }
        }
        for n in 0..self.nets.len() {
            let syntax = self.nets[n].syntax;
            let mut list = |types: &[(ast::Ident, ast::Type)]| {
                types
                    .iter()
                    .map(|(_, ty)| self.type_of(ty).unwrap_or((Support::Real, vec![])))
                    .collect::<Vec<_>>()
            };
            let (inputs, outputs) = (list(&syntax.inputs), list(&syntax.outputs));
            self.nets[n].inputs = inputs;
            self.nets[n].outputs = outputs;
        }
    }

    /// Statements about params and global latents hold once.
    fn globals_to_plate(&mut self) {
        for s in 0..self.stmts.len() {
            let id = self.stmts[s].ent;
            if self.ents[id].plate == 0 {
                self.stmts[s].plate = 0;
                self.stmts[s].chain = None;
            }
        }
    }
}

fn sym_kind(role: Role) -> SymKind {
    match role {
        Role::Param => SymKind::Param,
        Role::Const => SymKind::Const,
        Role::Latent => SymKind::Latent,
        Role::Data => SymKind::Data,
        Role::Given => SymKind::Given,
        Role::Noise => SymKind::Noise,
        Role::Deterministic => SymKind::Aux,
    }
}

impl<'a> Lower<'a> {
    fn new(mut t: Tables<'a>) -> Self {
        let mut store = Store::new();
        let dims = t.enter_dims(&mut store);
        let n = t.ents.len();
        Self {
            t,
            store,
            dims,
            syms: vec![None; n],
            var_of: vec![None; n],
            chain_ix: vec![],
            memo: HashMap::new(),
            counts: vec![],
            depth: 0,
        }
    }

    fn graph(&mut self, model: &ast::Model, source: &Source, settings: &Settings) -> ModelGraph {
        let order = self.order();
        self.symbols(&order);
        self.chain_indices();
        let plates = self.plates();
        let factors = self.factors(false);
        let guide = self.t.guides.first().copied().map(|span| Guide {
            factors: self.factors(true),
            span,
        });
        let mut vars = self.vars(&order);
        let made = self.lower_nets();
        let consts = self.consts(&mut vars);
        let nets = self.net_vars(made, &mut vars);
        let var_of = self.var_of.clone();
        let mut dims = std::mem::take(&mut self.dims);
        dims.sources(&self.t, &var_of);
        let fit = self.fit_block();
        ModelGraph {
            name: model
                .name
                .as_ref()
                .map(|n| n.name.clone())
                .or_else(|| settings.default_name.clone())
                .unwrap_or_else(|| "model".into()),
            doc: model.doc.clone(),
            source: source.clone(),
            store: std::mem::take(&mut self.store),
            dims: dims.infos,
            vars,
            plates,
            factors,
            consts,
            nets,
            guide,
            fit,
            weight: self.t.weight.clone(),
            nested: vec![],
            chain: None,
            chain_left: None,
            remarks: vec![],
        }
    }

    /// Variables in order of first appearance.
    fn order(&mut self) -> Vec<EntId> {
        let mut order: Vec<EntId> = (0..self.t.ents.len())
            .filter(|&id| matches!(self.kind(id), Kind::Var | Kind::Det | Kind::Const))
            .collect();
        order.sort_by_key(|&id| (self.t.ents[id].span.start, id));
        for (i, &id) in order.iter().enumerate() {
            self.var_of[id] = Some(VarId::from_index(i));
        }
        order
    }

    fn symbols(&mut self, order: &[EntId]) {
        for &id in order {
            let e = self.t.ents[id].clone();
            let axes: Vec<Size> = e.axes.iter().map(|a| a.size.clone()).collect();
            let mut shape = self.shape(&axes);
            let own = self.shape(&e.shape.unwrap_or_default());
            shape.extend(own);
            let support = match e.support.unwrap_or(Support::Real) {
                Support::Category(n) => Support::Category(self.size(&n)),
                other => other,
            };
            let plate = &self.t.plates[e.plate].kind;
            let row_chain = e.chain.is_some_and(|c| self.t.is_row_chain(c));
            let per_row = match plate {
                PlateKind::Row { .. } => true,
                PlateKind::Chain { .. } => !row_chain,
                _ => false,
            };
            self.syms[id] = Some(self.store.add_sym(Sym {
                name: e.name,
                kind: sym_kind(e.role),
                shape,
                family: axes.len(),
                per_row: per_row && !matches!(e.role, Role::Param | Role::Const),
                support,
            }));
        }
    }

    fn chain_indices(&mut self) {
        for c in 0..self.t.chains.len() {
            let size = self.t.chains[c].size.clone();
            let size = self.size(&size);
            let ix = self.store.add_ix(self.t.chains[c].index.clone(), size);
            self.chain_ix.push(ix);
        }
    }

    fn plates(&mut self) -> Vec<Plate> {
        let id = |p: Option<usize>| p.map(PlateId::from_index);
        let infos = self.t.plates.clone();
        let mut out = vec![];
        for info in infos {
            out.push(match info.kind {
                PlateKind::Global => Plate::Global,
                PlateKind::Row { parent } => Plate::Row { parent: id(parent) },
                PlateKind::Group { column, parent } => Plate::Group {
                    column,
                    parent: id(parent),
                    span: info.span,
                },
                PlateKind::Chain { chain, parent } => {
                    let c = self.t.chains[chain].clone();
                    let range = c.hi.map(|hi| {
                        let (lo, hi) = (self.store.num(c.lo as f64), self.pos_term(&hi, 0));
                        if c.down { (hi, lo) } else { (lo, hi) }
                    });
                    Plate::Chain {
                        index: self.chain_ix[chain],
                        range,
                        by: c.by,
                        parent: id(parent),
                        span: info.span,
                    }
                }
            });
        }
        out
    }

    fn vars(&mut self, order: &[EntId]) -> Vec<Var> {
        let mut out = vec![];
        for &id in order {
            let e = self.t.ents[id].clone();
            let first = e.axes.first().map_or(1, |a| a.first);
            let observed_at = e.data_at.as_ref().map(|p| self.pos_term(p, first));
            let observed_as = self.observed_as(id);
            if let Some(sym) = self.syms[id] {
                out.push(Var {
                    sym,
                    name: e.name,
                    role: e.role,
                    family_first: e.axes.iter().map(|a| a.first).collect(),
                    plate: PlateId::from_index(e.plate),
                    span: e.span,
                    because: e.because,
                    observed_as,
                    observed_at,
                    ranges: vec![],
                });
            }
        }
        out
    }
}

/// True of a mistake that is one whatever else is wrong.
fn plain(e: &ModelError) -> bool {
    use ModelError::{
        DistributionArguments, FitOption, FitValue, UnknownArgument, UnknownDistribution, UnknownFunction,
        UnknownSetting,
    };
    matches!(
        e,
        DistributionArguments { .. }
            | FitOption { .. }
            | FitValue { .. }
            | UnknownArgument { .. }
            | UnknownDistribution { .. }
            | UnknownFunction { .. }
            | UnknownSetting { .. }
            | ModelError::Undeclared { .. }
    )
}

/// Errors are told in the order of the text.
fn error_place(e: &ModelError) -> usize {
    use miette::Diagnostic;
    e.labels().and_then(|mut l| l.next()).map_or(usize::MAX, |l| l.offset())
}
