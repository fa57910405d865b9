//! Chains over the rows, as one row sees them.
//!
//! A chain over the rows is a row plate whose rows know the ones before: `z[t]` becomes the row's variable `z`, and
//! `z[t-1]` a variable of its own, the value of `z` one row before. A statement for a position (`z[1] ~ …`) and one for
//! the others hold in some rows only: a 0/1 variable of the row says in which. Everything after this pass sees rows;
//! only what eliminates latents must know that a lagged variable is another row's.
//!
//! A chain over an index of the model's own (`chain t in 1..T`) is left as it is.

use crate::graph::{Dist, Factor, Lag, Mark, ModelGraph, Plate, PlateId, Role, RowChain, Var, VarId, When};
use lvmc_base::Span;
use lvmc_term::{IxId, Node, Store, Support, Sym, SymId, SymKind, Term, children};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The plate of rows.
const ROWS: usize = 1;

/// Rewrites a graph whose chain runs over the rows; what cannot be written so is left, with the reason in
/// [`ModelGraph::chain_left`].
pub fn flatten(graph: &mut ModelGraph) {
    let plates: Vec<usize> = (0..graph.plates.len()).filter(|&p| over_rows(graph, p)).collect();
    let Some(&first) = plates.first() else { return };
    let mut new = graph.clone();
    match Pass::new(&mut new, &plates).and_then(|pass| pass.run(first)) {
        Ok(()) => *graph = new,
        Err(why) => graph.chain_left = Some(why),
    }
}

fn over_rows(graph: &ModelGraph, plate: usize) -> bool {
    matches!(graph.plates[plate], Plate::Chain { range: None, .. })
}

/// Why a chain is left, and where.
type Left = (String, Span);

struct Pass<'g> {
    graph: &'g mut ModelGraph,
    plates: Vec<usize>,
    /// A chain variable's symbol before, and its place in `vars`.
    old: BTreeMap<SymId, VarId>,
    /// (variable, how many rows before) to the variable that holds it.
    lags: BTreeMap<(VarId, usize), VarId>,
    marks: BTreeMap<When, VarId>,
    position: Option<VarId>,
}

impl<'g> Pass<'g> {
    fn new(graph: &'g mut ModelGraph, plates: &[usize]) -> Result<Self, Left> {
        let order = |p: usize| match &graph.plates[p] {
            Plate::Chain { by, parent, span, .. } => (by.clone(), *parent, *span),
            _ => (None, None, Span::default()),
        };
        let (by, parent, _) = order(plates[0]);
        for &p in plates {
            let (b, q, span) = order(p);
            if (b, q) != (by.clone(), parent) {
                return Err(("two chains that order the rows differently".into(), span));
            }
        }
        Ok(Self {
            graph,
            plates: plates.to_vec(),
            old: BTreeMap::new(),
            lags: BTreeMap::new(),
            marks: BTreeMap::new(),
            position: None,
        })
    }

    fn run(mut self, plate: usize) -> Result<(), Left> {
        let Plate::Chain {
            index,
            by,
            parent,
            span,
            ..
        } = self.graph.plates[plate].clone()
        else {
            return Ok(());
        };
        self.variables();
        let mut factors = self.graph.factors.clone();
        for f in &mut factors {
            if self.plates.contains(&f.plate.index()) {
                self.factor(f)?;
            }
        }
        self.general_positions(&mut factors)?;
        self.graph.factors = factors;
        for v in 0..self.graph.vars.len() {
            if let Some(t) = self.graph.vars[v].observed_as {
                let at = self.graph.vars[v].span;
                let t = self.rewrite(t, None, at)?;
                self.graph.vars[v].observed_as = Some(t);
            }
        }
        self.between();
        let groups = self.groups(parent)?;
        let lags = self.lags.iter();
        let lags = lags.map(|(&(of, by), &var)| Lag { of, by, var }).collect();
        let marks = self.marks.iter().map(|(&when, &var)| Mark { when, var }).collect();
        self.graph.chain = Some(RowChain {
            index: self.graph.store.ix(index).name.clone(),
            by,
            groups,
            position: self.position,
            lags,
            marks,
            span,
        });
        let plates = &self.plates;
        let rows = |d: &crate::graph::DimInfo| match d.source {
            crate::graph::DimSource::Rows { plate } => plates.contains(&plate.index()),
            _ => false,
        };
        self.graph.dims.retain(|d| !rows(d));
        Ok(())
    }

