//! Terms to values.

use super::values::{Elementwise, Kind, Operand, Over, Value, ValueId};
use super::{Leaf, LowerError, array};
use crate::ir::{Algebra, Array, ArrayId, Binary, Extent, Role, Ternary, Unary};
use lvmc_term::{Cmp, EvalError, Fun, IxId, Node, Size, Store, SymId, Term};
use std::collections::HashMap;

/// A sum over an index is written out up to that many addends.
const UNROLLED: usize = 4096;

type Found = Result<ValueId, LowerError>;

/// The table of values, and what it was made from.
pub(super) struct Translate<'a> {
    store: &'a mut Store,
    sizes: &'a dyn Fn(&Store, &Size) -> Result<usize, EvalError>,
    leaf: &'a dyn Fn(&Store, SymId) -> Leaf,
    memo: HashMap<Term, ValueId>,
    pub arrays: Vec<Array>,
    pub symbols: HashMap<SymId, ArrayId>,
    pub constants: Vec<(ArrayId, Vec<f64>)>,
    pub values: Vec<Value>,
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

    fn untransposed(&self, t: Term) -> (Term, bool) {
        match self.store.node(t) {
            Node::Transpose(a) => (*a, true),
            _ => (t, false),
        }
    }

    fn push(&mut self, extent: Extent, shape: Vec<usize>, kind: Kind) -> ValueId {
        self.values.push(Value { extent, shape, kind });
        self.values.len() - 1
    }

    fn number(&mut self, x: f64) -> ValueId {
        self.push(Extent::Once, vec![], Kind::Number(x))
    }

    fn shape(&self, t: Term) -> Result<Vec<usize>, LowerError> {
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
    fn map(&mut self, op: Elementwise, args: &[ValueId]) -> ValueId {
        let wide = args.iter().max_by_key(|&&a| self.values[a].shape.len());
        let shape = wide.map_or(vec![], |&a| self.values[a].shape.clone());
        let rows = args.iter().any(|&a| self.values[a].extent == Extent::Rows);
        let extent = if rows { Extent::Rows } else { Extent::Once };
        self.push(extent, shape, Kind::Map(op, args.to_vec()))
    }

    fn unary(&mut self, op: Unary, a: ValueId) -> ValueId {
        self.map(Elementwise::Unary(op), &[a])
    }

    fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
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
    fn reduce(&mut self, over: Over, a: ValueId) -> ValueId {
        let (extent, shape) = match over {
            Over::Rows => (Extent::Once, self.values[a].shape.clone()),
            _ => (self.values[a].extent, vec![]),
        };
        if over != Over::Rows && self.values[a].shape.is_empty() {
            return a;
        }
        self.push(extent, shape, Kind::Reduce(over, a))
    }

    fn fold(&mut self, op: Binary, of: &[ValueId]) -> ValueId {
        // numbers and what is held once first, so that they are joined once
        let mut of = of.to_vec();
        of.sort_by_key(|&v| (self.values[v].extent == Extent::Rows, self.values[v].len()));
        let mut rest = of.into_iter();
        let first = rest.next().unwrap_or_else(|| self.number(0.0));
        rest.fold(first, |a, b| self.binary(op, a, b))
    }

    /// Whether Σₙ of a term adds up element by element, rather than by a product.
    fn sums_plainly(&self, body: Term) -> bool {
        !self.store.factors(body).iter().any(|&f| match self.store.node(f) {
            Node::Outer(..) | Node::MatMul(..) => true,
            Node::Add(ts) => ts.iter().any(|&t| !self.sums_plainly(t)),
            _ => false,
        })
    }

    fn sum(&mut self, ts: &[Term]) -> Found {
        let (mut plus, mut minus) = (vec![], vec![]);
        // sums over the rows of one shape are one sum
        let mut over_rows: Vec<Term> = vec![];
        for &t in ts {
            let (c, rest) = self.store.split_number(t);
            if let Node::RowSum(body) = *self.store.node(rest)
                && self.sums_plainly(body)
                && self.store.shape(t) == self.store.shape(ts[0])
            {
                over_rows.push(self.store.scale(c, body));
                continue;
            }
            // −x is subtracted rather than multiplied by −1
            if c == -1.0 {
                minus.push(self.value(rest)?);
            } else {
                plus.push(self.value(t)?);
            }
        }
        if !over_rows.is_empty() {
            let body = self.sum(&over_rows)?;
            plus.push(self.reduce(Over::Rows, body));
        }
        if plus.is_empty() {
            let all = self.fold(Binary::Add, &minus);
            return Ok(self.unary(Unary::Neg, all));
        }
        // in an order that keeps equal lengths together
        let mut total = self.fold(Binary::Add, &plus);
        for m in minus {
            total = self.binary(Binary::Sub, total, m);
        }
        Ok(total)
    }

    fn product(&mut self, ts: &[Term]) -> Found {
        let (mut over, mut under) = (vec![], vec![]);
        for &t in ts {
            match self.store.node(t) {
                Node::Pow(a, b) if self.store.as_num(*b) == Some(-1.0) => under.push(*a),
                _ => over.push(t),
            }
        }
        let over: Vec<ValueId> = over.into_iter().map(|t| self.value(t)).collect::<Result<_, _>>()?;
        let top = if over.is_empty() {
            self.number(1.0)
        } else {
            self.fold(Binary::Mul, &over)
        };
        if under.is_empty() {
            return Ok(top);
        }
        let under: Vec<ValueId> = under.into_iter().map(|t| self.value(t)).collect::<Result<_, _>>()?;
        let bottom = self.fold(Binary::Mul, &under);
        Ok(self.binary(Binary::Div, top, bottom))
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
            Node::Add(ts) => {
                let v = self.sum(&ts)?;
                self.shaped(v, t)
            }
            Node::Mul(ts) => {
                let v = self.product(&ts)?;
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
            Node::Total(a) => {
                let a = self.value(a)?;
                Ok(self.reduce(Over::Elements, a))
            }
            Node::Dot(a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                let ab = self.binary(Binary::Mul, a, b);
                Ok(self.reduce(Over::Elements, ab))
            }
            Node::MatVec(m, v) => self.mat_vec(t, m, v),
            Node::MatMul(a, b) => self.mat_mul(t, a, b),
            Node::Outer(u, v) => {
                let (u, v, shape) = (self.value(u)?, self.value(v)?, self.shape(t)?);
                let (u, v) = (self.as_matrix(u, true), self.as_matrix(v, false));
                Ok(self.matrix_product(operand(u), operand(v), shape))
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
                let w = self.matrix_product(operand(row), operand(m), shape);
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
            Node::RowSum(body) => self.row_sum(body),
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
    fn shaped(&mut self, v: ValueId, t: Term) -> Found {
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
    fn as_matrix(&mut self, v: ValueId, column: bool) -> ValueId {
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
            return Ok(self.matrix_product(Operand { value: m, transposed }, operand(column), shape));
        }
        // a batch of vectors is a matrix with a row for each: (M v)ᵀ = vᵀ Mᵀ
        let row = self.as_matrix(v, false);
        let m = Operand {
            value: m,
            transposed: !transposed,
        };
        Ok(self.matrix_product(operand(row), m, shape))
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

    fn matrix_product(&mut self, a: Operand, b: Operand, shape: Vec<usize>) -> ValueId {
        let rows = |v: Operand| self.values[v.value].extent == Extent::Rows;
        match (rows(a), rows(b)) {
            (false, false) => self.push(Extent::Once, shape, Kind::Product(a, b)),
            // the parts of all rows are the rows of one matrix
            (true, false) if !a.transposed => self.push(Extent::Rows, shape, Kind::Product(a, b)),
            _ => self.push(Extent::Rows, shape, Kind::Batched(a, b)),
        }
    }

    /// Σₙ over the batch.
    fn row_sum(&mut self, body: Term) -> Found {
        match self.store.node(body).clone() {
            Node::Add(ts) => {
                let shape = self.shape(body)?;
                let parts: Vec<ValueId> = ts.iter().map(|&x| self.row_sum(x)).collect::<Result<_, _>>()?;
                let sum = self.fold(Binary::Add, &parts);
                Ok(self.reshaped(sum, shape))
            }
            Node::Outer(u, v) => self.outer_over_rows(u, v, None),
            // numbers of the row move into one side
            Node::Mul(ts) => {
                let arrays: Vec<Term> = ts
                    .iter()
                    .copied()
                    .filter(|&f| !self.store.shape(f).is_empty())
                    .collect();
                let [one] = arrays[..] else {
                    return self.plain_row_sum(body);
                };
                let Node::Outer(u, v) = *self.store.node(one) else {
                    return self.plain_row_sum(body);
                };
                let scalars: Vec<Term> = ts.iter().copied().filter(|&f| f != one).collect();
                let scale = self.store.product_of(&scalars);
                self.outer_over_rows(u, v, Some(scale))
            }
            Node::MatMul(a, b) => {
                let ((a, ta), (b, tb)) = (self.untransposed(a), self.untransposed(b));
                let (va, vb) = (self.value(a)?, self.value(b)?);
                let both = self.values[va].extent == Extent::Rows && self.values[vb].extent == Extent::Rows;
                if both && ta && !tb {
                    let shape = self.shape(body)?;
                    return Ok(self.push(Extent::Once, shape, Kind::ProductOverRows(va, vb)));
                }
                self.plain_row_sum(body)
            }
            _ => self.plain_row_sum(body),
        }
    }

    fn plain_row_sum(&mut self, body: Term) -> Found {
        let v = self.value(body)?;
        Ok(self.reduce(Over::Rows, v))
    }

    /// Σₙ s u vᵀ: one product; where u is a unit vector, a sum into the rows of a table.
    fn outer_over_rows(&mut self, u: Term, v: Term, scale: Option<Term>) -> Found {
        if let Node::At(eye, i) = self.store.node(u).clone()
            && let (Node::Eye(n), &[i]) = (self.store.node(eye).clone(), &i[..])
        {
            let entries = (self.sizes)(self.store, &n)?;
            let from = scale.map_or(v, |s| self.store.mul(s, v));
            let (from, index) = (self.value(from)?, self.value(i)?);
            let shape = vec![entries, self.values[from].len()];
            return Ok(self.push(Extent::Once, shape, Kind::Scatter { from, index, entries }));
        }
        let (nu, nv) = (self.shape(u)?[0], self.shape(v)?[0]);
        // into the shorter one
        let (u, v) = match scale {
            Some(s) if nu <= nv => (self.store.mul(s, u), v),
            Some(s) => (u, self.store.mul(s, v)),
            None => (u, v),
        };
        let (u, v) = (self.value(u)?, self.value(v)?);
        let rows = |x: ValueId| self.values[x].extent == Extent::Rows;
        match (rows(u), rows(v)) {
            (true, true) => Ok(self.push(Extent::Once, vec![nu, nv], Kind::ProductOverRows(u, v))),
            // what is held once comes out of the sum
            (true, false) | (false, true) | (false, false) => {
                let (u, v) = if rows(u) {
                    (self.reduce(Over::Rows, u), v)
                } else {
                    (u, self.reduce(Over::Rows, v))
                };
                let (u, v) = (self.as_matrix(u, true), self.as_matrix(v, false));
                Ok(self.matrix_product(operand(u), operand(v), vec![nu, nv]))
            }
        }
    }
}

fn operand(value: ValueId) -> Operand {
    Operand {
        value,
        transposed: false,
    }
}
