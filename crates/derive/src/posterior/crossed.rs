//! crossed and nested groups: one Gaussian over the effects of several columns.
//!
//! Statement: the members of one column, u_k of precision Λ_k, are eliminated first; the effects w of the others, one vector for each
//! scalar family, have the precision Λ_w − Σ_k C_kᵀ Λ_k⁻¹ C_k with C_k = Σₙ [gₙ = k] ∂²(−log p)/∂u ∂w. With
//! G_k = Λ_k⁻¹ C_k: E u_k = Λ_k⁻¹ η_k − G_k E w, cov(u_k, w) = −G_k cov w, cov u_k = Λ_k⁻¹ + G_k cov(w) G_kᵀ. A residual
//! that is affine in the effects of its row adds its variance to its square.

use super::group::{
    NAME, Noise, Result1, RowSystem, Rows, atoms_of, eta_of, finish_norm, finish_prior, finish_row, in_row,
    member_index, place_local, precision_of, prior_at, prior_system, report, restore_complete, row_systems,
};
use super::scatter::data_only;
use super::{Defined, define, gaussian};
use crate::affine::jacobian;
use crate::flatten::flatten;
use crate::joint::LogJoint;
use crate::plan::Value;
use crate::rules::Decline;

use lvmc_term::{IxId, Node, Size, Store, Sym, SymKind, Term};
use std::collections::HashMap;

/// A scalar family of the dense part: an effect, or one element of it.
struct Piece {
    effect: usize,
    /// Position among all local atoms.
    atom: usize,
    /// Element of a vector effect.
    element: Option<usize>,
    name: String,
    code: Term,
    j: IxId,
    size: Size,
}

/// The effect that is eliminated first.
struct First {
    effect: usize,
    name: String,
    code: Term,
    k: IxId,
    size: Size,
    /// Positions among all local atoms.
    atoms: Vec<usize>,
    /// It is a vector, read element by element.
    vector: bool,
}

/// Tables of the posterior: by element of the first effect, and by piece.
struct Tables {
    /// E u, vectors over k.
    first: Vec<Term>,
    /// E w, vectors over j.
    dense: Vec<Term>,
    /// cov(u, w), matrices.
    between: Vec<Vec<Term>>,
    /// cov(w, w), matrices.
    within: Vec<Vec<Term>>,
    /// cov u_k, at k.
    own: Vec<Vec<Term>>,
}

/// See [`super::group`].
pub(super) fn eliminate(joint: &mut LogJoint, rows: &Rows) -> Result1<()> {
    let systems = row_systems(joint, rows)?;
    let (first, pieces) = arranged(joint, rows)?;
    let tables = solved(joint, rows, &systems, &first, &pieces)?;
    priors(joint, &first, &pieces, &tables)?;
    let (means, covariance) = local_moments(joint, rows, &first, &pieces, &tables);
    for &f in &rows.factors {
        let (term, span) = (joint.factors[f].cases[0].term, joint.factors[f].span);
        let whole = expected(joint, term, &means, &covariance).map_err(|why| (0, Decline::at(why, span)))?;
        finish_row(joint, f, &means, whole);
    }
    super::impute_in(joint, &mut |joint, t| expected(joint, t, &means, &covariance).ok());
    restore_complete(joint);
    Ok(())
}

