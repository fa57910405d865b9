//! Free coordinates of constrained parameters, as terms: gradients move freely, and the parameter stays in its support.

use lvmc_term::{Fun, Store, Support, Sym, SymId, SymKind, Term};
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
}

/// Coordinates of every parameter. Positive numbers are exponentials, numbers in (0, 1) sigmoids, simplices softmaxes.
pub(super) fn free(s: &mut Store, params: &[SymId]) -> Vec<Free> {
    params.iter().map(|&p| one(s, p)).collect()
}

fn one(s: &mut Store, param: SymId) -> Free {
    let sym = s.sym(param).clone();
    if sym.support == Support::Real {
        let value = s.var(param);
        return Free {
            param,
            free: param,
            value,
        };
    }
    let free = s.add_sym(Sym {
        name: format!("{} (free)", sym.name),
        kind: SymKind::Param,
        support: Support::Real,
        ..sym.clone()
    });
    let u = s.var(free);
    let value = match sym.support {
        Support::Positive | Support::NonNegative => s.exp(u),
        Support::Unit => s.fun(Fun::Sigmoid, u),
        Support::Simplex if sym.shape.len() == 1 => s.softmax(u),
        _ => u,
    };
    Free { param, free, value }
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

/// A term of parameters as a term of their coordinates.
pub(super) fn replace(s: &mut Store, t: Term, free: &[Free]) -> Term {
    let with: HashMap<Term, Term> = free.iter().map(|f| (s.var(f.param), f.value)).collect();
    s.substitute(t, &with)
}
