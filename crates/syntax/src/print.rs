//! The syntax tree as source text: what [`crate::parse()`] reads back as the same tree.
//!
//! Comments are not in the tree, and lines are not aligned; [`crate::format()`] keeps the one and does the other.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{
    BinaryOp, Body, Expr, ExprKind, Ident, Model, Net, Role, Stmt, StmtKind, Subscript, Target, TargetIndex, Type,
    UnaryOp, VarStmt,
};

/// A model as source text.
#[must_use]
pub fn source_text(model: &Model) -> String {
    let mut out = String::new();
    for line in model.doc.iter().flat_map(|d| d.split('\n')) {
        out.push_str(format!("# {line}").trim_end());
        out.push('\n');
    }
    if let Some(name) = &model.name {
        out.push_str(&format!("model {name}\n"));
    }
    statements(&mut out, &model.items, 0);
    out
}

fn statements(out: &mut String, items: &[Stmt], depth: usize) {
    for item in items {
        out.push_str(&"  ".repeat(depth));
        let body = match &item.kind {
            StmtKind::ForEach { column, body } => {
                out.push_str(&format!("for each {column}"));
                Some(body)
            }
            StmtKind::Chain { index, range, by, body } => {
                out.push_str(&format!("chain {index}"));
                if let Some((from, to)) = range {
                    out.push_str(&format!(" in {from}..{to}"));
                }
                if let Some(by) = by {
                    out.push_str(&format!(" by {by}"));
                }
                Some(body)
            }
            StmtKind::Guide(body) => {
                out.push_str("guide");
                Some(body)
            }
            StmtKind::Net(n) => {
                net(out, n, depth);
                None
            }
            other => {
                out.push_str(&simple(other));
                None
            }
        };
        if let Some(body) = body {
            out.push_str(" {\n");
            statements(out, body, depth + 1);
            out.push_str(&"  ".repeat(depth));
            out.push('}');
        }
        out.push('\n');
    }
}

/// A statement of one line.
fn simple(kind: &StmtKind) -> String {
    match kind {
        StmtKind::Dim(sizes) => format!(
            "dim {}",
            list(sizes, |(name, value)| format!("{name}{}", equals(value.as_ref())))
        ),
        StmtKind::Const { target, ty, value } => {
            format!("const {target}{}{}", typed(ty.as_ref()), equals(value.as_ref()))
        }
        StmtKind::Var(v) => v.to_string(),
        StmtKind::Fit(settings) => format!("fit {{ {} }}", list(settings, |(k, v)| format!("{k} = {v}"))),
        StmtKind::Weight(column) => format!("weight {column}"),
        StmtKind::Net(_) | StmtKind::ForEach { .. } | StmtKind::Chain { .. } | StmtKind::Guide(_) => String::new(),
    }
}

fn net(out: &mut String, net: &Net, depth: usize) {
    let fields = |fields: &[(Ident, Type)]| list(fields, |(name, ty)| format!("{name} : {ty}"));
    out.push_str(&format!(
        "net {}({}) -> {} {{\n",
        net.name,
        fields(&net.inputs),
        fields(&net.outputs)
    ));
    for (names, value, _) in &net.body {
        out.push_str(&format!(
            "{}{} = {value}\n",
            "  ".repeat(depth + 1),
            list(names, ToString::to_string)
        ));
    }
    out.push_str(&"  ".repeat(depth));
    out.push('}');
}

fn list<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn typed(ty: Option<&Type>) -> String {
    ty.map_or(String::new(), |t| format!(" : {t}"))
}

fn equals(value: Option<&Expr>) -> String {
    value.map_or(String::new(), |v| format!(" = {v}"))
}

impl Role {
    /// The role's keyword.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Param => "param",
            Role::Latent => "latent",
            Role::Data => "data",
            Role::Given => "given",
            Role::Noise => "noise",
        }
    }
}

impl Display for VarStmt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.global.is_some() {
            f.write_str("global ")?;
        }
        if let Some((role, _)) = self.role {
            write!(f, "{} ", role.word())?;
        }
        write!(
            f,
            "{}{}",
            list(&self.targets, ToString::to_string),
            typed(self.ty.as_ref())
        )?;
        match &self.body {
            None => Ok(()),
            Some(Body::Random(e)) => write!(f, " ~ {e}"),
            Some(Body::Equal(e)) => write!(f, " = {e}"),
        }
    }
}

