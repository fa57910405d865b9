//! What posteriors define, as numbers: for certificates and tests, which evaluate terms.

use crate::plan::{Definition, Value};
use lvmc_term::{Array, Env, EvalError, Store};

/// Sets every definition at the environment's parameters and data, in order; those of a row for `rows` rows.
///
/// A precision that is not positive definite has a root of NaN. What a smoother gives must be set already: it is known from
/// all rows at once.
///
/// # Errors
/// A term that the evaluator cannot compute.
pub fn define(store: &Store, definitions: &[Definition], env: &mut Env<'_>, rows: usize) -> Result<(), EvalError> {
    for d in definitions.iter().filter(|d| d.value != Value::Smoothed) {
        let mut sizes = vec![];
        for &i in &d.ranges {
            sizes.push(env.size(store, &store.ix(i).size)?);
        }
        if store.sym(d.sym).per_row {
            let mut values = vec![];
            for row in 0..rows {
                env.set_row(row);
                values.push(value_of(store, d, &sizes, env)?);
            }
            env.set_rows(d.sym, values);
        } else {
            let value = value_of(store, d, &sizes, env)?;
            env.set(d.sym, value);
        }
    }
    Ok(())
}

/// A definition for all values of its indices.
fn value_of(store: &Store, d: &Definition, sizes: &[usize], env: &mut Env<'_>) -> Result<Array, EvalError> {
    let (mut data, mut own) = (vec![], vec![]);
    for number in 0..sizes.iter().product() {
        let mut rest: usize = number;
        for (&i, &n) in d.ranges.iter().zip(sizes).rev() {
            env.set_index(i, rest % n);
            rest /= n;
        }
        let value = match d.value {
            Value::Smoothed => continue,
            Value::Term(t) => store.eval(t, env)?,
            Value::InverseRoot(t) => {
                let precision = store.eval(t, env)?;
                match precision.cholesky() {
                    Some(l) => l.solve_lower(&Array::eye(l.rows())),
                    None => precision.map(|_| f64::NAN),
                }
            }
        };
        own = value.shape;
        data.extend(value.data);
    }
    let shape = sizes.iter().copied().chain(own).collect();
    Ok(Array { shape, data })
}
