//! Random syntax trees, and comparing them without their spans.
#![allow(dead_code, missing_docs)]

use lvmc_base::{Source, Span};
use lvmc_syntax::ast::*;
use lvmc_syntax::{SyntaxError, parse};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub fn read(text: &str) -> Result<Model, SyntaxError> {
    parse(&Source::new("test.lvm", text))
}

/// That many random cases, or `PROPTEST_CASES`.
pub fn cases(n: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(n);
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn spanned(kind: ExprKind) -> Expr {
    Expr {
        span: Span::default(),
        kind,
    }
}

/// Names, contextual keywords and Unicode among them.
fn name() -> impl Strategy<Value = String> {
    let words = [
        "x", "y", "z", "mu", "Sigma", "μ", "Σ_2", "_a", "t", "in", "by", "each", "row", "model", "noise", "global",
        "net", "chain", "guide", "fit", "weight", "lambda", "iff", "data2", "e3",
    ];
    prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(String::from), 1 => "[a-z]{1,6}[0-9]"]
}

fn ident() -> impl Strategy<Value = Ident> {
    name().prop_map(|name| Ident {
        name,
        span: Span::default(),
    })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        (0..20_u32).prop_map(f64::from),
        0.0..1e6,
        any::<f64>().prop_map(|v| if v.is_finite() { v.abs() } else { 1.5 })
    ]
}

fn boxed(e: Expr) -> Box<Expr> {
    Box::new(e)
}

pub fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![number().prop_map(ExprKind::Number), name().prop_map(ExprKind::Name)].prop_map(spanned);
    leaf.prop_recursive(5, 40, 4, |inner| {
        let e = inner;
        let call = (ident(), vec((option::weighted(0.2, ident()), e.clone()), 0..4))
            .prop_map(|(callee, args)| ExprKind::Call { callee, args });
        let subscript = prop_oneof![
            3 => e.clone().prop_map(Subscript::At),
            1 => (e.clone(), e.clone()).prop_map(|(a, b)| Subscript::Slice(a, b))
        ];
        let index = (e.clone(), vec(subscript, 1..3)).prop_map(|(base, indices)| ExprKind::Index {
            base: boxed(base),
            indices,
        });
        let unary = (proptest::sample::select(vec![UnaryOp::Neg, UnaryOp::Not]), e.clone())
            .prop_map(|(op, a)| ExprKind::Unary(op, boxed(a)));
        let binary =
            (binary_op(), e.clone(), e.clone()).prop_map(|(op, a, b)| ExprKind::Binary(op, boxed(a), boxed(b)));
        let condition =
            (e.clone(), e.clone(), e.clone()).prop_map(|(c, a, b)| ExprKind::If(boxed(c), boxed(a), boxed(b)));
        let matching = (e.clone(), vec((option::of(e.clone()), e.clone()), 1..3))
            .prop_map(|(s, arms)| ExprKind::Match(boxed(s), arms));
        let array = vec(e, 0..4).prop_map(ExprKind::Array);
        prop_oneof![2 => call, 2 => index, 2 => unary, 4 => binary, 1 => condition, 1 => matching, 1 => array]
            .prop_map(spanned)
    })
}

fn binary_op() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Pow, Sub};
    proptest::sample::select(vec![Add, Sub, Mul, Div, Pow, Lt, Le, Gt, Ge, Eq, Ne, And, Or])
}

fn type_() -> impl Strategy<Value = Type> {
    (ident(), vec(expr(), 0..3)).prop_map(|(base, sizes)| Type {
        base,
        sizes,
        span: Span::default(),
    })
}

fn target() -> impl Strategy<Value = Target> {
    let index = prop_oneof![
        expr().prop_map(TargetIndex::Position),
        (ident(), expr(), expr()).prop_map(|(index, from, to)| TargetIndex::Family { index, from, to })
    ];
    (ident(), vec(index, 0..3)).prop_map(|(name, indices)| Target {
        name,
        indices,
        span: Span::default(),
    })
}

fn variable() -> impl Strategy<Value = StmtKind> {
    use Role::{Data, Given, Latent, Noise, Param};
    let role = option::of(proptest::sample::select(vec![Param, Latent, Data, Given, Noise]));
    let body = prop_oneof![
        1 => Just(None),
        2 => expr().prop_map(|e| Some(Body::Random(e))),
        2 => expr().prop_map(|e| Some(Body::Equal(e)))
    ];
    let marks = (role, any::<bool>());
    (marks, vec(target(), 1..3), option::of(type_()), body).prop_map(|((role, global), targets, ty, body)| {
        // A bare name says nothing and is no statement.
        let bare = role.is_none() && !global && ty.is_none() && body.is_none();
        let role = if bare { Some(Data) } else { role };
        StmtKind::Var(VarStmt {
            role: role.map(|r| (r, Span::default())),
            global: global.then(Span::default),
            targets,
            ty,
            body,
        })
    })
}

fn stmt(kind: impl Strategy<Value = StmtKind>) -> impl Strategy<Value = Stmt> {
    kind.prop_map(|kind| Stmt {
        span: Span::default(),
        kind,
    })
}

