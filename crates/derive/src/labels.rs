//! Labels that the model does not tell apart: which values of a finite latent may change places, and with them what.
//!
//! Statement: let I be the indices that stand for a value of z, and A the axes of parameters that they pick from. If every
//! term of the log joint (priors included) is unchanged when all axes of A and all indices of I are permuted by one
//! permutation σ, then so is the density of the data, and the labels of z are a matter of taste.
//!
//! Proof by the terms: each axis of a term either *runs over labels* (it is permuted when A is), is *constant* along its
//! length, or is neither. Elementwise operations keep labels where all operands run over them or are constant; sums,
//! products and inner products over labels are free of them; `At` with an index of I on an axis of labels picks the same
//! number before and after. Whatever else meets a label (a number in its place, a constant, a covariate, a comparison, an
//! order) tells it apart, and the labels stay as they are. A and I start from z's own index and grow until nothing is added:
//! an index that picks from A belongs to I, an axis that I picks from belongs to A. So a transition matrix is permuted
//! along both of its axes (a latent's value of an earlier row has the labels of this row's), and latents that share
//! parameters are permuted together.

use crate::plan::{Finite, Prior, RowFactor};
use lvmc_term::{IxId, Node, Store, Support, SymId, SymKind, Term, children};
use std::collections::{BTreeSet, HashMap};

/// Latents whose labels are permuted together, and what is permuted with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Positions in [`crate::Plan::finite`].
    pub latents: Vec<usize>,
    /// Axes of parameters that run over the labels.
    pub axes: Vec<(SymId, usize)>,
    /// The parameter that holds the probabilities of the labels, the same for every row, where there is one.
    pub weights: Option<SymId>,
}

/// What the log joint consists of.
pub struct Joint<'a> {
    /// Finite variables of a row.
    pub finite: &'a [Finite],
    /// Factors of a row, continuous latents in them.
    pub factors: &'a [RowFactor],
    /// Priors.
    pub priors: &'a [Prior],
}

/// The latents of a model whose labels may be permuted.
pub fn exchangeable(s: &mut Store, joint: &Joint<'_>) -> Vec<Labels> {
    let mut out: Vec<Labels> = vec![];
    for v in 0..joint.finite.len() {
        let f = &joint.finite[v];
        if f.observed || f.lag.is_some() || out.iter().any(|l| l.latents.contains(&v)) {
            continue;
        }
        if let Some(class) = class(s, joint, v) {
            out.push(class);
        }
    }
    out
}

/// The smallest class that holds the latent, or `None` where its labels are told apart.
fn class(s: &mut Store, joint: &Joint<'_>, v: usize) -> Option<Labels> {
    let mut class = Class::of(joint, v);
    loop {
        let before = (class.indices.len(), class.axes.len());
        let mut memo = HashMap::new();
        for f in joint.factors {
            for case in &f.cases {
                let mut told = case.fixed.iter().chain(&case.excluded);
                if told.any(|(w, _)| class.indices.contains(&joint.finite[*w].ix)) {
                    return None;
                }
                class.axes_of(s, case.term, &mut memo).ok()?;
            }
        }
        for p in joint.priors {
            class.axes_of(s, p.term, &mut memo).ok()?;
        }
        class.join_rows(joint);
        if before == (class.indices.len(), class.axes.len()) {
            break;
        }
    }
    let latents: Vec<usize> = (0..joint.finite.len())
        .filter(|&w| class.indices.contains(&joint.finite[w].ix))
        .collect();
    if class.axes.is_empty() || !class.axes.iter().all(|&a| class.permutable(s, a)) {
        return None;
    }
    let weights = match latents[..] {
        [one] => weights(s, joint, one),
        _ => None,
    };
    Some(Labels {
        latents,
        axes: class.axes.into_iter().collect(),
        weights,
    })
}

/// π of `z ~ Categorical(π)`, where that is all there is to z's distribution.
fn weights(s: &mut Store, joint: &Joint<'_>, v: usize) -> Option<SymId> {
    let f = &joint.finite[v];
    let mut own = joint.factors.iter().filter(|g| g.value == f.sym);
    let (one, None) = (own.next()?, own.next()) else {
        return None;
    };
    let [case] = &one.cases[..] else { return None };
    let pi = s.symbols(case.term).into_iter().next()?;
    let sym = s.sym(pi);
    if sym.support != Support::Simplex || sym.shape.len() != 1 || sym.kind != SymKind::Param {
        return None;
    }
    let (base, ix) = (s.var(pi), s.index(f.ix));
    let at = s.at(base, &[ix]);
    (s.log(at) == case.term).then_some(pi)
}

