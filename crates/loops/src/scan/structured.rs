//! The Gaussian part of a structured mean-field posterior (`lvmc_derive::posterior::structured` has the statement).
//!
//! log q(s) of a sequence is −½ the sum of squares of rows √r L⁻¹ (x − B e − c), one for every statement, case and element;
//! e are the latents that a row knows. Forward: the triangle that stands for all rows before, on the state s_{t−1}, takes in
//! the row's own by rotations (Givens), the elements of e that no later row knows first:
//!
//! ```text
//!   ⎡ T₁₁ T₁₂ │ u₁ ⎤   those that leave:  T₁₁ x = u₁ − T₁₂ s_t + ε
//!   ⎣  0  T₂₂ │ u₂ ⎦   s_t, for the next row
//! ```
//!
//! so that no product of a row with itself is formed, weights of 0 are no rows at all, and variances that differ by many orders
//! of magnitude stay apart. Backward: x is given s_t, whose mean and root are known; the roots are made triangular in the
//! order of e. H(q(s)) = Σ ½ log 2πe − log |pivot|.
//!
//! A missing element of an observation whose elements are independent is no row. Where they depend on each other the vector is
//! a part of e, all of its rows stand, and an element that is observed is a number in them: its column goes to the right-hand
//! side, it has no pivot, and no part in the entropy.
//!
//! Elements of earlier rows that do not exist have a row of their own, mean 0 and variance 1: no statement that holds knows
//! them.

use super::gaussian::{Out, Shape, independent, root, rotation, triangular};
use super::patterns::at_means;
use super::{LinearGaussian, Offset, Starts, sequences};
use crate::aligned::RowLayout;
use crate::ir::BufId;
use crate::memory::Memory;
use lvmc_model::graph::When;
use std::ops::Range;

/// The scan.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanField {
    /// The latents that a row knows; it has no statements.
    pub frame: LinearGaussian,
    /// Statements, case by case.
    pub statements: Vec<Weighted>,
    /// `Out`s of posterior weights, and their columns: read by the scan, written by the function `weights`.
    pub weights: Vec<(BufId, usize)>,
    /// Data variables among the parts.
    pub seen: Vec<SeenPart>,
}

/// A part of which rows have some elements: it is a data variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenPart {
    /// The part.
    pub part: usize,
    /// `Out`, one per element: its values, any number where a cell is missing.
    pub values: BufId,
    /// `Column`, one per element: 1 where a cell is observed, 0 where it is missing.
    pub mask: BufId,
}

/// x ~ Normal(Σ B_k z + c_k, S_k) with weight r_k, for configurations k of some finite variables.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighted {
    /// In which rows it holds.
    pub when: When,
    /// The part that it is the density of; `None` for an observation.
    pub of: Option<usize>,
    /// Length of x.
    pub size: usize,
    /// Place in [`MeanField::weights`]; `None`: weight 1.
    pub weight: Option<usize>,
    /// Number of configurations.
    pub configs: usize,
    /// Those in which the case holds.
    pub holds: Vec<usize>,
    /// `[configs][size]`: c for a part; x − c for an observation.
    pub offset: Offset,
    /// Parts and `Table`s `[configs][size][size of the part]`.
    pub slopes: Vec<(usize, BufId)>,
    /// `Table`: `[configs][size]` variances, or `[configs][size][size]`.
    pub covariance: BufId,
    /// `Column`, one for all elements or one per element: 1 where a cell is observed, 0 where it is missing.
    pub mask: Option<(BufId, usize)>,
}

impl MeanField {
    /// Every `Out` buffer but the row score.
    #[must_use]
    pub fn outs(&self) -> Vec<BufId> {
        let rows = self.statements.iter().filter_map(|s| match s.offset {
            Offset::Rows(buf) => Some(buf),
            Offset::Table(_) => None,
        });
        let weights = self.weights.iter().map(|w| w.0);
        let seen = self.seen.iter().map(|s| s.values);
        self.frame
            .outs()
            .into_iter()
            .chain(rows)
            .chain(weights)
            .chain(seen)
            .collect()
    }

    /// Numbers touched in a row, roughly.
    #[must_use]
    pub fn work(&self) -> usize {
        let n: usize = self.frame.parts.iter().map(|p| p.size).sum();
        let rows: usize = self.statements.iter().map(|s| s.holds.len() * s.size).sum();
        (rows + 4 * n) * n * (n + 1)
    }

