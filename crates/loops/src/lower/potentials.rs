//! The factors of a row's density, read into the forms that kernels compute.
//!
//! Each addend of a log density is one of: flat (a constant of the configuration); linear in features with flat
//! coefficients; a square of a linear form; the log of a parameter picked by a data code; free of parameters (summed once, it
//! never changes); or anything else, evaluated by row code.

use super::context::Lower;
use super::form::{Form, Inputs, Piece};
use super::jobs::{QuadJob, What, one_row};
use crate::builder::FuncBuilder;
use crate::ir::{BufId, QuadShape};
use crate::lens::quad_packed_len;
use lvmc_term::{Fun, IxId, Node, SymId, Term};

/// Addends that hold under the same values of the same finite variables.
#[derive(Debug, Clone)]
pub struct Group {
    /// Finite variables with an index, in the clique's axis order.
    pub open: Vec<usize>,
    /// (variable, value): only there.
    pub fixed: Vec<(usize, usize)>,
    /// (variable, value): not there.
    pub excluded: Vec<(usize, usize)>,
    /// Flat addends.
    constants: Vec<Term>,
    /// Linear pieces.
    linear: Vec<Piece>,
    /// Squares.
    quads: Vec<QuadJob>,
    /// (addend, code).
    gathers: Vec<(Term, SymId)>,
    /// Row terms.
    pub general: Vec<Term>,
    /// Tables, once asked for.
    tables: Option<Tables>,
}

/// Where a group's coefficients lie.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Linear map: inputs and coefficients `[configs][1 + p]`; also just the constant.
    pub linear: Option<(Inputs, BufId)>,
    /// Squares: inputs, packed coefficients, length per configuration, outputs, shape.
    pub quads: Vec<(Inputs, BufId, usize, usize, QuadShape)>,
    /// Code, table, number of values.
    pub gathers: Vec<(SymId, BufId, usize)>,
}

impl Group {
    /// Its flat addends, which are then no longer its own.
    pub fn take_constants(&mut self) -> Vec<Term> {
        std::mem::take(&mut self.constants)
    }

    /// Nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.linear.is_empty() && self.quads.is_empty() && self.gathers.is_empty() && self.general.is_empty()
    }

    /// Its tables, made for it without its flat addends.
    pub fn keep_tables(&mut self, tables: Tables) {
        self.tables = Some(tables);
    }
}

