//! Layers: what has weights, and what only nets have.

use super::value::Value;
use super::{ACTIVATIONS, Body};
use crate::errors::ModelError;
use crate::graph::{Dropout, Start};
use crate::lower::Lower;
use crate::names::near;
use crate::types::LARGEST;
use lvmc_base::{Limit, Span};
use lvmc_syntax::ast::{Expr, ExprKind};
use lvmc_term::{Cmp, Fun, Shape, Size, Support, Sym, SymKind, Term};

/// Added to the variance in a `layernorm`.
const SMALLEST_VARIANCE: f64 = 1e-5;

/// The longest wave of `sinusoidal`, over 2π.
const LONGEST_WAVE: f64 = 1e4;

impl<'a> Lower<'a> {
    /// The name of the next layer of the line: `h`, then `h.2`.
    pub(super) fn layer(&mut self, body: &mut Body<'a>) -> String {
        let count = body.layers.entry(body.line.clone()).or_insert(0);
        *count += 1;
        match *count {
            1 => format!("{}.{}", body.net, body.line),
            n => format!("{}.{}.{n}", body.net, body.line),
        }
    }

    /// A parameter of the net.
    pub(super) fn weight(
        &mut self,
        body: &mut Body<'a>,
        name: String,
        shape: Shape,
        start: Start,
        at: Span,
    ) -> Option<Term> {
        let known = shape.iter().filter_map(|n| self.number(n));
        let all = known.fold(1usize, usize::saturating_mul);
        if all as f64 > LARGEST {
            self.too_large(&format!("the weights {name}"), all, LARGEST as usize);
            return None;
        }
        let sym = self.store.add_sym(Sym {
            name,
            kind: SymKind::Param,
            shape,
            family: 0,
            per_row: false,
            support: Support::Real,
        });
        body.weights.push((sym, at, start));
        Some(self.store.var(sym))
    }

    pub(super) fn too_large(&mut self, what: &str, found: usize, limit: usize) {
        self.t.error(ModelError::Limit(Limit {
            what: what.into(),
            found: found.to_string(),
            limit: limit.to_string(),
            advice: "make the net smaller".into(),
        }));
    }

    /// W h + b: `dense(h, n)`.
    pub(super) fn dense(&mut self, body: &mut Body<'a>, h: Term, n: Size, at: Span) -> Option<Term> {
        let inputs = self.shape_of(h)[0].clone();
        let name = self.layer(body);
        let start = Start::Uniform { fan_in: inputs.clone() };
        let w = self.weight(body, format!("{name}.W"), vec![n.clone(), inputs], start.clone(), at)?;
        let b = self.weight(body, format!("{name}.b"), vec![n], start, at)?;
        let wh = self.store.matvec(w, h);
        Some(self.store.add(wh, b))
    }

