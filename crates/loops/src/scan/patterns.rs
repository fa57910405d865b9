//! Missing observations of Gaussian chains: which cells a row has, and the recursion of the roots along them.
//!
//! A missing element drops out: of a row's observations x = H e + d + v only the observed elements are taken in, with
//! their rows of H and their block of the covariance of v. Roots then depend on what is missing in the row and before it.
//! Rows with the same root before them, the same statements and the same pattern share a step, so that a stretch without
//! gaps costs no more than where there are none once its recursion has come to rest.

use super::gaussian::{Affine, LinearGaussian, Offset, Regime, Shape, Step, one, triangular};
use super::{Starts, sequences};
use crate::ir::BufId;
use crate::memory::Memory;
use std::collections::HashMap;

/// The steps of the recursion of the roots.
pub struct Steps {
    /// Each that differs.
    pub(super) list: Vec<Step>,
    /// The step of every row; none where it is that of its position, the last one's from there on.
    pub(super) of_row: Vec<u32>,
    /// Lists of observations, as steps name them.
    pub(super) lists: Vec<Vec<Affine>>,
}

impl Steps {
    /// The place of a row's step.
    pub(super) fn of(&self, row: usize, position: usize) -> usize {
        match self.of_row.get(row) {
            Some(&step) => step as usize,
            None => position.min(self.list.len() - 1),
        }
    }
}

/// Which cells of every row are missing.
pub struct Gaps {
    /// A row's pattern.
    of_row: Vec<u32>,
    /// By pattern and statement, the elements that are observed; `None` where all are.
    patterns: Vec<Vec<Option<Vec<usize>>>>,
}

impl Gaps {
    /// `None` where nothing is missing.
    pub fn new(lg: &LinearGaussian, memory: &Memory) -> Option<Self> {
        let layout = memory.layout();
        let masks: Vec<Option<(&[f64], usize)>> = lg
            .statements
            .iter()
            .map(|s| s.mask.and_then(|(buf, cols)| Some((memory.rows(buf)?, cols))))
            .collect();
        if masks.iter().all(Option::is_none) {
            return None;
        }
        let mut numbers: HashMap<Vec<bool>, u32> = HashMap::new();
        let mut gaps = Self {
            of_row: Vec::with_capacity(layout.rows),
            patterns: vec![],
        };
        let (mut key, mut before) = (vec![], vec![]);
        for row in 0..layout.rows {
            key.clear();
            for &(mask, cols) in masks.iter().flatten() {
                key.extend((0..cols).map(|c| mask[layout.at(cols, row, c)] != 0.0));
            }
            // most rows are as the one before
            if row > 0 && key.iter().eq(&before) {
                gaps.of_row.push(gaps.of_row[row - 1]);
                continue;
            }
            before.clone_from(&key);
            let number = match numbers.get(&key) {
                Some(&n) => n,
                None => {
                    let next = u32::try_from(gaps.patterns.len()).unwrap_or(u32::MAX);
                    gaps.patterns.push(observed(lg, &masks, &key));
                    numbers.insert(key.clone(), next);
                    next
                }
            };
            gaps.of_row.push(number);
        }
        let whole = gaps.patterns.iter().flatten().all(Option::is_none);
        (!whole).then_some(gaps)
    }
}

/// The elements that each statement's variable has.
fn observed(lg: &LinearGaussian, masks: &[Option<(&[f64], usize)>], key: &[bool]) -> Vec<Option<Vec<usize>>> {
    let mut rest = key;
    let mut own = |(s, mask): (&super::Statement, &Option<(&[f64], usize)>)| {
        let (here, after) = rest.split_at(mask.map_or(0, |m| m.1));
        rest = after;
        if here.iter().all(|&o| o) {
            return None;
        }
        // one column tells of all elements
        Some((0..s.size).filter(|&i| here[i.min(here.len() - 1)]).collect())
    };
    lg.statements.iter().zip(masks).map(&mut own).collect()
}

/// An observation's elements: rows of the slopes, and the root of their block of the covariance.
fn part(a: &Affine, cells: &[usize], all: usize) -> Affine {
    let (n, m) = (a.size, cells.len());
    let mut rows: Vec<f64> = cells
        .iter()
        .flat_map(|&i| a.root[i * n..(i + 1) * n].to_vec())
        .collect();
    // rows of a root are a root of the block, wide: rotations make it square
    triangular(&mut rows, n, m);
    let root = rows.chunks_exact(n.max(1)).flat_map(|row| row[..m].to_vec()).collect();
    Affine {
        size: m,
        cells: cells.to_vec(),
        slope: cells
            .iter()
            .flat_map(|&i| a.slope[i * all..(i + 1) * all].to_vec())
            .collect(),
        root,
        ..a.clone()
    }
}

