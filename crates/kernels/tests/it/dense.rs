//! Dense algebra against its definitions.

use crate::common::{Random, assert_near};
use lvmc_kernels::dense::{cholesky, eig_sym, eigvals_sym, floor_cov, matmul, spd_solve, tri_inverse};

const SIZES: [usize; 12] = [1, 2, 3, 4, 7, 8, 13, 16, 17, 32, 33, 70];

fn product(a: &[f64], ta: bool, b: &[f64], tb: bool, m: usize, k: usize, n: usize) -> Vec<f64> {
    (0..m * n)
        .map(|at| {
            let (i, j) = (at / n, at % n);
            (0..k)
                .map(|q| {
                    (if ta { a[q * m + i] } else { a[i * k + q] }) * (if tb { b[j * k + q] } else { b[q * n + j] })
                })
                .sum()
        })
        .collect()
}

/// A positive definite matrix of rank min(n, rank).
fn gram(random: &mut Random, n: usize, rank: usize) -> Vec<f64> {
    let x = random.normals(n * rank);
    let mut a = product(&x, false, &x, true, n, rank, n);
    if rank >= n {
        (0..n).for_each(|i| a[i * n + i] += 0.1);
    }
    a
}

#[test]
fn factors_and_inverses() {
    let mut random = Random::new(1);
    for n in SIZES {
        let a = gram(&mut random, n, n + 3);
        let (mut l, mut inverse) = (vec![f64::NAN; n * n], vec![f64::NAN; n * n]);
        assert_eq!(cholesky(&a, &mut l, n), 0);
        assert_near(&product(&l, false, &l, true, n, n, n), &a, 1e-13, 1e-12, "L Lᵀ");
        tri_inverse(&l, &mut inverse, n);
        let unit: Vec<f64> = (0..n * n).map(|at| f64::from(at / n == at % n)).collect();
        assert_near(
            &product(&l, false, &inverse, false, n, n, n),
            &unit,
            0.0,
            1e-10,
            "L L⁻¹",
        );
        for i in 0..n {
            assert!((i + 1..n).all(|j| l[i * n + j] == 0.0 && inverse[i * n + j] == 0.0));
        }
    }
}

#[test]
fn pivots_are_raised_and_counted() {
    let mut l = [0.0; 9];
    // rank 1
    let a = [4.0, 2.0, 2.0, 2.0, 1.0, 1.0, 2.0, 1.0, 1.0];
    assert_eq!(cholesky(&a, &mut l, 3), 2);
    assert_near(&[l[0], l[4] * l[4]], &[2.0, 4e-14], 1e-12, 0.0, "raised");
    // a badly scaled diagonal is no reason
    assert_eq!(
        cholesky(&[1e20, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1e-20], &mut l, 3),
        0
    );
    assert_near(&[l[0], l[4], l[8]], &[1e10, 1.0, 1e-10], 1e-15, 0.0, "scaled");
    let mut one = [0.0];
    assert_eq!(cholesky(&[0.0], &mut one, 1), 1);
    assert_eq!(one[0], 1e-150);
    assert_eq!(cholesky(&[f64::NAN], &mut one, 1), 1);
    assert_eq!(cholesky(&[-1.0], &mut one, 1), 1);
}

#[test]
fn systems() {
    let mut random = Random::new(2);
    for n in SIZES {
        for m in [1, 3] {
            let mut a = gram(&mut random, n, n + 3);
            // units of very different size
            let units: Vec<f64> = (0..n).map(|i| 10f64.powi((i as i32 * 7) % 13 - 6)).collect();
            (0..n * n).for_each(|at| a[at] *= units[at / n] * units[at % n]);
            let want: Vec<f64> = random
                .normals(n * m)
                .iter()
                .enumerate()
                .map(|(at, x)| x / units[at / m])
                .collect();
            let b = product(&a, false, &want, false, n, n, m);
            let mut x = vec![f64::NAN; n * m];
            assert_eq!(spd_solve(&a, &b, &mut x, n, m), 0);
            let scaled = |x: &[f64]| {
                x.iter()
                    .enumerate()
                    .map(|(at, x)| x * units[at / m])
                    .collect::<Vec<_>>()
            };
            assert_near(&scaled(&x), &scaled(&want), 1e-9, 1e-9, "solution");
        }
    }
}

