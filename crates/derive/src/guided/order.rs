//! The order in which a guide's factors are drawn: each after those that its arguments mention.

use crate::error::DeriveError;
use lvmc_model::graph::{Factor, ModelGraph};

/// The guide's factors, each after those it depends on.
pub(super) fn guide(graph: &ModelGraph) -> Result<Vec<&Factor>, DeriveError> {
    let mut left: Vec<&Factor> = graph.guide.iter().flat_map(|g| &g.factors).collect();
    let mut out: Vec<&Factor> = vec![];
    while !left.is_empty() {
        let waits = |f: &&Factor| {
            left.iter().any(|g| {
                let sym = graph.var(g.var).sym;
                g.var != f.var && f.dist.mentions(&graph.store, sym)
            })
        };
        let Some(i) = left
            .iter()
            .position(|f| !waits(f) && !f.dist.mentions(&graph.store, graph.var(f.var).sym))
        else {
            let f = left[0];
            return Err(DeriveError::NoPosterior {
                name: graph.var(f.var).name.clone(),
                reason: "q's factors depend on each other in a circle".into(),
                span: f.span,
                help: "a guide draws one variable after the other: z1 ~ … x …; z2 ~ … z1, x …".into(),
            });
        };
        out.push(left.remove(i));
    }
    Ok(out)
}
