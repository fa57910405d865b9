//! Convolutions: patches picked by position, then a matrix product.
//!
//! An image `[C, H, W]` is held as the matrix `[H W, C]`. `conv2d` picks of each window its `C s²` elements: patches
//! `[H' W', C s²]` times the transposed kernels `[K, C s²]` is the next image. `conv_transpose2d` is its transpose: each pixel
//! times the kernels `[C, K s²]` gives the patches that are added up where they lie.

use super::Body;
use super::value::Value;
use crate::graph::Start;
use crate::lower::Lower;
use lvmc_base::Span;
use lvmc_term::{NOWHERE, Shape, Size, Term};
use std::sync::Arc;

/// The most numbers of a row that a layer of a convolution may hold.
pub(super) const LARGEST: usize = 4_000_000;

/// What a convolution is asked for.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    pub channels: Size,
    pub size: usize,
    pub stride: usize,
    pub at: Span,
}

/// The windows of an image: window (v, u) begins at (v · stride − margin, u · stride − margin).
struct Windows {
    channels: usize,
    height: usize,
    width: usize,
    size: usize,
    stride: usize,
}

impl Windows {
    /// How many windows there are along an axis: one for every `stride` pixels.
    fn along(&self, n: usize) -> usize {
        n.div_ceil(self.stride)
    }

    fn len(&self) -> usize {
        let patch = self.channels.saturating_mul(self.size.saturating_mul(self.size));
        self.along(self.height)
            .saturating_mul(self.along(self.width))
            .saturating_mul(patch)
    }

    /// For each window, channel and place in the window: the position in the image's matrix `[H W, C]`.
    fn map(&self, place: impl Fn(usize, usize, usize) -> usize) -> Arc<[u32]> {
        let (area, margin) = (self.size * self.size, (self.size - 1) / 2);
        let (across, patch) = (self.along(self.width), self.channels * area);
        let inside = |i: usize, n: usize| i.checked_sub(margin).filter(|&i| i < n);
        (0..self.len())
            .map(|j| {
                let (window, k) = (j / patch, j % patch);
                let y = inside(window / across * self.stride + k % area / self.size, self.height);
                let x = inside(window % across * self.stride + k % self.size, self.width);
                match (y, x) {
                    (Some(y), Some(x)) => place(k / area, y, x) as u32,
                    _ => NOWHERE,
                }
            })
            .collect()
    }
}

impl<'a> Lower<'a> {
    /// `conv2d(x, channels, size, stride)`.
    pub(super) fn conv2d(&mut self, body: &mut Body<'a>, x: &Value, kernel: &Kernel) -> Option<Value> {
        let (of, image, [c, h, w], last) = self.image(body, x, kernel)?;
        let windows = Windows {
            channels: c,
            height: h,
            width: w,
            size: kernel.size,
            stride: kernel.stride,
        };
        let out = self.whole(body, &kernel.channels, kernel.at)?;
        let (rows, cols) = (windows.along(h), windows.along(w));
        let most = windows.len().max(rows.saturating_mul(cols).saturating_mul(out));
        self.small_enough(most)?;
        let patch = c * kernel.size * kernel.size;
        let map = windows.map(|k, y, x| if last { (y * w + x) * c + k } else { (k * h + y) * w + x });
        let pixels = Size::Const(rows * cols);
        let patches = self.store.pick(of, map, vec![pixels.clone(), Size::Const(patch)]);
        let name = self.layer(body);
        let start = Start::Uniform {
            fan_in: Size::Const(patch),
        };
        let shape = vec![kernel.channels.clone(), Size::Const(patch)];
        let kernels = self.weight(body, format!("{name}.W"), shape, start.clone(), kernel.at)?;
        let kernels = self.store.transpose(kernels);
        let t = self.store.matmul(patches, kernels);
        let bias = self.channel_bias(body, &name, (rows * cols, out), &kernel.channels, start, kernel.at)?;
        // a size keeps its name where the image keeps its size
        let keep = |now: usize, before: usize, size: &Size| if now == before { size.clone() } else { Size::Const(now) };
        let image = [
            kernel.channels.clone(),
            keep(rows, h, &image[1]),
            keep(cols, w, &image[2]),
        ];
        Some(Value {
            term: self.store.add(t, bias),
            image: Some(image),
        })
    }

