//! Shapes by unification, before any term is built: repeated passes that only ever add knowledge, then defaults.
//! Mistakes are left for the pass that builds terms, which knows everything.

use crate::functions::{self, Shapes};
use crate::tables::{EntId, Kind, Lhs, Rhs, Tables};
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, Subscript};
use lvmc_term::{Shape, Size, Support, sum_sizes};
use std::collections::VecDeque;

/// Statements due, and who mentions whom.
struct Work {
    todo: VecDeque<usize>,
    due: Vec<bool>,
    names: Vec<Vec<EntId>>,
    users: Vec<Vec<usize>>,
}

impl Work {
    fn new(t: &Tables<'_>) -> Self {
        let names: Vec<Vec<EntId>> = (0..t.stmts.len()).map(|s| t.names_in_stmt(s)).collect();
        let mut users = vec![vec![]; t.ents.len()];
        for (s, ids) in names.iter().enumerate() {
            for &id in ids {
                if users[id].last() != Some(&s) {
                    users[id].push(s);
                }
            }
        }
        Self {
            todo: VecDeque::new(),
            due: vec![true; names.len()],
            names,
            users,
        }
    }
}

impl<'a> Tables<'a> {
    /// Decides the shape and support of every variable.
    pub fn infer_all(&mut self) {
        let mut work = Work::new(self);
        work.todo.extend(0..self.stmts.len());
        self.settle(&mut work);
        // what is still open takes the default of its place, one statement after the other
        for s in 0..self.stmts.len() {
            if self.try_infer(s, true, &mut work) {
                self.settle(&mut work);
            }
        }
        for e in &mut self.ents {
            if matches!(e.kind, Kind::Var | Kind::Det | Kind::Const) {
                e.shape.get_or_insert_with(Vec::new);
                e.support.get_or_insert(Support::Real);
            }
        }
    }

    fn settle(&mut self, work: &mut Work) {
        // every name gains a shape and a support once, every call a signature once
        let mut left = 100 * (self.stmts.len() + 10);
        while let Some(s) = work.todo.pop_front() {
            work.due[s] = false;
            left -= 1;
            if left == 0 {
                return;
            }
            self.try_infer(s, false, work);
        }
    }

    /// One statement; true where something became known, and then those that mention its names are due again.
    fn try_infer(&mut self, s: usize, force: bool, work: &mut Work) -> bool {
        let known = |t: &Self, work: &Work| {
            let of = |&id: &EntId| usize::from(t.ents[id].shape.is_some()) + usize::from(t.ents[id].support.is_some());
            t.signatures.len() + work.names[s].iter().map(of).sum::<usize>()
        };
        let before = known(self, work);
        self.infer_stmt(s, force);
        if known(self, work) == before {
            return false;
        }
        for id in work.names[s].clone() {
            for &x in &work.users[id] {
                if !std::mem::replace(&mut work.due[x], true) {
                    work.todo.push_back(x);
                }
            }
        }
        true
    }

    fn infer_stmt(&mut self, s: usize, force: bool) {
        let ent = self.stmts[s].ent;
        match self.stmts[s].rhs {
            Rhs::None => {}
            Rhs::Random(e) => self.infer_dist(e, s, force),
            Rhs::Equal(e, k, n) => {
                let shape = if n > 1 {
                    self.net_output(e, s, k)
                } else {
                    self.infer(e, s)
                };
                let known = self.ents[ent].shape.clone();
                match (shape, known) {
                    (Some(sh), None) => {
                        self.ents[ent].shape = Some(sh);
                        if self.ents[ent].support.is_none() {
                            self.ents[ent].support = self.const_sign(ent).or_else(|| self.support_of(e, s));
                        }
                    }
                    (Some(sh), Some(known)) => {
                        self.sizes.unify_shapes(&sh, &known);
                    }
                    (None, Some(known)) => self.push_want(e, s, &known, Support::Real),
                    (None, None) => {}
                }
            }
        }
    }

    /// The sign of a scalar constant is known.
    fn const_sign(&self, id: EntId) -> Option<Support> {
        if self.ents[id].kind != Kind::Const {
            return None;
        }
        let x = self.value_of_name(&self.ents[id].name, 0)?;
        Some(match x {
            x if x > 0.0 => Support::Positive,
            0.0 => Support::NonNegative,
            _ => Support::Real,
        })
    }

    /// True where a bare name means the value at the statement's own position of the chain.
    pub(crate) fn at_chain(&self, id: EntId, s: usize) -> bool {
        match (self.ents[id].chain, self.stmts[s].chain) {
            (Some(c), Some(d)) => {
                let (mut at, guide) = (Some(self.chains[d].plate), self.stmts[s].guide);
                while let Some(p) = at {
                    if p == self.chains[c].plate {
                        return true;
                    }
                    at = self.parent(p);
                }
                guide
            }
            _ => false,
        }
    }

