//! Written types and size expressions.

use crate::errors::ModelError;
use crate::sizes::Freedom;
use crate::tables::{Kind, Pos, Tables};
use lvmc_base::{Limit, Span, closest};
use lvmc_syntax::ast::{BinaryOp, Expr, ExprKind, Type, UnaryOp};
use lvmc_term::{Shape, Size, Support, sum_sizes};

/// The names of types, for suggestions.
pub(crate) const TYPES: [&str; 11] = [
    "real", "positive", "unit", "int", "count", "binary", "category", "simplex", "ordered", "cov", "corr",
];

/// No size may be larger.
pub(crate) const LARGEST: f64 = 1e9;

impl Tables<'_> {
    /// Support and shape of a written type.
    pub fn type_of(&mut self, ty: &Type) -> Option<(Support, Shape)> {
        let name = ty.base.name.as_str();
        let sizes: Vec<Size> = ty.sizes.iter().map(|e| self.size_of(e)).collect::<Option<_>>()?;
        let elementwise = |support, most| (support, 0, most);
        let (support, least, most) = match name {
            "real" => elementwise(Support::Real, 3),
            "positive" => elementwise(Support::Positive, 3),
            "unit" => elementwise(Support::Unit, 3),
            "int" => elementwise(Support::Int, 3),
            "count" => elementwise(Support::Count, 3),
            "binary" => elementwise(Support::Binary, 3),
            "category" => (Support::Category(Size::Const(1)), 0, 2),
            "simplex" => (Support::Simplex, 0, 1),
            "ordered" => (Support::Ordered, 0, 1),
            "cov" => (Support::Cov, 0, 1),
            "corr" => (Support::Corr, 0, 1),
            _ => {
                self.unknown_type(ty);
                return None;
            }
        };
        if sizes.len() < least || sizes.len() > most {
            self.error(ModelError::TypeSizes {
                name: name.into(),
                expected: match most {
                    1 => "one size".into(),
                    n => format!("at most {n} sizes"),
                },
                at: ty.span,
                found: format!("{} sizes", sizes.len()),
                help: format!("such as {name}[D]"),
            });
            return None;
        }
        let mut own = || match sizes.first() {
            Some(s) => s.clone(),
            None => self.place_size(ty.span, 0),
        };
        Some(match support {
            Support::Category(_) => (Support::Category(own()), sizes.get(1..).unwrap_or_default().to_vec()),
            Support::Simplex | Support::Ordered => (support, vec![own()]),
            Support::Cov | Support::Corr => {
                let n = own();
                (support, vec![n.clone(), n])
            }
            _ => (support, sizes),
        })
    }

    fn unknown_type(&mut self, ty: &Type) {
        let name = &ty.base.name;
        let meant = match name.as_str() {
            "vector" | "float" | "double" | "number" | "matrix" => Some("real"),
            "bool" | "boolean" => Some("binary"),
            "integer" => Some("int"),
            "nat" | "natural" => Some("count"),
            "probability" => Some("unit"),
            "covariance" => Some("cov"),
            "correlation" => Some("corr"),
            "categorical" | "factor" | "enum" => Some("category"),
            other => closest(other, TYPES),
        };
        let help = match meant {
            Some(t) => format!("did you mean `{t}`?"),
            None => format!("the types are {}", TYPES.join(", ")),
        };
        self.error(ModelError::UnknownType {
            name: name.clone(),
            at: ty.base.span,
            help,
        });
    }

    /// A size expression. A name nobody declared becomes a size.
    pub fn size_of(&mut self, e: &Expr) -> Option<Size> {
        match &e.kind {
            ExprKind::Number(x) => self.size_number(*x, e.span).map(Size::Const),
            ExprKind::Name(name) => self.size_name(name, e),
            ExprKind::Binary(BinaryOp::Add, a, b) => {
                let (a, b) = (self.size_of(a), self.size_of(b));
                Some(sum_sizes([a?, b?]))
            }
            _ => match self.value_of(e, 0) {
                Some(x) => self.size_number(x, e.span).map(Size::Const),
                None => self.bad_size(e, "declare it: dim M = … and write M"),
            },
        }
    }

    fn bad_size<T>(&mut self, e: &Expr, help: &str) -> Option<T> {
        let what = format!("`{}`", self.text(e.span));
        self.error(ModelError::BadSize {
            what,
            at: e.span,
            help: help.into(),
        });
        None
    }

    fn size_number(&mut self, x: f64, at: Span) -> Option<usize> {
        if x > LARGEST {
            self.error(ModelError::Limit(Limit {
                what: format!("the size `{}`", self.text(at)),
                found: format!("{x}"),
                limit: format!("{LARGEST}"),
                advice: "a size of that kind would not fit in memory".into(),
            }));
            None
        } else if x < 1.0 || x.fract() != 0.0 || !x.is_finite() {
            let what = format!("`{}`", self.text(at));
            self.error(ModelError::BadSize {
                what,
                at,
                help: "sizes are whole numbers from 1".into(),
            });
            None
        } else {
            Some(x as usize)
        }
    }

    fn size_name(&mut self, name: &str, e: &Expr) -> Option<Size> {
        match self.names.get(name).copied() {
            None => {
                self.not_the_identity(name, e.span)?;
                let d = self.sizes.add(Some(name.into()), Freedom::Named, e.span);
                let id = self.add_ent(name, e.span, Kind::Dim(d), false);
                self.ents[id].because = format!("line {}", self.line(e.span));
                Some(Size::Dim(d))
            }
            Some(id) => match self.ents[id].kind {
                Kind::Dim(d) => Some(Size::Dim(d)),
                Kind::Const => match self.value_of(e, 0) {
                    Some(x) => self.size_number(x, e.span).map(Size::Const),
                    None => self.bad_size(e, &format!("write `dim {name}` in place of `const {name}`")),
                },
                _ => self.bad_size(e, "declare the size under a name of its own: dim M = 3"),
            },
        }
    }

    /// The number an expression is, where sizes and constants say so before any data.
    pub fn value_of(&self, e: &Expr, depth: usize) -> Option<f64> {
        if depth > 40 {
            return None;
        }
        let go = |e: &Expr| self.value_of(e, depth + 1);
        match &e.kind {
            ExprKind::Number(x) => Some(*x),
            ExprKind::Name(name) => self.value_of_name(name, depth + 1),
            ExprKind::Unary(UnaryOp::Neg, a) => Some(-go(a)?),
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (go(a)?, go(b)?);
                match op {
                    BinaryOp::Add => Some(a + b),
                    BinaryOp::Sub => Some(a - b),
                    BinaryOp::Mul => Some(a * b),
                    BinaryOp::Div => Some(a / b),
                    BinaryOp::Pow => Some(a.powf(b)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The value of a dim or a scalar constant: `--set` before the default.
    pub fn value_of_name(&self, name: &str, depth: usize) -> Option<f64> {
        let &id = self.names.get(name)?;
        if let Some((_, x)) = self.settings.set.iter().rev().find(|(n, _)| n == name) {
            return Some(*x);
        }
        match self.ents[id].kind {
            Kind::Dim(_) => self.value_of(self.dim_values.get(&id)?, depth),
            Kind::Const => self.value_of((*self.const_values.get(&id)?)?, depth),
            _ => None,
        }
    }

    /// A position: a number, a size or an index, plus or minus a number.
    pub fn pos(&self, e: &Expr) -> Option<Pos> {
        let number = |off: i64| Pos {
            dim: None,
            index: None,
            off,
        };
        match &e.kind {
            ExprKind::Number(x) if x.fract() == 0.0 && x.abs() <= LARGEST => Some(number(*x as i64)),
            ExprKind::Unary(UnaryOp::Neg, a) => match self.pos(a)? {
                Pos {
                    dim: None,
                    index: None,
                    off,
                } => Some(number(-off)),
                _ => None,
            },
            ExprKind::Name(name) => match self.names.get(name).map(|&id| self.ents[id].kind) {
                Some(Kind::Dim(d)) => Some(Pos {
                    dim: Some(Size::Dim(d)),
                    index: None,
                    off: 0,
                }),
                Some(Kind::Const) => {
                    let x = self.value_of(e, 0)?;
                    (x.fract() == 0.0 && x.abs() <= LARGEST).then(|| number(x as i64))
                }
                Some(_) => None,
                None => Some(Pos {
                    dim: None,
                    index: Some(name.clone()),
                    off: 0,
                }),
            },
            ExprKind::Binary(op @ (BinaryOp::Add | BinaryOp::Sub), a, b) => {
                let (a, mut b) = (self.pos(a)?, self.pos(b)?);
                if *op == BinaryOp::Sub {
                    if b.dim.is_some() || b.index.is_some() {
                        return None;
                    }
                    b.off = -b.off;
                }
                if (a.dim.is_some() || a.index.is_some()) && (b.dim.is_some() || b.index.is_some()) {
                    return None;
                }
                Some(Pos {
                    dim: a.dim.or(b.dim),
                    index: a.index.or(b.index),
                    off: a.off.checked_add(b.off).filter(|o| o.abs() <= 4_000_000_000)?,
                })
            }
            _ => None,
        }
    }
}
