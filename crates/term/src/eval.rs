//! The reference evaluator: clear, slow, correct. It is the oracle that certificates and tests compare with.

use crate::array::Array;
use crate::env::{Env, EvalError, Value};
use crate::ids::ById;
use crate::node::{Cmp, Draw, IxId, NOWHERE, Node, SymId, Term};
use crate::shape::Size;
use crate::store::Store;

impl Store {
    /// The value of a term.
    ///
    /// # Errors
    /// Where something has no value, a position is out of range, or a covariance is not positive definite.
    pub fn eval(&self, t: Term, env: &Env<'_>) -> Result<Array, EvalError> {
        let mut run = Run {
            s: self,
            env,
            row: env.row,
            ixs: env.ixs.clone(),
            memo: vec![ById::default()],
            depth: 0,
        };
        run.term(t)
    }

    /// The value of a scalar term.
    ///
    /// # Errors
    /// As [`Store::eval`].
    pub fn eval_scalar(&self, t: Term, env: &Env<'_>) -> Result<f64, EvalError> {
        Ok(self.eval(t, env)?.as_scalar())
    }
}

struct Run<'s, 'e> {
    s: &'s Store,
    env: &'s Env<'e>,
    row: Option<usize>,
    ixs: ById<IxId, usize>,
    /// Values already computed: one table per enclosing sum, the first for what no sum changes. Tables that no sum uses
    /// any more are kept for the next.
    memo: Vec<ById<Term, Array>>,
    /// The innermost sum's table.
    depth: usize,
}

type Value1 = Result<Array, EvalError>;

impl Run<'_, '_> {
    fn term(&mut self, t: Term) -> Value1 {
        let fixed = !self.s.per_row(t) && !self.s.has_index(t);
        let scope = if fixed { 0 } else { self.depth };
        if let Some(v) = self.memo[scope].get(&t) {
            return Ok(v.clone());
        }
        let v = self.node(t)?;
        self.memo[scope].insert(t, v.clone());
        Ok(v)
    }

    fn terms(&mut self, ts: &[Term]) -> Result<Vec<Array>, EvalError> {
        ts.iter().map(|&t| self.term(t)).collect()
    }

    fn draw(&mut self, draw: Draw, args: &[Term]) -> Value1 {
        let args = self.terms(args)?;
        let two = |f: fn(f64, f64) -> f64| args[0].zip(&args[1], f);
        Ok(match (draw, &args[..]) {
            (Draw::LogGamma, _) => two(lvmc_kernels::gamma::log_quantile),
            (Draw::LogGammaSlope, _) => two(lvmc_kernels::gamma::log_quantile_slope),
            (Draw::Poisson, _) => two(lvmc_kernels::counts::poisson),
            (Draw::Binomial, _) => {
                // the longest of the three says how many there are
                let shape = args.iter().map(|a| &a.shape).max_by_key(|s| s.len());
                let shape = shape.cloned().unwrap_or_default();
                let at = |a: &Array, i: usize| if a.shape.is_empty() { a.data[0] } else { a.data[i] };
                let n = shape.iter().product();
                let of = |i| lvmc_kernels::counts::binomial(at(&args[0], i), at(&args[1], i), at(&args[2], i));
                Array {
                    data: (0..n).map(of).collect(),
                    shape,
                }
            }
        })
    }

    fn sizes(&self, shape: &[Size]) -> Result<Vec<usize>, EvalError> {
        shape.iter().map(|n| self.env.size(self.s, n)).collect()
    }

