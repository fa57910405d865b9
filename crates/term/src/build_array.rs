//! Constructors of fills, reductions, softmax, nets, sums over rows and indices.

use crate::node::{Fun, IxId, Node, SymId, Term};
use crate::shape::{Shape, Size};
use crate::store::Store;

impl Store {
    pub(crate) fn rank(&self, t: Term) -> usize {
        self.shape(t).len()
    }

    pub(crate) fn is_zero(&self, t: Term) -> bool {
        self.as_num(self.unfilled(t)) == Some(0.0)
    }

    /// Zero of that shape.
    pub fn zeros(&mut self, shape: Shape) -> Term {
        let z = self.num(0.0);
        self.fill(z, shape)
    }

    /// The scalar `t` repeated into a shape.
    pub fn fill(&mut self, t: Term, shape: Shape) -> Term {
        debug_assert!(self.rank(t) == 0, "fill of an array");
        if shape.is_empty() {
            t
        } else {
            self.intern(Node::Fill(t, shape))
        }
    }

    /// The number of elements of a shape.
    pub(crate) fn count(&mut self, shape: &[Size]) -> Term {
        let sizes: Vec<Term> = shape.iter().map(|n| self.size(n.clone())).collect();
        self.product_of(&sizes)
    }

    /// Sum of all elements.
    pub fn total(&mut self, a: Term) -> Term {
        if self.rank(a) == 0 {
            return a;
        }
        match self.node(a).clone() {
            Node::Fill(c, shape) => {
                let n = self.count(&shape);
                self.mul(n, c)
            }
            Node::Diag(v) | Node::Transpose(v) | Node::Reshape(v, _) => self.total(v),
            Node::Eye(n) => self.size(n),
            Node::Outer(u, v) => {
                let (u, v) = (self.total(u), self.total(v));
                self.mul(u, v)
            }
            _ => {
                let (c, rest) = self.split_number(a);
                let t = if c == 1.0 {
                    self.intern(Node::Total(rest))
                } else {
                    self.total(rest)
                };
                self.scale(c, t)
            }
        }
    }

    /// Product of all elements.
    pub fn product(&mut self, a: Term) -> Term {
        match self.node(a).clone() {
            _ if self.rank(a) == 0 => a,
            Node::Fill(c, shape) => {
                let n = self.count(&shape);
                self.pow(c, n)
            }
            _ => self.intern(Node::Product(a)),
        }
    }

    /// log Σ exp of a vector.
    pub fn log_sum_exp(&mut self, a: Term) -> Term {
        match self.node(a).clone() {
            _ if self.rank(a) == 0 => a,
            Node::Stack { parts, .. } if parts.len() == 1 && self.rank(parts[0]) == 0 => parts[0],
            Node::Fill(c, shape) => {
                let n = self.count(&shape);
                let l = self.log(n);
                self.add(c, l)
            }
            _ => self.intern(Node::LogSumExp(a)),
        }
    }

    /// Softmax of a vector; scalars added to every element drop out.
    pub fn softmax(&mut self, a: Term) -> Term {
        let shape = self.shape(a).clone();
        match self.node(a).clone() {
            _ if shape.is_empty() => self.num(1.0),
            Node::Fill(..) => {
                let n = self.count(&shape);
                let p = self.recip(n);
                self.fill(p, shape)
            }
            Node::Add(ts) => {
                let arrays: Vec<Term> = ts.iter().copied().filter(|&t| self.rank(t) > 0).collect();
                let v = self.sum(&arrays);
                self.intern(Node::Softmax(v))
            }
            _ => self.intern(Node::Softmax(a)),
        }
    }

    /// Output `output` of net `net` applied to arguments.
    pub fn net(&mut self, net: u32, output: u32, args: &[Term], shape: Shape) -> Term {
        self.intern(Node::Net {
            net,
            output,
            args: args.into(),
            shape,
        })
    }

    /// Σₙ over the rows, each counted with its weight.
    pub fn row_sum(&mut self, t: Term) -> Term {
        if self.is_zero(t) {
            return t;
        }
        if let Some(x) = self.as_num(t)
            && x != 1.0
        {
            let one = self.num(1.0);
            let n = self.intern(Node::RowSum(one));
            return self.scale(x, n);
        }
        let (c, rest) = self.split_number(t);
        let s = self.intern(Node::RowSum(rest));
        self.scale(c, s)
    }

    /// Σ over a bound index; a term without it is counted.
    pub fn ix_sum(&mut self, i: IxId, t: Term) -> Term {
        let ix = self.index(i);
        if !self.depends_on(t, |n| *n == Node::Ix(i)) {
            let n = self.size(self.ix(i).size.clone());
            return self.mul(n, t);
        }
        if self.ix(i).size == Size::Const(1) {
            let zero = self.num(0.0);
            return self.substitute(t, &[(ix, zero)].into());
        }
        let (c, rest) = self.split_number(t);
        let s = self.intern(Node::IxSum(i, rest));
        self.scale(c, s)
    }

    /// The posterior probability that a row's finite latents take those values.
    pub fn resp(&mut self, values: &[(SymId, Term)]) -> Term {
        let mut values = values.to_vec();
        values.sort();
        self.intern(Node::Resp(values.into()))
    }

    /// −½ a, as densities have it.
    pub fn minus_half(&mut self, a: Term) -> Term {
        self.scale(-0.5, a)
    }

    /// log Γ(a), elementwise.
    pub fn lgamma(&mut self, a: Term) -> Term {
        self.fun(Fun::Lgamma, a)
    }
}
