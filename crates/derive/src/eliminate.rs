//! Variable elimination: in which order the finite variables of a row are summed out.
//!
//! Statement: Σ_{z₁…z_m} Π_f φ_f is computed by summing one variable at a time out of the product of everything that
//! mentions it; the cost is exponential only in the largest clique, never in m. The order is greedy, fewest neighbours
//! first (ties: the later variable, so that effects go before their causes).

use crate::plan::Clique;

/// Cliques for `variables` finite variables and factors with those scopes. Every factor with a scope is in one clique, but
/// for factors of the `kept` variables alone: those are not summed out, and messages about them alone have no parent.
#[must_use]
pub fn eliminate(variables: usize, scopes: &[Vec<usize>], kept: &[usize]) -> Vec<Clique> {
    // what is still to be multiplied: (scope, factor or clique)
    let mut open: Vec<(Vec<usize>, Item)> = scopes
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.is_empty())
        .map(|(i, s)| (s.clone(), Item::Factor(i)))
        .collect();
    let mut left: Vec<usize> = (0..variables).filter(|v| !kept.contains(v)).collect();
    let mut cliques: Vec<Clique> = Vec::new();
    while let Some(at) = (0..left.len()).min_by_key(|&i| (neighbours(left[i], &open).len(), usize::MAX - left[i])) {
        let var = left.remove(at);
        let others = neighbours(var, &open);
        let (mine, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|(scope, _)| scope.contains(&var));
        open = rest;
        let mut clique = Clique {
            var,
            others: others.clone(),
            factors: vec![],
            children: vec![],
            parent: None,
            chain: None,
        };
        let me = cliques.len();
        for (_, item) in mine {
            match item {
                Item::Factor(f) => clique.factors.push(f),
                Item::Message(c) => {
                    cliques[c].parent = Some(me);
                    clique.children.push(c);
                }
            }
        }
        cliques.push(clique);
        if !others.is_empty() {
            open.push((others, Item::Message(me)));
        }
    }
    cliques
}

enum Item {
    Factor(usize),
    Message(usize),
}

fn neighbours(var: usize, open: &[(Vec<usize>, Item)]) -> Vec<usize> {
    let mut found: Vec<usize> = open
        .iter()
        .filter(|(s, _)| s.contains(&var))
        .flat_map(|(s, _)| s.iter().copied())
        .filter(|&v| v != var)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}
