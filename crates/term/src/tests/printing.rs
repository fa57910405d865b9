//! Snapshots, read as mathematics: left of the bar Unicode, then LaTeX.

use super::world::{Choices, World};
use crate::{Cmp, Fun, IxId, Shape, Size, Store, Support, Sym, SymId, SymKind, Term, print};
use proptest::prelude::*;

struct Page {
    s: Store,
    d: Size,
    k: Size,
    kix: IxId,
    z: SymId,
}

impl Page {
    fn new() -> Self {
        let mut s = Store::new();
        let (d, k) = (s.add_dim("D"), s.add_dim("K"));
        let (d, k) = (Size::Dim(d), Size::Dim(k));
        let kix = s.add_ix("k", k.clone());
        let z = s.add_sym(Sym {
            name: "z".into(),
            kind: SymKind::Latent,
            shape: vec![],
            family: 0,
            per_row: true,
            support: Support::Category(k.clone()),
        });
        Self { s, d, k, kix, z }
    }
    fn sym(&mut self, name: &str, kind: SymKind, shape: Shape, support: Support) -> Term {
        let per_row = matches!(kind, SymKind::Data | SymKind::Given | SymKind::Latent);
        let id = self.s.add_sym(Sym {
            name: name.into(),
            kind,
            shape,
            family: 0,
            per_row,
            support,
        });
        self.s.var(id)
    }
    fn param(&mut self, name: &str, shape: Shape, support: Support) -> Term {
        self.sym(name, SymKind::Param, shape, support)
    }
    fn show(&self, ts: &[Term]) -> String {
        ts.iter()
            .map(|&t| format!("{}\n{}\n", print::unicode(&self.s, t), print::latex(&self.s, t)))
            .collect()
    }
}