impl Display for Ident {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.indices.is_empty() {
            return Ok(());
        }
        let index = |i: &TargetIndex| match i {
            TargetIndex::Family { index, from, to } => format!("{index} in {from}..{to}"),
            TargetIndex::Position(e) => e.to_string(),
        };
        write!(f, "[{}]", list(&self.indices, index))
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        if self.sizes.is_empty() {
            Ok(())
        } else {
            write!(f, "[{}]", list(&self.sizes, ToString::to_string))
        }
    }
}

impl UnaryOp {
    /// The operator as written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Neg => "-",
            UnaryOp::Not => "not",
        }
    }
}

impl BinaryOp {
    /// The operator as written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Pow => "^",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        }
    }

    /// How tightly it binds, and what its operands must bind at least with to stand without parentheses.
    fn strength(self) -> (u8, u8, u8) {
        match self {
            BinaryOp::Or => (1, 1, 2),
            BinaryOp::And => (2, 2, 3),
            // Comparisons do not chain.
            BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq | BinaryOp::Ne => (4, 5, 5),
            BinaryOp::Add | BinaryOp::Sub => (5, 5, 6),
            BinaryOp::Mul | BinaryOp::Div => (6, 6, 7),
            // To the right, and its exponent may have a minus.
            BinaryOp::Pow => (8, ATOM, NEG),
        }
    }
}

const NOT: u8 = 3;
const NEG: u8 = 7;
const ATOM: u8 = 9;

fn strength(e: &Expr) -> u8 {
    match &e.kind {
        // Its last branch takes in whatever follows.
        ExprKind::If(..) => 0,
        ExprKind::Unary(UnaryOp::Not, _) => NOT,
        ExprKind::Unary(UnaryOp::Neg, _) => NEG,
        ExprKind::Number(v) if v.is_sign_negative() => NEG,
        ExprKind::Binary(op, ..) => op.strength().0,
        _ => ATOM,
    }
}

/// An operand, in parentheses where it binds weaker than its place asks for.
fn operand(f: &mut Formatter<'_>, e: &Expr, least: u8) -> fmt::Result {
    if strength(e) < least {
        write!(f, "({e})")
    } else {
        write!(f, "{e}")
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(v) => f.write_str(&number(*v)),
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Call { callee, args } => {
                let argument = |(key, value): &(Option<Ident>, Expr)| match key {
                    Some(key) => format!("{key} = {value}"),
                    None => value.to_string(),
                };
                write!(f, "{callee}({})", list(args, argument))
            }
            ExprKind::Index { base, indices } => {
                // Neither a number nor a `match` can be indexed as it stands; brackets in a row are one index list.
                let bare = matches!(
                    base.kind,
                    ExprKind::Name(_) | ExprKind::Call { .. } | ExprKind::Array(_)
                );
                if bare {
                    write!(f, "{base}")?
                } else {
                    write!(f, "({base})")?
                }
                let subscript = |s: &Subscript| match s {
                    Subscript::At(e) => e.to_string(),
                    Subscript::Slice(from, to) => format!("{from}..{to}"),
                };
                write!(f, "[{}]", list(indices, subscript))
            }
            ExprKind::Unary(UnaryOp::Neg, e) => {
                f.write_char('-')?;
                operand(f, e, NEG)
            }
            ExprKind::Unary(UnaryOp::Not, e) => {
                f.write_str("not ")?;
                operand(f, e, NOT)
            }
            ExprKind::Binary(op, a, b) => {
                let (_, left, right) = op.strength();
                operand(f, a, left)?;
                if *op == BinaryOp::Pow {
                    f.write_char('^')?
                } else {
                    write!(f, " {} ", op.symbol())?
                }
                operand(f, b, right)
            }
            ExprKind::If(c, a, b) => write!(f, "if {c} then {a} else {b}"),
            ExprKind::Match(subject, arms) => {
                let arm = |(pattern, value): &(Option<Expr>, Expr)| match pattern {
                    Some(p) => format!("{p} => {value}"),
                    None => format!("_ => {value}"),
                };
                write!(f, "match {subject} {{ {} }}", list(arms, arm))
            }
            ExprKind::Array(items) => write!(f, "[{}]", list(items, ToString::to_string)),
        }
    }
}

/// The shorter of the two ways to write a number that read back as it.
pub(crate) fn number(v: f64) -> String {
    let (plain, scientific) = (v.to_string(), format!("{v:e}"));
    if plain.len() <= scientific.len().max(7) {
        plain
    } else {
        scientific
    }
}
