//! The hash-consing store: every distinct node exists once, with its shape.

use crate::node::{IxId, Node, Num, Sym, SymId, SymKind, Term};
use crate::shape::{DimId, Shape, Size};
use std::collections::HashMap;

/// A named size.
#[derive(Debug, Clone, PartialEq)]
pub struct Dim {
    /// As the user wrote it, or as it was inferred (`K`, `D`, `Q`).
    pub name: String,
}

/// A bound index: its name and how many values it takes (0-based; printers count from 1, or from `first`).
#[derive(Debug, Clone, PartialEq)]
pub struct Ix {
    /// Printed name, such as `k`.
    pub name: String,
    /// Number of values.
    pub size: Size,
}

/// What is asked of a term so often that it is kept beside it.
#[derive(Debug, Clone, Copy)]
struct Facts {
    per_row: bool,
    has_index: bool,
    /// The symbols in it, folded into 64 bits: a bit that is 0 rules a symbol out.
    symbols: u64,
    /// The place of the symbol in it that people write first; see [`Store::content`].
    content: u8,
}

/// Terms, symbols, sizes and bound indices of one model.
#[derive(Debug, Clone, Default)]
pub struct Store {
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
    facts: Vec<Facts>,
    known: HashMap<Node, Term>,
    syms: Vec<Sym>,
    dims: Vec<Dim>,
    ixs: Vec<Ix>,
    nets: HashMap<(u32, u32), String>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// The node of a term.
    #[must_use]
    pub fn node(&self, t: Term) -> &Node {
        &self.nodes[t.index()]
    }
    /// The shape of a term.
    #[must_use]
    pub fn shape(&self, t: Term) -> &Shape {
        &self.shapes[t.index()]
    }
    /// True where the value differs from row to row: a per-row symbol or a `Resp` occurs outside any `RowSum`.
    #[must_use]
    pub fn per_row(&self, t: Term) -> bool {
        self.facts[t.index()].per_row
    }
    /// True where a bound index occurs, free or under its sum.
    #[must_use]
    pub fn has_index(&self, t: Term) -> bool {
        self.facts[t.index()].has_index
    }
    /// How many distinct terms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
    /// True where nothing was built yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
    /// Adds a symbol.
    pub fn add_sym(&mut self, sym: Sym) -> SymId {
        self.syms.push(sym);
        SymId::from_index(self.syms.len() - 1)
    }
    /// A symbol's facts.
    #[must_use]
    pub fn sym(&self, id: SymId) -> &Sym {
        &self.syms[id.index()]
    }
    /// All symbols.
    pub fn syms(&self) -> impl Iterator<Item = (SymId, &Sym)> {
        self.syms.iter().enumerate().map(|(i, s)| (SymId::from_index(i), s))
    }
    /// Adds a symbolic size.
    pub fn add_dim(&mut self, name: impl Into<String>) -> DimId {
        self.dims.push(Dim { name: name.into() });
        DimId::from_index(self.dims.len() - 1)
    }
    /// A symbolic size's facts.
    #[must_use]
    pub fn dim(&self, id: DimId) -> &Dim {
        &self.dims[id.index()]
    }
    /// All symbolic sizes.
    pub fn dims(&self) -> impl Iterator<Item = (DimId, &Dim)> {
        self.dims.iter().enumerate().map(|(i, d)| (DimId::from_index(i), d))
    }
    /// Adds a bound index.
    pub fn add_ix(&mut self, name: impl Into<String>, size: Size) -> IxId {
        self.ixs.push(Ix {
            name: name.into(),
            size,
        });
        IxId::from_index(self.ixs.len() - 1)
    }
    /// A bound index's facts.
    #[must_use]
    pub fn ix(&self, id: IxId) -> &Ix {
        &self.ixs[id.index()]
    }
    /// Says how an output of a net is printed: `decoder`, or `encoder.m` where there are several.
    pub fn set_net_name(&mut self, net: u32, output: u32, name: impl Into<String>) {
        self.nets.insert((net, output), name.into());
    }
    /// How an output of a net is printed.
    #[must_use]
    pub fn net_name(&self, net: u32, output: u32) -> Option<&str> {
        self.nets.get(&(net, output)).map(String::as_str)
    }
    /// All bound indices.
    pub fn ixs(&self) -> impl Iterator<Item = (IxId, &Ix)> {
        self.ixs.iter().enumerate().map(|(i, ix)| (IxId::from_index(i), ix))
    }
    /// Enters a node as it stands (the constructors in `build` simplify first and then call this).
    pub(crate) fn intern(&mut self, node: Node) -> Term {
        if let Some(&t) = self.known.get(&node) {
            return t;
        }
        let shape = crate::shape_of::shape_of(self, &node);
        let facts = self.facts_of_node(&node);
        let t = Term::from_index(self.nodes.len());
        self.nodes.push(node.clone());
        self.facts.push(facts);
        self.shapes.push(shape);
        self.known.insert(node, t);
        t
    }
    fn facts_of_node(&self, node: &Node) -> Facts {
        let parts = crate::walk::children(node);
        let parts = parts.iter().map(|c| self.facts[c.index()]);
        let (own_symbol, own_content) = match node {
            Node::Sym(x) => (1 << (x.0 % 64), self.sym(*x).kind.place()),
            Node::Resp(_) => (0, SymKind::Param.place()),
            Node::Ix(_) | Node::Eye(_) => (0, 6),
            Node::Size(_) => (0, 7),
            _ => (0, 8),
        };
        Facts {
            per_row: match node {
                Node::Sym(x) => self.sym(*x).per_row,
                Node::Resp(_) => true,
                Node::RowSum(_) => false,
                _ => parts.clone().any(|p| p.per_row),
            },
            has_index: matches!(node, Node::Ix(_)) || parts.clone().any(|p| p.has_index),
            symbols: parts.clone().fold(own_symbol, |bits, p| bits | p.symbols),
            content: parts.fold(own_content, |least, p| least.min(p.content)),
        }
    }
    /// False where the symbol certainly does not occur in the term.
    pub(crate) fn may_contain(&self, t: Term, s: SymId) -> bool {
        self.facts[t.index()].symbols & (1 << (s.0 % 64)) != 0
    }
    /// Where the symbols of a term stand in writing: 0 data, 1 covariates, 2 latents, 3 noise, 4 parameters, 5
    /// constants, 6 indices, 7 sizes, 8 numbers; the least of them.
    pub(crate) fn content(&self, t: Term) -> u8 {
        self.facts[t.index()].content
    }
    /// A number.
    pub fn num(&mut self, x: f64) -> Term {
        self.intern(Node::Num(Num::new(x)))
    }
    /// The value of a number node.
    #[must_use]
    pub fn as_num(&self, t: Term) -> Option<f64> {
        match self.node(t) {
            Node::Num(x) => Some(x.get()),
            _ => None,
        }
    }
    /// A leaf symbol as a term.
    pub fn var(&mut self, s: SymId) -> Term {
        self.intern(Node::Sym(s))
    }
    /// A bound index as a term.
    pub fn index(&mut self, i: IxId) -> Term {
        self.intern(Node::Ix(i))
    }
}