/// What an axis of a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    /// It runs over labels.
    Labels,
    /// The term is constant along it.
    Constant,
    /// It is that parameter's axis, which nothing has shown to run over labels yet.
    Param(SymId, usize),
    /// Neither.
    Other,
}

/// Something tells labels apart.
struct ToldApart;

type Axes = Vec<Axis>;

struct Class {
    indices: BTreeSet<IxId>,
    axes: BTreeSet<(SymId, usize)>,
    /// Indices that may join: those of latents, and those that run over their whole size.
    may_join: BTreeSet<IxId>,
}

impl Class {
    fn of(joint: &Joint<'_>, v: usize) -> Self {
        let latents = joint.finite.iter().filter(|f| !f.observed).map(|f| f.ix);
        let ranges = joint.priors.iter().flat_map(|p| p.ranges.iter().copied());
        Self {
            indices: BTreeSet::from([joint.finite[v].ix]),
            axes: BTreeSet::new(),
            may_join: latents.chain(ranges).collect(),
        }
    }

    /// A latent and its values of earlier rows have the same labels.
    fn join_rows(&mut self, joint: &Joint<'_>) {
        let base = |w: usize| joint.finite[w].lag.map_or(w, |l| l.of);
        let joined = |class: &Self, w: usize| class.indices.contains(&joint.finite[w].ix);
        for w in 0..joint.finite.len() {
            let with: Vec<usize> = (0..joint.finite.len()).filter(|&u| base(u) == base(w)).collect();
            if with.iter().any(|&u| joined(self, u)) {
                self.indices.extend(with.iter().map(|&u| joint.finite[u].ix));
            }
        }
    }

    /// A covariance is permuted along both of its axes or along none; an ordered vector along none.
    fn permutable(&self, s: &Store, (p, axis): (SymId, usize)) -> bool {
        let sym = s.sym(p);
        if axis < sym.family {
            return true;
        }
        match sym.support {
            Support::Ordered => false,
            Support::Cov | Support::Corr => {
                let n = sym.shape.len();
                [n - 2, n - 1].iter().all(|&a| self.axes.contains(&(p, a)))
            }
            _ => true,
        }
    }

    fn join_axis(&mut self, axis: Axis) -> Result<Axis, ToldApart> {
        match axis {
            Axis::Param(p, a) => {
                self.axes.insert((p, a));
                Ok(Axis::Labels)
            }
            Axis::Labels | Axis::Constant => Ok(axis),
            Axis::Other => Err(ToldApart),
        }
    }

    /// Two axes that run side by side.
    fn beside(&mut self, a: Axis, b: Axis) -> Result<Axis, ToldApart> {
        Ok(match (a, b) {
            (Axis::Constant, x) | (x, Axis::Constant) => x,
            (Axis::Labels, x) | (x, Axis::Labels) => {
                self.join_axis(x)?;
                Axis::Labels
            }
            // where one joins, the other joins in the next round
            (Axis::Param(..), Axis::Param(..)) => a,
            _ => Axis::Other,
        })
    }

    fn no_labels(&self, axes: &[Axis]) -> Result<(), ToldApart> {
        if axes.contains(&Axis::Labels) {
            Err(ToldApart)
        } else {
            Ok(())
        }
    }

    /// What the axes of a term are.
    fn axes_of(&mut self, s: &Store, t: Term, memo: &mut HashMap<Term, Axes>) -> Result<Axes, ToldApart> {
        if let Some(known) = memo.get(&t) {
            return Ok(known.clone());
        }
        let node = s.node(t).clone();
        let own = match node {
            Node::At(base, ref at) => self.picked(s, base, at, memo)?,
            _ => {
                let mut parts = vec![];
                for c in children(&node) {
                    parts.push(self.axes_of(s, c, memo)?);
                }
                self.whole(s, t, &node, &parts)?
            }
        };
        memo.insert(t, own.clone());
        Ok(own)
    }

