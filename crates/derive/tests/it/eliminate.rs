//! Cliques of the elimination of finite variables.

use lvmc_derive::eliminate::eliminate;

#[test]
fn one_variable_is_one_clique() {
    let c = eliminate(1, &[vec![0], vec![0]], &[]);
    assert_eq!(c.len(), 1);
    assert_eq!(c[0].factors, vec![0, 1]);
    assert!(c[0].others.is_empty());
}

#[test]
fn a_chain_never_multiplies_blindly() {
    let scopes: Vec<Vec<usize>> = std::iter::once(vec![0])
        .chain((1..12).map(|i| vec![i - 1, i]))
        .collect();
    let c = eliminate(12, &scopes, &[]);
    assert_eq!(c.len(), 12);
    assert!(c.iter().all(|c| c.others.len() <= 1));
    assert_eq!(c.iter().filter(|c| c.parent.is_none()).count(), 1);
}

#[test]
fn independent_parts_have_their_own_roots() {
    let c = eliminate(2, &[vec![0], vec![1]], &[]);
    assert!(c.iter().all(|c| c.parent.is_none() && c.children.is_empty()));
}
