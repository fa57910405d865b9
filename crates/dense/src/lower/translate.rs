//! Terms to values.

use super::monomial::Monomial;
use super::values::{Elementwise, Kind, Operand, Over, Value, ValueId, level};
use super::{Leaf, LowerError, array};
use crate::ir::{Algebra, Array, ArrayId, Binary, Extent, Role, Ternary, Unary};
use lvmc_kernels::block;
use lvmc_term::{Cmp, Draw, EvalError, Fun, IxId, Node, Num, Size, Store, SymId, Term};
use std::collections::HashMap;

/// A sum over an index is written out up to that many addends.
const UNROLLED: usize = 4096;

pub(super) type Found = Result<ValueId, LowerError>;

/// The table of values, and what it was made from.
pub(super) struct Translate<'a> {
    pub(super) store: &'a mut Store,
    pub(super) sizes: &'a dyn Fn(&Store, &Size) -> Result<usize, EvalError>,
    leaf: &'a dyn Fn(&Store, SymId) -> Leaf,
    memo: HashMap<Term, ValueId>,
    pub arrays: Vec<Array>,
    pub symbols: HashMap<SymId, ArrayId>,
    pub constants: Vec<(ArrayId, Vec<f64>)>,
    pub values: Vec<Value>,
    /// Of each value: how many whole-array steps come before it, see [`values::level`].
    pub(super) levels: Vec<usize>,
    /// Values by how they are made: what is made twice is one.
    known: HashMap<Value, ValueId>,
    pub(super) monomials: HashMap<Term, Monomial>,
}

impl<'a> Translate<'a> {
    pub fn new(
        store: &'a mut Store,
        sizes: &'a dyn Fn(&Store, &Size) -> Result<usize, EvalError>,
        leaf: &'a dyn Fn(&Store, SymId) -> Leaf,
    ) -> Self {
        Self {
            store,
            sizes,
            leaf,
            memo: HashMap::new(),
            arrays: vec![],
            symbols: HashMap::new(),
            constants: vec![],
            values: vec![],
            levels: vec![],
            known: HashMap::new(),
            monomials: HashMap::new(),
        }
    }

    /// The value of a term.
    pub fn value(&mut self, root: Term) -> Found {
        // parts first, on a list of our own: a deep net must not exhaust the stack
        let mut todo = vec![(root, false)];
        while let Some((t, ready)) = todo.pop() {
            if self.memo.contains_key(&t) {
                continue;
            }
            let parts = if ready { vec![] } else { self.parts(t) };
            if ready || parts.iter().all(|p| self.memo.contains_key(p)) {
                let v = self.make(t)?;
                self.memo.insert(t, v);
            } else {
                todo.push((t, true));
                todo.extend(parts.into_iter().map(|p| (p, false)));
            }
        }
        Ok(self.memo[&root])
    }

    /// The terms whose values a term's own is made of, as far as it always needs them.
    fn parts(&self, t: Term) -> Vec<Term> {
        match self.store.node(t) {
            // these look at the forms of their operands
            Node::IxSum(..) | Node::RowSum(_) | Node::Eye(_) | Node::Diag(_) | Node::Add(_) => vec![],
            Node::At(base, _) if matches!(self.store.node(*base), Node::Eye(_)) => vec![],
            Node::MatVec(a, b) | Node::MatMul(a, b) => vec![self.untransposed(*a).0, self.untransposed(*b).0],
            node => lvmc_term::children(node),
        }
    }

    pub(super) fn untransposed(&self, t: Term) -> (Term, bool) {
        match self.store.node(t) {
            Node::Transpose(a) => (*a, true),
            _ => (t, false),
        }
    }

    pub(super) fn push(&mut self, extent: Extent, shape: Vec<usize>, kind: Kind) -> ValueId {
        let value = Value { extent, shape, kind };
        if let Some(&known) = self.known.get(&value) {
            return known;
        }
        self.levels.push(level(&self.values, &self.levels, &value));
        self.known.insert(value.clone(), self.values.len());
        self.values.push(value);
        self.values.len() - 1
    }

    pub(super) fn number(&mut self, x: f64) -> ValueId {
        self.push(Extent::Once, vec![], Kind::Number(Num::new(x)))
    }

    pub(super) fn shape(&self, t: Term) -> Result<Vec<usize>, LowerError> {
        let sizes = self.store.shape(t).clone();
        sizes
            .iter()
            .map(|n| (self.sizes)(self.store, n).map_err(LowerError::from))
            .collect()
    }