    /// Columns that cut the rows into sequences, outermost first.
    fn groups(&self, parent: Option<PlateId>) -> Result<Vec<String>, Left> {
        let mut out = vec![];
        let mut at = parent;
        while let Some(p) = at {
            match &self.graph.plates[p.index()] {
                Plate::Group { column, parent, .. } => {
                    out.insert(0, column.clone());
                    at = *parent;
                }
                Plate::Chain { span, .. } => return Err(("a chain inside a chain".into(), *span)),
                Plate::Row { parent } => at = *parent,
                Plate::Global => at = None,
            }
        }
        Ok(out)
    }

    /// Every variable of the chain as one of a row.
    fn variables(&mut self) {
        for i in 0..self.graph.vars.len() {
            let var = &self.graph.vars[i];
            if !self.plates.contains(&var.plate.index()) {
                continue;
            }
            let sym = self.graph.store.sym(var.sym).clone();
            self.old.insert(var.sym, VarId::from_index(i));
            let new = self.graph.store.add_sym(Sym {
                shape: sym.shape[1..].into(),
                family: sym.family.saturating_sub(1),
                per_row: true,
                ..sym
            });
            let var = &mut self.graph.vars[i];
            var.sym = new;
            var.plate = PlateId::from_index(ROWS);
            if !var.family_first.is_empty() {
                var.family_first.remove(0);
            }
        }
    }

    fn factor(&mut self, f: &mut Factor) -> Result<(), Left> {
        let own = match self.graph.store.node(f.value).clone() {
            Node::At(_, at) => at.first().copied(),
            _ => None,
        };
        let span = f.span;
        let before = self.reach(f, own);
        f.value = self.rewrite(f.value, own, span)?;
        f.dist = self.dist(&f.dist.clone(), own, span)?;
        if let Some(c) = f.condition {
            f.condition = Some(self.rewrite(c, own, span)?);
        }
        f.when = match f.position.take() {
            Some(p) => match self.graph.store.as_num(p) {
                Some(p) if (0.0..1000.0).contains(&p) => When::At(p as usize),
                _ => return Err(("a statement for a position other than one of the first".into(), span)),
            },
            None if before > 0 => When::From(before),
            None => When::Always,
        };
        f.plate = PlateId::from_index(ROWS);
        Ok(())
    }

    /// How many rows back a statement looks.
    fn reach(&mut self, f: &Factor, own: Option<Term>) -> usize {
        let mut most = 0;
        let terms = terms_of(&f.dist);
        for t in terms {
            for sub in self.graph.store.subterms(t) {
                if let Some((_, pos)) = self.chained(sub)
                    && let Some(own) = own
                {
                    let d = self.graph.store.sub(own, pos);
                    if let Some(d) = self.graph.store.as_num(d) {
                        most = most.max(d.max(0.0) as usize);
                    }
                }
            }
        }
        most
    }

    /// The variable and position of `At(z, [position, …])`.
    fn chained(&self, t: Term) -> Option<(VarId, Term)> {
        let Node::At(base, at) = self.graph.store.node(t) else {
            return None;
        };
        let Node::Sym(x) = *self.graph.store.node(*base) else {
            return None;
        };
        Some((*self.old.get(&x)?, *at.first()?))
    }

    fn dist(&mut self, d: &Dist, own: Option<Term>, span: Span) -> Result<Dist, Left> {
        Ok(match d {
            Dist::Family {
                family,
                signature,
                args,
                span: at,
            } => Dist::Family {
                family: *family,
                signature: *signature,
                args: args
                    .iter()
                    .map(|&a| self.rewrite(a, own, span))
                    .collect::<Result<_, _>>()?,
                span: *at,
            },
            Dist::If {
                condition,
                then,
                otherwise,
            } => Dist::If {
                condition: self.rewrite(*condition, own, span)?,
                then: Box::new(self.dist(then, own, span)?),
                otherwise: Box::new(self.dist(otherwise, own, span)?),
            },
        })
    }