impl Lower<'_> {
    /// Reads the factors of a clique (or, without finite variables, all factors) into groups; data-only addends that
    /// hold everywhere are returned apart.
    pub fn groups(&mut self, b: &mut FuncBuilder<'_>, factors: &[usize], axes: &[usize]) -> (Vec<Group>, Vec<Term>) {
        let (mut groups, mut data_only): (Vec<Group>, Vec<Term>) = (vec![], vec![]);
        for &f in factors {
            let factor = self.plan.factors[f].clone();
            for case in &factor.cases {
                let free = self.s.free_indices(case.term);
                let open: Vec<usize> = axes
                    .iter()
                    .copied()
                    .filter(|&v| free.contains(&self.plan.finite[v].ix))
                    .collect();
                let at = groups
                    .iter()
                    .position(|g| g.open == open && g.fixed == case.fixed && g.excluded == case.excluded)
                    .unwrap_or_else(|| {
                        groups.push(Group {
                            open: open.clone(),
                            fixed: case.fixed.clone(),
                            excluded: case.excluded.clone(),
                            constants: vec![],
                            linear: vec![],
                            quads: vec![],
                            gathers: vec![],
                            general: vec![],
                            tables: None,
                        });
                        groups.len() - 1
                    });
                let everywhere = case.fixed.is_empty() && case.excluded.is_empty();
                for t in lvmc_derive::flatten::flatten(&mut self.s, case.term) {
                    if everywhere && self.is_data(t) {
                        data_only.push(t);
                    } else {
                        self.read_addend(b, &mut groups[at], t);
                    }
                }
            }
        }
        (groups, data_only)
    }

    fn read_addend(&mut self, b: &mut FuncBuilder<'_>, group: &mut Group, t: Term) {
        if self.is_flat(t) {
            group.constants.push(t);
            return;
        }
        if let Some(code) = self.picked_by_code(t) {
            group.gathers.push((t, code));
            return;
        }
        if let Some(quad) = self.square(b, t) {
            group.quads.push(quad);
            return;
        }
        // a feature that may be −∞ must not meet a zero coefficient of another configuration
        if !self.is_feature(t)
            && let Some(Form { parts, .. }) = self.linear_form(t)
            && let [(_, _, pieces)] = &parts[..]
        {
            group.linear.extend(pieces.iter().cloned());
            return;
        }
        group.general.push(t);
    }

    /// The code of log θ[…, code] with a flat θ.
    fn picked_by_code(&self, t: Term) -> Option<SymId> {
        let Node::Fun(Fun::Log, x) = *self.s.node(t) else {
            return None;
        };
        let Node::At(base, at) = self.s.node(x) else {
            return None;
        };
        if !self.is_flat(*base) {
            return None;
        }
        let (codes, others): (Vec<Term>, Vec<Term>) = at.iter().partition(|&&i| self.s.per_row(i));
        let [code] = codes[..] else { return None };
        let Node::Sym(x) = *self.s.node(code) else { return None };
        (others.iter().all(|&i| self.is_flat(i)) && self.columns.contains_key(&x)).then_some(x)
    }

    /// weight · |e|² with e a linear form and a flat weight.
    fn square(&mut self, b: &mut FuncBuilder<'_>, t: Term) -> Option<QuadJob> {
        let (data, flat): (Vec<Term>, Vec<Term>) = self.s.factors(t).into_iter().partition(|&f| self.s.per_row(f));
        let [one] = data[..] else { return None };
        let weight = self.s.product_of(&flat);
        // the kernel takes the root of −2 · weight
        if self.positive(weight) {
            return None;
        }
        let (e, weight, covariance, total) = match *self.s.node(one) {
            Node::Pow(e, p) if self.s.as_num(p) == Some(2.0) && self.s.shape(e).is_empty() => (e, weight, None, false),
            Node::Quad(m, e) if self.is_flat(m) => (e, weight, Some(m), false),
            Node::Total(u) => {
                let (data, flat): (Vec<Term>, Vec<Term>) =
                    self.s.factors(u).into_iter().partition(|&f| self.s.per_row(f));
                let [one] = data[..] else { return None };
                let Node::Pow(e, p) = *self.s.node(one) else {
                    return None;
                };
                if self.s.as_num(p) != Some(2.0) {
                    return None;
                }
                let all = [vec![weight], flat].concat();
                (e, self.s.product_of(&all), None, true)
            }
            _ => return None,
        };
        let form = self.linear_form(e)?;
        let diagonal = self.is_diagonal(&form) && !form.scalar;
        let shape = match (covariance, total && diagonal, diagonal) {
            (None, true, _) => QuadShape::Diagonal,
            (Some(_), _, true) => QuadShape::Triangular { lead: 0 },
            _ => QuadShape::Dense,
        };
        let features = form.features().into_iter().map(|f| self.feature(b, f)).collect();
        Some(QuadJob {
            inputs: Inputs::new(features),
            form,
            weight,
            covariance,
            shape,
            constants: vec![],
        })
    }

    /// A square that is added: of a density multiplied out.
    fn positive(&mut self, weight: Term) -> bool {
        let (number, _) = self.s.split_number(weight);
        self.s.as_num(weight).unwrap_or(number) > 0.0
    }

    /// Asks `prepare` for the group's coefficients.
    pub fn tables(&mut self, b: &mut FuncBuilder<'_>, group: &mut Group) -> Tables {
        if let Some(t) = &group.tables {
            return t.clone();
        }
        let ixs: Vec<IxId> = group.open.iter().map(|&v| self.plan.finite[v].ix).collect();
        let mut constants = group.constants.clone();
        let (mut pieces, mut first_constants) = (vec![], vec![]);
        for p in &group.linear {
            match p {
                Piece::Constant(t) => first_constants.push(*t),
                other => pieces.push(other.clone()),
            }
        }
        constants.extend(first_constants);
        // the constant rides on the first square, where there is no linear part to carry it
        let mut quads = group.quads.clone();
        let linear = if pieces.is_empty() && !quads.is_empty() {
            quads[0].constants = std::mem::take(&mut constants);
            None
        } else if pieces.is_empty() && constants.is_empty() {
            None
        } else {
            let form = one_row(pieces);
            let features = form.features().into_iter().map(|f| self.feature(b, f)).collect();
            let inputs = Inputs::new(features);
            let what = What::Linear {
                form,
                inputs: inputs.clone(),
                constants,
            };
            let stride = 1 + inputs.cols;
            let table = self.job(b, "linear", &ixs, stride, what);
            Some((inputs, table))
        };
        let quads = quads
            .into_iter()
            .map(|q| {
                let (inputs, d, shape) = (q.inputs.clone(), q.form.rows, q.shape);
                let len = quad_packed_len(inputs.cols, d, shape);
                let table = self.job(b, "quad", &ixs, len, What::Quad(Box::new(q)));
                (inputs, table, len, d, shape)
            })
            .collect();
        let gathers = group
            .gathers
            .clone()
            .into_iter()
            .map(|(term, code)| {
                let values = self.category_size(code);
                let table = self.job(b, "gather", &ixs, values, What::Gather { term, code, values });
                (code, table, values)
            })
            .collect();
        let tables = Tables { linear, quads, gathers };
        group.tables = Some(tables.clone());
        tables
    }
}
