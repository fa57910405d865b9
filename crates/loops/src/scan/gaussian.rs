//! Kalman filter and smoother over the rows, in square-root form (`lvmc_derive::posterior::kalman` has the statement).
//!
//! Covariances are carried as lower-triangular roots and never subtracted from one another: every step is a rotation of
//! columns (Givens) that makes a wider root triangular, so that a start of variance 10¹² or a noise of variance 0 costs no
//! digits. Roots depend on the row's position alone; sequences share them, and where their recursion has come to rest,
//! bit by bit, all later rows share one.

use super::patterns::{self, Gaps, Steps};
use super::{Scan, Starts, sequences};
use crate::aligned::{AlignedVec, RowLayout};
use crate::ir::BufId;
use crate::memory::Memory;
use lvmc_model::graph::When;
use std::ops::Range;

/// Steps among which one that comes again is looked for: rounding may end in a cycle.
const CYCLE: usize = 4;
/// How far starting means are taken to spread.
const SPREAD: f64 = 1e-5;

/// A filter and smoother: the latents e that a row knows, in parts, and its statements about them.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearGaussian {
    /// Earlier rows' latents, then the row's own.
    pub parts: Vec<Part>,
    /// Statements of the row's latents in the order of the parts, then of observations.
    pub statements: Vec<Statement>,
    /// From this position on the same statements hold.
    pub regimes: usize,
    /// `Out`: log-likelihoods of the rows; the scan adds each row's, given the rows before.
    pub row_score: BufId,
}

/// A latent that a row knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Number of elements.
    pub size: usize,
    /// It is an earlier row's.
    pub lagged: bool,
    /// The part of the next row that it becomes.
    pub next: Option<usize>,
    /// `Out`, `[size]`: its smoothed mean.
    pub mean: BufId,
    /// `Out`s, `[size of c][size]` for each part c up to this one: how far it moves with that one's noise.
    pub moves: Vec<BufId>,
    /// `Out`, `[size]`: a starting mean.
    pub start: Option<BufId>,
}

/// x ~ Normal(Σ B z + c, S).
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// In which rows it holds.
    pub when: When,
    /// The part that it is the density of; `None` for an observation.
    pub of: Option<usize>,
    /// Length of x.
    pub size: usize,
    /// c for a part; x − c for an observation.
    pub offset: Offset,
    /// Parts and `Table`s `[size][size of the part]`.
    pub slopes: Vec<(usize, BufId)>,
    /// `Table`: `[size]` variances, or `[size][size]`.
    pub covariance: BufId,
    /// `Column`, one for all elements or one per element: 1 where a cell is observed, 0 where it is missing.
    pub mask: Option<(BufId, usize)>,
}

/// Where an offset lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    /// In a `Table`, the same for all rows.
    Table(BufId),
    /// In an `Out`.
    Rows(BufId),
}

impl LinearGaussian {
    /// Every `Out` buffer but the row score.
    #[must_use]
    pub fn outs(&self) -> Vec<BufId> {
        let own = self.parts.iter().flat_map(|p| p.moves.iter().copied().chain([p.mean]));
        let rows = self.statements.iter().filter_map(|s| match s.offset {
            Offset::Rows(buf) => Some(buf),
            Offset::Table(_) => None,
        });
        own.chain(rows).collect()
    }

    fn places(&self) -> Vec<Range<usize>> {
        let mut at = 0;
        let place = |p: &Part| {
            at += p.size;
            at - p.size..at
        };
        self.parts.iter().map(place).collect()
    }
}

/// A statement's numbers.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub(super) statement: usize,
    pub(super) size: usize,
    /// Of a part: its first place in e.
    pub(super) first: usize,
    /// The elements of the statement's variable, in ascending order: all, but where cells are missing.
    pub(super) cells: Vec<usize>,
    /// `[size][A]`.
    pub(super) slope: Vec<f64>,
    /// `[size][size]`, lower-triangular.
    pub(super) root: Vec<f64>,
}

/// The statements that hold at a position.
pub(super) struct Regime {
    own: Vec<Affine>,
    pub(super) seen: Vec<Affine>,
}