    /// `conv_transpose2d(x, channels, size, stride)`: the image becomes `stride` times as large.
    pub(super) fn conv_transpose2d(&mut self, body: &mut Body<'a>, x: &Value, kernel: &Kernel) -> Option<Value> {
        let (of, image, [c, h, w], last) = self.image(body, x, kernel)?;
        let out = self.whole(body, &kernel.channels, kernel.at)?;
        let (rows, cols) = (h.saturating_mul(kernel.stride), w.saturating_mul(kernel.stride));
        let windows = Windows {
            channels: out,
            height: rows,
            width: cols,
            size: kernel.size,
            stride: kernel.stride,
        };
        self.small_enough(windows.len().max(rows.saturating_mul(cols).saturating_mul(out)))?;
        let pixels = if last {
            of
        } else {
            let map: Arc<[u32]> = (0..c * h * w).map(|j| (j % c * h * w + j / c) as u32).collect();
            self.store.pick(of, map, vec![Size::Const(h * w), Size::Const(c)])
        };
        let area = kernel.size * kernel.size;
        let name = self.layer(body);
        // an element of the result is a sum of so many
        let start = Start::Uniform {
            fan_in: Size::Const((c * area / (kernel.stride * kernel.stride)).max(1)),
        };
        let shape = vec![image[0].clone(), Size::Const(out * area)];
        let kernels = self.weight(body, format!("{name}.W"), shape, start.clone(), kernel.at)?;
        let patches = self.store.matmul(pixels, kernels);
        let map = windows.map(|k, y, x| (y * cols + x) * out + k);
        let whole = vec![Size::Const(rows * cols), kernel.channels.clone()];
        let t = self.store.unpick(patches, map, whole);
        let bias = self.channel_bias(body, &name, (rows * cols, out), &kernel.channels, start, kernel.at)?;
        let keep = |now: usize, before: usize, size: &Size| if now == before { size.clone() } else { Size::Const(now) };
        let image = [
            kernel.channels.clone(),
            keep(rows, h, &image[1]),
            keep(cols, w, &image[2]),
        ];
        Some(Value {
            term: self.store.add(t, bias),
            image: Some(image),
        })
    }

    /// An image's elements, its sizes, these as numbers, and whether channels come last.
    fn image(&mut self, body: &Body<'a>, x: &Value, kernel: &Kernel) -> Option<(Term, Shape, [usize; 3], bool)> {
        let shape = match self.value_shape(x) {
            plane if plane.len() == 2 => [vec![Size::Const(1)], plane].concat(),
            other => other,
        };
        if shape.len() != 3 {
            let what = format!("a convolution takes an image, and this is {}", self.shape_text(&shape));
            let help = "an image is real[H, W] or real[C, H, W]: reshape(h, C, H, W)";
            self.net_error(body, what, kernel.at, help);
            return None;
        }
        let mut sizes = [0; 3];
        for (size, n) in sizes.iter_mut().zip(&shape) {
            *size = self.whole(body, n, kernel.at)?;
        }
        self.small_enough(sizes.iter().copied().fold(1, usize::saturating_mul))?;
        let layout = match &x.image {
            // the matrix [H W, C] has its sizes in another order; only numbers count from here on
            Some(_) => x.term,
            None => self.settled(x),
        };
        Some((layout, shape, sizes, x.image.is_some()))
    }

    fn small_enough(&mut self, elements: usize) -> Option<()> {
        if elements > LARGEST {
            self.too_large("the numbers that a convolution holds for a row", elements, LARGEST);
            return None;
        }
        Some(())
    }

    /// One number a channel, at every pixel.
    fn channel_bias(
        &mut self,
        body: &mut Body<'a>,
        name: &str,
        (pixels, channels): (usize, usize),
        size: &Size,
        start: Start,
        at: Span,
    ) -> Option<Term> {
        let bias = self.weight(body, format!("{name}.b"), vec![size.clone()], start, at)?;
        let map: Arc<[u32]> = (0..pixels * channels).map(|j| (j % channels) as u32).collect();
        let shape = vec![Size::Const(pixels), size.clone()];
        Some(self.store.pick(bias, map, shape))
    }
}