    fn picked(
        &mut self,
        s: &Store,
        base: Term,
        at: &[Term],
        memo: &mut HashMap<Term, Axes>,
    ) -> Result<Axes, ToldApart> {
        let axes = self.axes_of(s, base, memo)?;
        for (a, (&axis, &i)) in axes.iter().zip(at).enumerate() {
            let whole = |ix: IxId| s.ix(ix).size == s.shape(base)[a];
            match *s.node(i) {
                Node::Ix(ix) if self.indices.contains(&ix) => {
                    if self.join_axis(axis)? == Axis::Labels && !whole(ix) {
                        return Err(ToldApart);
                    }
                }
                Node::Ix(ix) if axis == Axis::Labels => {
                    if !self.may_join.contains(&ix) || !whole(ix) {
                        return Err(ToldApart);
                    }
                    self.indices.insert(ix);
                }
                _ => {
                    self.no_labels(&[axis])?;
                    self.axes_of(s, i, memo)?;
                }
            }
        }
        Ok(axes[at.len()..].to_vec())
    }

    fn whole(&mut self, s: &Store, t: Term, node: &Node, parts: &[Axes]) -> Result<Axes, ToldApart> {
        let rank = s.shape(t).len();
        Ok(match *node {
            Node::Sym(x) if s.sym(x).kind == SymKind::Param => (0..rank)
                .map(|a| {
                    if self.axes.contains(&(x, a)) {
                        Axis::Labels
                    } else {
                        Axis::Param(x, a)
                    }
                })
                .collect(),
            // an index's value as a number
            Node::Ix(ix) if self.indices.contains(&ix) => return Err(ToldApart),
            Node::Fill(..) => vec![Axis::Constant; rank],
            Node::Num(_) | Node::Size(_) | Node::Sym(_) | Node::Ix(_) | Node::Eye(_) => vec![Axis::Other; rank],
            Node::Total(_)
            | Node::Product(_)
            | Node::LogSumExp(_)
            | Node::Fun(..)
            | Node::Softmax(_)
            | Node::RowSum(_)
            | Node::IxSum(..)
            | Node::Fixed(_)
            | Node::Hold(_) => parts[0][parts[0].len() - rank..].to_vec(),
            Node::Add(_)
            | Node::Mul(_)
            | Node::Pow(..)
            | Node::XLogY(..)
            | Node::Cmp(..)
            | Node::Select(..)
            | Node::Draw(..) => self.elementwise(rank, parts)?,
            Node::Dot(..) => {
                self.beside(parts[0][0], parts[1][0])?;
                vec![]
            }
            Node::MatVec(..) => {
                self.beside(parts[0][1], parts[1][0])?;
                vec![parts[0][0]]
            }
            Node::MatMul(..) => {
                self.beside(parts[0][1], parts[1][0])?;
                vec![parts[0][0], parts[1][1]]
            }
            Node::Outer(..) => vec![parts[0][0], parts[1][0]],
            Node::Transpose(_) => vec![parts[0][1], parts[0][0]],
            Node::Inv(_) | Node::LogDet(_) | Node::Trace(_) | Node::DiagOf(_) => {
                let both = self.beside(parts[0][0], parts[0][1])?;
                vec![both; rank]
            }
            Node::Quad(..) => {
                let both = self.beside(parts[0][0], parts[0][1])?;
                self.beside(both, parts[1][0])?;
                vec![]
            }
            Node::Diag(_) => {
                // off the diagonal it is 0: constant along neither axis
                let axis = if parts[0][0] == Axis::Constant {
                    Axis::Other
                } else {
                    parts[0][0]
                };
                vec![axis; 2]
            }
            Node::Stack { .. }
            | Node::Net { .. }
            | Node::Slice(..)
            | Node::Resp(_)
            | Node::At(..)
            | Node::Reshape(..)
            | Node::Pick { .. }
            | Node::Unpick { .. } => {
                parts.iter().try_for_each(|p| self.no_labels(p))?;
                vec![Axis::Other; rank]
            }
        })
    }

    fn elementwise(&mut self, rank: usize, parts: &[Axes]) -> Result<Axes, ToldApart> {
        let mut out = vec![Axis::Constant; rank];
        for p in parts.iter().filter(|p| p.len() == rank) {
            for (o, &axis) in out.iter_mut().zip(p) {
                *o = self.beside(*o, axis)?;
            }
        }
        Ok(out)
    }
}
