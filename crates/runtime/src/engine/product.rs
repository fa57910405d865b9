//! A q that is a product: its parts are updated in turns.

use super::{Chain, Engine, copy, row_major};
use lvmc_loops::ir::BufId;
use lvmc_loops::lowered::ChainSlot;
use lvmc_loops::scan::{self, Scan};
use lvmc_loops::{AlignedVec, Sweep};

/// What the parts of a q that is a product keep.
#[derive(Default)]
pub(super) struct Product {
    pub(super) offsets: Option<Sweep>,
    pub(super) weights: Option<Sweep>,
    pub(super) seed: Option<Sweep>,
    /// The finite parts' weights from which evaluations start: those that gave the last update's statistics.
    pub(super) anchor: Option<Vec<AlignedVec>>,
    /// What the rows' scores have besides: the Gaussian part's entropy, or what several chains have counted.
    pub(super) rows: Vec<f64>,
}

/// Turns of the parts of q from weights that say nothing, and what the weights may change in the last: q is then a function
/// of the parameters to within rounding.
const COLD: (usize, f64) = (1_000, 1e-13);
/// Turns in which the bound does not rise: what the weights still change is rounding. Many, because the bound is flat where q
/// stands best: it feels the square of what the weights still lack.
const IDLE: usize = 100;
/// The same from the weights of the iteration before: the bound rises with every turn, and with every iteration.
const WARM: (usize, f64) = (2, 0.0);

impl Engine<'_> {
    /// q is updated part by part.
    pub(super) fn is_product(&self) -> bool {
        let l = self.compiled.lowered;
        l.mean_field.is_some() || l.chains.iter().any(|c| c.shared)
    }

    /// The parts of q in turns, until the bound has no more to gain; the finite parts last and in their order, so that their
    /// normalisers (and the entropy of a Gaussian part) are the bound. From the same weights at the same parameters it is
    /// the same q.
    pub(super) fn settle(&mut self) {
        if !self.is_product() {
            return;
        }
        self.want_chain();
        for (i, (buf, cols)) in self.product_weights().into_iter().enumerate() {
            let data = self.memory.want(buf);
            match &self.product.anchor {
                Some(anchor) => copy(data, &anchor[i]),
                #[allow(clippy::cast_precision_loss)]
                None => data.fill(1.0 / cols as f64),
            }
        }
        if let Some(s) = self.product.offsets.clone() {
            self.pass(&s);
        }
        let (most, little) = if self.product.anchor.is_some() { WARM } else { COLD };
        let mut before = self.read_weights();
        let (mut best, mut idle) = (f64::NEG_INFINITY, 0);
        for _ in 0..most {
            let bound = self.turn();
            idle = if bound > best { 0 } else { idle + 1 };
            best = best.max(bound);
            let now = self.read_weights();
            let pairs = before.iter().flatten().zip(now.iter().flatten());
            let change = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if change <= little || !bound.is_finite() || idle == IDLE {
                break;
            }
            before = now;
        }
    }

    /// Buffers of weights that the update of some other part of q reads, and their columns.
    pub(super) fn product_weights(&self) -> Vec<(BufId, usize)> {
        let l = self.compiled.lowered;
        match &l.mean_field {
            Some(mf) => mf.weights.clone(),
            None => {
                let of = |c: &ChainSlot| {
                    let pairs = c.scan.pairs.map(|p| (p, c.scan.edges.len()));
                    std::iter::once((c.scan.rows, c.scan.states))
                        .chain(pairs)
                        .collect::<Vec<_>>()
                };
                l.chains.iter().flat_map(of).collect()
            }
        }
    }

    fn read_weights(&self) -> Vec<Vec<f64>> {
        let layout = self.memory.layout();
        let weights = self.product_weights().into_iter();
        weights
            .map(|(buf, cols)| row_major(self.memory.rows(buf), layout, cols))
            .collect()
    }

    /// One update of each part of q; returns the bound.
    fn turn(&mut self) -> f64 {
        let mut entropy = 0.0;
        if let Some(mf) = &self.compiled.lowered.mean_field {
            let Chain { starts, weights, .. } = &self.chain;
            entropy = scan::structured::run(mf, &mut self.memory, starts, weights, &mut self.product.rows);
        }
        self.chain.log_likelihood = self.scans(Scan::Fit) + entropy;
        if let Some(s) = self.product.weights.clone() {
            self.pass(&s);
        }
        self.log_likelihood()
    }

    /// The Gaussian part of q from the marginals as they were set, or from the means that were set.
    pub(super) fn seed_product(&mut self) {
        let Some(mf) = &self.compiled.lowered.mean_field else {
            return;
        };
        if let Some(s) = self.product.offsets.clone() {
            self.pass(&s);
        }
        if let Some(s) = self.product.seed.clone() {
            self.pass(&s);
        }
        let Chain { starts, weights, .. } = &self.chain;
        if self.compiled.lowered.starts.is_empty() {
            scan::structured::run(mf, &mut self.memory, starts, weights, &mut self.product.rows);
        } else {
            mf.independent(&mut self.memory, starts);
        }
    }
}