    fn unsupported<T>(&self, what: &'static str, t: Term) -> Result<T, LowerError> {
        Err(LowerError::Unsupported {
            what,
            term: self.store.print_debug(t).chars().take(300).collect(),
        })
    }

    /// A number that sizes decide.
    fn known(&self, t: Term) -> Option<f64> {
        match self.store.node(t) {
            Node::Size(n) => Some((self.sizes)(self.store, n).ok()? as f64),
            Node::Add(ts) => ts.iter().map(|&x| self.known(x)).sum(),
            Node::Mul(ts) => ts.iter().map(|&x| self.known(x)).product(),
            _ => self.store.as_num(t),
        }
    }

    /// A constant array.
    fn constant(&mut self, name: &str, shape: Vec<usize>, values: Vec<f64>) -> ValueId {
        self.arrays.push(array(name, Extent::Once, values.len(), Role::Const));
        let id = self.arrays.len() - 1;
        self.constants.push((id, values));
        self.push(Extent::Once, shape, Kind::Array(id))
    }

    // -- element by element

    /// An element-wise value; operands are of one length, or numbers.
    pub(super) fn map(&mut self, op: Elementwise, args: &[ValueId]) -> ValueId {
        if let Some(x) = self.of_numbers(op, args) {
            return self.number(x);
        }
        let wide = args.iter().max_by_key(|&&a| self.values[a].shape.len());
        let shape = wide.map_or(vec![], |&a| self.values[a].shape.clone());
        let rows = args.iter().any(|&a| self.values[a].extent == Extent::Rows);
        let extent = if rows { Extent::Rows } else { Extent::Once };
        self.push(extent, shape, Kind::Map(op, args.to_vec()))
    }

    /// The result of an operation on numbers.
    fn of_numbers(&self, op: Elementwise, args: &[ValueId]) -> Option<f64> {
        let number = |&v: &ValueId| match self.values[v].kind {
            Kind::Number(x) => Some(x.get()),
            _ => None,
        };
        let x: Vec<f64> = args.iter().map(number).collect::<Option<_>>()?;
        match (op, &x[..]) {
            (Elementwise::Unary(op), &[a]) => Some(block::unary(op, a)),
            (Elementwise::Binary(op), &[a, b]) => Some(block::binary(op, a, b)),
            (Elementwise::Ternary(op), &[a, b, c]) => Some(block::ternary(op, a, b, c)),
            _ => None,
        }
    }

    pub(super) fn unary(&mut self, op: Unary, a: ValueId) -> ValueId {
        self.map(Elementwise::Unary(op), &[a])
    }

