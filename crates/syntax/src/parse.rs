//! From bytes to a syntax tree: decoding, limits, scan, layout, grammar, tree.

use lvmc_base::{Limit, Source};

use crate::ast::Model;
use crate::error::SyntaxError;
use crate::scan::{Scan, scan};
use crate::token::Kind;
use crate::{build, explain, grammar, layout};

/// The longest text of a model.
pub const MAX_BYTES: usize = 1 << 20;

/// Makes a source of a file's bytes.
///
/// # Errors
/// Too many bytes, bytes that no text holds, or another encoding than UTF-8.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Source, SyntaxError> {
    small_enough(name, bytes.len())?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let help = "this is UTF-16: save it as UTF-8, or: iconv -f UTF-16 -t UTF-8".into();
        return Err(SyntaxError::Encoding {
            name: name.into(),
            at: 1,
            byte: bytes[0],
            help,
        });
    }
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(SyntaxError::Binary {
            name: name.into(),
            at: at + 1,
        });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(e) => {
            let at = e.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let help = "save it as UTF-8; if it is Latin-1: iconv -f LATIN1 -t UTF-8".into();
            Err(SyntaxError::Encoding {
                name: name.into(),
                at: at + 1,
                byte,
                help,
            })
        }
    }
}

/// Parses a model.
///
/// # Errors
/// Whatever keeps the text from being a model, with the place and the fix.
pub fn parse(source: &Source) -> Result<Model, SyntaxError> {
    text(&source.name, &source.text).map(|(model, _)| model)
}

/// Parses a text; the scan serves the formatter.
pub(crate) fn text(name: &str, text: &str) -> Result<(Model, Scan), SyntaxError> {
    small_enough(name, text.len())?;
    if let Some(at) = text.bytes().position(|b| b == 0) {
        return Err(SyntaxError::Binary {
            name: name.into(),
            at: at + 1,
        });
    }
    let scan = scan(text)?;
    if !scan.tokens.iter().any(|t| t.significant() && t.text(text) != ";") {
        return Err(SyntaxError::Empty);
    }
    let plain = layout::layout(text, &scan);
    let pairs = grammar::parse(&plain).map_err(|e| explain::explain(text, &scan, &e))?;
    let model = build::model(pairs, description(text, &scan))?;
    Ok((model, scan))
}

fn small_enough(name: &str, bytes: usize) -> Result<(), SyntaxError> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(SyntaxError::Limit(Limit {
        what: name.into(),
        found: format!("{bytes} bytes long"),
        limit: format!("{MAX_BYTES}"),
        advice: "a model describes data and does not hold them: is this a data file?".into(),
    }))
}

/// The comment lines that the file begins with, without their marks.
fn description(text: &str, scan: &Scan) -> Option<String> {
    let mut lines = Vec::new();
    let mut after_break = true;
    for token in &scan.tokens {
        match token.kind {
            Kind::Comment if after_break => {
                let line = token.text(text).trim_start_matches('#');
                lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end());
                after_break = false;
            }
            Kind::Newline if !after_break || lines.is_empty() => after_break = true,
            _ => break,
        }
    }
    if lines.is_empty() { None } else { Some(lines.join("\n")) }
}
