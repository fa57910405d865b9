//! Affine indices have one normal form.

use lvmc_loops::ir::{Index, IndexVar, LoopId};

#[test]
fn operators_give_the_normal_form() {
    let (k, j) = (LoopId(1), LoopId(0));
    let index = k * 5 + j * 2 + 3usize - k * 5;
    assert_eq!(
        index,
        Index {
            base: 3,
            terms: vec![(IndexVar::Loop(j), 2)]
        }
    );
    let grid = Index::row_major(&[k.into(), j.into()], &[9, 4]);
    assert_eq!(grid.terms, vec![(IndexVar::Loop(j), 1), (IndexVar::Loop(k), 4)]);
    assert_eq!(grid.substitute(k.into(), &(j + 1usize)), j * 5 + 4usize);
}
