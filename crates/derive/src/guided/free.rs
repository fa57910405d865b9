//! Free coordinates of constrained parameters, as terms: gradients move freely, and the parameter stays in its support.

use lvmc_term::{Cmp, Fun, Size, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// A parameter as a function of numbers without constraints.
#[derive(Debug, Clone)]
pub struct Free {
    /// The parameter.
    pub param: SymId,
    /// Its coordinates, of the parameter's shape; the parameter itself where it has no constraint.
    pub free: SymId,
    /// The parameter, of its coordinates.
    pub value: Term,
    /// The symbol of a covariance's root, and the root of its coordinates, where draws use it.
    pub root: Option<(SymId, Term)>,
}

impl Free {
    /// The coordinates are the parameter's values.
    #[must_use]
    pub fn is_itself(&self) -> bool {
        self.free == self.param
    }
}

/// A constant vector 0, 1, …, n − 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    /// Its symbol.
    pub sym: SymId,
    /// n.
    pub len: Size,
}

/// Coordinates of every parameter. Positive numbers are exponentials, numbers in (0, 1) sigmoids, simplices softmaxes, and a
/// covariance is L Lᵀ, L lower triangular with exponentials on its diagonal. Parameters without gradients are their own.
pub(super) fn free(
    s: &mut Store,
    (params, exact): (&[SymId], &[SymId]),
    roots: &[(SymId, SymId)],
    positions: &mut Vec<Positions>,
) -> Vec<Free> {
    let root = |p: SymId| roots.iter().find(|r| r.0 == p).map(|r| r.1);
    let of = |&p: &SymId| one(s, p, root(p), exact.contains(&p), positions);
    params.iter().map(of).collect()
}

/// L of a square matrix of coordinates: its entries below the diagonal, and exponentials of those on it.
fn lower(s: &mut Store, u: Term, positions: &mut Vec<Positions>) -> Term {
    let len = s.shape(u)[0].clone();
    let sym = match positions.iter().find(|p| p.len == len) {
        Some(p) => p.sym,
        None => {
            let sym = s.add_sym(Sym {
                name: "positions".into(),
                kind: SymKind::Const,
                shape: vec![len.clone()],
                family: 0,
                per_row: false,
                support: Support::Count,
            });
            positions.push(Positions { sym, len: len.clone() });
            sym
        }
    };
    let (c, one) = (s.var(sym), s.num(1.0));
    let ones = s.fill(one, vec![len]);
    // column < row
    let (column, row) = (s.outer(ones, c), s.outer(c, ones));
    let below = s.cmp(Cmp::Lt, column, row);
    let below = s.mul(below, u);
    let d = s.diag_of(u);
    let d = s.exp(d);
    let d = s.diag(d);
    s.add(below, d)
}

fn one(s: &mut Store, param: SymId, root: Option<SymId>, exact: bool, positions: &mut Vec<Positions>) -> Free {
    let sym = s.sym(param).clone();
    if exact || sym.support == Support::Real {
        let value = s.var(param);
        return Free {
            param,
            free: param,
            value,
            root: None,
        };
    }
    let free = s.add_sym(Sym {
        name: format!("{} (free)", sym.name),
        kind: SymKind::Param,
        support: Support::Real,
        ..sym.clone()
    });
    let u = s.var(free);
    let mut factor = None;
    let value = match sym.support {
        Support::Positive | Support::NonNegative => s.exp(u),
        Support::Unit => s.fun(Fun::Sigmoid, u),
        Support::Simplex if sym.shape.len() == 1 => s.softmax(u),
        Support::Cov if sym.shape.len() == 2 => {
            let l = lower(s, u, positions);
            factor = root.map(|r| (r, l));
            let lt = s.transpose(l);
            s.matmul(l, lt)
        }
        _ => u,
    };
    Free {
        param,
        free,
        value,
        root: factor,
    }
}

/// The coordinate of one number of a parameter of that support.
#[must_use]
pub fn coordinate(support: &Support, x: f64) -> f64 {
    match support {
        Support::Positive | Support::NonNegative | Support::Simplex => x.ln(),
        Support::Unit => (x / (1.0 - x)).ln(),
        _ => x,
    }
}

/// A support whose parameters have coordinates here; of families of simplices and covariances there are none yet.
#[must_use]
pub fn has_coordinates(support: &Support, rank: usize) -> bool {
    match support {
        Support::Simplex => rank == 1,
        Support::Cov => rank == 2,
        Support::Ordered | Support::Corr => false,
        _ => true,
    }
}

/// A term of parameters as a term of their coordinates.
pub(super) fn replace(s: &mut Store, t: Term, free: &[Free]) -> Term {
    let mut with: HashMap<Term, Term> = free.iter().map(|f| (s.var(f.param), f.value)).collect();
    for (root, value) in free.iter().filter_map(|f| f.root) {
        with.insert(s.var(root), value);
    }
    s.substitute(t, &with)
}
