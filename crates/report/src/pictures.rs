//! Rows that are pictures, side by side in one PNG.

use std::fmt::Write as _;

/// What a row holds as a picture: `height` × `width` numbers for each channel, row-major, channel by channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// 3 are shown as red, green and blue; any other number as grey pictures side by side.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

impl Shape {
    /// Of an array with these extents: two (a grey picture) or three (channels first).
    #[must_use]
    pub fn of(extents: &[usize]) -> Option<Self> {
        let (channels, height, width) = match *extents {
            [h, w] => (1, h, w),
            [c, h, w] => (c, h, w),
            _ => return None,
        };
        (channels > 0 && height > 0 && width > 0).then_some(Self {
            channels,
            height,
            width,
        })
    }

    /// From `8x8` or `3x8x8`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let extents: Option<Vec<usize>> = text.split(['x', '×']).map(|n| n.trim().parse().ok()).collect();
        Self::of(&extents?)
    }

    /// Numbers of a picture; `None` where that is no number of a machine.
    #[must_use]
    pub fn numbers(&self) -> Option<usize> {
        self.channels.checked_mul(self.height)?.checked_mul(self.width)
    }

    /// `8 × 8`, `3 × 8 × 8`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if self.channels > 1 {
            let _ = write!(out, "{} × ", self.channels);
        }
        let _ = write!(out, "{} × {}", self.height, self.width);
        out
    }
}

/// Pixels of the shorter side that a picture is enlarged to, at the least.
const SHOWN: usize = 48;
/// Pixels between pictures.
const GAP: usize = 2;
/// The most pixels of a file.
const MOST: usize = 1 << 28;

/// Why there is no file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PictureError {
    /// Too many or too large.
    #[error("{count} pictures of {shape} are more than a file holds")]
    Large {
        /// How many.
        count: usize,
        /// Their size.
        shape: String,
    },
    /// The encoder's reason.
    #[error("{0}")]
    Encode(String),
}

/// The range of numbers, for those without one of their own.
#[must_use]
pub fn range<'a>(pictures: impl IntoIterator<Item = &'a [f64]>) -> (f64, f64) {
    let all = pictures.into_iter().flatten().copied().filter(|x| x.is_finite());
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if low < high { (low, high) } else { (0.0, 1.0) }
}

/// Columns of a grid of that many pictures that is about as wide as high.
#[must_use]
pub fn columns(count: usize) -> usize {
    let mut n = 1;
    while n * n < count {
        n += 1;
    }
    n
}

