//! A fit as a file: one JSON object, written at once or not at all.

use crate::engine::Values;
use crate::result::{FORMAT, Fit};
use lvmc_base::Exit;
use lvmc_loops::lowered::Lowered;
use miette::Diagnostic;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file that cannot be written, or is no fit.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum FileError {
    /// Writing failed; what was there before is still there.
    #[error("cannot write {path}: {reason}")]
    #[diagnostic(code(lvm::file::write), help("{help}"))]
    Write {
        /// The path as given.
        path: String,
        /// The system's reason.
        reason: String,
        /// What to do.
        help: String,
    },
    /// Reading failed.
    #[error("cannot read {path}: {reason}")]
    #[diagnostic(code(lvm::file::read), help("give a file that `lvmc fit --out FILE` wrote"))]
    Read {
        /// The path as given.
        path: String,
        /// Why.
        reason: String,
    },
    /// The file is no fit.
    #[error("{path} is not a fit: {reason}")]
    #[diagnostic(code(lvm::file::not_a_fit), help("give a file that `lvmc fit --out FILE` wrote"))]
    NotAFit {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A state that a fit cannot go on from.
    #[error("there is nothing to go on from: {reason}")]
    #[diagnostic(code(lvm::file::state), help("{help}"))]
    State {
        /// What is wrong.
        reason: String,
        /// What to do.
        help: String,
    },
    /// A fit of another format.
    #[error("{path} was written by lvmc {version} in format {found}, and this is format {FORMAT}")]
    #[diagnostic(code(lvm::file::version), help("fit again, or use that version"))]
    Version {
        /// The path as given.
        path: String,
        /// Who wrote it.
        version: String,
        /// Its format.
        found: u64,
    },
    /// Starting values that do not fit.
    #[error("{path} does not start this model: {reason}")]
    #[diagnostic(code(lvm::file::init), help("{help}"))]
    Init {
        /// The path as given.
        path: String,
        /// Why.
        reason: String,
        /// What is needed.
        help: String,
    },
}

impl FileError {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Writes a file so that it is there whole or not at all: into a neighbour, then renamed. What is no regular file (a
/// pipe, a device) is written to directly.
///
/// # Errors
/// What the system says.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let fail = |e: &std::io::Error, help: &str| FileError::Write {
        path: path.display().to_string(),
        reason: match e.kind() {
            std::io::ErrorKind::NotFound => "its folder does not exist".into(),
            std::io::ErrorKind::PermissionDenied => "permission denied".into(),
            std::io::ErrorKind::StorageFull => "the disk is full".into(),
            _ => e.to_string(),
        },
        help: help.into(),
    };
    let kept = "nothing was changed; choose another place";
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let e = std::io::Error::other("it is a directory");
            return Err(fail(&e, "name a file in it"));
        }
        Ok(meta) if !meta.is_file() => {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .open(path)
                .map_err(|e| fail(&e, kept))?;
            return file
                .write_all(bytes)
                .and_then(|()| file.flush())
                .map_err(|e| fail(&e, kept));
        }
        _ => {}
    }
    // through a link, so that the file it points to is replaced and not the link
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let neighbour = neighbour(&target);
    let written = (|| {
        let mut file = std::fs::File::create(&neighbour)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&neighbour, &target)
    })();
    written.map_err(|e| {
        let _ = std::fs::remove_file(&neighbour);
        fail(&e, kept)
    })
}

fn neighbour(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Writes a fit.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, fit: &Fit) -> Result<(), FileError> {
    let mut text = serde_json::to_string_pretty(fit).map_err(|e| FileError::Write {
        path: path.display().to_string(),
        reason: e.to_string(),
        help: "this is a bug: please report it".into(),
    })?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

fn json(path: &Path) -> Result<Value, FileError> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| FileError::Read {
        path: name.clone(),
        reason: match e.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".into(),
            _ => e.to_string(),
        },
    })?;
    serde_json::from_slice(&bytes).map_err(|e| FileError::NotAFit {
        path: name,
        reason: format!("no JSON: {e}"),
    })
}

