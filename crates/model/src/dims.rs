//! Sizes become dims of the store: names for the anonymous ones, values, and where a missing value comes from.

use crate::errors::ModelError;
use crate::graph::{DimInfo, DimSource, PlateId, Role, VarId};
use crate::tables::{EntId, Kind, Tables};
use crate::types::LARGEST;
use lvmc_base::closest;
use lvmc_term::{DimId, Size, Store, Support, sum_sizes};
use std::collections::HashMap;

/// From inference's sizes to the store's.
#[derive(Debug, Default)]
pub(crate) struct DimMap {
    pub to_store: HashMap<DimId, DimId>,
    pub infos: Vec<DimInfo>,
}

impl DimMap {
    /// A decided size as the store knows it.
    pub fn size(&mut self, t: &mut Tables<'_>, store: &mut Store, size: &Size) -> Size {
        match t.sizes.resolve(size) {
            Size::Const(n) => Size::Const(n),
            Size::Sum(parts) => {
                let parts: Vec<Size> = parts.iter().map(|p| self.size(t, store, p)).collect();
                sum_sizes(parts)
            }
            Size::Dim(d) => Size::Dim(match self.to_store.get(&d) {
                Some(&to) => to,
                None => self.enter(t, store, d, "an identity of unknown size".into()),
            }),
        }
    }

    fn enter(&mut self, t: &mut Tables<'_>, store: &mut Store, d: DimId, because: String) -> DimId {
        let slot = t.sizes.slots[d.index()].clone();
        let name = slot.name.unwrap_or_else(|| t.unused_name("M"));
        t.sizes.slots[d.index()].name = Some(name.clone());
        let id = store.add_dim(name);
        self.to_store.insert(d, id);
        self.infos.push(DimInfo {
            id,
            default: None,
            source: DimSource::Asked,
            span: slot.span,
            because,
        });
        id
    }

    /// Where each missing size comes from, once the variables are numbered.
    pub fn sources(&mut self, t: &Tables<'_>, var_of: &[Option<VarId>]) {
        let back: HashMap<DimId, DimId> = self.to_store.iter().map(|(a, b)| (*b, *a)).collect();
        for info in &mut self.infos {
            let Some(&d) = back.get(&info.id) else { continue };
            let of = |s: &Size| t.sizes.resolve(s) == Size::Dim(d);
            if let Some(c) = t.chains.iter().find(|c| c.range.is_none() && of(&c.size)) {
                info.source = DimSource::Rows {
                    plate: PlateId::from_index(c.plate),
                };
                info.because = "rows of the chain".into();
                continue;
            }
            let observed = |e: &EntId| {
                let e = &t.ents[*e];
                e.kind == Kind::Var && (matches!(e.role, Role::Data | Role::Given) || e.data_at.is_some())
            };
            let columns = |id: &EntId| {
                let e = &t.ents[*id];
                // the axis of a chain over rows is not columns
                let skip = usize::from(e.chain.is_some_and(|c| t.chains[c].range.is_none()));
                let own = e.shape.iter().flatten();
                // a ranged chain of data in a row is a range of columns, unless other positions are latent
                let axes = e.axes.iter().skip(skip).map(|a| &a.size);
                let vector = !matches!(e.support, Some(Support::Cov | Support::Corr));
                vector && (own.clone().any(of) || e.data_at.is_none() && axes.clone().any(of))
            };
            let category = |id: &EntId| matches!(&t.ents[*id].support, Some(Support::Category(n)) if of(n));
            let all = || (0..t.ents.len()).filter(observed);
            if let Some(id) = all().find(columns) {
                if let Some(var) = var_of[id] {
                    info.source = DimSource::Columns { var };
                    note(info, format!("columns of {}", t.ents[id].name));
                }
            } else if let Some(id) = all().find(category)
                && let Some(var) = var_of[id]
            {
                info.source = DimSource::Categories { var };
                note(info, format!("values of {}", t.ents[id].name));
            }
        }
    }
}

fn note(info: &mut DimInfo, because: String) {
    if info.default.is_none() {
        info.because = because;
    }
}

