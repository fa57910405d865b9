//! Model texts: a file, standard input, a built-in model, or the text after `-e`.

use crate::builtin;
use crate::cli::args::ModelArgs;
use crate::cli::output::reason;
use crate::failure::Failure;
use lvmc_base::{Exit, Source, closest};
use lvmc_model::Settings;
use lvmc_syntax::{MAX_BYTES, decode};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A model's text with what was set for it, and the arguments that are left.
#[derive(Debug)]
pub struct Loaded {
    /// The text.
    pub source: Source,
    /// `--set`, and the file's stem.
    pub settings: Settings,
    /// Positional arguments after the model.
    pub rest: Vec<String>,
}

/// Splits the positional arguments and reads the model.
///
/// # Errors
/// No model, too many arguments, or a file that cannot be read as text.
pub fn load(files: &[String], args: &ModelArgs, wants: &str, most: usize) -> Result<Loaded, Failure> {
    let (model, rest) = match (&args.expression, files) {
        (Some(_), rest) => (None, rest),
        (None, [model, rest @ ..]) => (Some(model), rest),
        (None, []) => {
            return Err(Failure::usage(
                "a model is missing",
                format!("lvmc {wants}, or -e TEXT in place of MODEL; lvmc models lists the built-in ones"),
            ));
        }
    };
    if rest.len() > most {
        let extra = rest.get(most).map_or("", String::as_str);
        let message = format!("`{extra}` is one argument too many");
        return Err(Failure::usage(
            message,
            format!("lvmc {wants}; with -e the text stands in place of MODEL"),
        ));
    }
    let (source, default_name) = match (model, &args.expression) {
        (Some(path), _) => read_model(path)?,
        (None, text) => (Source::new("-e", text.as_deref().unwrap_or_default()), None),
    };
    let settings = Settings {
        set: args.set.clone(),
        default_name,
        columns: vec![],
    };
    Ok(Loaded {
        source,
        settings,
        rest: rest.to_vec(),
    })
}

/// The text of a model file, and the name that the file gives the model.
///
/// # Errors
/// A file that cannot be read, or is not text.
pub fn read_model(path: &str) -> Result<(Source, Option<String>), Failure> {
    let name = if path == "-" { "standard input" } else { path };
    match read_bytes(path) {
        Ok(bytes) => {
            let source = decode(name, &bytes).map_err(|e| Failure::new(e.exit(), e))?;
            Ok((source, stem(path)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match builtin::find(path) {
            Some(text) => Ok((Source::new(format!("{path} (built in)"), text), Some(path.to_owned()))),
            None => Err(missing(path)),
        },
        Err(error) => Err(Failure::usage(
            format!("cannot read {name}: {}", reason(&error)),
            "MODEL is a text file such as model.lvm",
        )),
    }
}

/// The bytes of a file, never more than one beyond the limit of a model.
fn read_bytes(path: &str) -> io::Result<Vec<u8>> {
    let limit = MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    if path == "-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn stem(path: &str) -> Option<String> {
    let stem = Path::new(path).file_stem()?.to_string_lossy().into_owned();
    (path != "-").then_some(stem)
}

fn missing(path: &str) -> Failure {
    let folder = Path::new(path)
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let file = Path::new(path)
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    let here: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| Path::new(n).extension().is_some_and(|x| x == "lvm"))
        .collect();
    let near_file = closest(&file, here.iter().map(String::as_str));
    let near_model = closest(path, builtin::MODELS.iter().map(|m| m.0));
    let help = if !folder.is_dir() {
        format!("there is no folder {}", folder.display())
    } else if let Some(near) = near_file {
        format!(
            "did you mean {}?",
            folder.join(near).display().to_string().trim_start_matches("./")
        )
    } else if let Some(near) = near_model {
        format!("did you mean the built-in model {near}?")
    } else if path.contains('~') || path.contains('=') {
        "a text in place of a file follows -e".to_owned()
    } else {
        "lvmc models lists the built-in models".to_owned()
    };
    Failure::new(
        Exit::Usage,
        crate::failure::Usage {
            message: format!("there is no file {path}, and no built-in model of that name"),
            help,
        },
    )
}