    /// A term of a statement for position `own`, as its row sees it.
    fn rewrite(&mut self, t: Term, own: Option<Term>, span: Span) -> Result<Term, Left> {
        // from the inside: a position inside an index is rewritten before what it indexes
        let mut done: HashMap<Term, Term> = HashMap::new();
        for sub in self.outside_positions(t) {
            let new = match self.chained(sub) {
                Some((var, position)) => {
                    let lagged = self.lagged(var, position, own, span)?;
                    let rest = match self.graph.store.node(sub).clone() {
                        Node::At(_, at) => at[1..].to_vec(),
                        _ => vec![],
                    };
                    let rest: Vec<Term> = rest.iter().map(|x| done.get(x).copied().unwrap_or(*x)).collect();
                    let base = self.graph.vars[lagged.index()].sym;
                    let base = self.graph.store.var(base);
                    self.graph.store.at(base, &rest)
                }
                None => match *self.graph.store.node(sub) {
                    Node::Ix(i) if self.is_chain_index(i) => self.position_at(i, own),
                    // replaced with the positions around it
                    Node::Sym(x) if self.old.contains_key(&x) => sub,
                    _ => self
                        .graph
                        .store
                        .map_children(sub, |_, c| done.get(&c).copied().unwrap_or(c)),
                },
            };
            done.insert(sub, new);
        }
        let out = done.get(&t).copied().unwrap_or(t);
        let left = self.graph.store.symbols(out);
        if let Some(x) = left.iter().find(|x| self.old.contains_key(x)) {
            let name = &self.graph.store.sym(*x).name;
            return Err((format!("`{name}` as the array of all its positions"), span));
        }
        Ok(out)
    }

    /// The parts of a term, inner ones first, but for the positions of chain variables.
    fn outside_positions(&self, t: Term) -> Vec<Term> {
        let (mut todo, mut seen) = (vec![t], BTreeSet::from([t]));
        while let Some(t) = todo.pop() {
            let node = self.graph.store.node(t);
            let parts = match (self.chained(t), node) {
                (Some(_), Node::At(_, at)) => at[1..].to_vec(),
                _ => children(node),
            };
            todo.extend(parts.into_iter().filter(|&p| seen.insert(p)));
        }
        // a part is older than its whole
        seen.into_iter().collect()
    }

    fn is_chain_index(&self, i: IxId) -> bool {
        self.plates
            .iter()
            .any(|&p| matches!(self.graph.plates[p], Plate::Chain { index, .. } if index == i))
    }

    /// t as a number: the row's position, less what the statement's own position adds to t.
    fn position_at(&mut self, i: IxId, own: Option<Term>) -> Term {
        let var = match self.position {
            Some(v) => v,
            None => {
                let name = self.graph.store.ix(i).name.clone();
                let v = self.add(
                    name.clone(),
                    SymKind::Given,
                    Support::Count,
                    &[],
                    Role::Given,
                    "the row's position",
                );
                self.position = Some(v);
                v
            }
        };
        let s = &mut self.graph.store;
        let here = s.var(self.graph.vars[var.index()].sym);
        let index = s.index(i);
        let ahead = own.map(|own| s.sub(own, index)).filter(|&d| s.as_num(d).is_some());
        match ahead {
            Some(d) => s.sub(here, d),
            None => here,
        }
    }

    /// The row's variable for a chain variable at a position.
    fn lagged(&mut self, var: VarId, position: Term, own: Option<Term>, span: Span) -> Result<VarId, Left> {
        let name = self.graph.vars[var.index()].name.clone();
        let own = own.unwrap_or(position);
        let d = self.graph.store.sub(own, position);
        let by = match self.graph.store.as_num(d) {
            Some(0.0) => return Ok(var),
            Some(d) if d > 0.0 && d < 1000.0 => d as usize,
            Some(d) if d < 0.0 => {
                return Err((format!("`{name}` at a later position than the statement's own"), span));
            }
            _ => return Err((format!("`{name}` at a position that is not some steps back"), span)),
        };
        Ok(self.lag(var, by))
    }