/// Reads a fit and checks that it is whole.
///
/// # Errors
/// The file cannot be read, is no fit, or is of another format.
pub fn read(path: &Path) -> Result<Fit, FileError> {
    let name = path.display().to_string();
    let not = |reason: String| FileError::NotAFit {
        path: name.clone(),
        reason,
    };
    let value = json(path)?;
    let Some(found) = value.get("format").and_then(Value::as_u64) else {
        return Err(not("it has no `format`".into()));
    };
    if found != u64::from(FORMAT) {
        let version = value
            .get("version")
            .and_then(Value::as_str)
            .unwrap_or("of an unknown version");
        return Err(FileError::Version {
            path: name.clone(),
            version: version.into(),
            found,
        });
    }
    let fit: Fit = serde_json::from_value(value).map_err(|e| not(e.to_string()))?;
    for p in &fit.parameters {
        let wanted = p.shape.iter().try_fold(1usize, |n, &s| n.checked_mul(s));
        if wanted != Some(p.values.len()) || p.axes.len() != p.shape.len() {
            return Err(not(format!(
                "`{}` has {} values for the shape {:?}",
                p.name,
                p.values.len(),
                p.shape
            )));
        }
    }
    for (name, m) in &fit.moments {
        if m.centre.len() != m.scale.len() {
            return Err(not(format!(
                "`{name}` has {} centres and {} scales",
                m.centre.len(),
                m.scale.len()
            )));
        }
    }
    Ok(fit)
}

/// Starting values from a fit file, or from a JSON object of names to nested arrays.
///
/// # Errors
/// The file cannot be read, or values are missing or of the wrong shape.
pub fn read_init(path: &Path, lowered: &Lowered) -> Result<Values, FileError> {
    let name = path.display().to_string();
    let value = json(path)?;
    let from_fit = value.get("parameters").and_then(Value::as_array);
    let needed = || {
        let all: Vec<String> = lowered
            .params
            .iter()
            .map(|p| format!("{} {:?}", p.name, p.shape))
            .collect();
        format!("the parameters and their shapes are {}", all.join(", "))
    };
    let fail = |reason: String| FileError::Init {
        path: name.clone(),
        reason,
        help: needed(),
    };
    let mut out = Vec::with_capacity(lowered.params.len());
    for slot in &lowered.params {
        let entry = match from_fit {
            Some(list) => list
                .iter()
                .find(|p| p.get("name").and_then(Value::as_str) == Some(&slot.name))
                .and_then(|p| p.get("values")),
            None => value.get("parameters").unwrap_or(&value).get(&slot.name),
        };
        let entry = entry.ok_or_else(|| fail(format!("it has no `{}`", slot.name)))?;
        let mut flat = Vec::new();
        let shape = if from_fit.is_some() {
            vec![slot.shape.iter().product()]
        } else {
            slot.shape.clone()
        };
        flatten(entry, &shape, &mut flat).map_err(|why| fail(format!("`{}`: {why}", slot.name)))?;
        out.push(flat);
    }
    Ok(out)
}

fn flatten(value: &Value, shape: &[usize], out: &mut Vec<f64>) -> Result<(), String> {
    match (shape, value) {
        ([], Value::Number(x)) => {
            out.push(x.as_f64().unwrap_or(f64::NAN));
            Ok(())
        }
        ([n, rest @ ..], Value::Array(items)) if items.len() == *n => {
            items.iter().try_for_each(|item| flatten(item, rest, out))
        }
        ([n, ..], Value::Array(items)) => Err(format!("{} entries where {n} belong", items.len())),
        ([], _) => Err("a number belongs where there is something else".into()),
        ([n, ..], _) => Err(format!("a list of {n} belongs where there is something else")),
    }
}
