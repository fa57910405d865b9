//! The state of a fit by gradients beside its fit file, to go on from: `fit.json.state`.
//!
//! A header of one line of JSON, then every array as little-endian f64, so that what is read is what was written, bit for bit.

use super::train::State;
use crate::fitfile::{FileError, write_atomic};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const MAGIC: &str = "lvmc state 1";

#[derive(Serialize, Deserialize)]
struct Header {
    magic: String,
    /// The model's text, so that another model's state is refused.
    model: String,
    step: u64,
    updates: u64,
    factor: u64,
    rescues: u32,
    best: Option<(u64, usize)>,
    loss: u64,
    params: Vec<usize>,
    moments: Vec<[usize; 2]>,
    trace: usize,
    held: usize,
    best_params: Vec<usize>,
    #[serde(default)]
    start: Option<u64>,
}

/// Where the state of a fit stands.
#[must_use]
pub fn beside(fit: &Path) -> PathBuf {
    let mut name = fit.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

/// Writes the state beside a fit.
///
/// # Errors
/// What the file system says.
pub fn write(fit: &Path, model: &str, state: &State) -> Result<(), FileError> {
    let header = Header {
        magic: MAGIC.into(),
        model: model.into(),
        step: state.step,
        updates: state.updates,
        factor: state.factor.to_bits(),
        rescues: state.rescues,
        best: state.best.map(|(s, e)| (s.to_bits(), e)),
        loss: state.loss.to_bits(),
        params: state.params.iter().map(Vec::len).collect(),
        moments: state.moments.iter().map(|m| [m[0].len(), m[1].len()]).collect(),
        trace: state.trace.len(),
        held: state.held.len(),
        best_params: state.best_params.iter().map(Vec::len).collect(),
        start: state.start.map(f64::to_bits),
    };
    let mut out = serde_json::to_vec(&header).unwrap_or_default();
    out.push(b'\n');
    let arrays = state
        .params
        .iter()
        .chain(state.moments.iter().flatten())
        .chain([&state.trace, &state.held])
        .chain(&state.best_params);
    for x in arrays.flatten() {
        out.extend_from_slice(&x.to_le_bytes());
    }
    write_atomic(&beside(fit), &out)
}

/// Reads the state beside a fit of that model.
///
/// # Errors
/// A file that is not there, or is the state of another model.
pub fn read(fit: &Path, model: &str) -> Result<State, FileError> {
    let path = beside(fit);
    let shown = path.display().to_string();
    let bytes = std::fs::read(&path).map_err(|e| FileError::State {
        reason: match e.kind() {
            std::io::ErrorKind::NotFound => format!("there is no {shown}"),
            _ => format!("{shown} cannot be read: {e}"),
        },
        help: "`lvmc fit --out FILE` writes the state of a fit by gradients beside FILE, as FILE.state; --resume FILE \
               reads it"
            .into(),
    })?;
    let wrong = |reason: &str| FileError::State {
        reason: format!("{shown}: {reason}"),
        help: "without --resume the fit begins anew".into(),
    };
    let end = bytes
        .iter()
        .position(|&b| b == b'\n')
        .ok_or_else(|| wrong("it has no header"))?;
    let header: Header = serde_json::from_slice(&bytes[..end]).map_err(|_| wrong("its header is none of lvmc's"))?;
    if header.magic != MAGIC {
        return Err(wrong("it was written by another version of lvmc"));
    }
    if header.model != model {
        return Err(wrong(
            "it is the state of another model, or the model's text has changed since",
        ));
    }
    let mut numbers = bytes[end + 1..]
        .chunks_exact(8)
        .map(|c| f64::from_le_bytes(c.try_into().unwrap_or_default()));
    let sizes = header.params.iter().chain(header.moments.iter().flatten());
    let sizes = sizes.chain([&header.trace, &header.held]).chain(&header.best_params);
    let mut total = 0usize;
    for n in sizes {
        total = total.saturating_add(*n);
    }
    if total != (bytes.len() - end - 1) / 8 {
        return Err(wrong("it is cut short"));
    }
    let mut take = |n: usize| -> Vec<f64> { numbers.by_ref().take(n).collect() };
    let params = header.params.iter().map(|&n| take(n)).collect();
    let moments = header.moments.iter().map(|&[a, b]| [take(a), take(b)]).collect();
    let (trace, held) = (take(header.trace), take(header.held));
    Ok(State {
        params,
        moments,
        step: header.step,
        updates: header.updates,
        factor: f64::from_bits(header.factor),
        rescues: header.rescues,
        loss: f64::from_bits(header.loss),
        trace,
        held,
        best: header.best.map(|(s, e)| (f64::from_bits(s), e)),
        best_params: header.best_params.iter().map(|&n| take(n)).collect(),
        start: header.start.map(f64::from_bits),
    })
}
