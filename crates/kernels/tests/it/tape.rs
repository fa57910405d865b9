//! Elementwise operations and sums at every width against the standard library.

use crate::common::{Random, assert_near, widths};
use lvmc_kernels::block::{Binary, Ternary, Unary, binary, ternary, unary};

const UNARY: [Unary; 18] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sqrt,
    Unary::Floor,
    Unary::Exp,
    Unary::Log,
    Unary::Log1p,
    Unary::Lgamma,
    Unary::Digamma,
    Unary::Trigamma,
    Unary::Tetragamma,
    Unary::Sigmoid,
    Unary::Softplus,
    Unary::Tanh,
    Unary::Sin,
    Unary::Cos,
    Unary::NormalCdf,
    Unary::Sign,
];
const BINARY: [Binary; 10] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Min,
    Binary::Max,
    Binary::Pow,
    Binary::Lt,
    Binary::Le,
    Binary::Eq,
];

/// Arguments of all sizes, edges included.
fn arguments(random: &mut Random) -> Vec<f64> {
    let inf = f64::INFINITY;
    let mut x = vec![
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        inf,
        -inf,
        f64::NAN,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        f64::MAX,
    ];
    x.extend([
        -745.0, -745.2, -746.0, -708.3, -708.5, -720.123, 709.7, 709.8, 710.0, 1e300, -1e300, 1e-300, 0.5, -0.5,
    ]);
    x.extend([
        f64::EPSILON,
        -f64::EPSILON,
        1e-9,
        -1e-9,
        0.999_999_999,
        1.000_000_001,
        1e16,
        4e15,
        -40.0,
        36.7,
    ]);
    for _ in 0..3000 {
        let scale = 10f64.powf(24.0 * random.unit() - 20.0);
        x.push(random.normal() * scale);
        x.push(random.normal() * 3.0);
        x.push(random.normal() * 250.0);
        x.push(f64::from_bits(random.bits()));
    }
    x
}

#[test]
fn unary_operations() {
    let mut random = Random::new(1);
    let x = arguments(&mut random);
    for op in UNARY {
        let want: Vec<f64> = x.iter().map(|x| unary(op, *x)).collect();
        for kernels in widths() {
            let mut out = vec![0.0; x.len()];
            // SAFETY: both hold as many numbers
            unsafe { (kernels.unary)(op as usize, x.len(), out.as_mut_ptr(), x.as_ptr()) };
            for (i, (got, want)) in out.iter().zip(&want).enumerate() {
                let bound = 6e-16;
                let fine = crate::common::near(*got, *want, bound, 1e-323);
                assert!(fine, "{} {op:?}({:e}): {got:e}, not {want:e}", kernels.name, x[i]);
            }
        }
    }
}

#[test]
fn short_and_in_place() {
    let mut random = Random::new(2);
    for n in 0..20 {
        let x = random.units(n + 1);
        for kernels in widths() {
            let mut out = x.clone();
            // SAFETY: n of n + 1 numbers, in place
            unsafe { (kernels.unary)(Unary::Exp as usize, n, out.as_mut_ptr(), out.as_ptr()) };
            let want: Vec<f64> = x
                .iter()
                .enumerate()
                .map(|(i, x)| if i < n { x.exp() } else { *x })
                .collect();
            assert_near(&out, &want, 4e-16, 0.0, kernels.name);
            let mut sum = [1.0, 0.0];
            // SAFETY: n numbers
            unsafe {
                (kernels.sum)(n, x.as_ptr(), sum.as_mut_ptr());
                (kernels.dot)(n, x.as_ptr(), x.as_ptr(), &raw mut sum[1]);
            }
            let want = [1.0 + x[..n].iter().sum::<f64>(), x[..n].iter().map(|x| x * x).sum()];
            assert_near(&sum, &want, 1e-15, 0.0, kernels.name);
        }
    }
}

#[test]
fn binary_and_ternary_operations() {
    let mut random = Random::new(3);
    let n = 101;
    let mut a = random.normals(n);
    let mut b = random.normals(n);
    let c = random.normals(n);
    a[..6].copy_from_slice(&[f64::NAN, 1.0, 0.0, f64::INFINITY, -0.0, f64::NAN]);
    b[..6].copy_from_slice(&[1.0, f64::NAN, 0.0, f64::INFINITY, 0.0, f64::NAN]);
    let pick = |v: &[f64], i: usize, one: bool| v[if one { 0 } else { i }];
    for kernels in widths() {
        for scalar in 0..4 {
            for op in BINARY {
                let mut out = vec![0.0; n];
                // SAFETY: all hold n numbers
                unsafe { (kernels.binary)(op as usize, n, out.as_mut_ptr(), a.as_ptr(), b.as_ptr(), scalar) };
                let want: Vec<f64> = (0..n)
                    .map(|i| binary(op, pick(&a, i, scalar & 1 != 0), pick(&b, i, scalar & 2 != 0)))
                    .collect();
                assert_near(&out, &want, 0.0, 0.0, &format!("{} {op:?} {scalar}", kernels.name));
            }
        }
        for scalar in 0..8 {
            for op in [Ternary::Fma, Ternary::Select] {
                let mut out = vec![0.0; n];
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_ptr());
                // SAFETY: all hold n numbers
                unsafe { (kernels.ternary)(op as usize, n, out.as_mut_ptr(), a, b, c, scalar) };
                for (i, out) in out.iter().enumerate() {
                    let at = |bit: usize| if scalar >> bit & 1 != 0 { 0 } else { i };
                    // SAFETY: i < n
                    let want = unsafe { ternary(op, *a.add(at(0)), *b.add(at(1)), *c.add(at(2))) };
                    assert!(
                        crate::common::near(*out, want, 1e-15, 1e-15),
                        "{} {op:?} {scalar} {i}",
                        kernels.name
                    );
                }
            }
        }
    }
}
