//! Walks over expressions.

use lvmc_base::Span;
use lvmc_syntax::ast::{self, Expr, ExprKind, StmtKind, Subscript, TargetIndex};

/// The parts of an expression.
pub(crate) fn parts(e: &Expr) -> Vec<&Expr> {
    match &e.kind {
        ExprKind::Number(_) | ExprKind::Name(_) => vec![],
        ExprKind::Call { args, .. } => args.iter().map(|(_, a)| a).collect(),
        ExprKind::Index { base, indices } => {
            let mut out = vec![&**base];
            for ix in indices {
                match ix {
                    Subscript::At(a) => out.push(a),
                    Subscript::Slice(a, b) => out.extend([a, b]),
                }
            }
            out
        }
        ExprKind::Unary(_, a) => vec![a],
        ExprKind::Binary(_, a, b) => vec![a, b],
        ExprKind::If(a, b, c) => vec![a, b, c],
        ExprKind::Match(on, arms) => {
            let mut out = vec![&**on];
            for (pattern, value) in arms {
                out.extend(pattern.as_ref());
                out.push(value);
            }
            out
        }
        ExprKind::Array(items) => items.iter().collect(),
    }
}

/// Calls `f` with every name that stands as a value.
pub(crate) fn names<'a>(e: &'a Expr, f: &mut impl FnMut(&'a str, Span)) {
    let mut todo = vec![e];
    while let Some(e) = todo.pop() {
        if let ExprKind::Name(name) = &e.kind {
            f(name, e.span);
        }
        todo.extend(parts(e));
    }
}

/// Deepest nesting of blocks and expressions allowed.
pub(crate) const DEEPEST: usize = 150;

/// True where blocks or expressions nest too deep for the passes that recurse. Itself without recursion.
pub(crate) fn too_deep(model: &ast::Model) -> bool {
    let mut stmts: Vec<(&ast::Stmt, usize)> = model.items.iter().map(|s| (s, 0)).collect();
    let mut exprs: Vec<(&Expr, usize)> = vec![];
    while let Some((s, depth)) = stmts.pop() {
        if depth > DEEPEST {
            return true;
        }
        let target = |t: &'_ ast::Target| t.indices.len() > DEEPEST;
        match &s.kind {
            StmtKind::Dim(ds) => exprs.extend(ds.iter().filter_map(|(_, e)| e.as_ref()).map(|e| (e, 0))),
            StmtKind::Const { target: t, ty, value } => {
                if target(t) {
                    return true;
                }
                exprs.extend(value.iter().map(|e| (e, 0)));
                exprs.extend(ty.iter().flat_map(|t| t.sizes.iter()).map(|e| (e, 0)));
                exprs.extend(index_exprs(t));
            }
            StmtKind::Var(v) => {
                if v.targets.iter().any(target) {
                    return true;
                }
                exprs.extend(v.targets.iter().flat_map(index_exprs));
                exprs.extend(v.ty.iter().flat_map(|t| t.sizes.iter()).map(|e| (e, 0)));
                match &v.body {
                    Some(ast::Body::Random(e) | ast::Body::Equal(e)) => exprs.push((e, 0)),
                    None => {}
                }
            }
            StmtKind::Net(n) => {
                exprs.extend(n.body.iter().map(|(_, e, _)| (e, 0)));
                let types = n.inputs.iter().chain(&n.outputs);
                exprs.extend(types.flat_map(|(_, t)| t.sizes.iter()).map(|e| (e, 0)));
            }
            StmtKind::ForEach { body, .. } | StmtKind::Guide(body) => stmts.extend(body.iter().map(|s| (s, depth + 1))),
            StmtKind::Chain { body, range, .. } => {
                stmts.extend(body.iter().map(|s| (s, depth + 1)));
                exprs.extend(range.iter().flat_map(|(a, b)| [(a, 0), (b, 0)]));
            }
            StmtKind::Fit(o) => exprs.extend(o.iter().map(|(_, e)| (e, 0))),
            StmtKind::Weight(_) => {}
        }
    }
    while let Some((e, depth)) = exprs.pop() {
        if depth > DEEPEST {
            return true;
        }
        exprs.extend(parts(e).into_iter().map(|p| (p, depth + 1)));
    }
    false
}

fn index_exprs(t: &ast::Target) -> Vec<(&Expr, usize)> {
    t.indices
        .iter()
        .flat_map(|ix| match ix {
            TargetIndex::Family { from, to, .. } => vec![(from, 0), (to, 0)],
            TargetIndex::Position(e) => vec![(e, 0)],
        })
        .collect()
}
