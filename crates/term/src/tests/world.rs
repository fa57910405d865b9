//! A small model's symbols with values, and random well-shaped terms over them.

use crate::{Array, Cmp, Env, Fun, IxId, Node, Shape, Size, Store, Support, Sym, SymId, SymKind, Term};

pub(super) const ROWS: usize = 3;

/// Symbols of every shape, with values in general position.
pub(super) struct World {
    pub s: Store,
    pub env: Env<'static>,
    pub scalars: Vec<Term>,
    pub positives: Vec<Term>,
    pub vectors: Vec<Term>,
    pub positive_vectors: Vec<Term>,
    pub matrices: Vec<Term>,
    pub covariances: Vec<Term>,
    pub codes: Vec<Term>,
    pub d: Size,
    pub k: IxId,
    pub z: SymId,
    /// Checks every constructor call against the node it stands for.
    pub checked: bool,
}

fn resp(row: usize, values: &[(SymId, usize)]) -> f64 {
    let k = values[0].1;
    [[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]][row % 3][k % 2]
}

static RESP: fn(usize, &[(SymId, usize)]) -> f64 = resp;

impl World {
    pub(super) fn new() -> Self {
        let mut s = Store::new();
        let mut env = Env::new();
        let (d, k) = (s.add_dim("D"), s.add_dim("K"));
        env.set_dim(d, 3)
            .set_dim(k, 2)
            .set_row_count(ROWS)
            .set_row(1)
            .set_weights(vec![1.0, 2.0, 0.5])
            .set_resp(&RESP);
        let (d, k) = (Size::Dim(d), Size::Dim(k));
        let kix = s.add_ix("k", k.clone());
        env.set_index(kix, 1);
        let mut w = Self {
            s,
            env,
            scalars: vec![],
            positives: vec![],
            vectors: vec![],
            positive_vectors: vec![],
            matrices: vec![],
            covariances: vec![],
            codes: vec![],
            d: d.clone(),
            k: kix,
            z: SymId(0),
            checked: false,
        };
        w.fill(&d, &k);
        w
    }

    fn fill(&mut self, d: &Size, k: &Size) {
        use SymKind::{Data, Latent, Param};
        let category = Support::Category(k.clone());
        let z = self.sym("z", Latent, vec![], 0, category, true);
        self.z = self.s.as_symbol(z).map(|x| x.0).expect("a symbol");
        let ix = self.s.index(self.k);
        self.codes = vec![z, ix];
        let [a, b] = ["a", "b"].map(|n| self.sym(n, Param, vec![], 0, Support::Real, false));
        let [p, q] = ["p", "q"].map(|n| self.sym(n, Param, vec![], 0, Support::Positive, false));
        let y = self.sym("y", Data, vec![], 0, Support::Real, true);
        let [v, w] = ["v", "w"].map(|n| self.sym(n, Param, vec![d.clone()], 0, Support::Real, false));
        let x = self.sym("x", Data, vec![d.clone()], 0, Support::Real, true);
        let t = self.sym("t", Param, vec![d.clone()], 0, Support::Positive, false);
        let pi = self.sym("pi", Param, vec![k.clone()], 0, Support::Simplex, false);
        let mu = self.sym("mu", Param, vec![k.clone(), d.clone()], 1, Support::Real, false);
        let m = self.sym("M", Param, vec![d.clone(), d.clone()], 0, Support::Real, false);
        let cov = self.sym("S", Param, vec![d.clone(), d.clone()], 0, Support::Cov, false);
        let fam = self.sym(
            "Sigma",
            Param,
            vec![k.clone(), d.clone(), d.clone()],
            1,
            Support::Cov,
            false,
        );
        let r = self.s.resp(&[(self.z, ix)]);
        let mu_k = self.s.at(mu, &[ix]);
        let mu_z = self.s.at(mu, &[z]);
        let pi_k = self.s.at(pi, &[ix]);
        let sigma_k = self.s.at(fam, &[ix]);
        self.scalars = vec![a, b, y, p];
        self.positives = vec![p, q, r, pi_k];
        self.vectors = vec![v, w, x, mu_k, mu_z, t];
        self.positive_vectors = vec![t];
        self.matrices = vec![m, cov];
        self.covariances = vec![cov, sigma_k];
    }

