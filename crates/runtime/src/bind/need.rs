//! What a model wants of a table.

use lvmc_model::graph::{ModelGraph, Plate, Role, VarId};
use lvmc_term::{Shape, Support, SymId, SymKind};

/// A variable that takes columns.
#[derive(Debug, Clone)]
pub(super) struct Need {
    pub sym: SymId,
    pub name: String,
    pub role: Role,
    pub shape: Shape,
    pub support: Support,
}

impl Need {
    pub(super) fn is_vector(&self) -> bool {
        !self.shape.is_empty()
    }
}

/// Data and given variables that are columns; of a transformed one (`data x = pixels / 255`), what it is computed from.
pub(super) fn needs(graph: &ModelGraph) -> Vec<Need> {
    let mut out: Vec<Need> = Vec::new();
    let mut add = |sym: SymId, role: Role| {
        if out.iter().all(|n| n.sym != sym) {
            let s = graph.store.sym(sym);
            // of a chain observed at one position, that position
            let own = graph.vars.iter().find(|v| v.sym == sym);
            let observed_at = own.is_some_and(|v| v.observed_at.is_some() && v.role == Role::Latent);
            let support = match &s.support {
                // a net's Bernoulli takes grey values, as a pseudo-likelihood
                Support::Binary if role == Role::Data && (graph.guide.is_some() || !graph.nets.is_empty()) => {
                    Support::Unit
                }
                other => other.clone(),
            };
            out.push(Need {
                sym,
                name: s.name.clone(),
                role,
                shape: s.shape[usize::from(observed_at)..].to_vec(),
                support,
            });
        }
    };
    for (i, var) in graph.vars.iter().enumerate() {
        let made = graph.chain.as_ref().is_some_and(|c| c.makes(VarId::from_index(i)));
        if made {
            continue;
        }
        let here = matches!(var.role, Role::Data | Role::Given);
        let global = matches!(graph.plates.get(var.plate.index()), Some(Plate::Global));
        match var.observed_as {
            Some(term) => {
                for sym in graph.store.symbols(term) {
                    if matches!(graph.store.sym(sym).kind, SymKind::Given | SymKind::Data) && sym != var.sym {
                        add(sym, Role::Given);
                    }
                }
            }
            None if here && !global => add(var.sym, var.role),
            None if var.observed_at.is_some() => add(var.sym, Role::Data),
            None => {}
        }
    }
    out
}

/// Names of columns that order chains or group rows, and are not variables.
pub(super) fn helpers(graph: &ModelGraph) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for plate in &graph.plates {
        let name = match plate {
            Plate::Group { column, .. } => Some(column),
            Plate::Chain { by, .. } => by.as_ref(),
            _ => None,
        };
        if let Some(name) = name
            && !out.contains(name)
        {
            out.push(name.clone());
        }
    }
    out
}