#[test]
fn gaussian_mixture() {
    let mut p = Page::new();
    let (d, k) = (p.d.clone(), p.k.clone());
    let x = p.sym("x", SymKind::Data, vec![d.clone()], Support::Real);
    let pi = p.param("pi", vec![k.clone()], Support::Simplex);
    let mu = p.param("mu", vec![k.clone(), d.clone()], Support::Real);
    let sigma = p.param("Sigma", vec![k.clone(), d.clone(), d.clone()], Support::Cov);
    let (z, kix) = (p.z, p.kix);
    let (zt, ix) = (p.s.var(z), p.s.index(kix));
    let s = &mut p.s;
    let log_normal = |s: &mut Store, at: Term| {
        let (m, c) = (s.at(mu, &[at]), s.at(sigma, &[at]));
        let e = s.sub(x, m);
        let (l, q) = (s.log_det(c), s.quad(c, e));
        let tau = s.two_pi();
        let log = s.log(tau);
        let n = s.size(d.clone());
        let n = s.mul(n, log);
        let parts = [n, l, q].map(|t| s.minus_half(t));
        s.sum(&parts)
    };
    let joint = |s: &mut Store, at: Term| {
        let (w, n) = (s.at(pi, &[at]), log_normal(s, at));
        let w = s.log(w);
        s.add(w, n)
    };
    let row = joint(s, zt);
    let r = s.resp(&[(z, ix)]);
    let each = joint(s, ix);
    let weighted = s.mul(r, each);
    let sum = s.ix_sum(kix, weighted);
    let q = s.row_sum(sum);
    let same = s.cmp(Cmp::Eq, zt, ix);
    let picked = s.mul(same, each);
    let one_hot = s.ix_sum(kix, picked);
    let m = s.at(mu, &[ix]);
    let e = s.sub(x, m);
    let ee = s.outer(e, e);
    let ree = s.mul(r, ee);
    let scatter = s.row_sum(ree);
    let n_k = s.row_sum(r);
    let (rx, one) = (s.mul(r, x), s.num(1.0));
    let sum_x = s.row_sum(rx);
    let rows = s.row_sum(one);
    let updates = [s.div(sum_x, n_k), s.div(scatter, n_k), s.div(n_k, rows)];
    let cov = s.at(sigma, &[ix]);
    let inverse = s.inv(cov);
    let zero_mean = s.matvec(inverse, e);
    let weighted = s.mul(r, zero_mean);
    let gradient = s.row_sum(weighted);
    let shown = p.show(&[row, one_hot, q, scatter, updates[0], updates[1], updates[2], gradient]);
    let shown = shown
        + &[q, row]
            .map(|t| format!("{}\n{}\n", print::unicode_short(&p.s, t), print::latex_short(&p.s, t)))
            .concat();
    insta::assert_snapshot!(shown, @r"
    log π_zₙ − ½ log|2πΣ_zₙ| − ½ (xₙ − μ_zₙ)ᵀ Σ_zₙ⁻¹ (xₙ − μ_zₙ)
    \log \pi_{z_n} - \tfrac12 \log |2\pi \Sigma_{z_n}| - \tfrac12 (x_n - \mu_{z_n})^\top \Sigma_{z_n}^{-1} (x_n - \mu_{z_n})
    Σₖ [zₙ = k] (log πₖ − ½ log|2πΣₖ| − ½ (xₙ − μₖ)ᵀ Σₖ⁻¹ (xₙ − μₖ))
    \sum_k [z_n = k] (\log \pi_k - \tfrac12 \log |2\pi \Sigma_k| - \tfrac12 (x_n - \mu_k)^\top \Sigma_k^{-1} (x_n - \mu_k))
    Σₙ Σₖ rₙₖ (log πₖ − ½ log|2πΣₖ| − ½ (xₙ − μₖ)ᵀ Σₖ⁻¹ (xₙ − μₖ))
    \sum_n \sum_k r_{nk} (\log \pi_k - \tfrac12 \log |2\pi \Sigma_k| - \tfrac12 (x_n - \mu_k)^\top \Sigma_k^{-1} (x_n - \mu_k))
    Σₙ rₙₖ (xₙ − μₖ)(xₙ − μₖ)ᵀ
    \sum_n r_{nk} (x_n - \mu_k) (x_n - \mu_k)^\top
    Σₙ rₙₖ xₙ / Σₙ rₙₖ
    \frac{\sum_n r_{nk} x_n}{\sum_n r_{nk}}
    Σₙ rₙₖ (xₙ − μₖ)(xₙ − μₖ)ᵀ / Σₙ rₙₖ
    \frac{\sum_n r_{nk} (x_n - \mu_k) (x_n - \mu_k)^\top}{\sum_n r_{nk}}
    1/N Σₙ rₙₖ
    \frac{1}{N} \sum_n r_{nk}
    Σₙ rₙₖ Σₖ⁻¹ (xₙ − μₖ)
    \sum_n r_{nk} \Sigma_k^{-1} (x_n - \mu_k)
    Σₙ Σₖ rₙₖ (log πₖ + log N(xₙ; μₖ, Σₖ))
    \sum_n \sum_k r_{nk} (\log \pi_k + \log \mathcal{N}(x_n; \mu_k, \Sigma_k))
    log π_zₙ + log N(xₙ; μ_zₙ, Σ_zₙ)
    \log \pi_{z_n} + \log \mathcal{N}(x_n; \mu_{z_n}, \Sigma_{z_n})
    ");
}

#[test]
fn linear_models() {
    let mut p = Page::new();
    let (d, k) = (p.d.clone(), p.k.clone());
    let q = Size::Dim(p.s.add_dim("Q"));
    let x = p.sym("x", SymKind::Given, vec![d.clone()], Support::Real);
    let xd = p.sym("x", SymKind::Data, vec![d.clone()], Support::Real);
    let y = p.sym("y", SymKind::Data, vec![], Support::Real);
    let z = p.sym("z", SymKind::Latent, vec![q.clone()], Support::Real);
    let w = p.param("w", vec![d.clone()], Support::Real);
    let b = p.param("b", vec![], Support::Real);
    let v = p.param("sigma2", vec![], Support::Positive);
    let big_w = p.param("W", vec![d.clone(), q.clone()], Support::Real);
    let mu = p.param("mu", vec![d.clone()], Support::Real);
    let psi = p.param("psi", vec![d.clone()], Support::Positive);
    let gate = p.param("gate", vec![k.clone(), d.clone()], Support::Real);
    let gate0 = p.param("gate0", vec![k.clone()], Support::Real);
    let vk = p.param("sigma2", vec![k.clone()], Support::Positive);
    let (latent, kix) = (p.z, p.kix);
    let (code, ix) = (p.s.var(latent), p.s.index(kix));
    let s = &mut p.s;
    let wx = s.dot(w, x);
    let mean = s.add(wx, b);
    let e = s.sub(y, mean);
    let density = |s: &mut Store, e: Term, v: Term| {
        let (e2, l, tau) = (s.square(e), s.log(v), s.two_pi());
        let (q, c) = (s.div(e2, v), s.log(tau));
        let parts = [c, l, q].map(|t| s.minus_half(t));
        s.sum(&parts)
    };
    let regression = density(s, e, v);
    let vz = s.at(vk, &[code]);
    let switching = density(s, y, vz);
    let wz = s.matvec(big_w, z);
    let fit = s.add(wz, mu);
    let resid = s.sub(xd, fit);
    let noise = s.diag(psi);
    let quad = s.quad(noise, resid);
    let quad = s.minus_half(quad);
    let taken_apart = s.structured(quad);
    let wt = s.transpose(big_w);
    let ww = s.matmul(wt, big_w);
    let eye = s.eye(q.clone());
    let iso = s.mul(v, eye);
    let m = s.add(ww, iso);
    let m_inverse = s.inv(m);
    let centred = s.sub(xd, mu);
    let back = s.matvec(wt, centred);
    let posterior = s.matvec(m_inverse, back);
    let ridge = s.square(w);
    let ridge = s.total(ridge);
    let ridge = s.div(ridge, v);
    let ridge = s.minus_half(ridge);
    let gx = s.matvec(gate, x);
    let scores = s.add(gx, gate0);
    let soft = s.softmax(scores);
    let soft_k = s.at(soft, &[ix]);
    let lse = s.log_sum_exp(scores);
    let grad = s.gradient(regression, &[w, b, v]);
    let cov = s.outer(centred, z);
    let tr = s.matmul(m_inverse, ww);
    let tr = s.trace(tr);
    let v2 = s.square(v);
    let sd = s.sqrt(v);
    let shown = p.show(&[
        mean,
        regression,
        switching,
        fit,
        quad,
        taken_apart,
        posterior,
        ridge,
        soft_k,
        lse,
        grad[0],
        grad[1],
        grad[2],
        cov,
        tr,
        v2,
        sd,
    ]);
    let shown = shown + &print::unicode_short(&p.s, regression);
    insta::assert_snapshot!(shown, @r"
    wᵀ xₙ + b
    w^\top x_n + b
    −½ log(2πσ²) − ½ (yₙ − wᵀ xₙ − b)² / σ²
    -\tfrac12 \log(2\pi \sigma^2) - \tfrac12 \frac{(y_n - w^\top x_n - b)^2}{\sigma^2}
    −½ log(2πσ_zₙ²) − ½ yₙ² / σ_zₙ²
    -\tfrac12 \log(2\pi \sigma_{z_n}^2) - \tfrac12 \frac{y_n^2}{\sigma_{z_n}^2}
    W zₙ + μ
    W z_n + \mu
    −½ (xₙ − W zₙ − μ)ᵀ diag(ψ)⁻¹ (xₙ − W zₙ − μ)
    -\tfrac12 (x_n - W z_n - \mu)^\top \operatorname{diag}(\psi)^{-1} (x_n - W z_n - \mu)
    −½ Σ_d (x_{nd} − W_dᵀ zₙ − μ_d)² / ψ_d
    -\tfrac12 \sum_d \frac{(x_{nd} - W_d^\top z_n - \mu_d)^2}{\psi_d}
    (Wᵀ W + σ² I)⁻¹ Wᵀ (xₙ − μ)
    (W^\top W + \sigma^2 I)^{-1} W^\top (x_n - \mu)
    −½ ‖w‖² / σ²
    -\tfrac12 \frac{\|w\|^2}{\sigma^2}
    softmax(gate xₙ + gate₀)ₖ
    \operatorname{softmax}(\mathrm{gate} x_n + \mathrm{gate}_0)_k
    log Σₖ exp(gateₖᵀ xₙ + gate₀ₖ)
    \log \sum_k \exp(\mathrm{gate}_k^\top x_n + \mathrm{gate}_{0k})
    (yₙ − wᵀ xₙ − b) xₙ / σ²
    \frac{(y_n - w^\top x_n - b) x_n}{\sigma^2}
    (yₙ − wᵀ xₙ − b) / σ²
    \frac{y_n - w^\top x_n - b}{\sigma^2}
    ½ (yₙ − wᵀ xₙ − b)² / σ⁴ − 1 / (2 σ²)
    \tfrac12 \frac{(y_n - w^\top x_n - b)^2}{\sigma^4} - \frac{1}{2 \sigma^2}
    (xₙ − μ) zₙᵀ
    (x_n - \mu) z_n^\top
    tr((Wᵀ W + σ² I)⁻¹ Wᵀ W)
    \operatorname{tr}((W^\top W + \sigma^2 I)^{-1} W^\top W)
    σ⁴
    \sigma^4
    σ
    \sigma
    log N(yₙ; wᵀ xₙ + b, σ²)
    ");
}

#[test]
fn other_densities() {
    let mut p = Page::new();
    let k = p.k.clone();
    let (a, b) = (
        p.param("alpha", vec![], Support::Positive),
        p.param("beta", vec![], Support::Positive),
    );
    let (pr, lambda) = (
        p.param("p", vec![], Support::Unit),
        p.param("lambda", vec![], Support::NonNegative),
    );
    let y = p.sym("y", SymKind::Data, vec![], Support::Count);
    let u = p.sym("u", SymKind::Latent, vec![], Support::Positive);
    let act = p.sym("active", SymKind::Latent, vec![], Support::Binary);
    let al = p.param("alpha", vec![k.clone()], Support::Positive);
    let th = p.param("theta", vec![k.clone()], Support::Simplex);
    let s = &mut p.s;
    let one = s.num(1.0);
    let (a1, log_u, log_b) = (s.sub(a, one), s.log(u), s.log(b));
    let parts = [s.mul(a, log_b), s.mul(a1, log_u), s.mul(b, u), s.lgamma(a)];
    let (minus_bu, minus_g) = (s.neg(parts[2]), s.neg(parts[3]));
    let gamma = s.sum(&[parts[0], parts[1], minus_bu, minus_g]);
    let y1 = s.add(y, one);
    let (c, r, l) = (s.xlogy(y, lambda), s.neg(lambda), s.lgamma(y1));
    let l = s.neg(l);
    let poisson = s.sum(&[c, r, l]);
    let (na, np) = (s.sub(one, act), s.sub(one, pr));
    let (f, g) = (s.xlogy(act, pr), s.xlogy(na, np));
    let bernoulli = s.add(f, g);
    let zero = s.num(0.0);
    let rate = s.select(act, lambda, zero);
    let al1 = s.sub(al, one);
    let inner = s.xlogy(al1, th);
    let (inner, lg, sum) = (s.total(inner), s.lgamma(al), s.total(al));
    let (lg, whole) = (s.total(lg), s.lgamma(sum));
    let minus = s.neg(lg);
    let dirichlet = s.sum(&[inner, whole, minus]);
    let digamma = s.fun(Fun::Digamma, a);
    let elog = s.sub(digamma, log_b);
    let numbers: Vec<Term> = [0.25, 1.0 / 7.0, 1e-6, 2.5e7, 0.1, 12.0, std::f64::consts::PI]
        .map(|x| s.num(x))
        .into();
    let mut shown = p.show(&[gamma, poisson, bernoulli, rate, dirichlet, elog]);
    shown += &numbers
        .iter()
        .map(|&t| print::unicode(&p.s, t))
        .collect::<Vec<_>>()
        .join("  ");
    insta::assert_snapshot!(shown, @r"
    (α − 1) log uₙ + α log β − β uₙ − log Γ(α)
    (\alpha - 1) \log u_n + \alpha \log \beta - \beta u_n - \log \Gamma(\alpha)
    yₙ log λ − λ − log Γ(yₙ + 1)
    y_n \log \lambda - \lambda - \log \Gamma(y_n + 1)
    activeₙ log p + (1 − activeₙ) log(1 − p)
    \mathrm{active}_n \log p + (1 - \mathrm{active}_n) \log(1 - p)
    if activeₙ then λ else 0
    \begin{cases} \lambda & \mathrm{active}_n \\ 0 & \text{otherwise} \end{cases}
    Σₖ (αₖ − 1) log θₖ + log Γ(Σₖ αₖ) − Σₖ log Γ(αₖ)
    \sum_k (\alpha_k - 1) \log \theta_k + \log \Gamma(\sum_k \alpha_k) - \sum_k \log \Gamma(\alpha_k)
    ψ(α) − log β
    \psi(\alpha) - \log \beta
    ¼  1/7  10⁻⁶  2.5·10⁷  0.1  12  π
    ");
}

#[test]
fn chains_and_positions() {
    let mut p = Page::new();
    let t_size = Size::Dim(p.s.add_dim("T"));
    let t_ix = p.s.add_ix("t", t_size.clone());
    let k = p.k.clone();
    let beta = p.sym("beta", SymKind::Const, vec![t_size.clone()], Support::Positive);
    let a = p.param("A", vec![k.clone(), k.clone()], Support::Simplex);
    let zs = p.sym("z", SymKind::Latent, vec![t_size.clone()], Support::Category(k));
    let ix = p.s.index(t_ix);
    let s = &mut p.s;
    let one = s.num(1.0);
    let before = s.sub(ix, one);
    let (now, then) = (s.at(zs, &[ix]), s.at(zs, &[before]));
    let step = s.at(a, &[then, now]);
    let step = s.log(step);
    let b = s.at(beta, &[ix]);
    let keep = s.sub(one, b);
    let root = s.sqrt(keep);
    let noise = s.recip(root);
    let first = s.at(zs, &[one]);
    let head = s.slice(beta, one, Size::Const(3));
    let product = s.product(head);
    let value = s.mul(b, ix);
    let counted = s.add(ix, one);
    let shifted = s.div(counted, b);
    let shown = p.show(&[step, keep, root, noise, first, product, value, shifted]);
    insta::assert_snapshot!(shown, @r"
    log A_{z_{n,t−1},zₙₜ}
    \log A_{z_{n,t-1},z_{nt}}
    1 − βₜ
    1 - \beta_t
    √(1 − βₜ)
    \sqrt{1 - \beta_t}
    1 / √(1 − βₜ)
    \frac{1}{\sqrt{1 - \beta_t}}
    zₙ₂
    z_{n2}
    Π_{i=2..4} βᵢ
    \prod_{i=2}^4 \beta_i
    βₜ (t − 1)
    \beta_t (t - 1)
    t / βₜ
    \frac{t}{\beta_t}
    ");
}

/// Brackets close in the order in which they open; bars and cases aside.
fn balanced(text: &str) -> bool {
    let mut open = vec![];
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => open.push(c),
            ')' | ']' | '}' => {
                let Some(before) = open.pop() else { return false };
                if !matches!((before, c), ('(', ')') | ('[', ']') | ('{', '}')) {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.is_empty()
}

proptest! {
    #[test]
    fn every_term_is_written_with_balanced_brackets(data in prop::collection::vec(any::<u16>(), 0..80)) {
        let mut w = World::new();
        let t = w.scalar(&mut Choices::new(data), 4);
        for text in [print::unicode(&w.s, t), print::latex(&w.s, t), print::unicode_short(&w.s, t)] {
            prop_assert!(balanced(&text), "{}", text);
            prop_assert!(!text.contains("--") && !text.contains("−−") && !text.contains("+ −"), "{}", text);
        }
    }
}
