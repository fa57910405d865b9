//! Sizes: declared, set, or following from columns and categories.

use super::need::Need;
use crate::data::DataError;
use lvmc_base::Limit;
use lvmc_model::graph::{ModelGraph, Role};
use lvmc_term::{DimId, Size, Support};
use std::collections::BTreeMap;

/// The largest size: beyond it no array of a model is a sensible one.
const LARGEST: usize = 100_000_000;

type Sizes = BTreeMap<DimId, usize>;

/// A size's value, where all parts are known.
pub(super) fn value(size: &Size, sizes: &Sizes) -> Option<usize> {
    match size {
        Size::Const(n) => Some(*n),
        Size::Dim(d) => sizes.get(d).copied(),
        Size::Sum(parts) => parts.iter().try_fold(0usize, |n, p| n.checked_add(value(p, sizes)?)),
    }
}

/// A shape's values, where all are known.
pub(super) fn known(shape: &[Size], sizes: &Sizes) -> Option<Vec<usize>> {
    shape.iter().map(|s| value(s, sizes)).collect()
}

/// Number of elements, where all sizes are known.
pub(super) fn count(shape: &[Size], sizes: &Sizes) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, s| n.checked_mul(value(s, sizes)?))
}

fn name_of(graph: &ModelGraph, size: &Size) -> String {
    match size {
        Size::Const(n) => n.to_string(),
        Size::Dim(d) => graph.store.dim(*d).name.clone(),
        Size::Sum(parts) => parts.iter().map(|p| name_of(graph, p)).collect::<Vec<_>>().join(" + "),
    }
}

/// `D = 2`, or the number itself.
fn equation(graph: &ModelGraph, shape: &[Size], sizes: &Sizes) -> String {
    shape
        .iter()
        .map(|s| match s {
            Size::Const(n) => n.to_string(),
            _ => format!(
                "{} = {}",
                name_of(graph, s),
                value(s, sizes).map_or("?".into(), |v| v.to_string())
            ),
        })
        .collect::<Vec<_>>()
        .join(" × ")
}

/// Enters what the number of a variable's columns says about its sizes.
pub(super) fn from_columns(
    graph: &ModelGraph,
    need: &Need,
    columns: usize,
    sizes: &mut Sizes,
) -> Result<(), DataError> {
    if need.shape.is_empty() {
        return Ok(());
    }
    let wrong = |sizes: &Sizes, help: String| DataError::Columns {
        variable: need.name.clone(),
        expected: match count(&need.shape, sizes) {
            Some(1) => format!("1 column ({})", equation(graph, &need.shape, sizes)),
            Some(n) => format!("{n} columns ({})", equation(graph, &need.shape, sizes)),
            None => format!("a multiple of {} columns", equation(graph, &need.shape, sizes)),
        },
        found: if columns == 1 {
            "1 is".into()
        } else {
            format!("{columns} are")
        },
        help,
    };
    let open: Vec<&Size> = need.shape.iter().filter(|s| value(s, sizes).is_none()).collect();
    match open[..] {
        [] => {
            if count(&need.shape, sizes) == Some(columns) {
                return Ok(());
            }
            let help = match need.shape.iter().find(|s| matches!(s, Size::Dim(_))) {
                Some(d) => format!(
                    "choose its columns: --bind {}=…, or let the data say {} (leave it unset)",
                    need.name,
                    name_of(graph, d)
                ),
                None => format!("choose its columns: --bind {}=…", need.name),
            };
            Err(wrong(sizes, help))
        }
        [Size::Dim(d)] => {
            let rest = need
                .shape
                .iter()
                .filter(|s| **s != Size::Dim(*d))
                .try_fold(1usize, |n, s| n.checked_mul(value(s, sizes)?))
                .unwrap_or(0);
            if rest == 0 || !columns.is_multiple_of(rest) {
                return Err(wrong(sizes, format!("choose its columns: --bind {}=…", need.name)));
            }
            sizes.insert(*d, columns / rest);
            Ok(())
        }
        _ => match open
            .iter()
            .find_map(|s| if let Size::Dim(d) = s { Some(*d) } else { None })
        {
            Some(d) => Err(DataError::Size {
                name: graph.store.dim(d).name.clone(),
                example: columns.max(1),
            }),
            None => Err(wrong(sizes, "set the sizes it is made of".into())),
        },
    }
}

/// Every size must be known now.
pub(super) fn complete(graph: &ModelGraph, sizes: &Sizes) -> Result<(), DataError> {
    match graph.dims.iter().find(|d| !sizes.contains_key(&d.id)) {
        None => Ok(()),
        Some(d) => Err(DataError::Size {
            name: graph.store.dim(d.id).name.clone(),
            example: 2,
        }),
    }
}

/// Refuses sizes that no machine holds, before anything is made of them.
pub(super) fn limit(graph: &ModelGraph, sizes: &Sizes) -> Result<(), DataError> {
    for (d, &n) in sizes {
        if n > LARGEST {
            return Err(Limit {
                what: format!("the size {}", graph.store.dim(*d).name),
                found: n.to_string(),
                limit: LARGEST.to_string(),
                advice: format!("give a smaller one: --set {}=…", graph.store.dim(*d).name),
            }
            .into());
        }
    }
    let memory = crate::limits::memory();
    for (_, sym) in graph.store.syms() {
        let mut bytes: u64 = 8;
        for s in &sym.shape {
            if let Some(n) = value(s, sizes) {
                bytes = bytes.saturating_mul(n as u64);
            }
        }
        if bytes > memory {
            return Err(Limit {
                what: format!("the memory of `{}`, {} numbers,", sym.name, bytes / 8),
                found: crate::limits::show_bytes(bytes),
                limit: crate::limits::show_bytes(memory),
                advice: "choose smaller sizes".into(),
            }
            .into());
        }
    }
    Ok(())
}

/// A latent of a row needs at least as many rows as it has values.
pub(super) fn enough_rows(graph: &ModelGraph, sizes: &Sizes, rows: usize) -> Result<(), DataError> {
    for var in graph.vars.iter().filter(|v| v.role == Role::Latent) {
        if let Support::Category(size) = &graph.store.sym(var.sym).support
            && let Some(k) = value(size, sizes)
            && k > rows
            && matches!(size, Size::Dim(_))
        {
            return Err(DataError::FewRows {
                rows,
                name: name_of(graph, size),
                size: k,
            });
        }
    }
    Ok(())
}