/// What depends on a row's position, and on which cells are missing in it and before it.
pub(super) struct Step {
    /// Which of the lists of observations the row has.
    seen: usize,
    /// Of each observation: the root of its predicted covariance, and `[A][size]` the gain times that root.
    gains: Vec<(Vec<f64>, Vec<f64>)>,
    /// log of the normaliser of all of them.
    constant: f64,
    /// `[L][L]`: the root of cov(s_t).
    pub(super) state: Vec<f64>,
    /// `[A][L]`: J.
    back: Vec<f64>,
    /// `[A][A − L]`: a root of cov(e_t | s_t).
    rest: Vec<f64>,
}

/// Sizes and places that all functions need.
#[derive(Clone)]
pub(super) struct Shape {
    /// A: elements of e.
    pub all: usize,
    /// L: those of earlier rows.
    pub lags: usize,
    /// For each element of s_t, as the next row's lags are laid, its place in e.
    pub state: Vec<usize>,
    /// The parts' places in e.
    pub places: Vec<Range<usize>>,
}

impl Shape {
    pub fn new(lg: &LinearGaussian) -> Self {
        let places = lg.places();
        let all = places.last().map_or(0, |p| p.end);
        let lagged = lg.parts.iter().zip(&places).filter(|p| p.0.lagged);
        let lags: usize = lagged.map(|p| p.1.len()).sum();
        let mut state = vec![0; lags];
        for (p, place) in lg.parts.iter().zip(&places) {
            let Some(next) = p.next else { continue };
            for (to, from) in places[next].clone().zip(place.clone()) {
                state[to] = from;
            }
        }
        Self {
            all,
            lags,
            state,
            places,
        }
    }
}

/// Filter and smoother; returns Σ weight · log p(sequence).
///
/// # Panics
/// Where buffers that the scan names are not present.
pub fn run(lg: &LinearGaussian, memory: &mut Memory, starts: &Starts, weights: &[f64], scan: Scan) -> f64 {
    let shape = Shape::new(lg);
    let layout = memory.layout();
    if scan == Scan::Independent {
        let seen: Vec<Option<Vec<f64>>> = (0..lg.parts.len()).map(|p| patterns::filled(lg, memory, p)).collect();
        independent(lg, &shape, &seen, memory, starts);
        return 0.0;
    }
    let regimes: Vec<Regime> = (0..=lg.regimes).map(|p| regime(lg, &shape, memory, p)).collect();
    let longest = sequences(starts).map(|s| s.len()).max().unwrap_or(0);
    let steps = match Gaps::new(lg, memory) {
        Some(gaps) => patterns::steps(&shape, &regimes, &gaps, starts),
        None => covariances(&shape, &regimes, longest),
    };
    let offsets = offsets(lg, memory);
    let mut rows = Rows {
        lg,
        shape: &shape,
        layout,
        regimes: &regimes,
        steps: &steps,
        offsets: &offsets,
        means: vec![0.0; layout.rows * shape.all],
        scores: vec![0.0; layout.rows],
    };
    let mut total = 0.0;
    for (s, &weight) in sequences(starts).zip(weights) {
        let log = rows.filter(s);
        total += if weight == 0.0 { 0.0 } else { weight * log };
    }
    let Rows { means, scores, .. } = rows;
    if scan == Scan::Score {
        let out = memory.want(lg.row_score);
        for (row, l) in scores.iter().enumerate() {
            out[layout.at(1, row, 0)] += l;
        }
    }
    smooth(lg, &shape, memory, &steps, means, starts);
    total
}

/// Lower-triangular L with L Lᵀ = S; a pivot of 0 has a column of zeros, a negative one is NaN.
pub(super) fn root(s: &[f64], n: usize) -> Vec<f64> {
    let mut l = vec![0.0; n * n];
    if s.len() == n {
        (0..n).for_each(|i| l[i * n + i] = s[i].sqrt());
        return l;
    }
    for j in 0..n {
        let done: f64 = (0..j).map(|k| l[j * n + k] * l[j * n + k]).sum();
        let own = s[j * n + j];
        let pivot = own - done;
        // what elimination leaves of a singular matrix is rounding, of either sign
        let pivot = if pivot.abs() <= 1e-14 * own.abs() {
            0.0
        } else {
            pivot.sqrt()
        };
        l[j * n + j] = pivot;
        for i in j + 1..n {
            let done: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            l[i * n + j] = if pivot == 0.0 {
                0.0
            } else {
                (s[i * n + j] - done) / pivot
            };
        }
    }
    l
}