    pub(super) fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.map(Elementwise::Binary(op), &[a, b])
    }

    fn reshaped(&mut self, v: ValueId, shape: Vec<usize>) -> ValueId {
        if self.values[v].shape == shape {
            return v;
        }
        let (extent, len) = (self.values[v].extent, shape.iter().product::<usize>());
        let stored = !self.values[v].is_map() && !matches!(self.values[v].kind, Kind::Number(_));
        if len == self.values[v].len() && stored {
            return self.push(extent, shape, Kind::View(v, 0));
        }
        self.push(extent, shape, Kind::Map(Elementwise::Copy, vec![v]))
    }

    /// Σ or max over the elements of a value.
    pub(super) fn reduce(&mut self, over: Over, a: ValueId) -> ValueId {
        let (extent, shape) = match over {
            Over::Rows => (Extent::Once, self.values[a].shape.clone()),
            _ => (self.values[a].extent, vec![]),
        };
        if over != Over::Rows && self.values[a].shape.is_empty() {
            return a;
        }
        self.push(extent, shape, Kind::Reduce(over, a))
    }

    fn power(&mut self, a: Term, b: Term) -> Found {
        let x = self.value(a)?;
        let Some(n) = self.store.as_num(b) else {
            let y = self.value(b)?;
            return Ok(self.binary(Binary::Pow, x, y));
        };
        let whole = n.abs().fract() == 0.0 && n.abs() <= 8.0;
        let size = if whole {
            let mut p = x;
            for _ in 1..n.abs() as usize {
                p = self.binary(Binary::Mul, p, x);
            }
            p
        } else if n.abs() == 0.5 {
            self.unary(Unary::Sqrt, x)
        } else {
            let n = self.number(n);
            return Ok(self.binary(Binary::Pow, x, n));
        };
        if n > 0.0 {
            return Ok(size);
        }
        let one = self.number(1.0);
        Ok(self.binary(Binary::Div, one, size))
    }

    fn function(&mut self, f: Fun, a: ValueId) -> ValueId {
        let op = match f {
            Fun::Log => Unary::Log,
            Fun::Exp => Unary::Exp,
            Fun::Log1p => Unary::Log1p,
            Fun::Sqrt => Unary::Sqrt,
            Fun::Abs => Unary::Abs,
            Fun::Sign => Unary::Sign,
            Fun::Floor => Unary::Floor,
            Fun::Lgamma => Unary::Lgamma,
            Fun::Digamma => Unary::Digamma,
            Fun::Trigamma => Unary::Trigamma,
            Fun::Tetragamma => Unary::Tetragamma,
            Fun::Sigmoid => Unary::Sigmoid,
            Fun::Softplus => Unary::Softplus,
            Fun::Tanh => Unary::Tanh,
            Fun::Sin => Unary::Sin,
            Fun::Cos => Unary::Cos,
            Fun::NormalCdf => Unary::NormalCdf,
            Fun::Relu | Fun::Not => {
                let zero = self.number(0.0);
                let op = if f == Fun::Relu { Binary::Max } else { Binary::Eq };
                return self.binary(op, a, zero);
            }
        };
        self.unary(op, a)
    }

    // -- whole arrays

    fn make(&mut self, t: Term) -> Found {
        match self.store.node(t).clone() {
            Node::Num(x) => Ok(self.number(x.get())),
            Node::Size(n) => {
                let n = (self.sizes)(self.store, &n)?;
                Ok(self.number(n as f64))
            }
            Node::Sym(s) => self.symbol(s, t),
            Node::Ix(_) => self.unsupported("a free index", t),
            Node::At(base, at) => self.at(t, base, &at),
            Node::Slice(base, from, _) => {
                let Some(from) = self.known(from) else {
                    return self.unsupported("a slice from a computed place", t);
                };
                let (v, shape) = (self.value(base)?, self.shape(t)?);
                let inner: usize = shape[1..].iter().product();
                let extent = self.values[v].extent;
                Ok(self.push(extent, shape, Kind::View(v, from as usize * inner)))
            }
            Node::Add(_) | Node::Mul(_) | Node::RowSum(_) => {
                let m = self.monomial(t)?;
                let v = self.made(m);
                self.shaped(v, t)
            }
            Node::Pow(a, b) => self.power(a, b),
            Node::Fun(f, a) => {
                let a = self.value(a)?;
                Ok(self.function(f, a))
            }
            Node::XLogY(y, x) => {
                let (y, x) = (self.value(y)?, self.value(x)?);
                let (log, zero) = (self.unary(Unary::Log, x), self.number(0.0));
                let all = self.binary(Binary::Mul, y, log);
                Ok(self.map(Elementwise::Ternary(Ternary::Select), &[y, all, zero]))
            }
            Node::Draw(draw, args) => {
                let args = args.iter().map(|&a| self.value(a)).collect::<Result<Vec<_>, _>>()?;
                let op = match draw {
                    Draw::LogGamma => Elementwise::Binary(Binary::LogGamma),
                    Draw::LogGammaSlope => Elementwise::Binary(Binary::LogGammaSlope),
                    Draw::Poisson => Elementwise::Binary(Binary::Poisson),
                    Draw::Binomial => Elementwise::Ternary(Ternary::Binomial),
                };
                Ok(self.map(op, &args))
            }
            Node::Fixed(a) => self.value(a),
            Node::Cmp(c, a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                let op = match c {
                    Cmp::Lt => Binary::Lt,
                    Cmp::Le => Binary::Le,
                    Cmp::Eq => Binary::Eq,
                };
                Ok(self.binary(op, a, b))
            }
            Node::Select(c, a, b) => {
                let args = [self.value(c)?, self.value(a)?, self.value(b)?];
                Ok(self.map(Elementwise::Ternary(Ternary::Select), &args))
            }
            Node::Total(a) => self.total(a),
            Node::Dot(a, b) => {
                let ab = self.store.mul(a, b);
                self.total(ab)
            }
            Node::MatVec(m, v) => self.mat_vec(t, m, v),
            Node::MatMul(a, b) => self.mat_mul(t, a, b),
            Node::Outer(u, v) => {
                let (u, v, shape) = (self.value(u)?, self.value(v)?, self.shape(t)?);
                let (u, v) = (self.as_matrix(u, true), self.as_matrix(v, false));
                Ok(self.matrix_product(u.into(), v.into(), shape))
            }
            Node::Transpose(a) => {
                let (v, shape) = (self.value(a)?, self.shape(t)?);
                let (n, m) = (shape[0], shape[1]);
                let map = (0..n * m).map(|k| ((k % m) * n + k / m) as u32).collect();
                let extent = self.values[v].extent;
                Ok(self.push(extent, shape, Kind::Pick(v, map)))
            }
            Node::Diag(a) => {
                let (v, shape) = (self.value(a)?, self.shape(t)?);
                let n = shape[0];
                let map = (0..n * n)
                    .map(|k| if k % n == k / n { (k / n) as u32 } else { u32::MAX })
                    .collect();
                let extent = self.values[v].extent;
                Ok(self.push(extent, shape, Kind::Pick(v, map)))
            }
            Node::DiagOf(a) => {
                let (v, shape) = (self.value(a)?, self.shape(t)?);
                Ok(self.diagonal(v, shape[0]))
            }
            Node::Trace(a) => {
                let v = self.value(a)?;
                let n = self.values[v].shape[0];
                let d = self.diagonal(v, n);
                Ok(self.reduce(Over::Elements, d))
            }
            Node::Eye(n) => {
                let n = (self.sizes)(self.store, &n)?;
                let values = (0..n * n).map(|k| f64::from(u8::from(k % n == k / n))).collect();
                Ok(self.constant("I", vec![n, n], values))
            }
            Node::Fill(a, _) => {
                let (v, shape) = (self.value(a)?, self.shape(t)?);
                Ok(self.reshaped(v, shape))
            }
            Node::Inv(a) => self.algebra(t, Algebra::Inverse, a),
            Node::LogDet(a) => self.algebra(t, Algebra::LogDet, a),
            Node::Quad(m, v) => {
                let inverse = self.store.inv(m);
                let (m, v) = (self.value(inverse)?, self.value(v)?);
                let (row, shape) = (self.as_matrix(v, false), self.values[v].shape.clone());
                let w = self.matrix_product(row.into(), m.into(), shape);
                let vw = self.binary(Binary::Mul, v, w);
                Ok(self.reduce(Over::Elements, vw))
            }
            Node::Stack { parts, .. } => {
                let parts: Vec<ValueId> = parts.iter().map(|&p| self.value(p)).collect::<Result<_, _>>()?;
                let rows = parts.iter().any(|&p| self.values[p].extent == Extent::Rows);
                let extent = if rows { Extent::Rows } else { Extent::Once };
                let shape = self.shape(t)?;
                Ok(self.push(extent, shape, Kind::Join(parts)))
            }
            Node::LogSumExp(a) => {
                let (e, m) = self.centred_exp(a)?;
                let total = self.reduce(Over::Elements, e);
                let log = self.unary(Unary::Log, total);
                Ok(self.binary(Binary::Add, log, m))
            }
            Node::Softmax(a) => {
                let (e, _) = self.centred_exp(a)?;
                let total = self.reduce(Over::Elements, e);
                Ok(self.binary(Binary::Div, e, total))
            }
            Node::IxSum(i, body) => self.ix_sum(t, i, body),
            Node::Hold(a) => self.value(a),
            Node::Reshape(a, _) => {
                let (v, shape) = (self.value(a)?, self.shape(t)?);
                Ok(self.reshaped(v, shape))
            }
            Node::Pick { of, map, .. } => {
                let (v, shape) = (self.value(of)?, self.shape(t)?);
                let extent = self.values[v].extent;
                Ok(self.push(extent, shape, Kind::Pick(v, map)))
            }
            Node::Unpick { of, map, .. } => {
                let (v, shape) = (self.value(of)?, self.shape(t)?);
                let extent = self.values[v].extent;
                Ok(self.push(extent, shape, Kind::Unpick(v, map)))
            }
            Node::Product(a) => self.all_multiplied(t, a),
            Node::Net { .. } => self.unsupported("a net that was not written out", t),
            Node::Resp(_) => self.unsupported("a responsibility", t),
        }
    }

    /// The value with the term's own shape: a sum of numbers and arrays of one element each may have lost it.
    pub(super) fn shaped(&mut self, v: ValueId, t: Term) -> Found {
        let shape = self.shape(t)?;
        Ok(self.reshaped(v, shape))
    }

    fn symbol(&mut self, s: SymId, t: Term) -> Found {
        let (sym, shape) = (self.store.sym(s).clone(), self.shape(t)?);
        let len = shape.iter().product();
        let id = match (self.leaf)(self.store, s) {
            Leaf::Constant(values) if shape.is_empty() => return Ok(self.number(values[0])),
            Leaf::Constant(values) => {
                let v = self.constant(&sym.name, shape, values);
                if let Kind::Array(id) = self.values[v].kind {
                    self.symbols.insert(s, id);
                }
                return Ok(v);
            }
            Leaf::Array(role) => {
                let extent = if sym.per_row { Extent::Rows } else { Extent::Once };
                self.arrays.push(array(sym.name, extent, len, role));
                self.arrays.len() - 1
            }
        };
        self.symbols.insert(s, id);
        let extent = self.arrays[id].extent;
        Ok(self.push(extent, shape, Kind::Array(id)))
    }

    /// exp(a − max a), and max a.
    fn centred_exp(&mut self, a: Term) -> Result<(ValueId, ValueId), LowerError> {
        let v = self.value(a)?;
        let m = self.reduce(Over::Largest, v);
        let d = self.binary(Binary::Sub, v, m);
        Ok((self.unary(Unary::Exp, d), m))
    }

    fn diagonal(&mut self, v: ValueId, n: usize) -> ValueId {
        let map = (0..n).map(|k| (k * (n + 1)) as u32).collect();
        let extent = self.values[v].extent;
        self.push(extent, vec![n], Kind::Pick(v, map))
    }

    fn algebra(&mut self, t: Term, what: Algebra, a: Term) -> Found {
        let v = self.value(a)?;
        let (extent, shape) = (self.values[v].extent, self.shape(t)?);
        Ok(self.push(extent, shape, Kind::Algebra(what, v)))
    }

    fn at(&mut self, t: Term, base: Term, at: &[Term]) -> Found {
        let shape = self.shape(t)?;
        let inner: usize = shape.iter().product();
        // a unit vector
        if let (Node::Eye(_), &[i]) = (self.store.node(base).clone(), at) {
            let (i, n) = (self.value(i)?, shape[0]);
            let p = self.push(Extent::Once, vec![n], Kind::Map(Elementwise::Position, vec![]));
            return Ok(self.binary(Binary::Eq, p, i));
        }
        let sizes = self.shape(base)?;
        let fixed: Option<Vec<f64>> = at.iter().map(|&i| self.known(i)).collect();
        let v = self.value(base)?;
        let extent = self.values[v].extent;
        if let Some(fixed) = fixed {
            let flat = fixed.iter().zip(&sizes).fold(0, |k, (&i, n)| k * n + i as usize);
            return Ok(self.push(extent, shape, Kind::View(v, flat * inner)));
        }
        let mut code = self.value(at[0])?;
        for (&i, &n) in at[1..].iter().zip(&sizes[1..]) {
            let (n, i) = (self.number(n as f64), self.value(i)?);
            let shifted = self.binary(Binary::Mul, code, n);
            code = self.binary(Binary::Add, shifted, i);
        }
        if extent == Extent::Once {
            let rows = self.values[code].extent;
            return Ok(self.push(rows, shape, Kind::Gather { table: v, index: code }));
        }
        if inner != 1 || at.len() != sizes.len() {
            return self.unsupported("a row of a matrix that each row has of its own, at a computed place", t);
        }
        let len: usize = sizes.iter().product();
        let p = self.push(Extent::Once, vec![len], Kind::Map(Elementwise::Position, vec![]));
        let v = self.reshaped(v, vec![len]);
        let here = self.binary(Binary::Eq, p, code);
        let zero = self.number(0.0);
        let one = self.map(Elementwise::Ternary(Ternary::Select), &[here, v, zero]);
        Ok(self.reduce(Over::Elements, one))
    }

    fn ix_sum(&mut self, t: Term, i: IxId, body: Term) -> Found {
        let n = (self.sizes)(self.store, &self.store.ix(i).size.clone())?;
        if n > UNROLLED {
            return self.unsupported("a sum over that many positions", t);
        }
        let ix = self.store.index(i);
        if let Some(entry) = self.entry_of_unit(ix, body) {
            let mut parts = vec![];
            for k in 0..n {
                let k = self.store.num(k as f64);
                let one = self.store.substitute(entry, &HashMap::from([(ix, k)]));
                parts.push(self.value(one)?);
            }
            let rows = parts.iter().any(|&p| self.values[p].extent == Extent::Rows);
            let extent = if rows { Extent::Rows } else { Extent::Once };
            let shape = self.shape(t)?;
            return Ok(self.push(extent, shape, Kind::Join(parts)));
        }
        let mut parts = vec![];
        for k in 0..n {
            let k = self.store.num(k as f64);
            let one = self.store.substitute(body, &HashMap::from([(ix, k)]));
            parts.push(self.value(one)?);
        }
        let sum = self.fold(Binary::Add, &parts);
        self.shaped(sum, t)
    }

    /// f of Σᵢ f eᵢ with a number f: the vector whose elements are f.
    fn entry_of_unit(&mut self, ix: Term, body: Term) -> Option<Term> {
        let factors: Vec<Term> = match self.store.node(body).clone() {
            Node::Mul(ts) => ts.to_vec(),
            _ => vec![body],
        };
        let (arrays, scalars): (Vec<Term>, Vec<Term>) =
            factors.into_iter().partition(|&f| !self.store.shape(f).is_empty());
        let [unit] = arrays[..] else { return None };
        let Node::At(eye, at) = self.store.node(unit).clone() else {
            return None;
        };
        let plain = matches!(self.store.node(eye), Node::Eye(_)) && at[..] == [ix];
        plain.then(|| self.store.product_of(&scalars))
    }

    fn all_multiplied(&mut self, t: Term, a: Term) -> Found {
        let v = self.value(a)?;
        let n = self.values[v].len();
        if n > UNROLLED {
            return self.unsupported("a product of that many elements", t);
        }
        let extent = self.values[v].extent;
        let parts: Vec<ValueId> = (0..n).map(|k| self.push(extent, vec![], Kind::View(v, k))).collect();
        Ok(self.fold(Binary::Mul, &parts))
    }

    // -- matrices

    /// A vector as a matrix of one column, or of one row.
    pub(super) fn as_matrix(&mut self, v: ValueId, column: bool) -> ValueId {
        let n = self.values[v].shape[0];
        let shape = if column { vec![n, 1] } else { vec![1, n] };
        self.viewed(v, shape)
    }

    /// The same elements with other axes.
    fn viewed(&mut self, v: ValueId, shape: Vec<usize>) -> ValueId {
        let extent = self.values[v].extent;
        self.push(extent, shape, Kind::View(v, 0))
    }

    fn mat_vec(&mut self, t: Term, m: Term, v: Term) -> Found {
        let (m, transposed) = self.untransposed(m);
        let (m, v, shape) = (self.value(m)?, self.value(v)?, self.shape(t)?);
        let rows = |x: ValueId| self.values[x].extent == Extent::Rows;
        if rows(m) {
            let column = self.as_matrix(v, true);
            return Ok(self.matrix_product(Operand { value: m, transposed }, column.into(), shape));
        }
        // a batch of vectors is a matrix with a row for each: (M v)ᵀ = vᵀ Mᵀ
        let row = self.as_matrix(v, false);
        let m = Operand {
            value: m,
            transposed: !transposed,
        };
        Ok(self.matrix_product(row.into(), m, shape))
    }

    fn mat_mul(&mut self, t: Term, a: Term, b: Term) -> Found {
        let ((a, ta), (b, tb)) = (self.untransposed(a), self.untransposed(b));
        let (a, b, shape) = (self.value(a)?, self.value(b)?, self.shape(t)?);
        let (a, b) = (
            Operand {
                value: a,
                transposed: ta,
            },
            Operand {
                value: b,
                transposed: tb,
            },
        );
        Ok(self.matrix_product(a, b, shape))
    }

    pub(super) fn matrix_product(&mut self, a: Operand, b: Operand, shape: Vec<usize>) -> ValueId {
        let rows = |v: Operand| self.values[v.value].extent == Extent::Rows;
        match (rows(a), rows(b)) {
            (false, false) => self.push(Extent::Once, shape, Kind::Product(a, b)),
            // the parts of all rows are the rows of one matrix
            (true, false) if !a.transposed => self.push(Extent::Rows, shape, Kind::Product(a, b)),
            _ => self.push(Extent::Rows, shape, Kind::Batched(a, b)),
        }
    }
}
