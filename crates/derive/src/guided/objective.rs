//! The terms that a derivation is lowered from: objectives of a row with their noise, and terms at draws or means of q.

use super::{Aim, Free, Guided, Latent, Noising, Random, Source, Written, free};
use lvmc_model::graph::ModelGraph;
use lvmc_term::{Support, Sym, SymId, SymKind, Term};
use std::collections::HashMap;

impl Guided {
    /// The parameter takes no gradients.
    #[must_use]
    pub fn is_exact(&self, param: SymId) -> bool {
        self.exact.as_ref().is_some_and(|e| e.params.contains(&param))
    }

    /// The objective with nets written out and parameters in free coordinates; `draws` of q are averaged.
    ///
    /// # Errors
    /// Where the model has no such objective.
    pub fn written(&mut self, graph: &ModelGraph, aim: Aim, draws: usize) -> Result<Written, &'static str> {
        let mut noise = self.noise.clone();
        let mut beta = None;
        let mut averaged = false;
        let row = match (aim, self.noising.clone()) {
            (Aim::Simple, None) => return Err("only a chain away from the data has a simple objective"),
            (Aim::Importance { .. } | Aim::Weighted, Some(_)) => {
                return Err("a chain away from the data has the objectives elbo and simple");
            }
            (_, Some(n)) => {
                noise.push(Source {
                    sym: n.noise,
                    random: Random::Normal,
                });
                self.noising_row(&n, aim, &mut noise)
            }
            (Aim::Importance { draws }, None) => {
                let Some(weight) = self.weight else {
                    return Err("importance weights need a guide of continuous latents with densities");
                };
                self.weighted(weight, draws, &mut noise)
            }
            (aim, None) => {
                let weight = (aim == Aim::Weighted).then(|| self.once("beta"));
                beta = weight;
                let (mut parts, mut signals) = (vec![], vec![]);
                for t in self.terms.clone() {
                    let divergence = self.latents.iter().any(|l| l.sym == t.of);
                    let mut of = |t: Term| match weight.filter(|_| divergence) {
                        Some(b) => {
                            let b = self.store.var(b);
                            self.store.mul(b, t)
                        }
                        None => t,
                    };
                    parts.push(of(t.expected));
                    parts.extend(t.surrogate.map(&mut of));
                    signals.extend(t.signals.iter().map(|&(sym, t)| (sym, of(t))));
                }
                let row = self.store.sum(&parts);
                if signals.is_empty() {
                    row
                } else {
                    averaged = true;
                    self.with_baselines(row, &signals, draws.max(2), &mut noise)
                }
            }
        };
        let row = match aim {
            Aim::Importance { .. } => row,
            _ if averaged => row,
            _ if draws > 1 => {
                let copies = self.copies(row, draws, &mut noise);
                let sum = self.store.sum(&copies);
                self.store.scale(1.0 / draws as f64, sum)
            }
            _ => row,
        };
        let prior = self.store.sum(&self.prior.clone());
        let (row, masks) = graph.expand_nets(&mut self.store, row);
        noise.extend(masks.into_iter().map(|sym| Source {
            sym,
            random: Random::Uniform,
        }));
        let mut positions = vec![];
        let exact = self.exact.as_ref().map_or(&[][..], |e| &e.params);
        let free = free::free(&mut self.store, (&self.params, exact), &self.roots, &mut positions);
        Ok(Written {
            row: free::replace(&mut self.store, row, &free),
            prior: free::replace(&mut self.store, prior, &free),
            free,
            positions,
            noise,
            beta,
        })
    }

    /// The bound of a row at one draw, nets not written out, and the noise of the draw.
    pub fn bound(&mut self) -> (Term, Vec<Source>) {
        let mut noise = self.noise.clone();
        if let Some(n) = self.noising.clone() {
            noise.push(Source {
                sym: n.noise,
                random: Random::Normal,
            });
            let row = self.noising_row(&n, Aim::Bound, &mut noise);
            return (row, noise);
        }
        let parts: Vec<Term> = self.terms.iter().map(|t| t.expected).collect();
        (self.store.sum(&parts), noise)
    }

    /// A symbol that the caller sets once.
    pub fn once(&mut self, name: &str) -> SymId {
        self.store.add_sym(Sym {
            name: name.into(),
            kind: SymKind::Aux,
            shape: vec![],
            family: 0,
            per_row: false,
            support: Support::Real,
        })
    }

    /// A row's weight, which the caller sets.
    pub fn row_weight(&mut self) -> SymId {
        self.store.add_sym(Sym {
            name: "weight".into(),
            kind: SymKind::Given,
            shape: vec![],
            family: 0,
            per_row: true,
            support: Support::NonNegative,
        })
    }

    /// The bound of a noising chain at one t of T, or its simple objective.
    fn noising_row(&mut self, n: &Noising, aim: Aim, noise: &mut Vec<Source>) -> Term {
        let s = &mut self.store;
        let row = if aim == Aim::Simple {
            let e = n.error(s);
            s.neg(e)
        } else {
            let (cost, start) = (n.cost(s), n.start(s));
            let steps = n.steps(s);
            let all = s.mul(steps, cost);
            let all = s.add(all, start);
            s.neg(all)
        };
        // t is one more than a position drawn from 0 … T − 1
        let sym = self.store.add_sym(Sym {
            name: "t - 1".into(),
            kind: SymKind::Noise,
            shape: vec![],
            family: 0,
            per_row: true,
            support: Support::Count,
        });
        noise.push(Source {
            sym,
            random: Random::Step(n.length.clone()),
        });
        let (at, one, t) = (self.store.var(sym), self.store.num(1.0), self.store.var(n.time));
        let t1 = self.store.add(at, one);
        self.store.substitute(row, &HashMap::from([(t, t1)]))
    }

    /// A term with noise of its own, several times.
    fn copies(&mut self, t: Term, draws: usize, noise: &mut Vec<Source>) -> Vec<Term> {
        let renamed = self.renamings(draws, noise);
        renamed.iter().map(|with| self.store.substitute(t, with)).collect()
    }

    /// For each of several draws what gives a term noise of its own; the first keeps what it has.
    pub(super) fn renamings(&mut self, draws: usize, noise: &mut Vec<Source>) -> Vec<HashMap<Term, Term>> {
        let own: Vec<Source> = noise.clone();
        let mut out = vec![HashMap::new()];
        for _ in 1..draws {
            let mut with = HashMap::new();
            for source in &own {
                let sym = self.store.sym(source.sym).clone();
                let fresh = self.store.add_sym(sym);
                with.insert(self.store.var(source.sym), self.store.var(fresh));
                noise.push(Source {
                    sym: fresh,
                    random: source.random.clone(),
                });
            }
            out.push(with);
        }
        out
    }

    /// A term that is evaluated without dropout, in free coordinates.
    #[must_use]
    pub fn evaluated(&mut self, graph: &ModelGraph, t: Term, free: &[Free]) -> Term {
        let t = graph.expand_nets_without_dropout(&mut self.store, t);
        free::replace(&mut self.store, t, free)
    }

    /// Σₖ q(k) t(k) over the values of a finite latent.
    pub(super) fn enumerated(&mut self, t: Term, latent: &Latent) -> Option<Term> {
        let ((_, ix), q) = (latent.finite.clone()?, latent.mass?);
        let (k, z) = (self.store.index(ix), self.store.var(latent.sym));
        let t = self.store.substitute(t, &HashMap::from([(z, k)]));
        let product = self.store.mul(q, t);
        Some(self.store.ix_sum(ix, product))
    }

    /// A term with every latent replaced by its draw, and averaged over the finite ones.
    pub fn drawn(&mut self, t: Term) -> Term {
        let mut t = t;
        for latent in self.latents.clone().iter().rev() {
            if !self.store.depends_on_sym(t, latent.sym) {
                continue;
            }
            t = match self.enumerated(t, latent) {
                Some(sum) => sum,
                None => {
                    let z = self.store.var(latent.sym);
                    self.store.substitute(t, &HashMap::from([(z, latent.draw)]))
                }
            };
        }
        t
    }

    /// A term at the means of q.
    pub fn at_means(&mut self, t: Term) -> Option<Term> {
        let mut t = t;
        for latent in self.latents.clone().iter().rev() {
            if !self.store.depends_on_sym(t, latent.sym) {
                continue;
            }
            let z = self.store.var(latent.sym);
            let at = latent.moments.as_ref().map(|m| m.0)?;
            t = self.store.substitute(t, &HashMap::from([(z, at)]));
        }
        let open = self.left_out.iter().any(|l| self.store.depends_on_sym(t, l.sym));
        (!open).then_some(t)
    }
}
