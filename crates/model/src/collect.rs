//! First pass: every name and statement enters the tables, with the plate it stands in.

use crate::errors::ModelError;
use crate::tables::{Chain, EntId, Kind, NetInfo, PlateInfo, PlateKind, Rhs, Stmt, Tables};
use lvmc_base::Span;
use lvmc_syntax::ast::{self, Body, Role, StmtKind, Target, TargetIndex, VarStmt};
use lvmc_term::Size;

/// Where a statement stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    plate: usize,
    chain: Option<usize>,
    guide: bool,
}

/// How a role is written.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Param => "param",
        Role::Latent => "latent",
        Role::Data => "data",
        Role::Given => "given",
        Role::Noise => "noise",
    }
}

impl<'a> Tables<'a> {
    /// Sizes, constants and nets first: they may be used above their statement anywhere.
    pub fn collect(&mut self, model: &'a ast::Model) {
        self.globals(&model.items);
        let rows = Place {
            plate: 1,
            chain: None,
            guide: false,
        };
        self.block(&model.items, rows);
        // guides last: what they speak of must exist
        for item in &model.items {
            if let StmtKind::Guide(body) = &item.kind {
                if let Some(&first) = self.guides.first() {
                    self.twice("guide", "written", item.span, first, "put both into one guide { }");
                    continue;
                }
                self.guides.push(item.span);
                self.block(body, Place { guide: true, ..rows });
            }
        }
    }

    fn globals(&mut self, items: &'a [ast::Stmt]) {
        for item in items {
            match &item.kind {
                StmtKind::Dim(dims) => {
                    for (name, value) in dims {
                        if let Some(id) = self.fresh(&name.name, name.span, |t| {
                            let d = t
                                .sizes
                                .add(Some(name.name.clone()), crate::sizes::Freedom::Fixed, name.span);
                            Kind::Dim(d)
                        }) {
                            self.ents[id].because = format!("line {}", self.line(name.span));
                            if let Some(v) = value {
                                self.dim_values.insert(id, v);
                            }
                        }
                    }
                }
                StmtKind::Const { target, ty, value } => {
                    if let Some(id) = self.fresh(&target.name.name, target.name.span, |_| Kind::Const) {
                        self.ents[id].ty = ty.as_ref();
                        self.ents[id].plate = 0;
                        self.const_values.insert(id, value.as_ref());
                        let rhs = value.as_ref().map_or(Rhs::None, |v| Rhs::Equal(v, 0, 1));
                        self.push(
                            id,
                            target,
                            true,
                            rhs,
                            Place {
                                plate: 0,
                                chain: None,
                                guide: false,
                            },
                            item.span,
                        );
                    }
                }
                StmtKind::Net(net) => {
                    let at = self.nets.len();
                    if self.fresh(&net.name.name, net.name.span, |_| Kind::Net(at)).is_some() {
                        self.nets.push(NetInfo {
                            syntax: net,
                            inputs: vec![],
                            outputs: vec![],
                        });
                    }
                }
                StmtKind::ForEach { body, .. } | StmtKind::Chain { body, .. } | StmtKind::Guide(body) => {
                    self.globals(body);
                }
                StmtKind::Var(_) | StmtKind::Fit(_) | StmtKind::Weight(_) => {}
            }
        }
    }

    /// A new name, or an error where it is taken.
    fn fresh(&mut self, name: &str, span: Span, kind: impl FnOnce(&mut Self) -> Kind) -> Option<EntId> {
        if let Some(&old) = self.names.get(name) {
            let first = self.ents[old].span;
            self.twice(name, "declared", span, first, "give one of them another name");
            return None;
        }
        self.not_the_identity(name, span)?;
        let kind = kind(self);
        Some(self.add_ent(name, span, kind, false))
    }

    /// `I` is taken.
    pub(crate) fn not_the_identity(&mut self, name: &str, at: Span) -> Option<()> {
        if name != "I" {
            return Some(());
        }
        self.error(ModelError::Misplaced {
            what: "`I` is the identity matrix and cannot name something else".into(),
            at,
            help: "give it another name, such as J".into(),
        });
        None
    }

    pub(crate) fn twice(&mut self, name: &str, what: &str, at: Span, first: Span, help: &str) {
        let (at, first) = if at.start < first.start {
            (first, at)
        } else {
            (at, first)
        };
        self.error(ModelError::DeclaredTwice {
            name: name.into(),
            what: what.into(),
            at,
            first,
            help: help.into(),
        });
    }

