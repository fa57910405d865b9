//! What a net gives back, against what its head promises.

use super::Body;
use crate::lower::Lower;
use lvmc_base::Span;
use lvmc_syntax::ast::{Ident, Type};
use lvmc_term::{Node, Shape, Support, Term};

impl<'a> Lower<'a> {
    pub(super) fn net_outputs(
        &mut self,
        body: &Body<'a>,
        names: &'a [(Ident, Type)],
        outputs: &[(Support, Shape)],
    ) -> Vec<Term> {
        let mut results = vec![];
        for ((name, ty), (support, want)) in names.iter().zip(outputs) {
            let found = match body.known.get(&name.name) {
                None => {
                    let help = format!("add a line:  {} = dense(…, {})", name.name, self.layer_size(ty));
                    let what = format!("its output `{}` is never defined", name.name);
                    self.net_error(body, what, name.span, &help);
                    None
                }
                Some(value) => value.clone(),
            };
            let term = found.and_then(|v| {
                let have = self.value_shape(&v);
                let t = self.settled(&v);
                let fits = self.aligned(t, want);
                if fits.is_none() {
                    let (have, wanted) = (self.shape_text(&have), self.shape_text(want));
                    let what = format!("`{}` is {have}, and its type says {wanted}", name.name);
                    self.net_error(body, what, ty.span, "the last layer's size is the output's");
                }
                fits
            });
            if let Some(t) = term {
                self.output_support(body, name, support, t, ty.span);
            }
            // a stand-in keeps the places of the outputs where a mistake was told
            results.push(term.unwrap_or_else(|| self.store.zeros(want.clone())));
        }
        results
    }

    /// The size that the layer of an output has.
    fn layer_size(&self, ty: &Type) -> String {
        match ty.sizes.as_slice() {
            [n] => self.t.text(n.span).to_string(),
            _ => "1".into(),
        }
    }

    /// An affine layer has values on both sides of any bound.
    fn output_support(&mut self, body: &Body<'a>, name: &Ident, support: &Support, t: Term, at: Span) {
        let (bounds, act) = match support {
            Support::Unit => ("[0, 1]", "sigmoid"),
            Support::Positive | Support::NonNegative => ("the positive numbers", "softplus"),
            Support::Simplex => ("the probabilities", "softmax"),
            _ => return,
        };
        if self.affine(t) {
            let what = format!(
                "`{}` is a linear layer, and its type says that it stays in {bounds}",
                name.name
            );
            let help = format!(
                "end with an activation: {} = dense(h, {}, {act})",
                name.name,
                self.layer_name(at)
            );
            self.net_error(body, what, at, &help);
        }
    }

    fn layer_name(&self, at: Span) -> String {
        let text = self.t.text(at);
        let inside = text.split_once('[').map(|(_, rest)| rest.trim_end_matches(']'));
        inside.unwrap_or("1").to_string()
    }

    fn affine(&self, t: Term) -> bool {
        match self.store.node(t) {
            Node::MatVec(..) | Node::MatMul(..) => true,
            Node::Add(ts) => ts.iter().any(|&x| self.affine(x)),
            Node::Reshape(a, _) | Node::Pick { of: a, .. } => self.affine(*a),
            _ => false,
        }
    }
}