/// Which effect goes first (the last one written, but vectors before scalars), and the scalar families of the others.
fn arranged(joint: &mut LogJoint, rows: &Rows) -> Result1<(First, Vec<Piece>)> {
    let n = joint.effects.len();
    for e in 0..n {
        let vector = !joint.store.shape(rows.locals[e].atoms[0]).is_empty();
        if vector {
            let reason = "several columns group the rows, and it is a vector that rows do not use element by element";
            return Err((e, Decline::at(reason, rows.spans[e])));
        }
        if joint.effects[e].code.is_none() {
            let reason = "it has no members, beside effects of groups";
            return Err((e, Decline::at(reason, rows.spans[e])));
        }
    }
    let widest = (0..n).max_by_key(|&e| (rows.locals[e].atoms.len(), e)).unwrap_or(0);
    let mut taken = vec![];
    let mut made = vec![];
    for e in 0..n {
        let ix = member_index(joint, e, &mut taken).unwrap_or(IxId(0));
        made.push((ix, joint.store.ix(ix).size.clone()));
    }
    let name = |joint: &LogJoint, e: usize| joint.store.sym(joint.effects[e].sym).name.clone();
    let code = |joint: &LogJoint, e: usize| joint.effects[e].code;
    let mut pieces = vec![];
    for e in (0..n).filter(|&e| e != widest) {
        for (i, atom) in atoms_of(rows, e).into_iter().enumerate() {
            let elements = rows.locals[e].elements;
            let own = name(joint, e);
            let Some(code) = code(joint, e) else { continue };
            pieces.push(Piece {
                effect: e,
                atom,
                element: elements.then_some(i),
                name: if elements { format!("{own}_{}", i + 1) } else { own },
                code,
                j: made[e].0,
                size: made[e].1.clone(),
            });
        }
    }
    let Some(code) = code(joint, widest) else {
        return Err((widest, Decline::at("it has no members", rows.spans[widest])));
    };
    let first = First {
        effect: widest,
        name: name(joint, widest),
        code,
        k: made[widest].0,
        size: made[widest].1.clone(),
        atoms: atoms_of(rows, widest),
        vector: rows.locals[widest].elements,
    };
    Ok((first, pieces))
}

fn table(joint: &mut LogJoint, name: String, ixs: &[IxId], value: Term) -> Term {
    let shape = joint.store.shape(value).to_vec();
    define(joint, Defined::new(NAME, name, ixs), Value::Term(value), &shape)
}

/// The whole of a definition over its indices; a term that does not depend on them repeated.
fn whole(joint: &mut LogJoint, name: String, ixs: &[(IxId, &Size)], value: Term) -> Term {
    let indices: Vec<IxId> = ixs.iter().map(|x| x.0).collect();
    let free = joint.store.free_indices(value);
    if indices.iter().any(|i| !free.contains(i)) {
        // one number for all members
        let shape = ixs.iter().map(|x| x.1.clone()).collect();
        return joint.store.fill(value, shape);
    }
    let atom = table(joint, name, &indices, value);
    match *joint.store.node(atom) {
        Node::At(base, _) => base,
        _ => atom,
    }
}

fn element(s: &mut Store, t: Term, i: usize, vector: bool) -> Term {
    if !vector {
        return t;
    }
    let i = s.num(i as f64);
    s.at(t, &[i])
}

