//! Applications of nets become terms.

use crate::graph::{ModelGraph, Net};
use lvmc_term::{Cmp, Node, Store, Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

/// Replaces applications of nets by what they compute. One for all the terms of a model: an application met again (another
/// output of it, or the same one in another factor) is the same, with the same dropout.
#[derive(Debug, Clone, Default)]
pub struct NetExpansion {
    /// Dropout leaves elements out; otherwise the nets are those of a prediction.
    training: bool,
    /// Terms already expanded.
    memo: HashMap<Term, Term>,
    /// Applications already expanded: all outputs.
    calls: HashMap<(u32, Box<[Term]>), Vec<Term>>,
    /// Noise of dropout, in the order in which it was made: uniform on (0, 1), of each row.
    pub noises: Vec<SymId>,
}

impl NetExpansion {
    /// An expansion for training, where dropout draws anew for each application, or for prediction, without dropout.
    #[must_use]
    pub fn new(training: bool) -> Self {
        Self {
            training,
            ..Self::default()
        }
    }

    /// `t` with every application of a net replaced, applications inside nets too, and logs of its softmax written in
    /// logits. Shared parts are expanded once.
    pub fn expand(&mut self, graph: &ModelGraph, store: &mut Store, t: Term) -> Term {
        let out = self.replaced(graph, store, t);
        if out == t { t } else { store.in_logits(out) }
    }

    fn replaced(&mut self, graph: &ModelGraph, store: &mut Store, t: Term) -> Term {
        if let Some(&done) = self.memo.get(&t) {
            return done;
        }
        let out = match store.node(t).clone() {
            Node::Net { net, output, args, .. } => {
                let args: Box<[Term]> = args.iter().map(|&a| self.replaced(graph, store, a)).collect();
                self.results(graph, store, net, args)[output as usize]
            }
            _ => store.map_children(t, |s, c| self.replaced(graph, s, c)),
        };
        self.memo.insert(t, out);
        out
    }

    fn results(&mut self, graph: &ModelGraph, store: &mut Store, n: u32, args: Box<[Term]>) -> Vec<Term> {
        if let Some(done) = self.calls.get(&(n, args.clone())) {
            return done.clone();
        }
        let net = &graph.nets[n as usize];
        let mut with: HashMap<Term, Term> = HashMap::new();
        for (&sym, &arg) in net.arguments.iter().zip(&args) {
            with.insert(store.var(sym), arg);
        }
        self.masks(store, net, &mut with);
        let mut out = vec![];
        for &t in &net.results {
            let applied = store.substitute(t, &with);
            out.push(self.replaced(graph, store, applied));
        }
        self.calls.insert((n, args), out.clone());
        out
    }

    /// Of each dropout layer [u ≥ p] / (1 − p), u uniform; without dropout 1.
    fn masks(&mut self, store: &mut Store, net: &Net, with: &mut HashMap<Term, Term>) {
        for dropout in &net.noises {
            let mask = store.var(dropout.mask);
            let shape = store.shape(mask).clone();
            let one = store.num(1.0);
            let factor = if self.training {
                let name = store.sym(dropout.mask).name.replace(".mask", ".u");
                let sym = store.add_sym(Sym {
                    name,
                    kind: SymKind::Noise,
                    shape,
                    family: 0,
                    per_row: true,
                    support: Support::Unit,
                });
                self.noises.push(sym);
                let u = store.var(sym);
                let kept = store.cmp(Cmp::Le, dropout.rate, u);
                let rest = store.sub(one, dropout.rate);
                store.div(kept, rest)
            } else {
                store.fill(one, shape)
            };
            with.insert(mask, factor);
        }
    }
}

impl ModelGraph {
    /// `t` with every application of a net replaced by its result, and the noise that its dropout draws: uniform on
    /// (0, 1), of each row. For several terms of one model use one [`NetExpansion`].
    pub fn expand_nets(&self, store: &mut Store, t: Term) -> (Term, Vec<SymId>) {
        let mut expansion = NetExpansion::new(true);
        let t = expansion.expand(self, store, t);
        (t, expansion.noises)
    }

    /// The same for predictions: dropout leaves nothing out.
    pub fn expand_nets_without_dropout(&self, store: &mut Store, t: Term) -> Term {
        NetExpansion::new(false).expand(self, store, t)
    }
}