    /// Adds a symbol and values for it: fixed numbers without structure, made to fit the support.
    fn sym(&mut self, name: &str, kind: SymKind, shape: Shape, family: usize, support: Support, per_row: bool) -> Term {
        let salt = name.bytes().map(u32::from).sum::<u32>();
        let sizes: Vec<usize> = shape.iter().map(|n| self.env.size(&self.s, n).expect("set")).collect();
        let value = |row: usize| {
            let raw = Array::from_fn(&sizes, |i| wobble(salt + 31 * row as u32 + 7 * i as u32));
            fit(&support, &raw)
        };
        let shared = value(0);
        let rows: Vec<Array> = (0..ROWS).map(value).collect();
        let id = self.s.add_sym(Sym {
            name: name.into(),
            kind,
            shape,
            family,
            per_row,
            support,
        });
        if per_row {
            self.env.set_rows(id, rows);
        } else {
            self.env.set(id, shared);
        }
        self.s.var(id)
    }

    pub(super) fn value(&self, t: Term) -> Array {
        self.s
            .eval(t, &self.env)
            .unwrap_or_else(|e| panic!("{e}: {}", self.s.print_debug(t)))
    }
}

/// A number in (−1, 1), without structure.
pub(super) fn wobble(n: u32) -> f64 {
    let x = f64::from(n).mul_add(12.9898, 0.7).sin() * 43_758.547;
    2.0 * (x - x.floor()) - 1.0
}

fn fit(support: &Support, raw: &Array) -> Array {
    match support {
        Support::Positive => raw.map(|x| x.abs() + 0.3),
        Support::Category(_) => raw.map(|x| f64::from(u8::from(x > 0.0))),
        Support::Simplex => {
            let e = raw.map(f64::exp);
            let sum: f64 = e.data.iter().sum();
            e.map(|x| x / sum)
        }
        Support::Cov if raw.shape.len() == 3 => {
            let parts: Vec<f64> = (0..raw.shape[0]).flat_map(|k| fit(support, &raw.sub(k)).data).collect();
            Array {
                shape: raw.shape.clone(),
                data: parts,
            }
        }
        Support::Cov => {
            let n = raw.rows();
            raw.matmul(&raw.transposed()).zip(&Array::eye(n), |a, i| a + i)
        }
        _ => raw.clone(),
    }
}

/// |a − b| relative to their size; 0 where both are not finite.
pub(super) fn distance(a: &Array, b: &Array) -> f64 {
    assert_eq!(a.shape, b.shape);
    let gap = |(x, y): (&f64, &f64)| {
        if !(x.is_finite() && y.is_finite() && x.abs() < 1e9) {
            0.0
        } else {
            (x - y).abs() / (1.0 + x.abs().max(y.abs()))
        }
    };
    a.data.iter().zip(&b.data).map(gap).fold(0.0, f64::max)
}

/// Choices from a stream of numbers; 0 once it has run dry, so that terms end.
pub(super) struct Choices {
    data: Vec<u16>,
    at: usize,
}

impl Choices {
    pub(super) fn new(data: Vec<u16>) -> Self {
        Self { data, at: 0 }
    }
    pub(super) fn pick(&mut self, n: usize) -> usize {
        self.at += 1;
        self.data.get(self.at - 1).map_or(0, |&x| usize::from(x) % n)
    }
    fn of(&mut self, ts: &[Term]) -> Term {
        ts[self.pick(ts.len())]
    }
}