fn solved(
    joint: &mut LogJoint,
    rows: &Rows,
    systems: &[RowSystem],
    first: &First,
    pieces: &[Piece],
) -> Result1<Tables> {
    let f = first.effect;
    let at = |e: usize| move |why: Decline| (e, why);
    let k = [(first.code, first.k)];
    let over_k = [(first.k, &first.size)];
    // Λ_k and η_k
    let prior = prior_at(joint, f, Some(first.k));
    let mut own = prior_system(joint, &[f], &[prior])?;
    let mine = (&first.atoms[..], first.vector);
    let from_rows = eta_of(&mut joint.store, systems, &k, mine.0, mine.1).map_err(at(f))?;
    let eta = joint
        .store
        .sum(&[vec![own.eta[0]], from_rows.into_iter().collect()].concat());
    let from_rows = precision_of(&mut joint.store, systems, &k, mine, mine).map_err(at(f))?;
    let all: Vec<Term> = own.precision[0][0].take().into_iter().chain(from_rows).collect();
    let precision = joint.store.sum(&all);
    let precision = table(joint, format!("Lambda_{}", first.name), &[first.k], precision);
    let shift = gaussian::solved(&mut joint.store, precision, eta);
    let shift = table(joint, format!("a_{}", first.name), &[first.k], shift);
    let width = first.atoms.len();
    let label = |a: usize, p: &Piece, letter: &str| {
        if first.vector {
            format!("{letter}_{}_{}_{}", first.name, a + 1, p.name)
        } else {
            format!("{letter}_{}_{}", first.name, p.name)
        }
    };
    // C and G, matrices of members by members
    let mut cross: Vec<Vec<Option<Term>>> = vec![];
    let mut slopes: Vec<Vec<Option<Term>>> = vec![];
    for p in pieces {
        let (mut c_of, mut g_of) = (vec![None; width], vec![None; width]);
        let same = p.code == first.code;
        let codes = if same { k.to_vec() } else { vec![k[0], (p.code, p.j)] };
        let found = precision_of(&mut joint.store, systems, &codes, mine, (&[p.atom], false)).map_err(at(f))?;
        if let Some(mut c) = found {
            if same {
                let (x, y) = (joint.store.index(first.k), joint.store.index(p.j));
                let is = joint.store.cmp(lvmc_term::Cmp::Eq, x, y);
                c = joint.store.mul(is, c);
            }
            let over = [(first.k, &first.size), (p.j, &p.size)];
            let ixs = [first.k, p.j];
            let c = table(joint, format!("C_{}_{}", first.name, p.name), &ixs, c);
            let g = gaussian::solved(&mut joint.store, precision, c);
            let g = table(joint, format!("G_{}_{}", first.name, p.name), &ixs, g);
            for a in 0..width {
                let (ca, ga) = (
                    element(&mut joint.store, c, a, first.vector),
                    element(&mut joint.store, g, a, first.vector),
                );
                let pick = |joint: &mut LogJoint, t: Term, letter: &str| match *joint.store.node(t) {
                    Node::At(base, ref at) if !first.vector && at.len() == 2 => base,
                    _ => whole(joint, label(a, p, letter), &over, t),
                };
                c_of[a] = Some(pick(joint, ca, "C"));
                g_of[a] = Some(pick(joint, ga, "G"));
            }
        }
        cross.push(c_of);
        slopes.push(g_of);
    }
    let shifts: Vec<Term> = (0..width)
        .map(|a| {
            let t = element(&mut joint.store, shift, a, first.vector);
            whole(joint, format!("a_{}_{}", first.name, a + 1), &over_k, t)
        })
        .collect();
    let (dense, moves) = dense_part(joint, rows, systems, pieces, (&cross, &slopes, &shifts))?;
    // covariances of the dense part
    let m = pieces.len();
    let mut within = vec![vec![]; m];
    for p in 0..m {
        for q in 0..m {
            if q < p {
                let t: Term = within[q][p];
                let t = joint.store.transpose(t);
                within[p].push(t);
                continue;
            }
            let mut parts = vec![];
            for source in &moves {
                if let (Some(a), Some(b)) = (source.get(p).copied().flatten(), source.get(q).copied().flatten()) {
                    let a = joint.store.transpose(a);
                    parts.push(joint.store.matmul(a, b));
                }
            }
            let sum = joint.store.sum(&parts);
            let name = if p == q {
                format!("S_{}", pieces[p].name)
            } else {
                format!("S_{}_{}", pieces[p].name, pieces[q].name)
            };
            within[p].push(table(joint, name, &[], sum));
        }
    }
    // the first effect's means and covariances
    let (mut means, mut between) = (vec![], vec![]);
    for a in 0..width {
        let mut parts = vec![shifts[a]];
        for (p, mean) in dense.iter().enumerate() {
            if let Some(g) = slopes[p][a] {
                let known = joint.store.matvec(g, *mean);
                parts.push(joint.store.neg(known));
            }
        }
        let sum = joint.store.sum(&parts);
        let name = if first.vector {
            format!("m_{}_{}", first.name, a + 1)
        } else {
            format!("m_{}", first.name)
        };
        means.push(table(joint, name, &[], sum));
        let mut line = vec![];
        for q in 0..m {
            let mut parts = vec![];
            for p in 0..m {
                if let Some(g) = slopes[p][a] {
                    let t = joint.store.matmul(g, within[p][q]);
                    parts.push(joint.store.neg(t));
                }
            }
            let sum = if parts.is_empty() {
                joint.store.zeros(vec![first.size.clone(), pieces[q].size.clone()])
            } else {
                joint.store.sum(&parts)
            };
            line.push(table(joint, label(a, &pieces[q], "S"), &[], sum));
        }
        between.push(line);
    }
    let inverse = if first.vector {
        joint.store.inv(precision)
    } else {
        joint.store.recip(precision)
    };
    let mut own = vec![vec![]; width];
    for a in 0..width {
        for b in 0..width {
            let mut parts = vec![if first.vector {
                let (i, j) = (joint.store.num(a as f64), joint.store.num(b as f64));
                joint.store.at(inverse, &[i, j])
            } else {
                inverse
            }];
            let k = joint.store.index(first.k);
            for (p, slope) in slopes.iter().enumerate() {
                if let Some(g) = slope[b] {
                    let (g, t) = (joint.store.at(g, &[k]), joint.store.at(between[a][p], &[k]));
                    let dot = joint.store.dot(g, t);
                    parts.push(joint.store.neg(dot));
                }
            }
            let sum = joint.store.sum(&parts);
            let name = if first.vector {
                format!("S_{}_{}{}", first.name, a + 1, b + 1)
            } else {
                format!("S_{}", first.name)
            };
            own[a].push(table(joint, name, &[first.k], sum));
        }
    }
    let norm = gaussian::half_log_normaliser(&mut joint.store, precision);
    finish_norm(joint, f, &[first.k], &[norm]);
    Ok(Tables {
        first: means,
        dense,
        between,
        within,
        own,
    })
}