    fn block(&mut self, items: &'a [ast::Stmt], place: Place) {
        for item in items {
            match &item.kind {
                StmtKind::Var(v) => self.var_stmt(v, place, item.span),
                StmtKind::ForEach { column, body } => self.for_each(column, body, place, item.span),
                StmtKind::Chain { index, range, by, body } => {
                    let chain = self.open_chain(index, range.as_ref(), by.as_ref(), place, item.span);
                    let plate = self.chains[chain].plate;
                    self.block(
                        body,
                        Place {
                            plate,
                            chain: Some(chain),
                            ..place
                        },
                    );
                }
                StmtKind::Weight(column) => self.weight_stmt(column, item.span),
                StmtKind::Fit(options) => self.fit.extend(options),
                StmtKind::Guide(_) if place.guide || place.plate != 1 => self.error(ModelError::Misplaced {
                    what: "a guide inside another block".into(),
                    at: item.span,
                    help: "write guide { } at the top level; `for each` and `chain` blocks go inside it".into(),
                }),
                StmtKind::Guide(_) | StmtKind::Dim(_) | StmtKind::Const { .. } | StmtKind::Net(_) => {}
            }
        }
    }

    fn weight_stmt(&mut self, column: &ast::Ident, span: Span) {
        if let Some((name, first)) = self.weight.clone() {
            self.twice(
                &name,
                "the weight",
                span,
                first,
                "a row has one weight: multiply the columns beforehand",
            );
            return;
        }
        self.weight = Some((column.name.clone(), column.span));
    }

    fn for_each(&mut self, column: &ast::Ident, body: &'a [ast::Stmt], place: Place, span: Span) {
        let plate = if column.name == "row" {
            match self.plates[place.plate].kind {
                PlateKind::Group { .. } => self.plate(
                    PlateKind::Row {
                        parent: Some(place.plate),
                    },
                    span,
                ),
                _ => place.plate,
            }
        } else {
            let parent = match self.plates[place.plate].kind {
                PlateKind::Group { .. } => Some(place.plate),
                _ => None,
            };
            let column = column.name.clone();
            self.plate(PlateKind::Group { column, parent }, span)
        };
        self.block(body, Place { plate, ..place });
    }

    /// The plate of that kind, made where there is none yet: two blocks over one column are one plate.
    fn plate(&mut self, kind: PlateKind, span: Span) -> usize {
        let same = |p: &PlateInfo| match (&p.kind, &kind) {
            (PlateKind::Row { parent: a }, PlateKind::Row { parent: b }) => a == b,
            (PlateKind::Group { column: a, parent: p }, PlateKind::Group { column: b, parent: q }) => a == b && p == q,
            _ => false,
        };
        if let Some(old) = self.plates.iter().position(same) {
            return old;
        }
        self.plates.push(PlateInfo { kind, span });
        self.plates.len() - 1
    }

    fn open_chain(
        &mut self,
        index: &ast::Ident,
        range: Option<&'a (ast::Expr, ast::Expr)>,
        by: Option<&ast::Ident>,
        place: Place,
        span: Span,
    ) -> usize {
        // a chain over rows takes the place of the rows; one over its own index lies inside what surrounds it
        let parent = match (&self.plates[place.plate].kind, range) {
            (PlateKind::Row { parent }, None) => *parent,
            _ => Some(place.plate),
        };
        let by = by.map(|b| b.name.clone());
        let old = self.chains.iter().position(|c| {
            range.is_none()
                && c.range.is_none()
                && c.by == by
                && c.index == index.name
                && self.parent(c.plate) == parent
        });
        if let Some(old) = old {
            return old;
        }
        let chain = self.chains.len();
        self.plates.push(PlateInfo {
            kind: PlateKind::Chain { chain, parent },
            span,
        });
        self.chains.push(Chain {
            index: index.name.clone(),
            range: range.map(|(a, b)| (a, b)),
            down: false,
            by,
            plate: self.plates.len() - 1,
            lo: 1,
            hi: None,
            size: Size::Const(1),
            span,
        });
        chain
    }