impl Tables<'_> {
    pub(crate) fn unused_name(&self, base: &str) -> String {
        let taken = |n: &str| {
            self.names.contains_key(n)
                || self
                    .sizes
                    .slots
                    .iter()
                    .any(|s| s.is.is_none() && s.name.as_deref() == Some(n))
        };
        if !taken(base) {
            return base.into();
        }
        (2..)
            .map(|i| format!("{base}{i}"))
            .find(|n| !taken(n))
            .unwrap_or_default()
    }

    /// Names the sizes nobody named: K categories, D columns, Q latent dimensions, T rows of a chain.
    pub fn name_sizes(&mut self) {
        let mut found: Vec<(DimId, &'static str, String)> = vec![];
        for d in 0..self.sizes.slots.len() {
            let d = DimId::from_index(d);
            if self.sizes.slots[d.index()].is.is_some() || self.sizes.slots[d.index()].name.is_some() {
                continue;
            }
            if let Some((letter, var)) = self.what_for(d) {
                found.push((d, letter, var));
            }
        }
        for (d, letter, var) in &found {
            let alone = found.iter().filter(|f| f.1 == *letter).count() == 1 && *letter != "N";
            let base = if alone && self.unused_name(letter) == *letter {
                (*letter).to_string()
            } else {
                self.unused_name(&format!("{letter}_{var}"))
            };
            self.sizes.slots[d.index()].name = Some(base);
        }
    }

    fn what_for(&self, d: DimId) -> Option<(&'static str, String)> {
        let of = |s: &Size| self.sizes.resolve(s) == Size::Dim(d);
        if let Some(c) = self.chains.iter().find(|c| of(&c.size)) {
            return Some(("T", c.index.clone()));
        }
        let vars = || {
            self.ents
                .iter()
                .filter(|e| matches!(e.kind, Kind::Var | Kind::Det | Kind::Const))
        };
        let category = |e: &&crate::tables::Ent<'_>| matches!(&e.support, Some(Support::Category(n)) if of(n));
        if let Some(e) = vars().find(category) {
            let group = e.column.as_deref().is_some_and(|c| c.starts_with("for each"));
            return Some((if group { "N" } else { "K" }, e.name.clone()));
        }
        if let Some(e) = vars().find(|e| e.support == Some(Support::Simplex) && e.shape.iter().flatten().any(of)) {
            return Some(("K", e.name.clone()));
        }
        if let Some(e) = vars().find(|e| e.axes.iter().any(|a| of(&a.size))) {
            return Some(("K", e.name.clone()));
        }
        let shaped = |roles: &[Role]| {
            vars()
                .find(|e| roles.contains(&e.role) && e.shape.iter().flatten().any(of))
                .map(|e| e.name.clone())
        };
        if let Some(name) = shaped(&[Role::Data, Role::Given]) {
            return Some(("D", name));
        }
        if let Some(name) = shaped(&[Role::Latent, Role::Noise]) {
            return Some(("Q", name));
        }
        shaped(&[Role::Param, Role::Const, Role::Deterministic]).map(|name| ("D", name))
    }

    /// Enters the sizes into the store, declared ones first, with their values.
    pub fn enter_dims(&mut self, store: &mut Store) -> DimMap {
        let mut map = DimMap::default();
        for id in 0..self.ents.len() {
            let Kind::Dim(d) = self.ents[id].kind else { continue };
            if self.sizes.slots[d.index()].is.is_some() {
                continue;
            }
            let because = self.ents[id].because.clone();
            map.enter(self, store, d, because);
            let name = self.ents[id].name.clone();
            if let Some(info) = map.infos.last_mut() {
                (info.default, info.because) = self.dim_default(id, &name, info.because.clone());
            }
        }
        for d in 0..self.sizes.slots.len() {
            let slot = &self.sizes.slots[d];
            let Some(name) = slot.name.clone().filter(|_| slot.is.is_none()) else {
                continue;
            };
            let d = DimId::from_index(d);
            if !map.to_store.contains_key(&d) {
                let line = format!("line {}", self.line(slot.span));
                map.enter(self, store, d, line);
                if let Some(x) = self.set_value(&name)
                    && let Some(info) = map.infos.last_mut()
                {
                    info.default = self.check_size(&name, x, info.span);
                    info.because = "--set".into();
                }
            }
        }
        map
    }

    fn set_value(&self, name: &str) -> Option<f64> {
        self.settings.set.iter().rev().find(|(n, _)| n == name).map(|(_, x)| *x)
    }

    fn dim_default(&mut self, id: EntId, name: &str, because: String) -> (Option<usize>, String) {
        let span = self.ents[id].span;
        if let Some(x) = self.set_value(name) {
            return (self.check_size(name, x, span), "--set".into());
        }
        let Some(&e) = self.dim_values.get(&id) else {
            return (None, because);
        };
        match self.value_of(e, 0) {
            Some(x) => (self.check_size(name, x, span), because),
            None => {
                let what = format!("`{}`", self.text(e.span));
                self.error(ModelError::BadSize {
                    what,
                    at: e.span,
                    help: format!("write a whole number, dim {name} = 3, or leave it to --set: dim {name}"),
                });
                (None, because)
            }
        }
    }

    fn check_size(&mut self, name: &str, x: f64, at: lvmc_base::Span) -> Option<usize> {
        if x > LARGEST {
            self.error(ModelError::Limit(lvmc_base::Limit {
                what: format!("the size {name}"),
                found: format!("{x}"),
                limit: format!("{LARGEST}"),
                advice: format!("give {name} a smaller value: --set {name}=…"),
            }));
            None
        } else if x >= 1.0 && x.fract() == 0.0 {
            Some(x as usize)
        } else {
            self.error(ModelError::BadSize {
                what: format!("{name} = {x}"),
                at,
                help: format!("sizes are whole numbers from 1: --set {name}=3"),
            });
            None
        }
    }

    /// `--set` names must exist, and constants be numbers.
    pub fn check_settings(&mut self) {
        let rows = self
            .chains
            .iter()
            .filter(|c| c.range.is_none())
            .map(|c| self.sizes.text(&c.size));
        let rows: Vec<String> = rows.collect();
        let dims: Vec<String> = self
            .sizes
            .slots
            .iter()
            .filter(|s| s.is.is_none() || s.freedom == crate::sizes::Freedom::Fixed)
            .filter_map(|s| s.name.clone())
            .filter(|n| !rows.contains(n))
            .collect();
        let consts = self.ents.iter().filter(|e| e.kind == Kind::Const);
        let consts: Vec<(String, bool, lvmc_base::Span)> = consts
            .map(|e| {
                let scalar = e.axes.is_empty() && e.shape.as_ref().is_none_or(Vec::is_empty);
                (e.name.clone(), scalar, e.span)
            })
            .collect();
        for (name, x) in self.settings.set.clone() {
            if dims.contains(&name) {
                continue;
            }
            match consts.iter().find(|(n, ..)| *n == name) {
                Some((_, true, _)) if x.is_finite() => {}
                Some((_, scalar, span)) => self.error(ModelError::BadSetting {
                    expected: if *scalar {
                        "a finite number".into()
                    } else {
                        format!("an array, and `{name}` is one")
                    },
                    at: *span,
                    help: format!("only sizes and single numbers can be set: --set {name}=1"),
                    value: x.to_string(),
                    name,
                }),
                None => {
                    let known: Vec<&str> = dims
                        .iter()
                        .chain(consts.iter().map(|(n, ..)| n))
                        .map(String::as_str)
                        .collect();
                    let help = match (closest(&name, known.iter().copied()), known.is_empty()) {
                        (Some(c), _) => format!("did you mean --set {c}={x}?"),
                        (None, false) => format!("it has {}", known.join(", ")),
                        (None, true) => "it has no sizes or constants at all".into(),
                    };
                    self.error(ModelError::UnknownSetting { name, help });
                }
            }
        }
    }
}
