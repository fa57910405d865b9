//! Shapes of distributions: which way of writing a family is meant, and what its places ask of names.

use crate::functions;
use crate::tables::{EntId, Kind, Tables};
use lvmc_families::{Event, Family, Signature, registry};
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, Ident, Subscript};
use lvmc_term::{Shape, Size, Store, Support, Sym, SymKind, Term};

/// The arguments of a call put in the order of a signature, if they fit it.
pub(crate) fn arranged<'a>(sig: &Signature, args: &'a [(Option<Ident>, Expr)]) -> Option<Vec<&'a Expr>> {
    if args.len() != sig.args.len() {
        return None;
    }
    let mut out: Vec<Option<&'a Expr>> = vec![None; sig.args.len()];
    let mut next = 0;
    for (name, e) in args {
        let at = match name {
            Some(n) => sig.args.iter().position(|a| a.name == n.name)?,
            None => {
                next += 1;
                (next <= sig.positional).then(|| next - 1)?
            }
        };
        if out[at].replace(e).is_some() {
            return None;
        }
    }
    out.into_iter().collect()
}

impl<'a> Tables<'a> {
    pub(crate) fn infer_dist(&mut self, e: &'a Expr, s: usize, force: bool) {
        match &e.kind {
            ExprKind::If(c, a, b) => {
                self.infer(c, s);
                self.infer_dist(a, s, force);
                self.infer_dist(b, s, force);
            }
            ExprKind::Match(on, arms) => {
                self.infer(on, s);
                arms.iter().for_each(|(_, a)| self.infer_dist(a, s, force));
            }
            ExprKind::Call { callee, args } => {
                if let Some(family) = registry::find(&callee.name) {
                    self.infer_family(family, e, args, s, force);
                }
            }
            _ => {}
        }
    }

    fn infer_family(
        &mut self,
        family: &'static dyn Family,
        e: &'a Expr,
        args: &'a [(Option<Ident>, Expr)],
        s: usize,
        force: bool,
    ) {
        let shapes: Vec<Option<Shape>> = args.iter().map(|(_, a)| self.infer(a, s)).collect();
        let value = self.ents[self.stmts[s].ent].shape.clone();
        let sig = match self.signatures.get(&e.span) {
            Some(&k) => k,
            None => match self.choose(family, args, &shapes, value.as_deref(), force) {
                Some(k) => {
                    self.signatures.insert(e.span, k);
                    k
                }
                None => return,
            },
        };
        let Some(signature) = family.signatures().get(sig) else {
            return;
        };
        let Some(exprs) = arranged(signature, args) else { return };
        match signature.event {
            Event::Scalar => self.infer_scalar(signature, &exprs, s, force),
            Event::Vector => self.infer_event(signature, &exprs, e, s, 1),
            Event::Matrix => self.infer_event(signature, &exprs, e, s, 2),
        }
        self.infer_value_support(family, sig, &exprs, s);
    }

    /// The way of writing that is meant; `None` while it cannot be told.
    pub(crate) fn choose(
        &self,
        family: &'static dyn Family,
        args: &[(Option<Ident>, Expr)],
        shapes: &[Option<Shape>],
        value: Option<&[Size]>,
        force: bool,
    ) -> Option<usize> {
        let sigs = family.signatures();
        let fits: Vec<usize> = (0..sigs.len())
            .filter(|&k| arranged(&sigs[k], args).is_some())
            .collect();
        if fits.len() <= 1 {
            return fits.first().copied();
        }
        let of = |event: Event| fits.iter().copied().find(|&k| sigs[k].event == event);
        let (scalar, vector) = (of(Event::Scalar), of(Event::Vector));
        if let Some(v) = value {
            return match v.len() {
                0 => scalar.or(vector),
                1 => vector.or(scalar),
                2 => of(Event::Matrix).or(scalar),
                _ => scalar,
            }
            .or(fits.first().copied());
        }
        let (Some(scalar), Some(vector)) = (scalar, vector) else {
            return fits.first().copied();
        };
        // places where the two ways differ tell them apart
        let mut open = false;
        let mut wide_is_scalar = false;
        for ((name, _), (i, shape)) in args.iter().zip(shapes.iter().enumerate()) {
            let rank = |k: usize| match name {
                Some(n) => sigs[k].args.iter().find(|a| a.name == n.name).map(|a| a.rank),
                None => sigs[k].args.get(i).map(|a| a.rank),
            };
            if rank(scalar) == rank(vector) {
                continue;
            }
            match shape {
                Some(sh) if !sh.is_empty() => return Some(vector),
                Some(_) => wide_is_scalar |= rank(vector) == Some(2),
                None => open = true,
            }
        }
        match (open, wide_is_scalar, force) {
            (false, ..) | (true, true, true) => Some(scalar),
            (true, false, true) => Some(vector),
            (true, _, false) => None,
        }
    }