/// The grid as a PNG file: pictures in reading order, `columns` a line. `range` is black to white; a number that is none
/// shows as grey.
///
/// # Errors
/// A file that would be too large.
pub fn grid(pictures: &[&[f64]], shape: Shape, columns: usize, range: (f64, f64)) -> Result<Vec<u8>, PictureError> {
    let colour = shape.channels == 3;
    let side_by_side = if colour { 1 } else { shape.channels };
    let bytes = if colour { 3 } else { 1 };
    let too_large = || PictureError::Large {
        count: pictures.len(),
        shape: shape.text(),
    };
    let scale = SHOWN.div_ceil(shape.height.min(shape.width)).max(1);
    let columns = columns.clamp(1, pictures.len().max(1));
    let tile = |n: usize| n.checked_mul(scale)?.checked_add(GAP);
    let across = |n: usize, count: usize| tile(n)?.checked_mul(count)?.checked_add(GAP);
    let per_row = columns.checked_mul(side_by_side).ok_or_else(too_large)?;
    let lines = pictures.len().div_ceil(columns).max(1);
    let (width, height) = across(shape.width, per_row)
        .zip(across(shape.height, lines))
        .filter(|&(w, h)| w.checked_mul(h).is_some_and(|n| n <= MOST))
        .ok_or_else(too_large)?;
    let mut pixels = vec![255u8; width * height * bytes];
    let level = |x: f64| {
        if x.is_nan() {
            return 128;
        }
        (((x - range.0) / (range.1 - range.0)).clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let plane = shape.height * shape.width;
    let (step_y, step_x) = (shape.height * scale + GAP, shape.width * scale + GAP);
    for (i, picture) in pictures.iter().enumerate() {
        for channel in 0..shape.channels {
            let (column, offset) = match colour {
                true => (i % columns, channel),
                false => ((i % columns) * side_by_side + channel, 0),
            };
            let (top, left) = (GAP + i / columns * step_y, GAP + column * step_x);
            for y in 0..shape.height * scale {
                for x in 0..shape.width * scale {
                    let from = channel * plane + y / scale * shape.width + x / scale;
                    let at = ((top + y) * width + left + x) * bytes + offset;
                    pixels[at] = level(picture.get(from).copied().unwrap_or(f64::NAN));
                }
            }
        }
    }
    encoded(&pixels, width, height, colour)
}

fn encoded(pixels: &[u8], width: usize, height: usize, colour: bool) -> Result<Vec<u8>, PictureError> {
    let mut out = vec![];
    let failed = |e: png::EncodingError| PictureError::Encode(e.to_string());
    let side = |n: usize| u32::try_from(n).map_err(|e| PictureError::Encode(e.to_string()));
    let mut encoder = png::Encoder::new(&mut out, side(width)?, side(height)?);
    encoder.set_color(if colour {
        png::ColorType::Rgb
    } else {
        png::ColorType::Grayscale
    });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (png::OutputInfo, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("a frame");
        (info, pixels)
    }

    #[test]
    fn pixels_stand_where_the_numbers_do() {
        let shape = Shape::of(&[2, 3]).expect("a picture");
        let (a, b) = ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [1.0, f64::NAN, 2.0, -1.0, 0.0, 0.0]);
        let bytes = grid(&[&a, &b], shape, 2, (0.0, 1.0)).expect("a file");
        let (info, pixels) = decoded(&bytes);
        let scale = 24;
        assert_eq!((info.width, info.height), (2 * (3 * 24 + 2) + 2, 2 * 24 + 4));
        let at = |tile: usize, y: usize, x: usize| {
            let left = GAP + tile * (3 * scale + GAP) + x * scale;
            pixels[(GAP + y * scale + 5) * info.width as usize + left + 5]
        };
        let shown = |t: usize| (0..6).map(|i| at(t, i / 3, i % 3)).collect::<Vec<_>>();
        assert_eq!(shown(0), [0, 51, 102, 153, 204, 255]);
        assert_eq!(shown(1), [255, 128, 255, 0, 0, 0]);
        assert_eq!(pixels[0], 255, "gaps are white");
    }

    #[test]
    fn three_channels_are_colours_and_others_stand_side_by_side() {
        let row = [0.0, 1.0, 0.5];
        let bytes = grid(&[&row], Shape::of(&[3, 1, 1]).expect("a picture"), 1, (0.0, 1.0)).expect("a file");
        let (info, pixels) = decoded(&bytes);
        assert_eq!(info.color_type, png::ColorType::Rgb);
        let at = (10 * info.width as usize + 10) * 3;
        assert_eq!(&pixels[at..at + 3], [0, 255, 128]);
        let bytes = grid(&[&row[..2]], Shape::of(&[2, 1, 1]).expect("a picture"), 1, (0.0, 1.0)).expect("a file");
        let (info, _) = decoded(&bytes);
        assert_eq!((info.color_type, info.width), (png::ColorType::Grayscale, 2 * 50 + 2));
    }

    #[test]
    fn shapes_are_read_and_sizes_are_limited() {
        assert_eq!(Shape::parse("8x8"), Shape::of(&[8, 8]));
        assert_eq!(Shape::parse("3x4×5"), Shape::of(&[3, 4, 5]));
        for bad in ["", "8", "8x", "0x8", "8x8x8x8", "axb"] {
            assert_eq!(Shape::parse(bad), None, "{bad}");
        }
        let huge = Shape::of(&[1 << 40, 1 << 40]).expect("extents");
        assert_eq!(huge.numbers(), None);
        assert!(grid(&[&[0.0]], huge, 1, (0.0, 1.0)).is_err());
        assert_eq!((columns(1), columns(10), columns(64)), (1, 4, 8));
        assert_eq!(range([&[f64::NAN, 3.0, -1.0][..]]), (-1.0, 3.0));
    }
}
