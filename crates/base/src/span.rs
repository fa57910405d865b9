//! Byte ranges of a source text.

use std::ops::Range;
use std::sync::Arc;

/// A half-open byte range `start..end` of one source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span `start..end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }
    /// The smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
    /// As a `Range<usize>`.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl From<Span> for miette::SourceSpan {
    fn from(s: Span) -> Self {
        (s.start as usize, (s.end - s.start.min(s.end)) as usize).into()
    }
}

/// A named source text (a model file, or the text after `-e`).
#[derive(Debug, Clone)]
pub struct Source {
    /// Shown in diagnostics: the file's name as the user wrote it, or `-e`.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// A source of that name and text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
    /// The 1-based line of a byte position.
    #[must_use]
    pub fn line(&self, at: u32) -> usize {
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(at as usize)
            .filter(|&&b| b == b'\n')
            .count()
    }
    /// The text of a span; empty where the span is outside.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or("")
    }
    /// For miette: `Report::with_source_code(source.named())`.
    #[must_use]
    pub fn named(&self) -> miette::NamedSource<String> {
        miette::NamedSource::new(&*self.name, self.text.to_string())
    }
}