    /// Starting means, nearly known, where there are any.
    pub fn independent(&self, memory: &mut Memory, starts: &Starts) {
        let mut seen = vec![None; self.frame.parts.len()];
        for s in &self.seen {
            let n = self.frame.parts[s.part].size;
            seen[s.part] = at_means(memory, (s.mask, n), s.values, n);
        }
        independent(&self.frame, &Shape::new(&self.frame), &seen, memory, starts);
    }
}

/// Takes a row's mean and root.
type Write<'a> = dyn FnMut(usize, &[f64], &[f64]) + 'a;

/// A statement's rows for one configuration: L⁻¹ times what stands before e, and L⁻¹.
struct Block {
    /// `[size][A]`.
    slope: Vec<f64>,
    /// `[size][size]`, lower-triangular.
    white: Vec<f64>,
}

/// Which rows of a statement a row of the data has: all, or those of a mask with so many columns.
type Mask<'a> = Option<(&'a [f64], usize)>;

/// An element of a data variable.
#[derive(Clone, Copy)]
struct SeenElement<'a> {
    values: &'a [f64],
    mask: &'a [f64],
    /// Elements of the variable: columns of both.
    cols: usize,
    /// Which of them it is.
    i: usize,
}

/// What the scan reads.
struct Rows<'a> {
    mf: &'a MeanField,
    shape: Shape,
    layout: RowLayout,
    /// By statement: what rows have of it, and the configurations' blocks.
    blocks: Vec<(Mask<'a>, Vec<Block>)>,
    /// By element of e, where it is a data variable's.
    seen: Vec<Option<SeenElement<'a>>>,
    offsets: Vec<&'a [f64]>,
    weights: Vec<&'a [f64]>,
    /// Elements of e in the order of elimination: those that leave, then s_t.
    order: Vec<usize>,
}

/// Means and roots given the other part of q; returns Σ weight · H(q(s) of the sequence), and adds every row's part to
/// `entropy`.
///
/// # Panics
/// Where buffers that the scan names are not present.
pub fn run(mf: &MeanField, memory: &mut Memory, starts: &Starts, weights: &[f64], entropy: &mut Vec<f64>) -> f64 {
    let shape = Shape::new(&mf.frame);
    let layout = memory.layout();
    entropy.clear();
    entropy.resize(layout.rows, 0.0);
    let mut out = Out::new(&mf.frame, &shape, memory);
    let rows = Rows::new(mf, shape.clone(), memory);
    let mut total = 0.0;
    let mut triangles = vec![];
    for (s, &weight) in sequences(starts).zip(weights) {
        let last = rows.forward(s.clone(), &mut triangles, entropy);
        let sum: f64 = entropy[s.clone()].iter().sum();
        total += if weight == 0.0 { 0.0 } else { weight * sum };
        rows.backward(s, &triangles, &last, &mut |row, mean, e| out.write(row, mean, e));
    }
    drop(rows);
    out.finish(memory);
    total
}

impl<'a> Rows<'a> {
    fn new(mf: &'a MeanField, shape: Shape, memory: &'a Memory) -> Self {
        let leaves = (0..shape.all).filter(|i| !shape.state.contains(i));
        let order = leaves.chain(shape.state.iter().copied()).collect();
        let blocks = mf.statements.iter().map(|st| {
            let each = (0..st.configs).map(|k| block(st, &shape, memory, k));
            (mask(st, memory), each.collect())
        });
        let blocks = blocks.collect();
        let offsets = mf.statements.iter().map(|st| match st.offset {
            Offset::Table(buf) => memory.flat(buf),
            Offset::Rows(buf) => memory.rows(buf).unwrap_or_default(),
        });
        let weights = mf.weights.iter().map(|w| memory.rows(w.0).unwrap_or_default());
        Self {
            offsets: offsets.collect(),
            weights: weights.collect(),
            layout: memory.layout(),
            seen: seen(mf, &shape, memory),
            mf,
            shape,
            blocks,
            order,
        }
    }

    /// The value of an element of e, where a row's data have it.
    fn known(&self, row: usize, element: usize) -> Option<f64> {
        let own = self.seen[element]?;
        let at = self.layout.at(own.cols, row, own.i);
        (own.mask[at] != 0.0).then(|| own.values[at])
    }

    /// Elements that leave at every row.
    fn leave(&self) -> usize {
        self.shape.all - self.shape.lags
    }