    fn node(&mut self, t: Term) -> Value1 {
        let s = self.s;
        let node = s.node(t);
        Ok(match node {
            Node::Num(x) => Array::scalar(x.get()),
            Node::Size(n) => Array::scalar(self.env.size(s, n)? as f64),
            Node::Sym(x) => self.symbol(*x)?,
            Node::Ix(i) => {
                let at = self.ixs.get(i).ok_or_else(|| EvalError::Index(s.ix(*i).name.clone()))?;
                Array::scalar(*at as f64)
            }
            Node::Add(ts) => self.fold(t, ts, 0.0, |x, y| x + y)?,
            Node::Mul(ts) => self.fold(t, ts, 1.0, |x, y| x * y)?,
            Node::Pow(a, b) => self.term(*a)?.zip(&self.term(*b)?, f64::powf),
            Node::Fun(f, a) => self.term(*a)?.map(|x| crate::function::apply(*f, x)),
            Node::Draw(draw, args) => self.draw(*draw, args)?,
            Node::Fixed(a) => match &self.env.fixed {
                None => self.term(*a)?,
                Some(base) => {
                    let mut run = Run {
                        s,
                        env: base,
                        row: self.row,
                        ixs: self.ixs.clone(),
                        memo: vec![ById::default()],
                        depth: 0,
                    };
                    run.term(*a)?
                }
            },
            Node::XLogY(y, x) => self
                .term(*y)?
                .zip(&self.term(*x)?, |y, x| if y == 0.0 { 0.0 } else { y * x.ln() }),
            Node::Cmp(c, a, b) => self.term(*a)?.zip(&self.term(*b)?, |x, y| {
                f64::from(u8::from(match c {
                    Cmp::Lt => x < y,
                    Cmp::Le => x <= y,
                    Cmp::Eq => x == y,
                }))
            }),
            Node::Select(c, a, b) => self.select(t, *c, *a, *b)?,
            Node::At(base, at) => {
                let mut v = self.term(*base)?;
                for &i in at {
                    let i = self.term(i)?.as_scalar();
                    v = v.sub(position(i, v.shape[0])?);
                }
                v
            }
            Node::Slice(base, from, len) => {
                let (v, from) = (self.term(*base)?, self.term(*from)?.as_scalar());
                let len = self.env.size(s, len)?;
                if len == 0 {
                    return Ok(Array {
                        shape: self.sizes(s.shape(t))?,
                        data: vec![],
                    });
                }
                let from = position(from, v.shape[0])?;
                position((from + len - 1) as f64, v.shape[0])?;
                let n: usize = v.shape[1..].iter().product();
                Array {
                    shape: self.sizes(s.shape(t))?,
                    data: v.data[from * n..(from + len) * n].to_vec(),
                }
            }
            Node::Fill(c, shape) => {
                let x = self.term(*c)?.as_scalar();
                Array::filled(&self.sizes(shape)?, x)
            }
            Node::Stack { parts, .. } => {
                let data = self.terms(parts)?.into_iter().flat_map(|p| p.data).collect();
                Array {
                    shape: self.sizes(s.shape(t))?,
                    data,
                }
            }
            Node::Net { net, output, args, .. } => {
                let args = self.terms(args)?;
                self.env.net.ok_or(EvalError::NoNet)?(*net, *output, &args)
            }
            Node::Resp(values) => {
                let row = self.row.ok_or_else(|| EvalError::NoRow("r".into()))?;
                let values = values.iter().map(|&(z, v)| Ok((z, self.term(v)?.as_scalar() as usize)));
                let values = values.collect::<Result<Vec<_>, EvalError>>()?;
                Array::scalar(self.env.resp.ok_or(EvalError::NoResp)?(row, &values))
            }
            Node::RowSum(a) => self.row_sum(t, *a)?,
            Node::IxSum(i, a) => self.ix_sum(t, *i, *a)?,
            Node::Hold(a) => self.term(*a)?,
            _ => self.linear(t)?,
        })
    }

    /// Reductions and linear algebra.
    fn linear(&mut self, t: Term) -> Value1 {
        let spd = EvalError::NotPositiveDefinite;
        Ok(match self.s.node(t) {
            Node::Total(a) => Array::scalar(self.term(*a)?.data.iter().sum()),
            Node::Product(a) => Array::scalar(self.term(*a)?.data.iter().product()),
            Node::Dot(a, b) => Array::scalar(self.term(*a)?.zip(&self.term(*b)?, |x, y| x * y).data.iter().sum()),
            Node::MatVec(a, b) | Node::MatMul(a, b) => self.term(*a)?.matmul(&self.term(*b)?),
            Node::Outer(a, b) => {
                let (u, v) = (self.term(*a)?, self.term(*b)?);
                let n = v.len();
                Array::from_fn(&[u.len(), n], |i| u.data[i / n] * v.data[i % n])
            }
            Node::Transpose(a) => self.term(*a)?.transposed(),
            Node::Diag(a) => {
                let v = self.term(*a)?;
                let n = v.len();
                Array::from_fn(&[n, n], |i| if i / n == i % n { v.data[i / n] } else { 0.0 })
            }
            Node::DiagOf(a) => {
                let m = self.term(*a)?;
                Array::from_fn(&[m.rows()], |i| m.at2(i, i))
            }
            Node::Eye(n) => Array::eye(self.env.size(self.s, n)?),
            Node::Inv(a) => self.term(*a)?.spd_inverse().ok_or(spd)?,
            Node::LogDet(a) => Array::scalar(self.term(*a)?.spd_log_det().ok_or(spd)?),
            Node::Quad(m, v) => {
                let l = self.term(*m)?.cholesky().ok_or(spd)?;
                let w = l.solve_lower(&self.term(*v)?);
                Array::scalar(w.data.iter().map(|x| x * x).sum())
            }
            Node::Trace(a) => {
                let m = self.term(*a)?;
                Array::scalar((0..m.rows()).map(|i| m.at2(i, i)).sum())
            }
            Node::Reshape(a, shape) => {
                let data = self.term(*a)?.data;
                self.shaped(data, shape)?
            }
            Node::Pick { of, map, shape } => {
                let from = self.term(*of)?.data;
                let value = |&p: &u32| {
                    if p == NOWHERE {
                        Some(0.0)
                    } else {
                        from.get(p as usize).copied()
                    }
                };
                let data: Option<Vec<f64>> = map.iter().map(value).collect();
                let data = data.ok_or_else(|| outside(map, from.len()))?;
                self.shaped(data, shape)?
            }
            Node::Unpick { of, map, shape } => {
                let from = self.term(*of)?.data;
                let mut data = vec![0.0; self.sizes(shape)?.iter().product()];
                let len = data.len();
                for (x, &p) in from.iter().zip(map.iter()).filter(|(_, p)| **p != NOWHERE) {
                    *data.get_mut(p as usize).ok_or_else(|| outside(map, len))? += x;
                }
                self.shaped(data, shape)?
            }
            Node::LogSumExp(a) => Array::scalar(log_sum_exp(&self.term(*a)?.data)),
            Node::Softmax(a) => {
                let v = self.term(*a)?;
                let l = log_sum_exp(&v.data);
                v.map(|x| (x - l).exp())
            }
            other => unreachable!("{other:?} is handled above"),
        })
    }