impl World {
    /// A node through its constructor; in a checked world it must have the value of the node as it stands.
    pub(super) fn make(&mut self, node: Node) -> Term {
        let parts = crate::children(&node);
        let built = self.s.rebuild(&node, &parts);
        if self.checked {
            let raw = self.s.intern(node);
            assert_eq!(self.s.shape(raw), self.s.shape(built), "{}", self.s.print_debug(raw));
            let gap = distance(&self.value(raw), &self.value(built));
            let (raw, built) = (self.s.print_debug(raw), self.s.print_debug(built));
            assert!(gap < 1e-8, "{gap}: {raw} became {built}");
        }
        built
    }

    pub(super) fn scalar(&mut self, c: &mut Choices, depth: usize) -> Term {
        if depth == 0 {
            return c.of(&self.scalars.clone());
        }
        let n = depth - 1;
        let node = match c.pick(22) {
            0 => return c.of(&self.scalars.clone()),
            1 => return self.positive(c, n),
            2 => return self.number(c),
            3 | 4 => Node::Add((0..2 + c.pick(2)).map(|_| self.scalar(c, n)).collect()),
            5 | 6 => Node::Mul((0..2 + c.pick(2)).map(|_| self.scalar(c, n)).collect()),
            7 => Node::Fun(Fun::Log, self.positive(c, n)),
            8 => Node::Fun(self.smooth(c), self.scalar(c, n)),
            9 => Node::Total(self.vector(c, n)),
            10 => Node::Total(self.matrix(c, n)),
            11 | 12 => Node::Dot(self.vector(c, n), self.vector(c, n)),
            13 => Node::LogDet(self.covariance(c, n)),
            14 => Node::Quad(self.covariance(c, n), self.vector(c, n)),
            15 => Node::Trace(self.matrix(c, n)),
            16 => Node::LogSumExp(self.vector(c, n)),
            17 => Node::IxSum(self.k, self.scalar(c, n)),
            18 => Node::RowSum(self.scalar(c, n)),
            19 => {
                let e = [2.0, 3.0][c.pick(2)];
                Node::Pow(self.scalar(c, n), self.s.num(e))
            }
            20 => {
                let (v, i) = (self.vector(c, n), self.s.num(1.0));
                Node::At(v, [i].into())
            }
            _ => {
                let (x, y) = (self.scalar(c, 0), self.scalar(c, 0));
                let cmp = self.make(Node::Cmp([Cmp::Lt, Cmp::Le, Cmp::Eq][c.pick(3)], x, y));
                Node::Select(cmp, self.scalar(c, n), self.scalar(c, n))
            }
        };
        self.make(node)
    }

    fn smooth(&mut self, c: &mut Choices) -> Fun {
        [
            Fun::Sigmoid,
            Fun::Softplus,
            Fun::Tanh,
            Fun::Sin,
            Fun::Cos,
            Fun::NormalCdf,
        ][c.pick(6)]
    }

    fn number(&mut self, c: &mut Choices) -> Term {
        let x = [2.0, -1.0, 0.5, 0.0, 1.0, -3.0][c.pick(6)];
        self.s.num(x)
    }

    pub(super) fn positive(&mut self, c: &mut Choices, depth: usize) -> Term {
        if depth == 0 {
            return c.of(&self.positives.clone());
        }
        let n = depth - 1;
        let node = match c.pick(9) {
            0 => return c.of(&self.positives.clone()),
            1 => Node::Mul([self.positive(c, n), self.positive(c, n)].into()),
            2 => Node::Add([self.positive(c, n), self.positive(c, n)].into()),
            3 => {
                let e = [-1.0, 0.5, 2.0, -0.5, 3.0][c.pick(5)];
                Node::Pow(self.positive(c, n), self.s.num(e))
            }
            4 => Node::Fun(Fun::Sigmoid, self.scalar(c, n)),
            5 => {
                let x = self.scalar(c, n);
                let small = self.make(Node::Fun(Fun::Tanh, x));
                Node::Fun(Fun::Exp, small)
            }
            6 => {
                let (v, ix) = (self.vector(c, n), self.s.num(0.0));
                let p = self.make(Node::Softmax(v));
                Node::At(p, [ix].into())
            }
            7 => Node::Dot(self.positive_vector(c, n), self.positive_vector(c, n)),
            _ => {
                let x = self.positive(c, n);
                let l = self.make(Node::Fun(Fun::Log, x));
                Node::Fun(Fun::Exp, l)
            }
        };
        self.make(node)
    }