/// By source of noise, by piece.
type Moves = Vec<Vec<Option<Term>>>;

/// Means and roots of the dense part.
fn dense_part(
    joint: &mut LogJoint,
    rows: &Rows,
    systems: &[RowSystem],
    pieces: &[Piece],
    (cross, slopes, shifts): (&Moves, &Moves, &[Term]),
) -> Result1<(Vec<Term>, Moves)> {
    let m = pieces.len();
    let (mut eta, mut precision) = (vec![], vec![]);
    for (p, piece) in pieces.iter().enumerate() {
        let e = piece.effect;
        let at = |why: Decline| (e, why);
        let prior = prior_at(joint, e, Some(piece.j));
        let own = prior_system(joint, &[e], &[prior])?;
        let codes = [(piece.code, piece.j)];
        let over = [(piece.j, &piece.size)];
        let from_prior = element(
            &mut joint.store,
            own.eta[0],
            piece.element.unwrap_or(0),
            piece.element.is_some(),
        );
        let from_rows = eta_of(&mut joint.store, systems, &codes, &[piece.atom], false).map_err(at)?;
        let sum = joint
            .store
            .sum(&[vec![from_prior], from_rows.into_iter().collect()].concat());
        let mut parts = vec![whole(joint, format!("eta_{}", piece.name), &over, sum)];
        for (a, &shift) in shifts.iter().enumerate() {
            if let Some(c) = cross[p][a] {
                let c = joint.store.transpose(c);
                let known = joint.store.matvec(c, shift);
                parts.push(joint.store.neg(known));
            }
        }
        let sum = joint.store.sum(&parts);
        eta.push(table(joint, format!("h_{}", piece.name), &[], sum));
        let mut line = vec![];
        for (q, other) in pieces.iter().enumerate() {
            let mut parts = vec![];
            if piece.code == other.code {
                let mut sums = vec![];
                if piece.effect == other.effect
                    && let Some(prior) = own.precision[0][0]
                {
                    sums.push(match (piece.element, other.element) {
                        (Some(i), Some(j)) => {
                            let (i, j) = (joint.store.num(i as f64), joint.store.num(j as f64));
                            joint.store.at(prior, &[i, j])
                        }
                        _ => prior,
                    });
                }
                let found = precision_of(
                    &mut joint.store,
                    systems,
                    &codes,
                    (&[piece.atom], false),
                    (&[other.atom], false),
                );
                sums.extend(found.map_err(at)?);
                if !sums.is_empty() {
                    let sum = joint.store.sum(&sums);
                    let name = if p == q {
                        piece.name.clone()
                    } else {
                        format!("{}_{}", piece.name, other.name)
                    };
                    let d = whole(joint, format!("Lambda_{name}"), &over, sum);
                    parts.push(joint.store.diag(d));
                }
            } else {
                let both = [codes[0], (other.code, other.j)];
                let found = precision_of(
                    &mut joint.store,
                    systems,
                    &both,
                    (&[piece.atom], false),
                    (&[other.atom], false),
                );
                if let Some(c) = found.map_err(at)? {
                    let over = [(piece.j, &piece.size), (other.j, &other.size)];
                    parts.push(whole(joint, format!("C_{}_{}", piece.name, other.name), &over, c));
                }
            }
            for a in 0..shifts.len() {
                if let (Some(c), Some(g)) = (cross[p][a], slopes[q][a]) {
                    let c = joint.store.transpose(c);
                    let known = joint.store.matmul(c, g);
                    parts.push(joint.store.neg(known));
                }
            }
            line.push((!parts.is_empty()).then(|| {
                let sum = joint.store.sum(&parts);
                let name = format!("P_{}_{}", piece.name, other.name);
                table(joint, name, &[], sum)
            }));
        }
        precision.push(line);
    }
    let (mut atoms, mut names) = (vec![], vec![]);
    for piece in pieces {
        let sym = joint.store.add_sym(Sym {
            name: piece.name.clone(),
            kind: SymKind::Latent,
            shape: vec![piece.size.clone()],
            family: 0,
            per_row: false,
            support: lvmc_term::Support::Real,
        });
        atoms.push(joint.store.var(sym));
        names.push(piece.name.clone());
    }
    let e = pieces.first().map_or(0, |p| p.effect);
    if let ([eta], [line], [atom]) = (&eta[..], &precision[..], pieces)
        && let [Some(precision)] = line[..]
    {
        return Ok(single(joint, atom, *eta, precision));
    }
    let system = gaussian::System { eta, precision };
    let (block, norm) = gaussian::solve(joint, &names, &atoms, &[], system, rows.spans[e]).map_err(|why| (e, why))?;
    finish_norm(joint, e, &[], &norm);
    let moves = (0..m)
        .map(|c| (0..m).map(|p| block[c].moves.get(p).copied().flatten()).collect())
        .collect();
    Ok((block.iter().map(|b| b.mean).collect(), moves))
}