    /// The size an index of the statement ranges over.
    fn index_range(&self, name: &str, s: usize) -> Option<Size> {
        let stmt = &self.stmts[s];
        if let Some(c) = stmt.chain
            && self.chains[c].index == name
        {
            return Some(self.chains[c].size.clone());
        }
        stmt.lhs.iter().find_map(|l| match l {
            Lhs::Range(r) if self.ranges[*r].name == name => Some(self.ranges[*r].size.clone()),
            _ => None,
        })
    }

    /// The shape of an expression, where it can be known yet.
    pub(crate) fn infer(&mut self, e: &'a Expr, s: usize) -> Option<Shape> {
        match &e.kind {
            ExprKind::Number(_) => Some(vec![]),
            ExprKind::Name(name) => self.infer_name(name, e, s),
            ExprKind::Call { callee, args } => self.infer_call(e, &callee.name, args, s),
            ExprKind::Index { base, indices } => self.infer_index(base, indices, s),
            ExprKind::Unary(_, a) => self.infer(a, s),
            ExprKind::Binary(op, a, b) => {
                let (x, y) = (self.infer(a, s), self.infer(b, s));
                if *op == BinaryOp::Mul {
                    self.infer_product(x?, y?)
                } else {
                    self.infer_elementwise(x, y)
                }
            }
            ExprKind::If(c, a, b) => {
                self.infer(c, s);
                let (x, y) = (self.infer(a, s), self.infer(b, s));
                self.infer_elementwise(x, y)
            }
            ExprKind::Match(on, arms) => {
                self.infer(on, s);
                let mut out = None;
                for (i, (_, value)) in arms.iter().enumerate() {
                    let shape = self.infer(value, s);
                    out = if i == 0 {
                        shape
                    } else {
                        self.infer_elementwise(out, shape)
                    };
                }
                out
            }
            ExprKind::Array(items) => {
                let mut inner: Option<Shape> = None;
                for item in items {
                    let shape = self.infer(item, s)?;
                    if let Some(old) = &inner {
                        self.sizes.unify_shapes(old, &shape);
                    }
                    inner.get_or_insert(shape);
                }
                let mut out = vec![Size::Const(items.len())];
                out.extend(inner?);
                Some(out)
            }
        }
    }

    fn infer_name(&mut self, name: &str, e: &Expr, s: usize) -> Option<Shape> {
        if self.index_range(name, s).is_some() {
            return Some(vec![]);
        }
        let Some(id) = self.find(name, self.stmts[s].guide) else {
            return (name == "I").then(|| {
                let n = self.place_size(e.span, 0);
                vec![n.clone(), n]
            });
        };
        match self.ents[id].kind {
            Kind::Dim(_) => Some(vec![]),
            Kind::Net(_) => None,
            _ => self.full_shape(id, usize::from(self.at_chain(id, s))),
        }
    }

    /// Axes after the first `skip`, then the shape of one element.
    fn full_shape(&self, id: EntId, skip: usize) -> Option<Shape> {
        let ent = &self.ents[id];
        let mut out: Shape = ent.axes.iter().skip(skip).map(|a| a.size.clone()).collect();
        out.extend(ent.shape.clone()?);
        Some(out)
    }

    fn infer_elementwise(&mut self, x: Option<Shape>, y: Option<Shape>) -> Option<Shape> {
        match (x, y) {
            (Some(x), Some(y)) if x.len() == y.len() => {
                self.sizes.unify_shapes(&x, &y);
                Some(x)
            }
            (Some(x), Some(y)) => Some(if x.len() > y.len() { x } else { y }),
            (Some(x), None) | (None, Some(x)) if !x.is_empty() => Some(x),
            _ => None,
        }
    }

    fn infer_product(&mut self, x: Shape, y: Shape) -> Option<Shape> {
        match (x.len(), y.len()) {
            (0, _) => Some(y),
            (_, 0) => Some(x),
            (2, 1) => {
                self.sizes.unify(&x[1], &y[0]);
                Some(vec![x[0].clone()])
            }
            (2, 2) => {
                self.sizes.unify(&x[1], &y[0]);
                Some(vec![x[0].clone(), y[1].clone()])
            }
            // a mistake, told later; its shape is nobody's guess
            _ => None,
        }
    }

    fn infer_index(&mut self, base: &'a Expr, indices: &'a [Subscript], s: usize) -> Option<Shape> {
        if let ExprKind::Name(name) = &base.kind {
            if name == "I" && self.find(name, self.stmts[s].guide).is_none() {
                let Some(Subscript::At(n)) = indices.first() else {
                    return None;
                };
                let n = self.size_of(n)?;
                return Some(vec![n.clone(), n]);
            }
            if let Some(id) = self.find(name, self.stmts[s].guide) {
                return self.infer_pick(id, indices, s);
            }
        }
        let shape = self.infer(base, s)?;
        self.picked(&shape, indices, s)
    }