    fn positive_vector(&mut self, c: &mut Choices, depth: usize) -> Term {
        if depth == 0 {
            return c.of(&self.positive_vectors.clone());
        }
        let n = depth - 1;
        let node = match c.pick(4) {
            0 => return c.of(&self.positive_vectors.clone()),
            1 => Node::Mul([self.positive_vector(c, n), self.positive(c, n)].into()),
            2 => Node::Pow(self.positive_vector(c, n), self.s.num(-1.0)),
            _ => Node::Fill(self.positive(c, n), vec![self.d.clone()]),
        };
        self.make(node)
    }

    pub(super) fn vector(&mut self, c: &mut Choices, depth: usize) -> Term {
        if depth == 0 {
            return c.of(&self.vectors.clone());
        }
        let n = depth - 1;
        let node = match c.pick(13) {
            0 => return c.of(&self.vectors.clone()),
            1 | 2 => Node::Add([self.vector(c, n), self.vector(c, n)].into()),
            3 => Node::Add([self.vector(c, n), self.scalar(c, n)].into()),
            4 => Node::Mul([self.scalar(c, n), self.vector(c, n)].into()),
            5 => Node::Mul([self.vector(c, n), self.vector(c, n)].into()),
            6 | 7 => Node::MatVec(self.matrix(c, n), self.vector(c, n)),
            8 => Node::Fun(self.smooth(c), self.vector(c, n)),
            9 => Node::Softmax(self.vector(c, n)),
            10 => Node::DiagOf(self.matrix(c, n)),
            11 => Node::RowSum(self.vector(c, n)),
            _ => Node::Fill(self.scalar(c, n), vec![self.d.clone()]),
        };
        self.make(node)
    }

    fn matrix(&mut self, c: &mut Choices, depth: usize) -> Term {
        if depth == 0 {
            return c.of(&self.matrices.clone());
        }
        let n = depth - 1;
        let node = match c.pick(11) {
            0 => return c.of(&self.matrices.clone()),
            1 => return self.covariance(c, n),
            2 => Node::Outer(self.vector(c, n), self.vector(c, n)),
            3 => Node::MatMul(self.matrix(c, n), self.matrix(c, n)),
            4 => Node::Transpose(self.matrix(c, n)),
            5 => Node::Diag(self.vector(c, n)),
            6 => Node::Add([self.matrix(c, n), self.matrix(c, n)].into()),
            7 => Node::Mul([self.scalar(c, n), self.matrix(c, n)].into()),
            8 => Node::Inv(self.covariance(c, n)),
            9 => Node::Add([self.matrix(c, n), self.scalar(c, n)].into()),
            _ => Node::Fill(self.scalar(c, n), vec![self.d.clone(), self.d.clone()]),
        };
        self.make(node)
    }

    pub(super) fn covariance(&mut self, c: &mut Choices, depth: usize) -> Term {
        if depth == 0 {
            return c.of(&self.covariances.clone());
        }
        let n = depth - 1;
        let node = match c.pick(6) {
            0 => return c.of(&self.covariances.clone()),
            1 => Node::Mul([self.positive(c, n), self.covariance(c, n)].into()),
            2 => Node::Diag(self.positive_vector(c, n)),
            3 => Node::Eye(self.d.clone()),
            4 => Node::Inv(self.covariance(c, n)),
            _ => Node::Add([self.covariance(c, n), self.covariance(c, n)].into()),
        };
        self.make(node)
    }
}
