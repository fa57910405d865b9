//! The syntax tree as short s-expressions, for `emit --stage ast` and for comparing trees: spans are left out.

use crate::ast::{Body, Expr, ExprKind, Ident, Model, Stmt, StmtKind, Subscript, Target, TargetIndex, Type, VarStmt};
use crate::print::number;

/// A model's tree in brackets, one statement on a line. Two models have the same text where they are equal but for
/// their spans.
#[must_use]
pub fn print_ast(model: &Model) -> String {
    let mut out = match &model.name {
        Some(name) => format!("(model {name})\n"),
        None => "(model)\n".into(),
    };
    if let Some(doc) = &model.doc {
        out.push_str(&format!("(doc {doc:?})\n"));
    }
    statements(&mut out, &model.items, 0);
    out
}

fn statements(out: &mut String, items: &[Stmt], depth: usize) {
    for item in items {
        out.push_str(&"  ".repeat(depth));
        statement(out, item, depth);
        out.push('\n');
    }
}

fn statement(out: &mut String, item: &Stmt, depth: usize) {
    let body = match &item.kind {
        StmtKind::Dim(sizes) => {
            let size = |(name, value): &(Ident, Option<Expr>)| match value {
                Some(v) => format!("{name}={}", expr(v)),
                None => name.to_string(),
            };
            out.push_str(&format!("(dim {})", join(sizes, size)));
            return;
        }
        StmtKind::Const { target: t, ty, value } => {
            out.push_str(&format!("(const {}{}", target(t), typed(ty.as_ref())));
            out.push_str(&value.as_ref().map_or(String::new(), |v| format!(" = {}", expr(v))));
            out.push(')');
            return;
        }
        StmtKind::Var(v) => {
            out.push_str(&variable(v));
            return;
        }
        StmtKind::Fit(settings) => {
            out.push_str(&format!(
                "(fit {})",
                join(settings, |(k, v)| format!("{k}={}", expr(v)))
            ));
            return;
        }
        StmtKind::Weight(column) => {
            out.push_str(&format!("(weight {column})"));
            return;
        }
        StmtKind::Net(net) => {
            let fields = |fields: &[(Ident, Type)]| join(fields, |(name, ty)| format!("{name}:{}", type_(ty)));
            out.push_str(&format!(
                "(net {} ({}) -> ({})",
                net.name,
                fields(&net.inputs),
                fields(&net.outputs)
            ));
            for (names, value, _) in &net.body {
                let names = join(names, ToString::to_string);
                out.push_str(&format!("\n{}(= ({names}) {})", "  ".repeat(depth + 1), expr(value)));
            }
            out.push(')');
            return;
        }
        StmtKind::ForEach { column, body } => {
            out.push_str(&format!("(for-each {column}"));
            body
        }
        StmtKind::Chain { index, range, by, body } => {
            out.push_str(&format!("(chain {index}"));
            if let Some((from, to)) = range {
                out.push_str(&format!(" in {}..{}", expr(from), expr(to)));
            }
            if let Some(by) = by {
                out.push_str(&format!(" by {by}"));
            }
            body
        }
        StmtKind::Guide(body) => {
            out.push_str("(guide");
            body
        }
    };
    out.push('\n');
    statements(out, body, depth + 1);
    // The last statement's line break goes behind the bracket.
    out.pop();
    out.push(')');
}

fn variable(v: &VarStmt) -> String {
    let mut out = String::from("(var");
    if v.global.is_some() {
        out.push_str(" global");
    }
    if let Some((role, _)) = v.role {
        out.push(' ');
        out.push_str(role.word());
    }
    out.push_str(&format!(" ({})", join(&v.targets, target)));
    out.push_str(&typed(v.ty.as_ref()));
    match &v.body {
        Some(Body::Random(e)) => out.push_str(&format!(" ~ {}", expr(e))),
        Some(Body::Equal(e)) => out.push_str(&format!(" = {}", expr(e))),
        None => {}
    }
    out.push(')');
    out
}

fn target(t: &Target) -> String {
    let index = |i: &TargetIndex| match i {
        TargetIndex::Family { index, from, to } => format!("{index} in {}..{}", expr(from), expr(to)),
        TargetIndex::Position(e) => expr(e),
    };
    if t.indices.is_empty() {
        t.name.to_string()
    } else {
        format!("{}[{}]", t.name, join(&t.indices, index))
    }
}

fn typed(ty: Option<&Type>) -> String {
    ty.map_or(String::new(), |t| format!(" : {}", type_(t)))
}

fn type_(t: &Type) -> String {
    if t.sizes.is_empty() {
        t.base.to_string()
    } else {
        format!("{}[{}]", t.base, join(&t.sizes, expr))
    }
}

fn expr(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Number(v) => number(*v),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Call { callee, args } => {
            let mut out = format!("({callee}");
            for (key, value) in args {
                out.push(' ');
                if let Some(key) = key {
                    out.push_str(&format!("{key}="));
                }
                out.push_str(&expr(value));
            }
            out.push(')');
            out
        }
        ExprKind::Index { base, indices } => {
            let subscript = |s: &Subscript| match s {
                Subscript::At(e) => expr(e),
                Subscript::Slice(from, to) => format!("{}..{}", expr(from), expr(to)),
            };
            format!("{}[{}]", expr(base), join(indices, subscript))
        }
        ExprKind::Unary(op, a) => format!("({} {})", op.symbol(), expr(a)),
        ExprKind::Binary(op, a, b) => format!("({} {} {})", op.symbol(), expr(a), expr(b)),
        ExprKind::If(c, a, b) => format!("(if {} {} {})", expr(c), expr(a), expr(b)),
        ExprKind::Match(subject, arms) => {
            let arm = |(pattern, value): &(Option<Expr>, Expr)| {
                format!("({} {})", pattern.as_ref().map_or("_".into(), expr), expr(value))
            };
            format!("(match {} {})", expr(subject), join(arms, arm))
        }
        // A blank comes before it, which tells it from an index.
        ExprKind::Array(items) => format!("[{}]", join(items, expr)),
    }
}

fn join<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(" ")
}