    /// The rows' triangles, those of elements that leave, into `triangles`; returns the last row's of the state.
    fn forward(&self, sequence: Range<usize>, triangles: &mut Vec<f64>, entropy: &mut [f64]) -> Vec<f64> {
        let (n, l) = (self.shape.all, self.shape.lags);
        let (wide, leave) = (n + 1, self.leave());
        let half = 0.5 * (2.0 * std::f64::consts::PI * std::f64::consts::E).ln();
        triangles.clear();
        let mut state = vec![0.0; l * (l + 1)];
        (0..l).for_each(|i| state[i * (l + 1) + i] = 1.0);
        let mut t = vec![0.0; n * wide];
        let mut v = vec![0.0; wide];
        let first = sequence.start;
        let end = sequence.end;
        for row in sequence {
            t.fill(0.0);
            for r in 0..l {
                v.fill(0.0);
                for (c, x) in state[r * (l + 1)..(r + 1) * (l + 1)].iter().enumerate() {
                    v[if c == l { n } else { self.place(c) }] = *x;
                }
                insert(&mut t, &mut v, n);
            }
            self.statements(row, row - first, &mut t, &mut v);
            // elements that do not exist are counted once, as they leave
            entropy[row] = if row == first { -half * count(l) } else { 0.0 };
            let gone = if row + 1 == end { n } else { leave };
            for i in (0..gone).filter(|&i| self.known(row, self.order[i]).is_none()) {
                entropy[row] += half - t[i * wide + i].abs().ln();
            }
            triangles.extend_from_slice(&t[..leave * wide]);
            for r in 0..l {
                let from = &t[(leave + r) * wide + leave..(leave + r + 1) * wide];
                state[r * (l + 1)..(r + 1) * (l + 1)].copy_from_slice(from);
            }
        }
        state
    }

    /// The column of an element of e.
    fn place(&self, element: usize) -> usize {
        self.order.iter().position(|&e| e == element).unwrap_or(0)
    }

    /// Takes in the rows of the statements that hold.
    fn statements(&self, row: usize, position: usize, t: &mut [f64], v: &mut [f64]) {
        let n = self.shape.all;
        let held = self.mf.statements.iter().zip(&self.blocks).zip(&self.offsets);
        for ((st, (mask, blocks)), offset) in held.filter(|x| x.0.0.when.holds(position)) {
            for &k in &st.holds {
                let weight = st
                    .weight
                    .map_or(1.0, |w| self.weights[w][self.layout.at(self.mf.weights[w].1, row, k)]);
                if weight <= 0.0 {
                    continue;
                }
                let scale = weight.sqrt();
                let at = |i: usize| match st.offset {
                    Offset::Table(_) => offset[k * st.size + i],
                    Offset::Rows(_) => offset[self.layout.at(st.configs * st.size, row, k * st.size + i)],
                };
                let (block, m) = (&blocks[k], st.size);
                for r in 0..m {
                    if let Some((mask, cols)) = *mask
                        && mask[self.layout.at(cols, row, r.min(cols - 1))] == 0.0
                    {
                        continue;
                    }
                    let white = block.white[r * m..=r * m + r].iter().enumerate();
                    let rest = white.map(|(i, w)| if *w == 0.0 { 0.0 } else { w * at(i) });
                    v[n] = scale * rest.sum::<f64>();
                    for (to, &from) in self.order.iter().enumerate() {
                        let slope = scale * block.slope[r * n + from];
                        let known = if slope == 0.0 { None } else { self.known(row, from) };
                        v[to] = if known.is_some() { 0.0 } else { slope };
                        v[n] -= known.map_or(0.0, |x| slope * x);
                    }
                    insert(t, v, n);
                }
            }
        }
    }