fn regime(lg: &LinearGaussian, shape: &Shape, memory: &Memory, position: usize) -> Regime {
    let (mut own, mut seen) = (vec![], vec![]);
    for (i, st) in lg.statements.iter().enumerate().filter(|s| s.1.when.holds(position)) {
        let n = st.size;
        let mut slope = vec![0.0; n * shape.all];
        for &(part, buf) in &st.slopes {
            let (b, place) = (memory.flat(buf), shape.places[part].clone());
            for r in 0..n {
                for (c, to) in place.clone().enumerate() {
                    slope[r * shape.all + to] = b[r * place.len() + c];
                }
            }
        }
        let affine = Affine {
            statement: i,
            size: n,
            first: st.of.map_or(0, |p| shape.places[p].start),
            cells: (0..n).collect(),
            slope,
            root: root(memory.flat(st.covariance), n),
        };
        if st.of.is_some() {
            own.push(affine)
        } else {
            seen.push(affine)
        }
    }
    Regime { own, seen }
}

/// A rotation of two columns that makes the second number 0 and the first not negative.
pub(super) fn rotation(a: f64, b: f64) -> (f64, f64) {
    let square = a * a + b * b;
    let r = if square > 1e-280 && square < 1e280 {
        square.sqrt()
    } else {
        a.hypot(b)
    };
    (a / r, b / r)
}

/// Columns i and k of a row-major matrix of width n, from row `from` on.
fn rotate(m: &mut [f64], n: usize, from: usize, (i, k): (usize, usize), (c, s): (f64, f64)) {
    for row in m[from * n..].chunks_exact_mut(n) {
        let (p, q) = (row[i], row[k]);
        row[i] = c * p + s * q;
        row[k] = c * q - s * p;
    }
}

/// Makes the first `rows` rows lower-triangular by rotations of the columns, of which there are n.
pub(super) fn triangular(m: &mut [f64], n: usize, rows: usize) {
    for r in 0..rows.min(n) {
        for k in r + 1..n {
            let b = m[r * n + k];
            if b != 0.0 {
                let turn = rotation(m[r * n + r], b);
                rotate(m, n, r, (r, k), turn);
                m[r * n + k] = 0.0;
            }
        }
        if m[r * n + r] < 0.0 {
            m[r * n..].chunks_exact_mut(n).for_each(|row| row[r] = -row[r]);
        }
    }
}

/// The recursion of the roots, to the longest sequence's end or until it repeats itself.
fn covariances(shape: &Shape, regimes: &[Regime], longest: usize) -> Steps {
    let lists: Vec<Vec<Affine>> = regimes.iter().map(|r| r.seen.clone()).collect();
    let mut steps: Vec<Step> = vec![];
    let mut before = vec![0.0; shape.lags * shape.lags];
    for position in 0..longest {
        let regime = position.min(regimes.len() - 1);
        let step = one(shape, &regimes[regime], (regime, &lists[regime]), &before);
        before.clone_from(&step.state);
        let settled = position + 1 >= regimes.len() + CYCLE;
        let again = settled && steps.iter().rev().take(CYCLE).any(|s| s.state == step.state);
        steps.push(step);
        if again {
            break;
        }
    }
    Steps {
        list: steps,
        of_row: vec![],
        lists,
    }
}

/// A row's step from the root before it; `seen` are its observations, and their number among the lists.
pub(super) fn one(shape: &Shape, regime: &Regime, (number, seen): (usize, &[Affine]), before: &[f64]) -> Step {
    let (n, l) = (shape.all, shape.lags);
    let mut e = vec![0.0; n * n];
    for r in 0..l {
        e[r * n..r * n + l].copy_from_slice(&before[r * l..(r + 1) * l]);
    }
    for a in &regime.own {
        for r in 0..a.size {
            let to = a.first + r;
            for from in 0..a.first {
                let b = a.slope[r * n + from];
                if b != 0.0 {
                    for c in 0..=from {
                        e[to * n + c] += b * e[from * n + c];
                    }
                }
            }
            for c in 0..=r {
                e[to * n + a.first + c] = a.root[r * a.size + c];
            }
        }
    }
    let mut constant = 0.0;
    let mut gains = vec![];
    for a in seen {
        let (f, k) = update(&mut e, n, a);
        let logs: f64 = (0..a.size).map(|i| f[i * a.size + i].ln()).sum();
        #[allow(clippy::cast_precision_loss)]
        let count = a.size as f64;
        constant -= logs + 0.5 * count * (2.0 * std::f64::consts::PI).ln();
        gains.push((f, k));
    }
    // rows of s_t above those of e_t
    let mut both = Vec::with_capacity((l + n) * n);
    for &from in &shape.state {
        both.extend_from_slice(&e[from * n..(from + 1) * n]);
    }
    both.extend_from_slice(&e);
    triangular(&mut both, n, l);
    let state: Vec<f64> = (0..l).flat_map(|r| both[r * n..r * n + l].to_vec()).collect();
    let own = both[l * n..].chunks_exact(n);
    let rest = own.clone().flat_map(|row| row[l..].to_vec()).collect();
    let mut back: Vec<f64> = own.flat_map(|row| row[..l].to_vec()).collect();
    for row in back.chunks_exact_mut(l) {
        solve_right(row, &state, l);
    }
    Step {
        seen: number,
        gains,
        constant,
        state,
        back,
        rest,
    }
}