    /// Those numbers in that shape.
    fn shaped(&self, data: Vec<f64>, shape: &[Size]) -> Value1 {
        let wanted = self.sizes(shape)?;
        if wanted.iter().product::<usize>() != data.len() {
            let found = vec![data.len()];
            return Err(EvalError::Shape { found, wanted });
        }
        Ok(Array { shape: wanted, data })
    }

    fn fold(&mut self, t: Term, ts: &[Term], zero: f64, f: fn(f64, f64) -> f64) -> Value1 {
        let mut acc = Array::filled(&self.sizes(self.s.shape(t))?, zero);
        for &x in ts {
            acc = acc.zip(&self.term(x)?, f);
        }
        Ok(acc)
    }

    /// Both branches are evaluated only where elements choose differently.
    fn select(&mut self, t: Term, c: Term, a: Term, b: Term) -> Value1 {
        let shape = self.sizes(self.s.shape(t))?;
        let c = self.term(c)?;
        let spread = |v: &Array, i: usize| if v.shape.is_empty() { v.data[0] } else { v.data[i] };
        let a = if c.data.iter().any(|&x| x != 0.0) {
            Some(self.term(a)?)
        } else {
            None
        };
        let b = if c.data.contains(&0.0) {
            Some(self.term(b)?)
        } else {
            None
        };
        Ok(Array::from_fn(&shape, |i| {
            let chosen = if spread(&c, i) != 0.0 { &a } else { &b };
            chosen.as_ref().map_or(f64::NAN, |v| spread(v, i))
        }))
    }

    fn symbol(&self, x: SymId) -> Value1 {
        let sym = self.s.sym(x);
        let value = match self.env.syms.get(&x) {
            None => return Err(EvalError::Symbol(sym.name.clone())),
            Some(Value::Shared(v)) => v,
            Some(Value::PerRow(vs)) => {
                let row = self.row.ok_or_else(|| EvalError::NoRow(sym.name.clone()))?;
                vs.get(row).ok_or(EvalError::OutOfRange {
                    at: row as i64,
                    len: vs.len(),
                })?
            }
        };
        let wanted = self.sizes(&sym.shape)?;
        if value.shape != wanted {
            return Err(EvalError::Shape {
                found: value.shape.clone(),
                wanted,
            });
        }
        Ok(value.clone())
    }

    /// The value of a sum's term at one of its positions.
    fn inside(&mut self, a: Term) -> Value1 {
        self.depth += 1;
        match self.memo.get_mut(self.depth) {
            Some(table) => table.clear(),
            None => self.memo.push(ById::default()),
        }
        let v = self.term(a);
        self.depth -= 1;
        v
    }

    fn row_sum(&mut self, t: Term, a: Term) -> Value1 {
        let mut acc = Array::filled(&self.sizes(self.s.shape(t))?, 0.0);
        let outer = self.row;
        for n in 0..self.env.rows {
            let w = self.env.weights.as_ref().map_or(1.0, |w| w[n]);
            self.row = Some(n);
            let v = self.inside(a);
            self.row = outer;
            acc = acc.zip(&v?, |x, y| x + w * y);
        }
        Ok(acc)
    }

    fn ix_sum(&mut self, t: Term, i: IxId, a: Term) -> Value1 {
        let mut acc = Array::filled(&self.sizes(self.s.shape(t))?, 0.0);
        let n = self.env.size(self.s, &self.s.ix(i).size)?;
        let outer = self.ixs.get(&i).copied();
        for k in 0..n {
            self.ixs.insert(i, k);
            let v = self.inside(a);
            match outer {
                Some(before) => self.ixs.insert(i, before),
                None => self.ixs.remove(&i),
            };
            acc = acc.zip(&v?, |x, y| x + y);
        }
        Ok(acc)
    }
}

fn position(i: f64, len: usize) -> Result<usize, EvalError> {
    let at = i.round();
    if at >= 0.0 && at < len as f64 {
        Ok(at as usize)
    } else {
        Err(EvalError::OutOfRange { at: at as i64, len })
    }
}

/// A map that picks outside of its array.
fn outside(map: &[u32], len: usize) -> EvalError {
    let at = map
        .iter()
        .filter(|&&p| p != NOWHERE)
        .max()
        .map_or(-1, |&p| i64::from(p));
    EvalError::OutOfRange { at, len }
}

fn log_sum_exp(xs: &[f64]) -> f64 {
    let top = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        top
    } else {
        top + xs.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
    }
}