    fn infer_pick(&mut self, id: EntId, indices: &'a [Subscript], s: usize) -> Option<Shape> {
        let written = indices.len();
        // fewer brackets than axes inside a chain: the chain's own is the one left out
        let skip = usize::from(self.at_chain(id, s) && written < self.ents[id].axes.len());
        for (i, ix) in indices.iter().enumerate() {
            if let (Some(axis), Subscript::At(e)) = (self.ents[id].axes.get(i + skip).cloned(), ix) {
                let in_chain = self.ents[id].chain.is_some() && i + skip == 0;
                if !in_chain {
                    self.index_fits(&axis.size, e, s);
                }
            }
        }
        let shape = self.full_shape(id, skip)?;
        // elements of the value's own vector: a category picks one of its length
        let own = self.ents[id].axes.len().saturating_sub(skip);
        for (ix, size) in indices.iter().zip(shape.clone()).skip(own) {
            if let Subscript::At(e) = ix {
                self.index_fits(&size, e, s);
            }
        }
        self.picked(&shape, indices, s)
    }

    /// An index by a category gives an open axis its size.
    fn index_fits(&mut self, size: &Size, e: &'a Expr, s: usize) {
        self.infer(e, s);
        let own = match self.support_of(e, s) {
            Some(Support::Category(n)) => n,
            Some(Support::Binary) => Size::Const(2),
            _ => match &e.kind {
                ExprKind::Name(n) => match self.index_range(n, s) {
                    Some(n) => n,
                    None => return,
                },
                _ => return,
            },
        };
        self.sizes.unify(size, &own);
    }

    fn picked(&mut self, shape: &[Size], indices: &'a [Subscript], s: usize) -> Option<Shape> {
        if indices.len() > shape.len() {
            return None;
        }
        let mut out = vec![];
        for (ix, size) in indices.iter().zip(shape) {
            match ix {
                Subscript::At(e) => {
                    self.infer(e, s);
                }
                Subscript::Slice(a, b) => {
                    out.push(self.slice_len(a, b).unwrap_or_else(|| size.clone()));
                }
            }
        }
        out.extend_from_slice(&shape[indices.len()..]);
        Some(out)
    }

    /// The length of `a..b` where it is a size.
    pub(crate) fn slice_len(&self, a: &Expr, b: &Expr) -> Option<Size> {
        let (a, b) = (self.pos(a)?, self.pos(b)?);
        if a.index.is_some() || b.index.is_some() || a.dim.is_some() {
            return None;
        }
        let n = usize::try_from(b.off - a.off + 1).ok()?;
        match b.dim {
            Some(d) => Some(sum_sizes([d, Size::Const(n)])),
            None => (n > 0).then_some(Size::Const(n)),
        }
    }

    fn infer_call(
        &mut self,
        e: &'a Expr,
        name: &str,
        args: &'a [(Option<lvmc_syntax::ast::Ident>, Expr)],
        s: usize,
    ) -> Option<Shape> {
        if let Some(Kind::Net(_)) = self.names.get(name).map(|&id| self.ents[id].kind) {
            return self.net_output(e, s, 0);
        }
        let shapes: Vec<Option<Shape>> = args.iter().map(|(_, a)| self.infer(a, s)).collect();
        let rule = functions::find(name)?.shapes;
        match rule {
            Shapes::Scalar => {
                if let [Some(x), Some(y)] = shapes.as_slice() {
                    self.sizes.unify_shapes(x, y);
                }
                Some(vec![])
            }
            Shapes::Same => shapes.into_iter().next()?,
            Shapes::Elementwise => {
                let mut out = shapes.first().cloned()?;
                for sh in shapes.into_iter().skip(1) {
                    out = self.infer_elementwise(out, sh);
                }
                out
            }
            Shapes::Concat => {
                let parts: Vec<Shape> = shapes.into_iter().collect::<Option<_>>()?;
                let part = |p: &Shape| p.first().cloned().unwrap_or(Size::Const(1));
                Some(vec![sum_sizes(parts.iter().map(part))])
            }
            Shapes::Transpose => shapes.into_iter().next()?.map(|mut x| {
                x.reverse();
                x
            }),
            Shapes::Diag => match shapes.into_iter().next()?? {
                v if v.len() == 1 => Some(vec![v[0].clone(), v[0].clone()]),
                m => Some(m.first().cloned().into_iter().collect()),
            },
            Shapes::Outer => match shapes.as_slice() {
                [Some(u), Some(v)] if u.len() == 1 && v.len() == 1 => Some(vec![u[0].clone(), v[0].clone()]),
                _ => None,
            },
        }
    }

    /// Output `k` of a call of a net; its arguments take the inputs' sizes.
    fn net_output(&mut self, e: &'a Expr, s: usize, k: usize) -> Option<Shape> {
        let ExprKind::Call { callee, args } = &e.kind else {
            return None;
        };
        let Kind::Net(net) = self.ents[*self.names.get(&callee.name)?].kind else {
            return None;
        };
        for (i, (_, a)) in args.iter().enumerate() {
            let input = self.nets[net].inputs.get(i).cloned();
            match (self.infer(a, s), input) {
                (Some(shape), Some((_, want))) => {
                    self.sizes.unify_shapes(&shape, &want);
                }
                (None, Some((support, want))) => self.push_want(a, s, &want, support),
                _ => {}
            }
        }
        self.nets[net].outputs.get(k).map(|(_, shape)| shape.clone())
    }
}