/// x ← x S⁻¹ for a lower-triangular S; directions in which S is 0 have none.
fn solve_right(x: &mut [f64], s: &[f64], l: usize) {
    for k in (0..l).rev() {
        let known: f64 = (k + 1..l).map(|j| x[j] * s[j * l + k]).sum();
        let scale = (0..=k).map(|c| s[k * l + c].abs()).fold(0.0, f64::max);
        let pivot = s[k * l + k];
        x[k] = if pivot <= 1e-15 * scale {
            0.0
        } else {
            (x[k] - known) / pivot
        };
    }
}

/// Takes in an observation: the root of its predicted covariance, and the gain times that; e becomes the root given it.
fn update(e: &mut [f64], n: usize, a: &Affine) -> (Vec<f64>, Vec<f64>) {
    let m = a.size;
    let mut top = vec![0.0; m * n];
    for r in 0..m {
        for from in 0..n {
            let h = a.slope[r * n + from];
            if h != 0.0 {
                for c in 0..=from {
                    top[r * n + c] += h * e[from * n + c];
                }
            }
        }
    }
    let (mut f, mut gain) = (a.root.clone(), vec![0.0; n * m]);
    for r in 0..m {
        // from the last column on, so that e stays triangular
        for k in (0..n).rev() {
            let b = top[r * n + k];
            if b == 0.0 {
                continue;
            }
            let (c, s) = rotation(f[r * m + r], b);
            for i in r..m {
                let (p, q) = (f[i * m + r], top[i * n + k]);
                f[i * m + r] = c * p + s * q;
                top[i * n + k] = c * q - s * p;
            }
            for i in k..n {
                let (p, q) = (gain[i * m + r], e[i * n + k]);
                gain[i * m + r] = c * p + s * q;
                e[i * n + k] = c * q - s * p;
            }
        }
    }
    (f, gain)
}

/// Offsets of every statement.
enum Values {
    Table(Vec<f64>),
    Rows(AlignedVec),
}

fn offsets(lg: &LinearGaussian, memory: &mut Memory) -> Vec<Values> {
    let offset = |st: &Statement| match st.offset {
        Offset::Table(buf) => Values::Table(memory.flat(buf).to_vec()),
        Offset::Rows(buf) => {
            memory.want(buf);
            Values::Rows(memory.take(buf).unwrap_or_default())
        }
    };
    lg.statements.iter().map(offset).collect()
}

/// The recursion of the means.
struct Rows<'a> {
    lg: &'a LinearGaussian,
    shape: &'a Shape,
    layout: RowLayout,
    regimes: &'a [Regime],
    steps: &'a Steps,
    offsets: &'a [Values],
    /// `[row][A]`: given the rows so far.
    means: Vec<f64>,
    scores: Vec<f64>,
}

