//! The columns of every variable.

use super::Options;
use super::need::Need;
use super::request::Request;
use super::sizes;
use crate::data::{DataError, Table, listed, near};
use lvmc_model::graph::Role;
use lvmc_term::{DimId, Support, SymId};
use std::collections::BTreeMap;

/// What was found.
pub(super) struct Found {
    /// One entry per need; `None` is absent data.
    pub columns: Vec<Option<Vec<usize>>>,
    pub weight: Option<usize>,
    pub roles: Vec<(String, usize)>,
    /// The variable that took what was left.
    pub automatic: Option<SymId>,
    pub remarks: Vec<String>,
}

/// Finds the columns of every variable.
pub(super) fn resolve(
    needs: &[Need],
    helpers: &[String],
    weight: Option<&str>,
    requests: &[Request],
    table: &Table,
    sizes: &BTreeMap<DimId, usize>,
    options: &Options,
) -> Result<Found, DataError> {
    let asked = |name: &str| requests.iter().find(|r| r.name == name);
    let mut roles = Vec::new();
    for name in helpers {
        let at = match asked(name) {
            Some(r) if r.columns.len() == 1 => r.columns[0],
            Some(r) => {
                return Err(DataError::BindSyntax {
                    text: r.text.clone(),
                    reason: format!("`{name}` is one column"),
                    help: format!("name the one column: --bind {name}=COLUMN"),
                });
            }
            None => table.find(name, "").map_err(|e| add_bind_hint(e, name))?,
        };
        roles.push((name.clone(), at));
    }
    let weight = weight.map(|w| table.find(w, " of weights")).transpose()?;

    let mut columns: Vec<Option<Vec<usize>>> = Vec::new();
    for need in needs {
        columns.push(match asked(&need.name) {
            Some(r) => Some(r.columns.clone()),
            None => by_name(need, table, sizes)?,
        });
    }
    for (need, columns) in needs.iter().zip(&columns) {
        if let (false, Some(columns)) = (need.is_vector(), columns)
            && columns.len() != 1
        {
            return Err(DataError::Columns {
                variable: need.name.clone(),
                expected: "one column".into(),
                found: format!("{} are", columns.len()),
                help: format!(
                    "--bind {}=COLUMN, or declare it as a vector: {} : real[D]",
                    need.name, need.name
                ),
            });
        }
    }
    let mut found = Found {
        columns,
        weight,
        roles,
        automatic: None,
        remarks: Vec::new(),
    };
    let open: Vec<usize> = (0..needs.len()).filter(|&i| found.columns[i].is_none()).collect();
    let must: Vec<usize> = open
        .iter()
        .copied()
        .filter(|&i| !(options.data_may_be_absent && needs[i].role == Role::Data))
        .collect();
    match must[..] {
        [] => {}
        [one] if must.len() == open.len() => {
            let taken = automatic(&needs[one], &found, table)?;
            found.remarks.extend(taken.1);
            found.automatic = Some(needs[one].sym);
            found.columns[one] = Some(taken.0);
        }
        _ => return Err(unbound(needs, &must, &found, table)),
    }
    Ok(found)
}

fn add_bind_hint(e: DataError, name: &str) -> DataError {
    match e {
        DataError::UnknownColumn {
            column,
            wanted_by,
            help,
        } => DataError::UnknownColumn {
            column,
            wanted_by,
            help: format!("--bind {name}=COLUMN says which it is; {help}"),
        },
        other => other,
    }
}

/// The column of that name; of a vector, the columns numbered after it.
fn by_name(need: &Need, table: &Table, sizes: &BTreeMap<DimId, usize>) -> Result<Option<Vec<usize>>, DataError> {
    let own = table.columns.iter().any(|c| c.name == need.name);
    if !need.is_vector() {
        return if own {
            table.find(&need.name, "").map(|c| Some(vec![c]))
        } else {
            Ok(None)
        };
    }
    if own {
        if sizes::count(&need.shape, sizes) == Some(1) {
            return table.find(&need.name, "").map(|c| Some(vec![c]));
        }
        let all: Vec<&str> = numeric(table).map(|c| table.columns[c].name.as_str()).collect();
        return Err(DataError::Ambiguous {
            variable: need.name.clone(),
            reason: format!(
                "it is a vector, and there is one column of that name in {}",
                table.source
            ),
            help: format!(
                "--bind {0}={0}   for that column alone\n--bind {0}={1}   for all numeric columns",
                need.name,
                pasteable(&all)
            ),
        });
    }
    let n = &need.name;
    for first in [0, 1] {
        for make in [
            |n: &str, i: usize| format!("{n}[{i}]"),
            |n: &str, i: usize| format!("{n}_{i}"),
            |n: &str, i: usize| format!("{n}{i}"),
        ] {
            let run: Vec<usize> = (first..).map_while(|i| table.lookup(&make(n, i))).collect();
            if run.len() > 1 {
                return Ok(Some(run));
            }
        }
    }
    Ok(None)
}