    fn var_stmt(&mut self, v: &'a VarStmt, place: Place, span: Span) {
        let n = v.targets.len();
        for (i, target) in v.targets.iter().enumerate() {
            let rhs = match &v.body {
                None => Rhs::None,
                Some(Body::Random(e)) => Rhs::Random(e),
                Some(Body::Equal(e)) => Rhs::Equal(e, i, n),
            };
            if let Some(id) = self.target_ent(v, target, rhs, place) {
                self.note(id, v, target, rhs, place);
                self.push(id, target, v.role.is_some() || v.ty.is_some(), rhs, place, span);
            }
        }
        if let (Some(Body::Random(e)), true) = (&v.body, n > 1) {
            self.error(ModelError::Unsupported {
                what: "one distribution for several names".into(),
                at: e.span,
                help: "write one statement per name, or a family: name[k in 1..K] ~ …".into(),
            });
        }
    }

    fn target_ent(&mut self, v: &VarStmt, target: &Target, rhs: Rhs<'_>, place: Place) -> Option<EntId> {
        let (name, span) = (&target.name.name, target.name.span);
        let is_data = matches!(v.role, Some((Role::Data, _)));
        let kind = match rhs {
            Rhs::Equal(..) if !is_data => Kind::Det,
            _ => Kind::Var,
        };
        let role = v.role.map(|(r, _)| r);
        let local = place.guide && (kind == Kind::Det || role == Some(Role::Noise));
        if role == Some(Role::Noise) && !place.guide {
            self.error(ModelError::Misplaced {
                what: format!("noise `{name}` outside a guide"),
                at: span,
                help: format!("noise belongs to a guide; in the model write: latent {name} ~ …"),
            });
            return None;
        }
        if place.guide && kind == Kind::Var && !local && self.find(name, true).is_none() && role != Some(Role::Param) {
            self.error(ModelError::GuideExtra {
                name: name.clone(),
                what: "not in the model".into(),
                at: span,
                help: format!("an auxiliary variable of the guide is written: noise {name} ~ …"),
            });
            return None;
        }
        self.not_the_identity(name, span)?;
        let Some(old) = self.find(name, place.guide) else {
            return Some(self.add_ent(name, span, kind, local));
        };
        let first = self.ents[old].span;
        let clash = match (self.ents[old].kind, kind) {
            (Kind::Var, Kind::Var) => false,
            (Kind::Det, Kind::Det) => self
                .stmts
                .iter()
                .any(|s| s.ent == old && self.text(s.target.span) == self.text(target.span)),
            _ => true,
        };
        if clash {
            self.twice(name, "declared", span, first, "give one of them another name");
            return None;
        }
        Some(old)
    }

    /// What the statement says about its name.
    fn note(&mut self, id: EntId, v: &'a VarStmt, target: &Target, rhs: Rhs<'_>, place: Place) {
        let name = target.name.name.clone();
        if let Some((role, at)) = v.role {
            match self.ents[id].written {
                Some((old, first)) if old != role => {
                    // `data x[0]` beside a latent rest is told apart by the chain, not here
                    self.error(ModelError::RoleConflict {
                        name: name.clone(),
                        role: role_word(role).into(),
                        first_role: role_word(old).into(),
                        at,
                        first,
                        help: format!("keep one of them: {} {name}", role_word(old)),
                    });
                }
                _ => self.ents[id].written = Some((role, at)),
            }
        }
        if let Some(ty) = &v.ty {
            match self.ents[id].ty {
                Some(old) if self.text(old.span) != self.text(ty.span) => {
                    let what = "given a type";
                    self.twice(&name, what, ty.span, old.span, "keep one of the two types");
                }
                _ => self.ents[id].ty = Some(ty),
            }
        }
        if v.global.is_some() {
            self.ents[id].global = v.global;
        }
        if place.guide && !self.ents[id].guide {
            return;
        }
        let random = matches!(rhs, Rhs::Random(_));
        let first = !self.stmts.iter().any(|s| s.ent == id);
        if first || random {
            self.ents[id].plate = place.plate;
        }
    }

    fn push(&mut self, ent: EntId, target: &'a Target, declares: bool, rhs: Rhs<'a>, place: Place, span: Span) {
        for ix in &target.indices {
            if let TargetIndex::Family { index, from, to } = ix {
                self.index_names.entry(index.name.clone()).or_insert((from, to));
            }
        }
        self.ents[ent].has_rhs |= !matches!(rhs, Rhs::None);
        self.stmts.push(Stmt {
            ent,
            target,
            declares,
            rhs,
            plate: place.plate,
            chain: place.chain,
            guide: place.guide,
            span,
            lhs: vec![],
        });
    }
}
