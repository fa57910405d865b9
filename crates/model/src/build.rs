//! The passes in order, and the graph they end in.

use crate::errors::{ModelError, ModelErrors};
use crate::graph::{Factor, Guide, ModelGraph, Net, Plate, PlateId, Role, Var, VarId};
use crate::lower::{Env, Idx, Lower};
use crate::lower_dist::Value;
use crate::tables::{EntId, Kind, Lhs, PlateKind, Pos, Rhs, Tables};
use crate::{Settings, walk};
use lvmc_base::{Limit, Source};
use lvmc_syntax::ast;
use lvmc_term::{IxId, Size, Store, Support, Sym, SymKind, Term};
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
    // a mistake among the names makes shapes and supports guesswork: then only plain mistakes are added
    let early = t.errors.len();
    t.name_sizes();
    t.check_settings();
    let mut lower = Lower::new(t);
    let mut graph = lower.graph(model, source, settings);
    let mut t = lower.t;
    t.positions();
    t.guide_covers();
    t.checks();
    if early > 0 {
        let late = t.errors.split_off(early);
        t.errors.extend(late.into_iter().filter(plain));
    }
    if !t.errors.is_empty() {
        t.errors.sort_by_key(error_place);
        return Err(ModelErrors(t.errors));
    }
    graph.remarks = t.remarks;
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
        let consts = self.consts(&mut vars);
        self.check_nets();
        let nets = self.nets();
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

    /// A position, less `first`.
    fn pos_term(&mut self, p: &Pos, first: i64) -> Term {
        let base = p.dim.as_ref().map(|d| {
            let size = self.size(d);
            self.store.size(size)
        });
        self.idx_term(&Idx { base, off: p.off }, first)
    }

    /// The environment of a statement, and the indices it ranges over.
    fn env(&mut self, s: usize) -> (Env, Vec<IxId>, Vec<Term>) {
        let stmt = self.t.stmts[s].clone();
        let axes = self.t.ents[stmt.ent].axes.clone();
        let mut env = Env {
            stmt: s,
            plate: stmt.plate,
            indices: vec![],
            at: None,
        };
        if let Some(c) = stmt.chain {
            let base = Some(self.store.index(self.chain_ix[c]));
            let at = Idx {
                base,
                off: self.t.chains[c].lo,
            };
            env.indices.push((self.t.chains[c].index.clone(), at.clone()));
            env.at = Some(at);
        }
        let (mut ranges, mut value) = (vec![], vec![]);
        for (a, l) in stmt.lhs.iter().enumerate() {
            let first = axes.get(a).map_or(1, |x| x.first);
            match l {
                Lhs::Range(r) => {
                    let range = self.t.ranges[*r].clone();
                    let size = self.size(&range.size);
                    let ix = self.store.add_ix(range.name.clone(), size);
                    let base = self.store.index(ix);
                    ranges.push(ix);
                    value.push(base);
                    let i = Idx {
                        base: Some(base),
                        off: range.first,
                    };
                    env.indices.push((range.name, i));
                }
                Lhs::Chain(off) => {
                    let mut at = env.at.clone().unwrap_or(Idx { base: None, off: 1 });
                    at.off += off;
                    value.push(self.idx_term(&at, first));
                }
                Lhs::At(p) => {
                    value.push(self.pos_term(p, first));
                    if let (0, Some(c)) = (a, stmt.chain) {
                        // bare names mean the value at that position
                        let base = p.dim.as_ref().map(|d| {
                            let size = self.size(d);
                            self.store.size(size)
                        });
                        let at = Idx { base, off: p.off };
                        env.indices.push((self.t.chains[c].index.clone(), at.clone()));
                        env.at = Some(at);
                    }
                }
            }
        }
        (env, ranges, value)
    }

    fn factors(&mut self, guide: bool) -> Vec<Factor> {
        let mut out = vec![];
        for s in 0..self.t.stmts.len() {
            if let (Rhs::Random(e), true) = (self.t.stmts[s].rhs, self.t.stmts[s].guide == guide) {
                out.extend(self.factor(s, e));
            }
        }
        out
    }

    fn factor(&mut self, s: usize, e: &'a ast::Expr) -> Option<Factor> {
        let (env, ranges, at) = self.env(s);
        let stmt = self.t.stmts[s].clone();
        let (sym, var) = (self.syms[stmt.ent]?, self.var_of[stmt.ent]?);
        let base = self.store.var(sym);
        let value = self.store.at(base, &at);
        let shape = self.shape_of(value);
        let mut elementwise = false;
        let of = Value {
            ent: stmt.ent,
            shape: &shape,
        };
        let Some(dist) = self.dist(e, &of, &env, &mut elementwise) else {
            self.untold(e.span);
            return None;
        };
        let chained = self.t.ents[stmt.ent].chain.is_some();
        let position = match (chained, stmt.lhs.first()) {
            (true, Some(Lhs::At(_))) => at.first().copied(),
            _ => None,
        };
        let condition = self.condition_of(s, &at);
        Some(Factor {
            var,
            value,
            ranges,
            position,
            condition,
            dist,
            elementwise,
            plate: PlateId::from_index(stmt.plate),
            span: stmt.span,
        })
    }

    /// What cannot be built without any mistake having been told is a gap of the language, and told as such.
    fn untold(&mut self, at: lvmc_base::Span) {
        if self.t.errors.is_empty() {
            self.t.unsupported(
                "this expression".into(),
                at,
                "write it with the functions and operators of the reference",
            );
        }
    }

    /// Where a family's general statement does not hold: at positions with statements of their own, and where what it
    /// refers to does not exist.
    fn condition_of(&mut self, s: usize, value: &[Term]) -> Option<Term> {
        let stmt = self.t.stmts[s].clone();
        let mut parts = vec![];
        for (a, l) in stmt.lhs.iter().enumerate() {
            let Lhs::Range(r) = l else { continue };
            let first = self.t.ents[stmt.ent].axes[a].first;
            for other in self.t.explicit_positions(stmt.ent, a, stmt.guide) {
                let p = self.pos_term(&other, first);
                let same = self.store.cmp(lvmc_term::Cmp::Eq, value[a], p);
                parts.push(self.store.not(same));
            }
            let (name, from) = (self.t.ranges[*r].name.clone(), self.t.ranges[*r].first);
            let (low, _) = self.t.reach(s, &name);
            if let Some(low) = low.filter(|&l| l > from) {
                let low = self.store.num((low - first) as f64);
                parts.push(self.store.cmp(lvmc_term::Cmp::Le, low, value[a]));
            }
        }
        (!parts.is_empty()).then(|| self.store.product_of(&parts))
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

    /// `data x : unit[D] = pixels / 255`.
    fn observed_as(&mut self, id: EntId) -> Option<Term> {
        if self.t.ents[id].kind != Kind::Var || self.t.ents[id].role != Role::Data {
            return None;
        }
        let s = (0..self.t.stmts.len())
            .find(|&s| self.t.stmts[s].ent == id && matches!(self.t.stmts[s].rhs, Rhs::Equal(..)))?;
        let Rhs::Equal(e, ..) = self.t.stmts[s].rhs else {
            return None;
        };
        let (env, ..) = self.env(s);
        let t = self.term(e, &env)?;
        let t = self.stored(id, t);
        let want = self.t.ents[id].shape.clone().unwrap_or_default();
        let (want, have) = (self.shape(&want), self.shape_of(t));
        if want != have {
            let at = self.t.ents[id].span;
            self.mismatch(
                "observed as",
                (at, &want),
                (e.span, &have),
                "the type and the expression have one shape",
            );
        }
        Some(t)
    }

    fn consts(&mut self, vars: &mut Vec<Var>) -> Vec<(VarId, Option<Term>)> {
        let mut out = vec![];
        for id in 0..self.t.ents.len() {
            let (Kind::Const, Some(var)) = (self.kind(id), self.var_of[id]) else {
                continue;
            };
            let name = self.t.ents[id].name.clone();
            let scalar = self.t.ents[id].axes.is_empty();
            let set = self.t.settings.set.iter().rev().find(|(n, _)| scalar && *n == name);
            if let Some((_, x)) = set {
                let x = self.store.num(*x);
                out.push((var, Some(x)));
                continue;
            }
            let s = (0..self.t.stmts.len()).find(|&s| self.t.stmts[s].ent == id);
            let value = s.and_then(|s| match self.t.stmts[s].rhs {
                Rhs::Equal(e, ..) => {
                    let (env, ranges, _) = self.env(s);
                    if let Some(v) = vars.get_mut(var.index()) {
                        v.ranges = ranges;
                    }
                    self.const_value(id, e, &env)
                }
                _ => None,
            });
            out.push((var, value));
        }
        for (n, sym, ix) in self.counts.clone() {
            let var = VarId::from_index(vars.len());
            vars.push(Var {
                sym,
                name: self.store.sym(sym).name.clone(),
                role: Role::Const,
                family_first: vec![0],
                plate: PlateId::from_index(0),
                span: lvmc_base::Span::default(),
                because: format!("positions of an array of {}", crate::lower::size_text(&self.store, &n)),
                observed_as: None,
                observed_at: None,
                ranges: vec![ix],
            });
            let value = self.store.index(ix);
            out.push((var, Some(value)));
        }
        out
    }

    fn const_value(&mut self, id: EntId, e: &'a ast::Expr, env: &Env) -> Option<Term> {
        let t = self.term(e, env)?;
        let t = self.stored(id, t);
        let random = self.store.depends_on(t, |n| match n {
            lvmc_term::Node::Sym(s) => !self.syms.contains(&Some(*s)) || self.store.sym(*s).kind != SymKind::Const,
            lvmc_term::Node::Net { .. } => true,
            _ => false,
        });
        let counted = self.counts.iter().any(|c| self.store.depends_on_sym(t, c.1));
        if random && !counted {
            self.t.error(ModelError::NotAValue {
                what: "what is estimated or observed".into(),
                at: e.span,
                help: format!("leave out `const`:  {} = {}", self.t.ents[id].name, self.t.text(e.span)),
            });
            return None;
        }
        let want = self.t.ents[id].shape.clone().unwrap_or_default();
        let want = self.shape(&want);
        let have = self.shape_of(t);
        if have.is_empty() {
            return Some(self.store.fill(t, want));
        }
        if want != have {
            let at = self.t.ents[id].span;
            self.mismatch(
                "=",
                (at, &want),
                (e.span, &have),
                "the type and the value have one shape",
            );
            return None;
        }
        Some(t)
    }

    fn nets(&mut self) -> Vec<Net> {
        let infos = self.t.nets.clone();
        let mut out = vec![];
        for n in infos {
            out.push(Net {
                syntax: n.syntax.clone(),
                inputs: n.inputs.iter().map(|(_, s)| self.shape(s)).collect(),
                outputs: n.outputs.iter().map(|(_, s)| self.shape(s)).collect(),
                output_supports: n.outputs.iter().map(|(s, _)| s.clone()).collect(),
            });
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
