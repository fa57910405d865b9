//! A stated form for what the likelihood leaves open, so that repeated fits can be compared.
//!
//! Loadings W that are determined up to a rotation of their latent get orthogonal columns (of all loadings of the latent,
//! one below the other), the longest first, the largest entry of each positive. (W, z) → (W V, Vᵀ z) with the eigenvectors
//! V of Σ WᵀW: a rotation or reflection, which leaves the likelihood as it is.

use crate::engine::Values;
use lvmc_kernels::dense::eig_sym;
use lvmc_loops::lowered::{Lowered, RotationSlot};

/// Brings the loadings into their form.
pub fn canonical(lowered: &Lowered, values: &mut Values) {
    for r in &lowered.rotations {
        for member in 0..r.members {
            rotate(r, member, values);
        }
    }
}

/// What is said of a rotation.
#[must_use]
pub fn remark(lowered: &Lowered, r: &RotationSlot) -> Option<String> {
    if r.flat() == 0 {
        return None;
    }
    let names: Vec<&str> = r.loadings.iter().map(|&i| lowered.params[i].name.as_str()).collect();
    Some(format!(
        "{} {} determined up to a rotation of {} ({} of the parameters not counted as free): shown with orthogonal columns, the \
         longest first, the largest entry of each positive",
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" },
        r.latent,
        r.flat(),
    ))
}

fn rotate(r: &RotationSlot, member: usize, values: &mut Values) {
    let q = r.size;
    let part = |i: usize, values: &Values| -> std::ops::Range<usize> {
        let each = values[i].len() / r.members.max(1);
        member * each..(member + 1) * each
    };
    let mut gram = vec![0.0; q * q];
    for &i in &r.loadings {
        for row in values[i][part(i, values)].chunks(q) {
            for a in 0..q {
                for b in 0..q {
                    gram[a * q + b] += row[a] * row[b];
                }
            }
        }
    }
    let (_, vectors) = eig_sym(&gram, q);
    if vectors.iter().any(|v| !v.is_finite()) {
        return;
    }
    // eigenvalues ascend: the last column is the longest
    for &i in &r.loadings {
        let range = part(i, values);
        for row in values[i][range].chunks_mut(q) {
            let old = row.to_vec();
            for (c, x) in row.iter_mut().enumerate() {
                *x = (0..q).map(|a| old[a] * vectors[a * q + (q - 1 - c)]).sum();
            }
        }
    }
    for c in 0..q {
        let column = |values: &Values| -> Vec<f64> {
            let all = r.loadings.iter().flat_map(|&i| values[i][part(i, values)].chunks(q));
            all.map(|row| row[c]).collect()
        };
        let largest = column(values)
            .into_iter()
            .fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            for &i in &r.loadings {
                let range = part(i, values);
                values[i][range].chunks_mut(q).for_each(|row| row[c] = -row[c]);
            }
        }
    }
}