#[test]
fn singular_systems_are_solved_in_their_range() {
    let mut random = Random::new(3);
    for n in [2usize, 3, 8, 17, 40] {
        let rank = n.div_ceil(2);
        let a = gram(&mut random, n, rank);
        let b = product(&a, false, &random.normals(n), false, n, n, 1);
        let mut x = vec![f64::NAN; n];
        assert_eq!(spd_solve(&a, &b, &mut x, n, 1), n - rank);
        assert_near(&product(&a, false, &x, false, n, n, 1), &b, 1e-8, 1e-8, "range");
    }
    // a column that is 0, one that is a copy
    let a = [2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0];
    let mut x = [f64::NAN; 3];
    assert_eq!(spd_solve(&a, &[4.0, 0.0, 4.0], &mut x, 3, 1), 2);
    assert_near(&[x[1], x[0] + x[2]], &[0.0, 2.0], 1e-14, 0.0, "left out");
    assert_eq!(spd_solve(&[f64::NAN], &[1.0], &mut x[..1], 1, 1), 1);
    assert_eq!(x[0], 0.0);
}

#[test]
fn products() {
    let mut random = Random::new(4);
    for (m, k, n) in [
        (1, 1, 1),
        (2, 3, 4),
        (5, 1, 7),
        (8, 8, 8),
        (33, 17, 20),
        (40, 50, 30),
        (3, 0, 2),
    ] {
        let (a, b) = (random.normals(m * k), random.normals(k * n));
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut out = vec![f64::NAN; m * n];
            matmul(&a, ta, &b, tb, &mut out, m, k, n);
            assert_near(
                &out,
                &product(&a, ta, &b, tb, m, k, n),
                1e-12,
                1e-12,
                &format!("{m} {k} {n} {ta} {tb}"),
            );
        }
    }
}

#[test]
fn eigenvalues() {
    let mut random = Random::new(5);
    for n in SIZES {
        let x = random.normals(n * n);
        let a: Vec<f64> = (0..n * n).map(|at| x[at] + x[at % n * n + at / n]).collect();
        let (values, v) = eig_sym(&a, n);
        assert!(values.is_sorted());
        assert_eq!(values, eigvals_sym(&a, n));
        let scaled: Vec<f64> = (0..n * n).map(|at| v[at] * values[at % n]).collect();
        assert_near(&product(&scaled, false, &v, true, n, n, n), &a, 1e-11, 1e-11, "V Λ Vᵀ");
        let unit: Vec<f64> = (0..n * n).map(|at| f64::from(at / n == at % n)).collect();
        assert_near(&product(&v, true, &v, false, n, n, n), &unit, 0.0, 1e-12, "VᵀV");
    }
    assert!(eigvals_sym(&[f64::NAN], 1)[0].is_nan());
    assert_eq!(eigvals_sym(&[0.0; 4], 2), [0.0, 0.0]);
}

#[test]
fn covariances_are_floored_only_where_they_are_low() {
    let mut random = Random::new(6);
    for n in [1, 2, 3, 8, 20] {
        let a = gram(&mut random, n, n + 2);
        let scale: Vec<f64> = (0..n).map(|i| 10f64.powi(i as i32 % 5 - 2)).collect();
        let of = |a: &[f64]| {
            let s: Vec<f64> = (0..n * n)
                .map(|at| a[at] / (scale[at / n] * scale[at % n]).sqrt())
                .collect();
            eig_sym(&s, n)
        };
        let (before, _) = of(&a);
        let mut same = a.clone();
        assert_eq!(floor_cov(&mut same, &scale, n, before[0] * 0.999), 0);
        assert_eq!(same, a);
        let floor = before[n / 2] * 1.001;
        let mut raised = a.clone();
        let count = before.iter().filter(|v| **v < floor).count();
        assert_eq!(floor_cov(&mut raised, &scale, n, floor), count);
        let want: Vec<f64> = before.iter().map(|v| v.max(floor)).collect();
        assert_near(&of(&raised).0, &want, 1e-9, 1e-12 * before[n - 1], "raised");
        assert!((0..n * n).all(|at| raised[at] == raised[at % n * n + at / n]));
    }
    // a collapsed component, and one that is not a number
    let mut zero = [0.0; 4];
    assert_eq!(floor_cov(&mut zero, &[2.0, 8.0], 2, 0.5), 2);
    assert_near(&zero, &[1.0, 0.0, 0.0, 4.0], 1e-15, 1e-15, "floor");
    let mut nan = [f64::NAN; 4];
    assert_eq!(floor_cov(&mut nan, &[1.0, 1.0], 2, 0.5), 0);
    assert!(nan.iter().all(|v| v.is_nan()));
}