    /// An activation's name, where the argument is one.
    pub(super) fn activation(&mut self, body: &Body<'a>, e: &Expr) -> Option<&'static str> {
        let text = self.t.text(e.span);
        if let ExprKind::Name(n) = &e.kind
            && let Some(a) = ACTIVATIONS.iter().find(|a| *a == n)
        {
            return Some(a);
        }
        let help = match near(text, &ACTIVATIONS) {
            Some(c) => format!("did you mean `{c}`?"),
            None => format!("the activations are {}", ACTIVATIONS.join(", ")),
        };
        let what = format!("there is no activation `{text}`");
        self.net_error(body, what, e.span, &help);
        None
    }

    /// f of every element; of softmax, of the vector.
    pub(super) fn activated(&mut self, body: &Body<'a>, act: &str, v: &Value, at: Span) -> Option<Value> {
        let x = v.term;
        let s = &mut self.store;
        let t = match act {
            "relu" => s.fun(Fun::Relu, x),
            "silu" => {
                let gate = s.fun(Fun::Sigmoid, x);
                s.mul(x, gate)
            }
            "gelu" => {
                let gate = s.fun(Fun::NormalCdf, x);
                s.mul(x, gate)
            }
            "tanh" => s.fun(Fun::Tanh, x),
            "sigmoid" => s.fun(Fun::Sigmoid, x),
            "softplus" => s.fun(Fun::Softplus, x),
            "exp" => s.fun(Fun::Exp, x),
            "softmax" => {
                let shape = self.value_shape(v);
                if shape.len() != 1 {
                    let what = format!("softmax is of a vector, and this is {}", self.shape_text(&shape));
                    self.net_error(body, what, at, "a vector first: softmax(flatten(h))");
                    return None;
                }
                self.store.softmax(x)
            }
            _ => x,
        };
        Some(v.same_layout(t))
    }

    /// (h − mean) / √(variance + 10⁻⁵) · gain + bias, over all elements.
    pub(super) fn layernorm(&mut self, body: &mut Body<'a>, v: &Value, at: Span) -> Option<Value> {
        let h = v.term;
        let shape = self.shape_of(h);
        if shape.is_empty() {
            let help = "it brings the elements of a vector to one scale: layernorm(dense(x, H))";
            self.net_error(body, "`layernorm` of a single number is 0".into(), at, help);
            return None;
        }
        let name = self.layer(body);
        let gain = self.weight(body, format!("{name}.gain"), shape.clone(), Start::One, at)?;
        let bias = self.weight(body, format!("{name}.bias"), shape.clone(), Start::Zero, at)?;
        let s = &mut self.store;
        let sizes: Vec<Term> = shape.iter().map(|n| s.size(n.clone())).collect();
        let n = s.product_of(&sizes);
        let total = s.total(h);
        let mean = s.div(total, n);
        let centred = s.sub(h, mean);
        let squares = s.square(centred);
        let squares = s.total(squares);
        let variance = s.div(squares, n);
        let floor = s.num(SMALLEST_VARIANCE);
        let variance = s.add(variance, floor);
        let power = s.num(-0.5);
        let scale = s.pow(variance, power);
        let t = s.product_of(&[centred, scale, gain]);
        let t = s.add(t, bias);
        Some(v.same_layout(t))
    }

    /// h times a mask that is 0 with probability p and 1/(1 − p) otherwise; the mask is a symbol that an application of
    /// the net replaces.
    pub(super) fn dropout(&mut self, body: &mut Body<'a>, v: &Value, p: Term, at: Span) -> Option<Value> {
        let good = match self.store.as_num(p) {
            Some(p) => (0.0..1.0).contains(&p),
            None => self.shape_of(p).is_empty() && !self.store.per_row(p),
        };
        if !good {
            let help = "the probability that an element is left out: dropout(h, 0.1)";
            let what = "`dropout` takes a number from 0 to below 1".into();
            self.net_error(body, what, at, help);
            return None;
        }
        if self.store.as_num(p) == Some(0.0) {
            return Some(v.clone());
        }
        let shape = self.shape_of(v.term);
        let name = self.layer(body);
        let mask = self.store.add_sym(Sym {
            name: format!("{name}.mask"),
            kind: SymKind::Noise,
            shape,
            family: 0,
            per_row: true,
            support: Support::NonNegative,
        });
        body.noises.push(Dropout { mask, rate: p });
        let m = self.store.var(mask);
        let t = self.store.mul(v.term, m);
        Some(v.same_layout(t))
    }

    /// The row of a learned table at a whole number from 1.
    pub(super) fn embedded(
        &mut self,
        body: &mut Body<'a>,
        at_value: Term,
        (values, n): (Size, Size),
        at: Span,
    ) -> Option<Value> {
        let name = self.layer(body);
        let start = Start::Normal { sd: 1.0 };
        let table = self.weight(body, format!("{name}.E"), vec![values, n], start, at)?;
        let one = self.store.num(1.0);
        let code = self.store.sub(at_value, one);
        Some(Value::plain(self.store.at(table, &[code])))
    }

    /// sin(t fᵢ) and then cos(t fᵢ), fᵢ = 10000^(−i / (n/2)), each n/2 numbers; a cosine is a sine a quarter turn on.
    pub(super) fn sinusoidal(&mut self, t: Term, n: &Size) -> Term {
        let i = self.counts(n);
        let s = &mut self.store;
        let len = s.size(n.clone());
        let half = s.scale(0.5, len);
        let later = s.cmp(Cmp::Le, half, i);
        let back = s.mul(half, later);
        let place = s.sub(i, back);
        let turns = s.div(place, half);
        let exponent = s.scale(-LONGEST_WAVE.ln(), turns);
        let frequency = s.exp(exponent);
        let quarter = s.scale(std::f64::consts::FRAC_PI_2, later);
        let angle = s.mul(t, frequency);
        let angle = s.add(angle, quarter);
        s.fun(Fun::Sin, angle)
    }
}