impl Rows<'_> {
    fn offset(&self, statement: usize, row: usize, i: usize) -> f64 {
        match &self.offsets[statement] {
            Values::Table(v) => v[i],
            Values::Rows(v) => v[self.layout.at(self.lg.statements[statement].size, row, i)],
        }
    }

    fn filter(&mut self, sequence: Range<usize>) -> f64 {
        let (n, l) = (self.shape.all, self.shape.lags);
        let (mut m, mut before) = (vec![0.0; n], vec![0.0; l]);
        let most = self.lg.statements.iter().map(|s| s.size).max().unwrap_or(0);
        let mut v = vec![0.0; most];
        let mut total = 0.0;
        for (position, row) in sequence.enumerate() {
            let regime = &self.regimes[position.min(self.regimes.len() - 1)];
            let step = &self.steps.list[self.steps.of(row, position)];
            m[..l].copy_from_slice(&before);
            for a in &regime.own {
                for r in 0..a.size {
                    let slope = &a.slope[r * n..r * n + a.first];
                    let known: f64 = slope.iter().zip(&m).map(|(b, m)| b * m).sum();
                    m[a.first + r] = self.offset(a.statement, row, r) + known;
                }
            }
            let mut square = 0.0;
            for (a, (f, gain)) in self.steps.lists[step.seen].iter().zip(&step.gains) {
                for r in 0..a.size {
                    let slope = &a.slope[r * n..(r + 1) * n];
                    let known: f64 = slope.iter().zip(&m).map(|(h, m)| h * m).sum();
                    let solved: f64 = (0..r).map(|j| f[r * a.size + j] * v[j]).sum();
                    v[r] = (self.offset(a.statement, row, a.cells[r]) - known - solved) / f[r * a.size + r];
                    square += v[r] * v[r];
                }
                for (m, gain) in m.iter_mut().zip(gain.chunks_exact(a.size)) {
                    *m += gain.iter().zip(&v).map(|(k, v)| k * v).sum::<f64>();
                }
            }
            let log = step.constant - 0.5 * square;
            total += log;
            self.scores[row] = log;
            self.means[row * n..(row + 1) * n].copy_from_slice(&m);
            for (b, &from) in before.iter_mut().zip(&self.shape.state) {
                *b = m[from];
            }
        }
        total
    }
}

/// Means and roots given all rows, into their buffers.
fn smooth(
    lg: &LinearGaussian,
    shape: &Shape,
    memory: &mut Memory,
    steps: &Steps,
    mut means: Vec<f64>,
    starts: &Starts,
) {
    let (n, l) = (shape.all, shape.lags);
    let mut out = Out::new(lg, shape, memory);
    let mut known: Roots = Roots::default();
    let mut shift = vec![0.0; l];
    for s in sequences(starts) {
        let last = s.end - 1;
        let mut root: Vec<f64> = vec![];
        let mut now = 0;
        for row in s.clone().rev() {
            let position = steps.of(row, row - s.start);
            let step = &steps.list[position];
            let after = if row == last { &step.state } else { &root };
            now = known.find(position, after).unwrap_or_else(|| {
                let e = smoothed(step, after, n, l);
                known.add(position, after.clone(), e)
            });
            if row < last {
                let (here, later) = means.split_at_mut((row + 1) * n);
                let here = &mut here[row * n..];
                for ((d, &from), to) in shift.iter_mut().zip(&shape.state).zip(&later[..l]) {
                    *d = to - here[from];
                }
                for (m, back) in here.iter_mut().zip(step.back.chunks_exact(l)) {
                    *m += back.iter().zip(&shift).map(|(j, d)| j * d).sum::<f64>();
                }
            }
            let e = &known.list[now].2;
            out.write(row, &means[row * n..(row + 1) * n], e);
            root.clear();
            (0..l).for_each(|r| root.extend_from_slice(&e[r * n..r * n + l]));
        }
        let _ = now;
    }
    out.finish(memory);
}

/// The roots found last.
#[derive(Default)]
struct Roots {
    /// (place of the step, root after, root of the row).
    list: Vec<(usize, Vec<f64>, Vec<f64>)>,
    next: usize,
}

impl Roots {
    fn find(&self, position: usize, after: &[f64]) -> Option<usize> {
        self.list.iter().position(|r| r.0 == position && r.1 == after)
    }

    fn add(&mut self, position: usize, after: Vec<f64>, root: Vec<f64>) -> usize {
        let at = self.next;
        self.next = (at + 1) % CYCLE;
        if at == self.list.len() {
            self.list.push((position, after, root));
        } else {
            self.list[at] = (position, after, root);
        }
        at
    }
}

