//! Every block kernel at every width of this machine against a plain reference.

use crate::common::{Random, assert_near, lse, widths};
use lvmc_kernels::block::{Shape, kernels, moments_len, pack_quad, quad_len, quad_packed_len, syrk_len};

const SIZES: [usize; 17] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 18, 19, 31, 32, 33];

/// `c − ½ |G x − h|²` from logical coefficients.
fn quad_reference(coef: &[f64], x: &[f64], p: usize, d: usize, shape: Shape, rows: usize) -> Vec<f64> {
    (0..rows)
        .map(|r| {
            let square = |j: usize| {
                let y = match shape {
                    Shape::Diagonal => coef[2 + 2 * j] * x[j * rows + r] - coef[1 + 2 * j],
                    Shape::Dense | Shape::Triangular { .. } => {
                        let row = &coef[1 + j * (1 + p)..][..1 + p];
                        let used = if let Shape::Triangular { lead } = shape {
                            p.min(lead + j + 1)
                        } else {
                            p
                        };
                        (0..used).map(|i| row[1 + i] * x[i * rows + r]).sum::<f64>() - row[0]
                    }
                };
                y * y
            };
            coef[0] - 0.5 * (0..d).map(square).sum::<f64>()
        })
        .collect()
}

#[test]
fn quad_matches_its_definition() {
    let mut random = Random::new(1);
    let mut cases = Vec::new();
    for p in SIZES {
        cases.extend([
            (p, p, Shape::Triangular { lead: 0 }),
            (p, p, Shape::Dense),
            (p, p, Shape::Diagonal),
        ]);
        cases.extend([(p, 1, Shape::Dense), (p, 3, Shape::Dense), (p, 6, Shape::Dense)]);
        for lead in [1, 2, 5] {
            if p > lead {
                cases.push((p, p - lead, Shape::Triangular { lead }));
                cases.push((p, p, Shape::Triangular { lead })); // the last rows use all
            }
        }
        cases.push((p + 3, p, Shape::Triangular { lead: 0 })); // the last inputs unused
        cases.push((p + 1, p, Shape::Diagonal));
    }
    for (p, d, shape) in cases {
        for (n, rows) in [(1, 16), (3, 48), (7, 64)] {
            let (len, packed) = (quad_len(p, d, shape), quad_packed_len(p, d, shape));
            let x = random.normals(p * rows);
            let logical: Vec<Vec<f64>> = (0..n).map(|_| random.normals(len)).collect();
            let mut coef = vec![f64::NAN; n * packed];
            for (k, logical) in logical.iter().enumerate() {
                pack_quad(logical, &mut coef[k * packed..][..packed], p, d, shape);
            }
            let before = random.normals(2 * n * rows);
            for kernels in widths() {
                for add in [0, 1] {
                    let mut out = before.clone();
                    let (f, lead) = match shape {
                        Shape::Diagonal => (kernels.quad_diagonal, 0),
                        Shape::Dense => (kernels.quad, usize::MAX),
                        Shape::Triangular { lead } => (kernels.quad, lead),
                    };
                    let stride = 2 * rows; // every other column
                    // SAFETY: p columns of x, n packed components, 2 n columns of out
                    unsafe {
                        f(
                            x.as_ptr(),
                            p,
                            d,
                            lead,
                            coef.as_ptr(),
                            packed,
                            n,
                            out.as_mut_ptr(),
                            stride,
                            add,
                            rows,
                        );
                    }
                    for (k, logical) in logical.iter().enumerate() {
                        let at = k * stride..k * stride + rows;
                        let mut want = quad_reference(logical, &x, p, d, shape, rows);
                        if add == 1 {
                            want.iter_mut().zip(&before[at.clone()]).for_each(|(w, b)| *w += b);
                        }
                        let what = format!("{} {p} {d} {shape:?} {n} {add}", kernels.name);
                        assert_near(&out[at.clone()], &want, 1e-12, 1e-12, &what);
                        let skipped = at.end..at.end + rows;
                        assert_eq!(out[skipped.clone()], before[skipped], "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn pruned_squares_have_the_same_softmax() {
    let mut random = Random::new(11);
    for (p, d, shape) in [
        (4, 4, Shape::Triangular { lead: 0 }),
        (12, 12, Shape::Triangular { lead: 0 }),
        (13, 9, Shape::Triangular { lead: 4 }),
        (33, 33, Shape::Triangular { lead: 0 }),
        (32, 32, Shape::Dense),
        (17, 6, Shape::Dense),
    ] {
        for (n, rows, spread) in [(4, 16, 0.1), (9, 48, 3.0), (20, 528, 10.0)] {
            let (len, packed) = (quad_len(p, d, shape), quad_packed_len(p, d, shape));
            let x = random.normals(p * rows);
            let mut coef = vec![0.0; n * packed];
            for coef in coef.chunks_exact_mut(packed) {
                // components at distances that make most entries of a row 0, or none
                let logical: Vec<f64> = random
                    .normals(len)
                    .iter()
                    .map(|c| c * spread / (d as f64).sqrt())
                    .collect();
                pack_quad(&logical, coef, p, d, shape);
            }
            let mut before = random.normals(n * rows);
            before[3] = f64::NEG_INFINITY;
            (0..n).for_each(|k| before[k * rows + 5] = f64::NEG_INFINITY);
            let lead = match shape {
                Shape::Triangular { lead } => lead,
                _ => usize::MAX,
            };
            for kernels in widths() {
                let posterior = |quad: lvmc_kernels::block::QuadFn| {
                    let mut table = before.clone();
                    let (to, coef) = (table.as_mut_ptr(), coef.as_ptr());
                    let mut lse = vec![0.0; rows];
                    // SAFETY: p columns of x, n packed components, n columns of the table, one of lse
                    unsafe {
                        quad(x.as_ptr(), p, d, lead, coef, packed, n, to, rows, 1, rows);
                        (kernels.softmax)(to, n, rows, lse.as_mut_ptr(), std::ptr::null_mut(), rows);
                    }
                    (table, lse)
                };
                let (all, pruned) = (posterior(kernels.quad), posterior(kernels.quad_pruned));
                let what = format!("{} {p} {d} {shape:?} {n} {spread}", kernels.name);
                assert_near(&pruned.0, &all.0, 1e-9, 1e-12, &what);
                assert_near(&pruned.1, &all.1, 1e-12, 1e-12, &what);
            }
        }
    }
}

#[test]
fn triangles_never_read_zeros() {
    // an infinite column times a zero that is skipped must not make NaN
    let (p, rows) = (9, 16);
    let mut logical = vec![1.0; quad_len(p, 2, Shape::Triangular { lead: 0 })];
    logical[0] = 0.0;
    let mut coef = vec![0.0; quad_packed_len(p, 2, Shape::Triangular { lead: 0 })];
    pack_quad(&logical, &mut coef, p, 2, Shape::Triangular { lead: 0 });
    let mut x = vec![1.0; p * rows];
    x[2 * rows..].fill(f64::INFINITY);
    for kernels in widths() {
        let mut out = vec![0.0; rows];
        // SAFETY: p columns of x, one packed component, one column of out
        unsafe { (kernels.quad)(x.as_ptr(), p, 2, 0, coef.as_ptr(), 0, 1, out.as_mut_ptr(), 0, 0, rows) };
        assert_near(&out, &vec![-0.5; rows], 1e-15, 0.0, kernels.name);
    }
}

#[test]
fn linear_matches_its_definition() {
    let mut random = Random::new(2);
    for (p, m) in [
        (0, 3),
        (1, 1),
        (2, 3),
        (3, 2),
        (4, 4),
        (5, 9),
        (13, 7),
        (33, 20),
        (70, 65),
    ] {
        for rows in [16, 80] {
            let (x, coef) = (random.normals(p * rows), random.normals(m * (1 + p)));
            let before = random.normals(m * rows);
            for kernels in widths() {
                for add in [0, 1] {
                    let mut out = before.clone();
                    // SAFETY: p columns of x, m of out
                    unsafe { (kernels.linear)(x.as_ptr(), p, m, coef.as_ptr(), out.as_mut_ptr(), add, rows) };
                    let want: Vec<f64> = (0..m * rows)
                        .map(|at| {
                            let (row, r) = (&coef[at / rows * (1 + p)..][..1 + p], at % rows);
                            let sum = row[0] + (0..p).map(|i| row[1 + i] * x[i * rows + r]).sum::<f64>();
                            sum + if add == 1 { before[at] } else { 0.0 }
                        })
                        .collect();
                    assert_near(&out, &want, 1e-12, 1e-12, &format!("{} {p} {m} {add}", kernels.name));
                }
            }
        }
    }
}

#[test]
fn softmax_matches_its_definition() {
    let mut random = Random::new(3);
    let inf = f64::INFINITY;
    for n in [1, 2, 3, 5, 7, 20] {
        for rows in [16, 320] {
            for scale in [1.0, 300.0, 1e6] {
                let stride = rows * 2;
                let mut table: Vec<f64> = (0..n * stride).map(|_| scale * random.normal()).collect();
                let entry = |k: usize, r: usize| k * stride + r;
                for k in 0..n {
                    table[entry(k, 3)] = -inf; // a row without mass
                    if k > 0 {
                        table[entry(k, 5)] = -inf; // a certain row
                    }
                    table[entry(k, 6)] = 1e300 * (k + 1) as f64;
                    table[entry(k, 7)] = -1e300;
                    table[entry(k, 8)] = 1e-300;
                }
                let row = |r: usize| (0..n).map(|k| table[entry(k, r)]).collect::<Vec<_>>();
                let want_lse: Vec<f64> = (0..rows).map(|r| lse(&row(r))).collect();
                for kernels in widths() {
                    let what = format!("{} {n} {rows} {scale}", kernels.name);
                    let (mut out, mut out_lse) = (table.clone(), vec![0.0; rows]);
                    let (p, null) = (out.as_mut_ptr(), std::ptr::null_mut());
                    // SAFETY: n columns at the stride, one of lse
                    unsafe { (kernels.softmax)(p, n, stride, out_lse.as_mut_ptr(), null, rows) };
                    assert_near(&out_lse, &want_lse, 1e-14, 1e-14, &what);
                    for r in 0..rows {
                        let v: Vec<f64> = (0..n).map(|k| out[entry(k, r)]).collect();
                        let sum: f64 = v.iter().sum();
                        assert!(
                            (sum - f64::from(u8::from(r != 3))).abs() < 1e-14,
                            "{what}: row {r} sums to {sum}"
                        );
                        // relative to the largest entry: beside 1e300 the logarithm of the sum is lost in lse
                        let given = row(r);
                        let top = given.iter().copied().fold(-inf, f64::max);
                        let mass: f64 = given.iter().map(|v| (v - top).exp()).sum();
                        for (k, v) in v.into_iter().enumerate() {
                            let plain = if r == 3 { 0.0 } else { (given[k] - top).exp() / mass };
                            // below 2⁻⁶⁴ of the largest an entry is 0: 1e-19 is less than the error of any sum
                            assert!(
                                crate::common::near(v, plain, 2e-15, 1e-19),
                                "{what}: {v:e}, not {plain:e}"
                            );
                            assert!(table[entry(k, r)] != -inf || v == 0.0);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn softmax_totals() {
    let mut random = Random::new(4);
    for n in [1, 2, 3, 20, 1000] {
        let rows = 640;
        let table = random.normals(n * rows);
        let want: f64 = (0..rows)
            .map(|r| lse(&(0..n).map(|k| table[k * rows + r]).collect::<Vec<_>>()))
            .sum();
        for kernels in widths() {
            for with_lse in [false, true] {
                let (mut out, mut column, mut total) = (table.clone(), vec![0.0; rows], 1.5);
                let lse = if with_lse {
                    column.as_mut_ptr()
                } else {
                    std::ptr::null_mut()
                };
                // SAFETY: n columns, one of lse or none, one number
                unsafe { (kernels.softmax)(out.as_mut_ptr(), n, rows, lse, &raw mut total, rows) };
                assert_near(&[total], &[want + 1.5], 1e-13, 1e-11, kernels.name);
            }
            // a row without mass, and one with a NaN
            for (bad, want) in [(f64::NEG_INFINITY, f64::NEG_INFINITY), (f64::NAN, f64::NAN)] {
                let (mut out, mut total) = (table.clone(), 0.0);
                (0..n).for_each(|k| out[k * rows + 9] = bad);
                // SAFETY: as above
                unsafe {
                    (kernels.softmax)(out.as_mut_ptr(), n, rows, std::ptr::null_mut(), &raw mut total, rows);
                }
                assert!(crate::common::near(total, want, 0.0, 0.0), "{} {total}", kernels.name);
                assert_eq!(out[9].is_nan(), bad.is_nan());
            }
        }
    }
}

#[test]
fn nan_entries_stay_nan_whatever_their_payload() {
    for bits in [
        0x7ff8_0000_0000_0000,
        0x7ff0_0000_0000_07a2,
        0xfff8_0000_0000_0001,
        0x7fff_ffff_ffff_ffff,
    ] {
        for kernels in widths() {
            let mut table = vec![0.5; 48];
            table[18] = f64::from_bits(bits);
            // SAFETY: three columns of 16
            unsafe {
                (kernels.softmax)(
                    table.as_mut_ptr(),
                    3,
                    16,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    16,
                )
            };
            assert!(
                [2, 18, 34].into_iter().all(|at: usize| table[at].is_nan()),
                "{} {bits:x}",
                kernels.name
            );
            assert!(table[1] > 0.3);
        }
    }
}

/// Σ w a aᵀ with a = (1, x).
fn moments_reference(x: &[f64], w: &[f64], p: usize, rows: usize) -> Vec<f64> {
    let a = |i: usize, r: usize| if i == 0 { 1.0 } else { x[(i - 1) * rows + r] };
    let side = p + 1;
    (0..side * side)
        .map(|at| (0..rows).map(|r| w[r] * a(at / side, r) * a(at % side, r)).sum())
        .collect()
}

#[test]
fn syrk_matches_its_definition() {
    let mut random = Random::new(5);
    for p in [0].into_iter().chain(SIZES) {
        for (n, rows) in [(1, 16), (2, 48), (3, 64), (7, 160), (5, 1040)] {
            if n * rows > 1000 && p > 9 {
                continue;
            }
            let (x, w) = (random.normals(p * rows), random.units(n * rows));
            for kernels in widths() {
                let (len, side) = (syrk_len(p, false), p + 1);
                let mut acc = vec![0.0; n * len];
                let ones = n == 1;
                let weights = if ones { std::ptr::null() } else { w.as_ptr() };
                for _ in 0..2 {
                    // SAFETY: p columns of x, n of w or null, n raw accumulators
                    unsafe { (kernels.syrk)(x.as_ptr(), p, weights, rows, n, acc.as_mut_ptr(), len, rows) };
                }
                let diagonal_len = syrk_len(p, true);
                let mut squares = vec![0.0; n * diagonal_len];
                // SAFETY: as above
                unsafe {
                    (kernels.syrk_diagonal)(
                        x.as_ptr(),
                        p,
                        weights,
                        rows,
                        n,
                        squares.as_mut_ptr(),
                        diagonal_len,
                        rows,
                    );
                }
                for k in 0..n {
                    let what = format!("{} {p} {k}/{n} {rows}", kernels.name);
                    let w = if ones {
                        vec![1.0; rows]
                    } else {
                        w[k * rows..][..rows].to_vec()
                    };
                    let want = moments_reference(&x, &w, p, rows);
                    let mut out = vec![0.25; side * side];
                    let acc = &acc[k * len..];
                    // SAFETY: one raw accumulator, a square
                    unsafe { (kernels.syrk_fold)(acc.as_ptr(), p, out.as_mut_ptr(), 0) };
                    let twice: Vec<f64> = want.iter().map(|v| 2.0 * v + 0.25).collect();
                    assert_near(&out, &twice, 1e-12, 1e-11, &what);
                    let mut out = vec![0.5; diagonal_len];
                    // SAFETY: one raw accumulator, 1 + 2p numbers
                    unsafe { (kernels.syrk_fold)(squares[k * diagonal_len..].as_ptr(), p, out.as_mut_ptr(), 1) };
                    let firsts = (0..side).map(|i| want[i] + 0.5);
                    let want: Vec<f64> = firsts.chain((1..side).map(|i| want[i * side + i] + 0.5)).collect();
                    assert_near(&out, &want, 1e-12, 1e-12, &what);
                }
            }
        }
    }
}

#[test]
fn moments_match_their_definition() {
    let mut random = Random::new(6);
    for p in [0, 1, 2, 3, 4, 5, 8, 9, 33] {
        for s in [1, 2, 3, 5, 6, 7, 13, 20] {
            let rows = 48;
            let (x, w) = (random.normals(p * rows), random.units(s * rows));
            let want: Vec<f64> = (0..s * (1 + p))
                .map(|at| {
                    let (s, i) = (at / (1 + p), at % (1 + p));
                    1.0 + (0..rows)
                        .map(|r| w[s * rows + r] * if i == 0 { 1.0 } else { x[(i - 1) * rows + r] })
                        .sum::<f64>()
                })
                .collect();
            for kernels in widths() {
                let mut acc = vec![0.0; moments_len(p, s)];
                let mut out = vec![1.0; s * (1 + p)];
                // SAFETY: p columns of x, s of w, raw accumulators
                unsafe {
                    (kernels.moments)(x.as_ptr(), p, w.as_ptr(), s, acc.as_mut_ptr(), rows);
                    (kernels.moments_fold)(acc.as_ptr(), p, s, out.as_mut_ptr());
                }
                assert_near(&out, &want, 1e-13, 1e-13, &format!("{} {p} {s}", kernels.name));
            }
        }
    }
}

#[test]
fn tables_by_code() {
    let mut random = Random::new(7);
    for (entries, values, rows) in [(1, 1, 16), (3, 7, 48), (20, 256, 64)] {
        let mut code: Vec<f64> = (0..rows).map(|_| random.below(values) as f64).collect();
        code[0] = -3.0;
        code[1] = values as f64 + 10.0;
        code[2] = f64::NAN;
        let at = |c: f64| {
            if c.is_nan() {
                0
            } else {
                c.clamp(0.0, values as f64 - 1.0) as usize
            }
        };
        let table = random.normals(entries * values);
        let w = random.units(entries * rows);
        for kernels in widths() {
            let mut out = vec![2.0; entries * rows];
            for add in [0, 1] {
                // SAFETY: a column of codes, the table, `entries` columns
                unsafe {
                    (kernels.gather)(
                        code.as_ptr(),
                        table.as_ptr(),
                        entries,
                        values,
                        out.as_mut_ptr(),
                        add,
                        rows,
                    );
                }
                let times = if add == 1 { 2.0 } else { 1.0 };
                for s in 0..entries {
                    for r in 0..rows {
                        assert_eq!(out[s * rows + r], times * table[s * values + at(code[r])]);
                    }
                }
            }
            let mut acc = vec![0.0; entries * values];
            let mut want = acc.clone();
            // SAFETY: a column of codes, `entries` columns, the table
            unsafe { (kernels.scatter)(code.as_ptr(), values, w.as_ptr(), entries, acc.as_mut_ptr(), rows) };
            for r in 0..rows {
                (0..entries).for_each(|s| want[s * values + at(code[r])] += w[s * rows + r]);
            }
            assert_eq!(acc, want);
            let mut columns = w.clone();
            // SAFETY: `entries` columns and one
            unsafe { (kernels.mul_rows)(columns.as_mut_ptr(), entries, table_column(&w, rows).as_ptr(), rows) };
            assert!(columns.iter().enumerate().all(|(i, c)| *c == w[i] * w[i % rows]));
        }
    }
}

fn table_column(w: &[f64], rows: usize) -> Vec<f64> {
    w[..rows].to_vec()
}

#[test]
fn the_best_width_is_one_of_them() {
    let best = kernels();
    assert!(widths().iter().any(|k| std::ptr::eq(*k, best)));
}