    /// Means and roots, from the last row.
    fn backward(&self, sequence: Range<usize>, triangles: &[f64], last: &[f64], write: &mut Write<'_>) {
        let (n, l) = (self.shape.all, self.shape.lags);
        let (wide, leave) = (n + 1, self.leave());
        let (mut state, mut spread) = (vec![0.0; l], vec![0.0; l * l]);
        for i in (0..l).rev() {
            let t = &last[i * (l + 1)..(i + 1) * (l + 1)];
            let known: f64 = (i + 1..l).map(|j| t[j] * state[j]).sum();
            state[i] = (t[l] - known) / t[i];
            for c in i..l {
                let known: f64 = (i + 1..=c).map(|j| t[j] * spread[j * l + c]).sum();
                spread[i * l + c] = (f64::from(u8::from(i == c)) - known) / t[i];
            }
        }
        // in the order of elimination: a column for each direction of s_t, then one for each element that leaves
        let (mut mean, mut moves) = (vec![0.0; n], vec![0.0; n * n]);
        let (mut own, mut e) = (vec![0.0; n], vec![0.0; n * n]);
        for row in sequence.clone().rev() {
            let t = &triangles[(row - sequence.start) * leave * wide..][..leave * wide];
            mean[leave..].copy_from_slice(&state);
            moves.fill(0.0);
            for i in 0..l {
                moves[(leave + i) * n..(leave + i) * n + l].copy_from_slice(&spread[i * l..(i + 1) * l]);
            }
            for i in (0..leave).rev() {
                if let Some(x) = self.known(row, self.order[i]) {
                    mean[i] = x;
                    continue;
                }
                let t = &t[i * wide..(i + 1) * wide];
                let known: f64 = (i + 1..n).map(|j| t[j] * mean[j]).sum();
                mean[i] = (t[n] - known) / t[i];
                for c in 0..l + leave {
                    let known: f64 = (i + 1..n).map(|j| t[j] * moves[j * n + c]).sum();
                    moves[i * n + c] = (f64::from(u8::from(c == l + i)) - known) / t[i];
                }
            }
            for (i, &to) in self.order.iter().enumerate() {
                own[to] = mean[i];
                e[to * n..(to + 1) * n].copy_from_slice(&moves[i * n..(i + 1) * n]);
            }
            triangular(&mut e, n, n);
            write(row, &own, &e);
            state.copy_from_slice(&own[..l]);
            (0..l).for_each(|r| spread[r * l..(r + 1) * l].copy_from_slice(&e[r * n..r * n + l]));
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}

/// What rows have of a statement's x.
fn mask<'a>(st: &Weighted, memory: &'a Memory) -> Mask<'a> {
    let (buf, cols) = st.mask?;
    Some((memory.rows(buf)?, cols))
}

/// Which elements of e are a data variable's.
fn seen<'a>(mf: &MeanField, shape: &Shape, memory: &'a Memory) -> Vec<Option<SeenElement<'a>>> {
    let mut out = vec![None; shape.all];
    for s in &mf.seen {
        let place = shape.places[s.part].clone();
        let Some((values, mask)) = memory.rows(s.values).zip(memory.rows(s.mask)) else {
            continue;
        };
        for (i, element) in place.clone().enumerate() {
            out[element] = Some(SeenElement {
                values,
                mask,
                cols: place.len(),
                i,
            });
        }
    }
    out
}

/// L⁻¹ (x − B e) as rows before e, or L⁻¹ B e of an observation: L Lᵀ = S.
fn block(st: &Weighted, shape: &Shape, memory: &Memory, k: usize) -> Block {
    let (size, n) = (st.size, shape.all);
    let covariance = memory.flat(st.covariance);
    let len = covariance.len() / st.configs;
    let l = root(&covariance[k * len..(k + 1) * len], size);
    let mut plain = vec![0.0; size * n];
    let sign = if st.of.is_some() { -1.0 } else { 1.0 };
    for &(part, buf) in &st.slopes {
        let place = shape.places[part].clone();
        let b = &memory.flat(buf)[k * size * place.len()..(k + 1) * size * place.len()];
        for r in 0..size {
            for (c, to) in place.clone().enumerate() {
                plain[r * n + to] += sign * b[r * place.len() + c];
            }
        }
    }
    if let Some(part) = st.of {
        let first = shape.places[part].start;
        (0..size).for_each(|r| plain[r * n + first + r] += 1.0);
    }
    let mut white = vec![0.0; size * size];
    let mut slope = vec![0.0; size * n];
    for r in 0..size {
        for c in 0..=r {
            let known: f64 = (c..r).map(|j| l[r * size + j] * white[j * size + c]).sum();
            white[r * size + c] = (f64::from(u8::from(r == c)) - known) / l[r * size + r];
        }
        for c in 0..n {
            slope[r * n + c] = (0..=r).map(|j| white[r * size + j] * plain[j * n + c]).sum();
        }
    }
    Block { slope, white }
}

/// Takes a row into a triangle by rotations; what is left of it is the misfit.
fn insert(t: &mut [f64], v: &mut [f64], n: usize) {
    let wide = n + 1;
    for j in 0..n {
        if v[j] == 0.0 {
            continue;
        }
        let own = &mut t[j * wide..(j + 1) * wide];
        if own[j] == 0.0 {
            // no row has come so far yet
            own[j..].copy_from_slice(&v[j..wide]);
            return;
        }
        let (c, s) = rotation(own[j], v[j]);
        for (a, b) in own[j..].iter_mut().zip(&mut v[j..wide]) {
            let (p, q) = (*a, *b);
            *a = c * p + s * q;
            *b = c * q - s * p;
        }
    }
}