    fn infer_scalar(&mut self, sig: &Signature, exprs: &[&'a Expr], s: usize, force: bool) {
        let ent = self.stmts[s].ent;
        let elements: Vec<Option<Shape>> = exprs.iter().map(|e| self.infer(e, s)).collect();
        let flat: Vec<usize> = (0..exprs.len()).filter(|&i| sig.args[i].rank == 0).collect();
        let mut value = self.ents[ent].shape.clone();
        if value.is_none() && (force || flat.iter().all(|&i| elements[i].is_some())) {
            let widest = flat.iter().filter_map(|&i| elements[i].clone()).max_by_key(Vec::len);
            value = Some(widest.unwrap_or_default());
            self.set_shape(ent, value.clone().unwrap_or_default());
        }
        for (i, e) in exprs.iter().enumerate() {
            let arg = &sig.args[i];
            let support = (arg.support)();
            match (&elements[i], arg.rank) {
                (Some(sh), 0) => {
                    if let Some(v) = &value
                        && !sh.is_empty()
                    {
                        self.sizes.unify_shapes(sh, v);
                    }
                    self.push_support(e, s, &support);
                }
                (Some(_), _) => self.push_support(e, s, &support),
                (None, 0) => {
                    if let Some(v) = value.clone() {
                        self.push_want(e, s, &v, support);
                    }
                }
                (None, rank) => {
                    let n = self.place_size(e.span, 1);
                    self.push_want(e, s, &vec![n; rank], support);
                }
            }
        }
    }

    fn infer_event(&mut self, sig: &Signature, exprs: &[&'a Expr], e: &'a Expr, s: usize, rank: usize) {
        let ent = self.stmts[s].ent;
        let n = self.place_size(e.span, 2);
        if self.ents[ent].shape.is_none() {
            self.set_shape(ent, vec![n.clone(); rank]);
        }
        if let Some(v) = self.ents[ent].shape.clone() {
            for size in v.iter().take(if v.len() == rank { rank } else { 0 }) {
                self.sizes.unify(&n, size);
            }
        }
        for (i, arg) in exprs.iter().enumerate() {
            let want = vec![n.clone(); sig.args[i].rank];
            let support = (sig.args[i].support)();
            match self.infer(arg, s) {
                Some(sh) => {
                    if sh.len() == want.len() {
                        self.sizes.unify_shapes(&sh, &want);
                    }
                    self.push_support(arg, s, &support);
                }
                None => self.push_want(arg, s, &want, support),
            }
        }
    }

    /// An untyped variable takes the family's support; a written category the family's number of values.
    fn infer_value_support(&mut self, family: &'static dyn Family, sig: usize, exprs: &[&'a Expr], s: usize) {
        let ent = self.stmts[s].ent;
        let Some(shapes) = exprs.iter().map(|e| self.infer(e, s)).collect::<Option<Vec<Shape>>>() else {
            return;
        };
        let wants = family.signatures()[sig].args;
        let n = self.ents[ent]
            .shape
            .as_ref()
            .and_then(|v| v.first().cloned())
            .unwrap_or(Size::Const(1));
        let mut filled = vec![];
        for (arg, shape) in wants.iter().zip(shapes) {
            match shape.len() {
                0 => filled.push(vec![n.clone(); arg.rank]),
                r if arg.rank > 0 && r != arg.rank => return,
                _ => filled.push(shape),
            }
        }
        let gives = support_from(family, sig, &filled);
        match (self.ents[ent].support.clone(), gives) {
            (None, gives) => {
                if self.stmts[s].guide && !self.ents[ent].guide {
                    return;
                }
                self.ents[ent].support = Some(gives);
            }
            (Some(Support::Category(a)), Support::Category(b)) => {
                self.sizes.unify(&a, &b);
            }
            _ => {}
        }
    }

    fn set_shape(&mut self, ent: EntId, shape: Shape) {
        if self.ents[ent].shape.is_none() {
            self.ents[ent].shape = Some(shape);
        }
    }

    /// The name may take what its place asks for: nothing else says what it is.
    fn undecided(&self, id: EntId) -> bool {
        let e = &self.ents[id];
        e.kind == Kind::Var && e.ty.is_none() && !e.has_rhs
    }

    /// Gives the names of an expression the shape and support their place asks for.
    pub(crate) fn push_want(&mut self, e: &'a Expr, s: usize, want: &[Size], support: Support) {
        let support = as_type(support);
        match &e.kind {
            ExprKind::Name(name) => {
                if let Some(id) = self.find(name, self.stmts[s].guide)
                    && self.undecided(id)
                    && self.ents[id].shape.is_none()
                {
                    self.ents[id].shape = Some(want.to_vec());
                    self.ents[id].support.get_or_insert(support);
                }
            }
            ExprKind::Index { base, indices } => {
                if let ExprKind::Name(name) = &base.kind
                    && let Some(id) = self.find(name, self.stmts[s].guide)
                    && self.ents[id].axes.len() == indices.len()
                    && indices.iter().all(|i| matches!(i, Subscript::At(_)))
                {
                    self.push_want(base, s, want, support);
                }
                self.infer(e, s);
            }
            ExprKind::Call { callee, args } if callee.name == "diag" && args.len() == 1 && want.len() == 2 => {
                self.push_want(&args[0].1, s, &want[..1], Support::Positive);
            }
            ExprKind::Unary(_, a) => self.push_want(a, s, want, Support::Real),
            ExprKind::Binary(op, a, b) => self.push_binary(*op, a, b, s, want),
            ExprKind::If(_, a, b) => {
                self.push_want(a, s, want, support.clone());
                self.push_want(b, s, want, support);
            }
            ExprKind::Match(_, arms) => {
                for (_, a) in arms {
                    self.push_want(a, s, want, support.clone());
                }
            }
            _ => {}
        }
    }

    fn push_binary(&mut self, op: BinaryOp, a: &'a Expr, b: &'a Expr, s: usize, want: &[Size]) {
        let (x, y) = (self.infer(a, s), self.infer(b, s));
        match (op, x, y) {
            // s * I: a variance for every element
            (BinaryOp::Mul, None, Some(m)) if m.len() == 2 && want.len() == 2 => {
                self.push_want(a, s, &[], Support::Positive);
            }
            (BinaryOp::Mul, Some(m), None) if m.len() == 2 && want.len() == 2 => {
                self.push_want(b, s, &[], Support::Positive);
            }
            (BinaryOp::Add | BinaryOp::Sub | BinaryOp::Div | BinaryOp::Mul, None, Some(y)) if y.len() <= want.len() => {
                self.push_want(a, s, want, Support::Real);
            }
            (BinaryOp::Add | BinaryOp::Sub, Some(x), None) if x.len() <= want.len() => {
                self.push_want(b, s, want, Support::Real);
            }
            (BinaryOp::Mul, Some(x), None) if x.is_empty() => self.push_want(b, s, want, Support::Real),
            _ => {}
        }
    }

    /// A name of known shape but open support takes the support its place asks for.
    fn push_support(&mut self, e: &'a Expr, s: usize, support: &Support) {
        let name = match &e.kind {
            ExprKind::Name(name) => name,
            ExprKind::Index { base, .. } => match &base.kind {
                ExprKind::Name(name) => name,
                _ => return,
            },
            _ => return,
        };
        if let Some(id) = self.find(name, self.stmts[s].guide)
            && self.undecided(id)
            && self.ents[id].support.is_none()
        {
            self.ents[id].support = Some(as_type(support.clone()));
        }
    }

    /// What values an expression takes, where its form says so.
    pub(crate) fn support_of(&self, e: &Expr, s: usize) -> Option<Support> {
        let guide = self.stmts[s].guide;
        match &e.kind {
            ExprKind::Name(name) => self.find(name, guide).and_then(|id| self.ents[id].support.clone()),
            ExprKind::Index { base, indices } => {
                let ExprKind::Name(name) = &base.kind else { return None };
                let id = self.find(name, guide)?;
                let support = self.ents[id].support.clone()?;
                let inside = indices.len() > self.ents[id].axes.len();
                Some(match support {
                    Support::Simplex if inside => Support::Unit,
                    Support::Ordered | Support::Corr | Support::Cov if inside => Support::Real,
                    other => other,
                })
            }
            ExprKind::Call { callee, .. } => {
                if let Some(Kind::Net(net)) = self.names.get(&callee.name).map(|&id| self.ents[id].kind) {
                    return self.nets[net].outputs.first().map(|(s, _)| s.clone());
                }
                functions::find(&callee.name)?.gives.clone()
            }
            _ => None,
        }
    }
}

/// The language has no type for the closure: a rate or a variance is declared positive.
fn as_type(support: Support) -> Support {
    if support == Support::NonNegative {
        Support::Positive
    } else {
        support
    }
}

/// The family's support for arguments of those shapes, asked with stand-ins.
pub(crate) fn support_from(family: &'static dyn Family, sig: usize, shapes: &[Shape]) -> Support {
    let mut store = Store::new();
    let args: Vec<Term> = shapes
        .iter()
        .zip(family.signatures()[sig].args)
        .map(|(shape, arg)| {
            let sym = store.add_sym(Sym {
                name: arg.name.into(),
                kind: SymKind::Aux,
                shape: shape.clone(),
                family: 0,
                per_row: false,
                support: (arg.support)(),
            });
            store.var(sym)
        })
        .collect();
    family.support(&mut store, sig, &args)
}
