//! `--bind x=eruptions,waiting`, `--bind x=p0..p63`.

use crate::data::{DataError, Table, listed, near};

/// A parsed `--bind`.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The variable.
    pub name: String,
    /// Positions of the columns.
    pub columns: Vec<usize>,
    /// As written.
    pub text: String,
}

/// Parses one `--bind`; `names` are the variables and columns that the model mentions.
pub(super) fn parse(text: &str, table: &Table, names: &[&str]) -> Result<Request, DataError> {
    let syntax = |reason: &str, help: String| DataError::BindSyntax {
        text: text.into(),
        reason: reason.into(),
        help,
    };
    let form = "it takes the form VARIABLE=COLUMN,COLUMN or VARIABLE=FIRST..LAST".to_string();
    let Some((name, list)) = text.split_once('=') else {
        return Err(syntax("there is no `=`", form));
    };
    let name = name.trim();
    if !names.contains(&name) {
        let help = match near(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the model's columns are for {}", listed(names.iter().copied(), 12)),
        };
        return Err(syntax(&format!("the model takes no column for `{name}`"), help));
    }
    let wanted_by = format!(" for `{name}`");
    let mut columns = Vec::new();
    // a column may hold a comma in its name: the whole list is tried as one name first
    if let Some(at) = table.lookup(list.trim()) {
        columns.push(at);
    } else {
        for part in list.split(',').map(str::trim) {
            if part.is_empty() {
                return Err(syntax("a column's name is missing", form));
            }
            match part.split_once("..") {
                Some((first, last)) if table.lookup(part).is_none() => {
                    let (a, b) = (
                        table.find(first.trim(), &wanted_by)?,
                        table.find(last.trim(), &wanted_by)?,
                    );
                    if a > b {
                        return Err(syntax(
                            &format!("`{first}` stands after `{last}` in the header"),
                            format!("write {name}={last}..{first}"),
                        ));
                    }
                    columns.extend(a..=b);
                }
                _ => columns.push(table.find(part, &wanted_by)?),
            }
        }
    }
    for (i, c) in columns.iter().enumerate() {
        if columns[..i].contains(c) {
            let column = table.columns.get(*c).map_or("", |c| c.name.as_str());
            return Err(syntax(
                &format!("column `{column}` stands there twice"),
                "name every column once".into(),
            ));
        }
    }
    Ok(Request {
        name: name.into(),
        columns,
        text: text.into(),
    })
}

/// The columns that a variable had elsewhere; nothing where another request names it, or where it may be absent and
/// none of its columns is there.
pub(super) fn known(
    name: &str,
    columns: &[String],
    table: &Table,
    optional: bool,
    before: &[Request],
) -> Result<Option<Request>, DataError> {
    let absent = columns.iter().all(|c| table.lookup(c).is_none());
    if before.iter().any(|r| r.name == name) || (optional && absent) {
        return Ok(None);
    }
    let found = columns
        .iter()
        .map(|c| table.find(c, &format!(" for `{name}`")))
        .collect::<Result<_, _>>()?;
    Ok(Some(Request {
        name: name.into(),
        columns: found,
        text: format!("{name}={}", columns.join(",")),
    }))
}

/// A variable is bound once.
pub(super) fn once_each(requests: &[Request]) -> Result<(), DataError> {
    for (i, r) in requests.iter().enumerate() {
        if let Some(before) = requests[..i].iter().find(|b| b.name == r.name) {
            return Err(DataError::BindSyntax {
                text: r.text.clone(),
                reason: format!("`{}` was bound already, by `--bind {}`", r.name, before.text),
                help: format!("name all columns of `{}` in one --bind, separated by commas", r.name),
            });
        }
    }
    Ok(())
}