/// The recursion of the roots along every row.
pub fn steps(shape: &Shape, regimes: &[Regime], gaps: &Gaps, starts: &Starts) -> Steps {
    let mut out = Steps {
        list: vec![],
        of_row: Vec::with_capacity(gaps.of_row.len()),
        lists: vec![],
    };
    let mut lists: HashMap<(usize, u32), usize> = HashMap::new();
    // roots of the state by their bits; the root before a sequence is the first
    let mut states: HashMap<Vec<u64>, u32> = HashMap::new();
    let nothing = vec![0.0; shape.lags * shape.lags];
    let bits = |root: &[f64]| -> Vec<u64> { root.iter().map(|x| x.to_bits()).collect() };
    states.insert(bits(&nothing), 0);
    let mut after: Vec<u32> = vec![];
    let mut known: HashMap<(u32, usize), u32> = HashMap::new();
    for s in sequences(starts) {
        let (mut before, mut last) = (0, None);
        // (root before, regime, pattern) of the last row, which most rows share
        let mut recent: Option<(u32, usize, u32)> = None;
        for (position, row) in s.enumerate() {
            let regime = position.min(regimes.len() - 1);
            let now = (before, regime, gaps.of_row[row]);
            if let (true, Some(step)) = (recent == Some(now), last) {
                out.of_row.push(step);
                before = after[step as usize];
                continue;
            }
            recent = Some(now);
            let list = *lists.entry((regime, gaps.of_row[row])).or_insert_with(|| {
                let pattern = &gaps.patterns[gaps.of_row[row] as usize];
                let own = regimes[regime].seen.iter().filter_map(|a| match &pattern[a.statement] {
                    Some(cells) if cells.is_empty() => None,
                    Some(cells) => Some(part(a, cells, shape.all)),
                    None => Some(a.clone()),
                });
                out.lists.push(own.collect());
                out.lists.len() - 1
            });
            let step = *known.entry((before, list)).or_insert_with(|| {
                let root = last.map_or(&nothing, |l: u32| &out.list[l as usize].state);
                let step = one(shape, &regimes[regime], (list, &out.lists[list]), root);
                let next = u32::try_from(states.len()).unwrap_or(u32::MAX);
                after.push(*states.entry(bits(&step.state)).or_insert(next));
                out.list.push(step);
                u32::try_from(out.list.len() - 1).unwrap_or(u32::MAX)
            });
            out.of_row.push(step);
            before = after[step as usize];
            last = Some(step);
        }
    }
    out
}

/// Of a part whose elements are observed without noise: what a row has of them, the others at their column's mean,
/// `[row][element]`.
pub fn filled(lg: &LinearGaussian, memory: &Memory, part: usize) -> Option<Vec<f64>> {
    let own = lg.parts.get(part).filter(|p| !p.lagged && p.start.is_none())?;
    let st = lg.statements.iter().find(|s| {
        let whole = s.slopes.iter().all(|b| b.0 == part) && s.slopes.len() == 1;
        s.of.is_none() && whole && memory.flat(s.covariance).iter().all(|&v| v == 0.0)
    })?;
    match (st.mask?, st.offset) {
        (mask, Offset::Rows(values)) => at_means(memory, mask, values, own.size),
        (_, Offset::Table(_)) => None,
    }
}

/// The observed elements among `n` columns of values, the others at their column's mean, `[row][element]`.
pub fn at_means(memory: &Memory, (mask, cols): (BufId, usize), values: BufId, n: usize) -> Option<Vec<f64>> {
    let (mask, values, layout) = (memory.rows(mask)?, memory.rows(values)?, memory.layout());
    let mut out = vec![f64::NAN; layout.rows * n];
    for i in 0..n {
        let (mut sum, mut count) = (0.0, 0.0);
        for row in 0..layout.rows {
            if mask[layout.at(cols, row, i.min(cols - 1))] != 0.0 {
                let x = values[layout.at(n, row, i)];
                out[row * n + i] = x;
                sum += x;
                count += 1.0;
            }
        }
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        out.iter_mut()
            .skip(i)
            .step_by(n)
            .filter(|x| x.is_nan())
            .for_each(|x| *x = mean);
    }
    Some(out)
}
