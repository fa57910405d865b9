//! Values in a net, how images are laid out, and bringing shapes together.

use super::Body;
use crate::lower::Lower;
use lvmc_base::Span;
use lvmc_term::{Shape, Size, Term};
use std::sync::Arc;

/// A value: a term, or an image `[channels, rows, columns]` held as the matrix `[rows · columns, channels]` that a
/// convolution gives (one large product over the pixels of all rows of the data) and the next one reads.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub term: Term,
    pub image: Option<[Size; 3]>,
}

impl Value {
    pub fn plain(term: Term) -> Self {
        Self { term, image: None }
    }
    pub fn same_layout(&self, term: Term) -> Self {
        let image = self.image.clone();
        Self { term, image }
    }
}

impl<'a> Lower<'a> {
    /// The shape that people see.
    pub(super) fn value_shape(&self, v: &Value) -> Shape {
        match &v.image {
            Some(image) => image.to_vec(),
            None => self.shape_of(v.term),
        }
    }

    /// The value as an array in its own order.
    pub(super) fn settled(&mut self, v: &Value) -> Term {
        let Some(image) = &v.image else { return v.term };
        let Some([c, h, w]) = self.numbers(image).and_then(|n| <[usize; 3]>::try_from(n).ok()) else {
            return v.term;
        };
        // element (k, y, x) of the image is element (y w + x, k) of the matrix
        let map: Arc<[u32]> = (0..c * h * w).map(|j| (j % (h * w) * c + j / (h * w)) as u32).collect();
        self.store.pick(v.term, map, image.to_vec())
    }

    /// `t` in that shape, where it has as many elements along the same axes: sizes that are equal numbers, axes of
    /// length 1 more or less.
    pub(crate) fn aligned(&mut self, t: Term, want: &[Size]) -> Option<Term> {
        let have = self.shape_of(t);
        if have == want {
            return Some(t);
        }
        let long = |s: &Self, shape: &[Size]| -> Vec<Result<usize, Size>> {
            let sizes = shape.iter().map(|n| s.number(n).ok_or_else(|| n.clone()));
            sizes.filter(|n| *n != Ok(1)).collect()
        };
        (long(self, &have) == long(self, want)).then(|| self.store.reshape(t, want.to_vec()))
    }

    /// Two operands of an elementwise operation: numbers, or arrays of one shape.
    pub(super) fn paired(&mut self, body: &Body<'a>, x: &Value, y: &Value, at: Span) -> Option<(Value, Value)> {
        let (sx, sy) = (self.value_shape(x), self.value_shape(y));
        if sx.is_empty() || sy.is_empty() || (x.image == y.image && sx == sy) {
            return Some((x.clone(), y.clone()));
        }
        let (a, b) = (self.settled(x), self.settled(y));
        if let Some(b) = self.aligned(b, &sx) {
            return Some((Value::plain(a), Value::plain(b)));
        }
        let what = format!("{} meets {}", self.shape_text(&sx), self.shape_text(&sy));
        self.net_error(body, what, at, "bring them to one size first: dense(h, D)");
        None
    }

    /// A value as a vector: numbers and arrays are laid out in order.
    pub(super) fn flattened(&mut self, body: &Body<'a>, v: &Value, at: Span) -> Option<Term> {
        let t = self.settled(v);
        let shape = self.shape_of(t);
        let long: Vec<&Size> = shape.iter().filter(|n| self.number(n) != Some(1)).collect();
        let len = match long[..] {
            [] => Size::Const(1),
            [n] => n.clone(),
            _ => Size::Const(self.elements(body, &shape, at)?),
        };
        Some(self.store.reshape(t, vec![len]))
    }

    /// The number of elements; sizes must be numbers.
    pub(super) fn elements(&mut self, body: &Body<'a>, shape: &[Size], at: Span) -> Option<usize> {
        let mut all = 1usize;
        for n in shape {
            let n = self.whole(body, n, at)?;
            all = all.saturating_mul(n);
        }
        if all > super::images::LARGEST {
            self.too_large("the elements of an array in a net", all, super::images::LARGEST);
            return None;
        }
        Some(all)
    }

    /// A size as a number, or a mistake.
    pub(super) fn whole(&mut self, body: &Body<'a>, n: &Size, at: Span) -> Option<usize> {
        let number = self.number(n);
        if number.is_none() {
            let name = crate::lower::size_text(&self.store, n);
            let what = format!("the size {name} is not known before data are read, and this needs a number");
            self.net_error(body, what, at, &format!("give it one: dim {name} = 8"));
        }
        number
    }
}