/// One dense family: everything from the root R of its covariance, RᵀR = P⁻¹. ½ log|2πP⁻¹| = ½ n log 2π + Σ log Rᵢᵢ.
fn single(joint: &mut LogJoint, piece: &Piece, eta: Term, precision: Term) -> (Vec<Term>, Moves) {
    let shape = joint.store.shape(precision).to_vec();
    let what = Defined::new(NAME, format!("l_{}", piece.name), &[]);
    let root = define(joint, what, Value::InverseRoot(precision), &shape);
    let s = &mut joint.store;
    let (white, back) = (s.matvec(root, eta), s.transpose(root));
    let mean = s.matvec(back, white);
    let diagonal = s.diag_of(root);
    let log = s.log(diagonal);
    let log = s.total(log);
    let two_pi = s.two_pi();
    let (n, each) = (s.size(piece.size.clone()), s.log(two_pi));
    let scaled = s.mul(n, each);
    let half = s.scale(0.5, scaled);
    finish_norm(joint, piece.effect, &[], &[half, log]);
    let mean = table(joint, format!("m_{}", piece.name), &[], mean);
    (vec![mean], vec![vec![Some(root)]])
}

/// Priors at the means and their expectations; what is told of the effects.
fn priors(joint: &mut LogJoint, first: &First, pieces: &[Piece], tables: &Tables) -> Result1<()> {
    for e in 0..joint.effects.len() {
        let (k, name, vector, means, covariance) = if e == first.effect {
            let k = joint.store.index(first.k);
            let means: Vec<Term> = tables.first.iter().map(|&t| joint.store.at(t, &[k])).collect();
            (first.k, first.name.clone(), first.vector, means, tables.own.clone())
        } else {
            let mine: Vec<usize> = (0..pieces.len()).filter(|&p| pieces[p].effect == e).collect();
            let ix = pieces[mine[0]].j;
            let j = joint.store.index(ix);
            let means: Vec<Term> = mine.iter().map(|&p| joint.store.at(tables.dense[p], &[j])).collect();
            let mut own = vec![];
            for &p in &mine {
                own.push(
                    mine.iter()
                        .map(|&q| joint.store.at(tables.within[p][q], &[j, j]))
                        .collect::<Vec<_>>(),
                );
            }
            let name = joint.store.sym(joint.effects[e].sym).name.clone();
            (ix, name, pieces[mine[0]].element.is_some(), means, own)
        };
        let (_, atom) = prior_at(joint, e, Some(k));
        let (mean, variance, noise) = if vector {
            let mean = joint.store.stack(&means);
            let mean = table(joint, format!("m_{name}"), &[k], mean);
            let mut lines = vec![];
            for line in &covariance {
                lines.push(joint.store.stack(line));
            }
            let matrix = joint.store.stack_rows(&lines);
            let inverse = joint.store.inv(matrix);
            let shape = joint.store.shape(matrix).to_vec();
            let ixs = [k];
            let what = Defined::new(NAME, format!("l_{name}"), &ixs);
            let root = define(joint, what, Value::InverseRoot(inverse), &shape);
            let p = joint.store.add_ix("p", shape[0].clone());
            let at = joint.store.index(p);
            let by = joint.store.at(root, &[at]);
            let variance: Vec<Term> = (0..covariance.len()).map(|i| covariance[i][i]).collect();
            (
                mean,
                joint.store.stack(&variance),
                Noise {
                    p: Some(p),
                    moves: vec![(atom, by)],
                },
            )
        } else {
            let sd = joint.store.sqrt(covariance[0][0]);
            let sd = table(joint, format!("l_{name}"), &[k], sd);
            (
                means[0],
                covariance[0][0],
                Noise {
                    p: None,
                    moves: vec![(atom, sd)],
                },
            )
        };
        finish_prior(joint, e, &[k], &HashMap::from([(atom, mean)]), &[noise])?;
        report(joint, e, &[k], mean, variance);
    }
    Ok(())
}