    /// The row's variable for another's value some rows before.
    fn lag(&mut self, var: VarId, by: usize) -> VarId {
        if let Some(&v) = self.lags.get(&(var, by)) {
            return v;
        }
        let name = self.graph.vars[var.index()].name.clone();
        let sym = self.graph.store.sym(self.graph.vars[var.index()].sym).clone();
        let (kind, role) = match sym.kind {
            SymKind::Latent => (SymKind::Latent, Role::Latent),
            _ => (SymKind::Given, Role::Given),
        };
        let index = self.plates.first().map(|&p| &self.graph.plates[p]);
        let index = match index {
            Some(Plate::Chain { index, .. }) => self.graph.store.ix(*index).name.clone(),
            _ => "t".into(),
        };
        let lag = self.add(
            format!("{name}[{index}-{by}]"),
            kind,
            sym.support,
            &sym.shape,
            role,
            &format!("{name} {by} before"),
        );
        self.graph.vars[lag.index()].family_first = self.graph.vars[var.index()].family_first.clone();
        self.lags.insert((var, by), lag);
        lag
    }

    /// What a row knows of a latent some rows before it knows through the rows between.
    fn between(&mut self) {
        let known: Vec<(VarId, usize)> = self.lags.keys().copied().collect();
        for (var, by) in known {
            if self.graph.vars[var.index()].role == Role::Latent {
                (1..by).for_each(|by| {
                    self.lag(var, by);
                });
            }
        }
    }

    fn add(
        &mut self,
        name: String,
        kind: SymKind,
        support: Support,
        shape: &[lvmc_term::Size],
        role: Role,
        because: &str,
    ) -> VarId {
        let sym = self.graph.store.add_sym(Sym {
            name: name.clone(),
            kind,
            shape: shape.into(),
            family: 0,
            per_row: true,
            support,
        });
        let id = VarId::from_index(self.graph.vars.len());
        self.graph.vars.push(Var {
            sym,
            name,
            role,
            family_first: vec![],
            plate: PlateId::from_index(ROWS),
            span: Span::default(),
            because: because.into(),
            observed_as: None,
            observed_at: None,
            ranges: vec![],
        });
        id
    }

    /// A variable's general statement begins after its statements for positions; both are marked.
    fn general_positions(&mut self, factors: &mut [Factor]) -> Result<(), Left> {
        let explicit: Vec<(VarId, usize)> = factors
            .iter()
            .filter_map(|f| match f.when {
                When::At(p) => Some((f.var, p)),
                _ => None,
            })
            .collect();
        for f in factors.iter_mut() {
            let own: Vec<usize> = explicit.iter().filter(|e| e.0 == f.var).map(|e| e.1).collect();
            let reach = match f.when {
                When::At(_) => continue,
                When::From(n) => n,
                When::Always => 0,
            };
            let from = (reach..).find(|p| !own.contains(p)).unwrap_or(reach);
            if own.iter().any(|&p| p > from) {
                return Err((
                    "a statement for a position beside a general one that holds before it".into(),
                    f.span,
                ));
            }
            f.when = if from == 0 { When::Always } else { When::From(from) };
        }
        for f in factors.iter() {
            self.mark(f.when);
        }
        Ok(())
    }

    fn mark(&mut self, when: When) {
        if when == When::Always || self.marks.contains_key(&when) {
            return;
        }
        let index = self.plates.first().map(|&p| &self.graph.plates[p]);
        let index = match index {
            Some(Plate::Chain { index, .. }) => self.graph.store.ix(*index).name.clone(),
            _ => "t".into(),
        };
        let name = when.text(&index);
        let var = self.add(
            name,
            SymKind::Given,
            Support::Unit,
            &[],
            Role::Given,
            "1 where it holds",
        );
        self.marks.insert(when, var);
    }
}

/// All terms of a distribution.
fn terms_of(d: &Dist) -> Vec<Term> {
    match d {
        Dist::Family { args, .. } => args.clone(),
        Dist::If {
            condition,
            then,
            otherwise,
        } => [vec![*condition], terms_of(then), terms_of(otherwise)].concat(),
    }
}

/// A graph's chain: what its lagged variables and marks are.
impl RowChain {
    /// The variable is made by the chain (a lag, a mark, the position): it has no columns of its own.
    #[must_use]
    pub fn makes(&self, var: VarId) -> bool {
        self.position == Some(var) || self.lags.iter().any(|l| l.var == var) || self.marks.iter().any(|m| m.var == var)
    }
}

impl ModelGraph {
    /// The 0/1 term of a row in which a factor holds; `None` where it holds in every row.
    pub fn mark_term(&self, s: &mut Store, when: When) -> Option<Term> {
        let mark = self.chain.as_ref()?.marks.iter().find(|m| m.when == when)?;
        Some(s.var(self.var(mark.var).sym))
    }
}