/// The lower-triangular root of cov(e_t | s_t) + J P̂ Jᵀ.
fn smoothed(step: &Step, after: &[f64], n: usize, l: usize) -> Vec<f64> {
    let mut e = vec![0.0; n * n];
    for ((row, back), rest) in e
        .chunks_exact_mut(n)
        .zip(step.back.chunks_exact(l))
        .zip(step.rest.chunks_exact(n - l))
    {
        for (j, b) in back.iter().enumerate() {
            for c in 0..=j {
                row[c] += b * after[j * l + c];
            }
        }
        row[l..].copy_from_slice(rest);
    }
    triangular(&mut e, n, n);
    e
}

/// A column that is written.
struct Column {
    /// Its place in `Out::held`, and the columns there.
    held: usize,
    cols: usize,
    col: usize,
    /// The element of the mean, or of the root.
    from: usize,
}

/// The buffers that are written.
pub(super) struct Out {
    layout: RowLayout,
    held: Vec<(BufId, AlignedVec)>,
    means: Vec<Column>,
    roots: Vec<Column>,
}

impl Out {
    pub fn new(lg: &LinearGaussian, shape: &Shape, memory: &mut Memory) -> Self {
        let mut out = Self {
            layout: memory.layout(),
            held: vec![],
            means: vec![],
            roots: vec![],
        };
        for (p, place) in lg.parts.iter().zip(&shape.places) {
            let size = place.len();
            let held = out.take(memory, p.mean);
            out.means.extend(place.clone().enumerate().map(|(col, from)| Column {
                held,
                cols: size,
                col,
                from,
            }));
            for (&buf, noise) in p.moves.iter().zip(&shape.places) {
                let held = out.take(memory, buf);
                for (q, from) in noise.clone().enumerate() {
                    out.roots.extend(place.clone().enumerate().map(|(i, at)| Column {
                        held,
                        cols: noise.len() * size,
                        col: q * size + i,
                        from: at * shape.all + from,
                    }));
                }
            }
        }
        out
    }

    fn take(&mut self, memory: &mut Memory, buf: BufId) -> usize {
        if let Some(at) = self.held.iter().position(|h| h.0 == buf) {
            return at;
        }
        memory.want(buf);
        self.held.push((buf, memory.take(buf).unwrap_or_default()));
        self.held.len() - 1
    }

    /// A row's mean and root; the last row's go to the padding too.
    pub fn write(&mut self, row: usize, mean: &[f64], e: &[f64]) {
        let layout = self.layout;
        let end = if row + 1 == layout.rows {
            layout.blocks() * layout.block
        } else {
            row + 1
        };
        for to in row..end {
            let (block, r) = (to / layout.block, to % layout.block);
            let both = [(&self.means, mean), (&self.roots, e)];
            for (columns, values) in both {
                for c in columns {
                    self.held[c.held].1[(block * c.cols + c.col) * layout.block + r] = values[c.from];
                }
            }
        }
    }

    pub fn finish(self, memory: &mut Memory) {
        for (buf, data) in self.held {
            memory.put(buf, data);
        }
    }
}

/// Starting means, nearly known; `seen` are a part's elements that are known besides, `[row][element]`.
pub(super) fn independent(
    lg: &LinearGaussian,
    shape: &Shape,
    seen: &[Option<Vec<f64>>],
    memory: &mut Memory,
    starts: &Starts,
) {
    let n = shape.all;
    let layout = memory.layout();
    let mut root = vec![0.0; n * n];
    (0..n).for_each(|i| root[i * n + i] = SPREAD);
    let held: Vec<Option<Vec<f64>>> = lg
        .parts
        .iter()
        .map(|p| memory.rows(p.start?).map(<[f64]>::to_vec))
        .collect();
    let mut out = Out::new(lg, shape, memory);
    for s in sequences(starts) {
        let (mut mean, mut before) = (vec![0.0; n], vec![0.0; shape.lags]);
        for row in s {
            mean[..shape.lags].copy_from_slice(&before);
            for (values, place) in held.iter().zip(&shape.places) {
                let Some(values) = values else { continue };
                for (i, at) in place.clone().enumerate() {
                    mean[at] = values[layout.at(place.len(), row, i)];
                }
            }
            for (values, place) in seen.iter().zip(&shape.places) {
                let Some(values) = values else { continue };
                let n = place.len();
                mean[place.clone()].copy_from_slice(&values[row * n..(row + 1) * n]);
            }
            out.write(row, &mean, &root);
            for (b, &from) in before.iter_mut().zip(&shape.state) {
                *b = mean[from];
            }
        }
    }
    out.finish(memory);
}