/// Covariances of a row's effects, by pairs of atoms.
type Covariances = Vec<(Term, Term, Term)>;

/// Means and covariances of the effects of a row.
fn local_moments(
    joint: &mut LogJoint,
    rows: &Rows,
    first: &First,
    pieces: &[Piece],
    tables: &Tables,
) -> (HashMap<Term, Term>, Covariances) {
    let atoms: Vec<Term> = rows.locals.iter().flat_map(|l| l.atoms.clone()).collect();
    let (k, own_code) = (joint.store.index(first.k), [(first.code, first.k)]);
    let mut means = HashMap::new();
    for e in 0..joint.effects.len() {
        let (code, k) = match pieces.iter().find(|p| p.effect == e) {
            Some(p) => (p.code, p.j),
            None => (first.code, first.k),
        };
        let mean = joint
            .group_posteriors
            .iter()
            .find(|g| g.sym == joint.effects[e].sym)
            .map(|g| g.mean);
        let name = joint.store.sym(joint.effects[e].sym).name.clone();
        if let Some(mean) = mean {
            let here = in_row(joint, &[(code, k)], mean, &format!("E_{name}"));
            place_local(&mut joint.store, &rows.locals[e], here, &mut means);
        }
    }
    let mut pairs = vec![];
    for (a, &i) in first.atoms.iter().enumerate() {
        for (b, &j) in first.atoms.iter().enumerate().skip(a) {
            let t = at_code(joint, tables.own[a][b], &own_code);
            pairs.push((atoms[i], atoms[j], t));
        }
        for (p, piece) in pieces.iter().enumerate() {
            let j = joint.store.index(piece.j);
            let t = joint.store.at(tables.between[a][p], &[k, j]);
            let t = at_code(joint, t, &[own_code[0], (piece.code, piece.j)]);
            pairs.push((atoms[i], atoms[piece.atom], t));
        }
    }
    for (p, piece) in pieces.iter().enumerate() {
        for (q, other) in pieces.iter().enumerate().skip(p) {
            let t = joint.store.at(tables.within[p][q], &[piece.code, other.code]);
            pairs.push((atoms[piece.atom], atoms[other.atom], t));
        }
    }
    (means, pairs)
}