/// A statement that can stand in a block.
fn inner() -> impl Strategy<Value = Stmt> {
    let constant = (target(), option::of(type_()), option::of(expr()))
        .prop_map(|(target, ty, value)| StmtKind::Const { target, ty, value });
    let leaf = stmt(prop_oneof![4 => variable(), 1 => constant, 1 => ident().prop_map(StmtKind::Weight)]).boxed();
    leaf.prop_recursive(2, 6, 3, |inner| {
        let body = vec(inner, 0..3);
        let each = (ident(), body.clone()).prop_map(|(column, body)| StmtKind::ForEach { column, body });
        let chain = (ident(), option::of((expr(), expr())), option::of(ident()), body)
            .prop_map(|(index, range, by, body)| StmtKind::Chain { index, range, by, body });
        stmt(prop_oneof![each, chain])
    })
}

fn outer() -> impl Strategy<Value = Stmt> {
    let fields = |n| vec((ident(), type_()), n..3);
    let line = (vec(ident(), 1..3), expr()).prop_map(|(names, value)| (names, value, Span::default()));
    let net = (ident(), fields(0), fields(1), vec(line, 0..3)).prop_map(|(name, inputs, outputs, body)| {
        StmtKind::Net(Net {
            name,
            inputs,
            outputs,
            body,
        })
    });
    let dims = vec((ident(), option::of(expr())), 1..3).prop_map(StmtKind::Dim);
    let fit = vec((ident(), expr()), 0..3).prop_map(StmtKind::Fit);
    let guide = vec(inner(), 0..3).prop_map(StmtKind::Guide);
    prop_oneof![4 => inner(), 1 => stmt(prop_oneof![net, dims, fit, guide])]
}

pub fn model() -> impl Strategy<Value = Model> {
    (
        option::of(ident()),
        option::of("[a-z]{1,9}( [a-z,.]{1,9}){0,3}"),
        vec(outer(), 1..5),
    )
        .prop_map(|(name, doc, items)| Model { name, doc, items })
}

/// The model with every span at zero.
pub fn erased(mut model: Model) -> Model {
    model.name.iter_mut().for_each(id);
    model.items.iter_mut().for_each(statement);
    model
}

fn id(i: &mut Ident) {
    i.span = Span::default();
}

fn statement(s: &mut Stmt) {
    s.span = Span::default();
    match &mut s.kind {
        StmtKind::Dim(sizes) => sizes.iter_mut().for_each(|(n, v)| {
            id(n);
            v.iter_mut().for_each(ex);
        }),
        StmtKind::Const { target: t, ty, value } => {
            tg(t);
            ty.iter_mut().for_each(tp);
            value.iter_mut().for_each(ex);
        }
        StmtKind::Var(v) => {
            v.role.iter_mut().for_each(|r| r.1 = Span::default());
            v.global.iter_mut().for_each(|g| *g = Span::default());
            v.targets.iter_mut().for_each(tg);
            v.ty.iter_mut().for_each(tp);
            match &mut v.body {
                Some(Body::Random(e) | Body::Equal(e)) => ex(e),
                None => {}
            }
        }
        StmtKind::Net(net) => {
            id(&mut net.name);
            net.inputs.iter_mut().chain(&mut net.outputs).for_each(|(n, t)| {
                id(n);
                tp(t);
            });
            net.body.iter_mut().for_each(|(names, e, span)| {
                names.iter_mut().for_each(id);
                ex(e);
                *span = Span::default();
            });
        }
        StmtKind::ForEach { column, body } => {
            id(column);
            body.iter_mut().for_each(statement);
        }
        StmtKind::Chain { index, range, by, body } => {
            id(index);
            range.iter_mut().for_each(|(a, b)| {
                ex(a);
                ex(b);
            });
            by.iter_mut().for_each(id);
            body.iter_mut().for_each(statement);
        }
        StmtKind::Guide(body) => body.iter_mut().for_each(statement),
        StmtKind::Fit(settings) => settings.iter_mut().for_each(|(k, v)| {
            id(k);
            ex(v);
        }),
        StmtKind::Weight(column) => id(column),
    }
}

fn tg(t: &mut Target) {
    t.span = Span::default();
    id(&mut t.name);
    t.indices.iter_mut().for_each(|i| match i {
        TargetIndex::Position(e) => ex(e),
        TargetIndex::Family { index, from, to } => {
            id(index);
            ex(from);
            ex(to);
        }
    });
}

fn tp(t: &mut Type) {
    t.span = Span::default();
    id(&mut t.base);
    t.sizes.iter_mut().for_each(ex);
}

fn ex(e: &mut Expr) {
    e.span = Span::default();
    match &mut e.kind {
        ExprKind::Number(_) | ExprKind::Name(_) => {}
        ExprKind::Call { callee, args } => {
            id(callee);
            args.iter_mut().for_each(|(k, v)| {
                k.iter_mut().for_each(id);
                ex(v);
            });
        }
        ExprKind::Index { base, indices } => {
            ex(base);
            indices.iter_mut().for_each(|s| match s {
                Subscript::At(e) => ex(e),
                Subscript::Slice(a, b) => {
                    ex(a);
                    ex(b);
                }
            });
        }
        ExprKind::Unary(_, a) => ex(a),
        ExprKind::Binary(_, a, b) => {
            ex(a);
            ex(b);
        }
        ExprKind::If(c, a, b) => {
            ex(c);
            ex(a);
            ex(b);
        }
        ExprKind::Match(s, arms) => {
            ex(s);
            arms.iter_mut().for_each(|(p, v)| {
                p.iter_mut().for_each(ex);
                ex(v);
            });
        }
        ExprKind::Array(items) => items.iter_mut().for_each(ex),
    }
}