fn numeric(table: &Table) -> impl Iterator<Item = usize> + '_ {
    (0..table.columns.len()).filter(|&c| table.columns[c].as_numbers().is_some())
}

/// `a..d` for neighbours as one would type it, `a,b` for two.
fn pasteable(names: &[&str]) -> String {
    match names {
        [first, .., last] if names.len() > 6 => format!("{first}..{last}"),
        _ => names.join(","),
    }
}

/// The columns that are left, for the one variable that is left.
fn automatic(need: &Need, found: &Found, table: &Table) -> Result<(Vec<usize>, Vec<String>), DataError> {
    let mut remarks = Vec::new();
    let left: Vec<usize> = (0..table.columns.len()).filter(|c| !used(found, *c)).collect();
    if !need.is_vector() {
        if let [one] = left[..] {
            return Ok((vec![one], remarks));
        }
        return Err(unbound(std::slice::from_ref(need), &[0], found, table));
    }
    let mut columns = Vec::new();
    for c in left {
        let column = &table.columns[c];
        if column.as_numbers().is_none() {
            continue;
        }
        if column.name.is_empty() {
            remarks.push(format!(
                "the column without a name (number {}) is not part of `{}`",
                c + 1,
                need.name
            ));
        } else if column.missing().0 == table.rows {
            remarks.push(format!(
                "column `{}` is empty and not part of `{}`",
                column.name, need.name
            ));
        } else {
            columns.push(c);
        }
    }
    if columns.is_empty() {
        return Err(DataError::Unbound {
            variable: need.name.clone(),
            help: format!(
                "it would take the numeric columns that are left, and none are; the columns are {}",
                listed(table.names(), 12)
            ),
        });
    }
    for &c in &columns {
        if looks_like_label(table, c) {
            let others: Vec<&str> = columns
                .iter()
                .filter(|&&o| o != c)
                .map(|&o| table.columns[o].name.as_str())
                .collect();
            remarks.push(format!(
                "column `{}` looks like a label, and is part of `{}`; without it: --bind {}={}",
                table.columns[c].name,
                need.name,
                need.name,
                pasteable(&others)
            ));
        }
    }
    Ok((columns, remarks))
}

fn used(found: &Found, c: usize) -> bool {
    found.weight == Some(c)
        || found.roles.iter().any(|(_, at)| *at == c)
        || found.columns.iter().flatten().any(|columns| columns.contains(&c))
}

/// Few distinct whole numbers under a telling name, or the numbers of the rows.
fn looks_like_label(table: &Table, c: usize) -> bool {
    const LABELS: [&str; 12] = [
        "target", "label", "labels", "class", "classes", "cluster", "category", "group", "species", "type", "outcome",
        "y",
    ];
    const IDS: [&str; 6] = ["id", "index", "row", "rowid", "row_id", "no"];
    let column = &table.columns[c];
    let name = column.name.to_lowercase();
    let whole = |limit: usize| column.distinct(limit).filter(|v| v.iter().all(|x| x.fract() == 0.0));
    if LABELS.contains(&name.as_str()) {
        whole(50).is_some_and(|v| v.len() > 1)
    } else if IDS.contains(&name.as_str()) {
        whole(table.rows).is_some_and(|v| v.len() == table.rows)
    } else {
        false
    }
}

/// The error for variables that nothing was found for.
fn unbound(needs: &[Need], open: &[usize], found: &Found, table: &Table) -> DataError {
    // a scalar first: once it is bound, a vector may take the rest
    let pick = open
        .iter()
        .copied()
        .find(|&i| !needs[i].is_vector())
        .or_else(|| open.first().copied());
    let Some(need) = pick.and_then(|i| needs.get(i)) else {
        return DataError::Unbound {
            variable: String::new(),
            help: String::new(),
        };
    };
    let free: Vec<&str> = (0..table.columns.len())
        .filter(|c| !used(found, *c))
        .map(|c| table.columns[c].name.as_str())
        .collect();
    let rest: Vec<String> = open
        .iter()
        .filter_map(|&i| needs.get(i))
        .filter(|n| n.sym != need.sym)
        .map(|n| format!("`{}`", n.name))
        .collect();
    let close = near(&need.name, free.iter().copied());
    let example = close.or(free.first().copied()).unwrap_or("COLUMN");
    let mut help = String::new();
    if free.is_empty() {
        help += &format!("all columns of {} are bound already; it needs one more", table.source);
    } else if need.is_vector() {
        help += &format!("--bind {}={}", need.name, pasteable(&free));
    } else {
        help += &format!(
            "--bind {}={example}   (columns: {})",
            need.name,
            listed(free.iter().copied(), 12)
        );
    }
    if matches!(need.support, Support::Category(_)) {
        help += "; a category may be text or whole numbers";
    }
    if !rest.is_empty() {
        help += &format!("\nunbound as well: {}", rest.join(", "));
    }
    DataError::Unbound {
        variable: need.name.clone(),
        help,
    }
}