fn at_code(joint: &mut LogJoint, t: Term, codes: &[(Term, IxId)]) -> Term {
    let with = codes.iter().map(|&(code, ix)| (joint.store.index(ix), code)).collect();
    joint.store.substitute(t, &with)
}

/// E[t] of a row's log density: a square of a residual gains the residual's variance.
fn expected(
    joint: &mut LogJoint,
    term: Term,
    means: &HashMap<Term, Term>,
    covariances: &Covariances,
) -> Result<Term, String> {
    let mut atoms: Vec<Term> = means.keys().copied().collect();
    atoms.sort_unstable();
    let mut parts = vec![];
    for t in flatten(&mut joint.store, term) {
        let holds = |s: &Store, t: Term| atoms.iter().any(|&a| s.contains(t, a));
        parts.push(joint.store.substitute(t, means));
        if !holds(&joint.store, t) {
            continue;
        }
        let factors = joint.store.factors(t);
        let square = factors.iter().position(|&f| match *joint.store.node(f) {
            Node::Pow(e, p) => joint.store.as_num(p) == Some(2.0) && holds(&joint.store, e),
            _ => false,
        });
        let Some(at) = square else {
            for &a in &atoms {
                let j = jacobian(&mut joint.store, t, a).map_err(|_| BESIDE.to_owned())?;
                if j.is_some_and(|j| holds(&joint.store, j)) {
                    return Err(BESIDE.into());
                }
            }
            continue;
        };
        let Node::Pow(e, _) = *joint.store.node(factors[at]) else {
            continue;
        };
        let others: Vec<Term> = factors.iter().copied().filter(|&f| f != factors[at]).collect();
        let others = joint.store.product_of(&others);
        if holds(&joint.store, others) || !joint.store.shape(e).is_empty() {
            return Err(BESIDE.into());
        }
        let variance = variance_of(joint, e, &atoms, covariances)?;
        parts.push(joint.store.mul(others, variance));
    }
    Ok(joint.store.sum(&parts))
}

const BESIDE: &str = "several columns group the rows, and their effects stand in more than squares of scalar residuals";

/// The posterior variance of a residual that is affine in its row's effects.
fn variance_of(joint: &mut LogJoint, e: Term, atoms: &[Term], covariances: &Covariances) -> Result<Term, String> {
    let mut slopes: HashMap<Term, Term> = HashMap::new();
    for &a in atoms {
        let Some(j) = jacobian(&mut joint.store, e, a).map_err(|_| BESIDE.to_owned())? else {
            continue;
        };
        if joint.store.per_row(j) && !data_only(&joint.store, j) || joint.store.depends_on_kind(j, SymKind::Param) {
            return Err("several columns group the rows, and a parameter multiplies an effect".into());
        }
        slopes.insert(a, j);
    }
    let s = &mut joint.store;
    let mut parts = vec![];
    for &(a, b, cov) in covariances {
        let (Some(&x), Some(&y)) = (slopes.get(&a), slopes.get(&b)) else {
            continue;
        };
        let part = s.product_of(&[x, y, cov]);
        parts.push(if a == b { part } else { s.scale(2.0, part) });
    }
    let sum = s.sum(&parts);
    let known = joint
        .definitions
        .iter()
        .find(|d| d.value == Value::Term(sum))
        .map(|d| d.atom);
    Ok(match known {
        Some(atom) => atom,
        None => define(joint, Defined::new(NAME, "v".into(), &[]), Value::Term(sum), &[]),
    })
}
