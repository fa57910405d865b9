//! Vectors that start at a cache line, and rows in blocks.

use lvmc_loops::{AlignedVec, Padding, RowLayout};

#[test]
fn every_vector_and_its_copies_start_at_a_line() {
    for len in [0, 1, 7, 8, 9, 1000] {
        let v = AlignedVec::zeroed(len);
        assert_eq!((v.len(), v.as_ptr().addr() % 64), (len, 0));
        assert_eq!(v.clone().as_ptr().addr() % 64, 0);
    }
}

#[test]
fn rows_lie_in_blocks_of_columns() {
    let layout = RowLayout { rows: 20, block: 16 };
    #[allow(clippy::cast_precision_loss)]
    let data = layout.fill(2, Padding::LastRow, |r, c| (10 * r + c) as f64);
    assert_eq!((layout.blocks(), layout.padded(), data.len()), (2, true, 64));
    assert_eq!((data[16 + 3], data[32 + 2], data[48 + 15]), (31.0, 180.0, 191.0));
    assert_eq!(layout.fill(1, Padding::Zero, |_, _| 1.0)[20], 0.0);
}
