//! What the passes share: names (entities), statements, plates and chains while the graph is being decided.

use crate::Settings;
use crate::errors::ModelError;
use crate::graph::Role;
use crate::sizes::Sizes;
use lvmc_base::{Source, Span};
use lvmc_syntax::ast;
use lvmc_term::{DimId, Shape, Size, Support};
use std::collections::{HashMap, HashSet};

/// Nobody reads more mistakes than that at once.
const MOST_ERRORS: usize = 50;

/// A position in the table of entities.
pub(crate) type EntId = usize;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Dim(DimId),
    Const,
    /// Random, or conditioned on.
    Var,
    /// `=`.
    Det,
    /// Position in the table of nets.
    Net(usize),
}

/// One leading axis of a family.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub first: i64,
    pub size: Size,
    /// The index's name where one was written.
    pub index: Option<String>,
}

/// Everything known about a name.
#[derive(Debug, Clone)]
pub(crate) struct Ent<'a> {
    pub name: String,
    pub span: Span,
    pub kind: Kind,
    pub written: Option<(ast::Role, Span)>,
    pub global: Option<Span>,
    pub ty: Option<&'a ast::Type>,
    pub plate: usize,
    /// The chain whose positions are the first axis.
    pub chain: Option<usize>,
    /// Where the chain's index is written among the others.
    pub chain_written: usize,
    pub axes: Vec<Axis>,
    pub axes_known: bool,
    pub shape: Option<Shape>,
    pub support: Option<Support>,
    /// Known only inside the guide.
    pub guide: bool,
    /// Free in that distribution's call.
    pub free_in: Option<Span>,
    /// A column that `by`, `for each` or `weight` names, or that `data x = …` computes from.
    pub column: Option<String>,
    pub role: Role,
    pub because: String,
    /// A statement with a right side speaks of it.
    pub has_rhs: bool,
    /// How often it is referred to.
    pub uses: usize,
    /// Written position that is data while the rest is latent (`data x[0]`).
    pub data_at: Option<Pos>,
}

/// The right side of a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rhs<'a> {
    None,
    Random(&'a ast::Expr),
    /// Expression, and which of how many results.
    Equal(&'a ast::Expr, usize, usize),
}

/// A number, a size plus a number, or an index plus a number: all that positions and ranges are made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pos {
    pub dim: Option<Size>,
    pub index: Option<String>,
    pub off: i64,
}

/// One left-side index, per axis in storage order (the chain's first).
#[derive(Debug, Clone)]
pub(crate) enum Lhs {
    /// Ranges over the axis: position in `ranges`.
    Range(usize),
    /// The chain's index plus that.
    Chain(i64),
    /// One position.
    At(Pos),
}

/// An index a statement ranges over.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub name: String,
    pub first: i64,
    pub size: Size,
}

/// One statement about one name.
#[derive(Debug, Clone)]
pub(crate) struct Stmt<'a> {
    pub ent: EntId,
    pub target: &'a ast::Target,
    /// A role or a type stands in the statement, so brackets may hold sizes.
    pub declares: bool,
    pub rhs: Rhs<'a>,
    pub plate: usize,
    pub chain: Option<usize>,
    pub guide: bool,
    pub span: Span,
    pub lhs: Vec<Lhs>,
}

/// A plate while it is decided.
#[derive(Debug, Clone)]
pub(crate) enum PlateKind {
    Global,
    Row { parent: Option<usize> },
    Group { column: String, parent: Option<usize> },
    Chain { chain: usize, parent: Option<usize> },
}

/// A plate and where it was opened.
#[derive(Debug, Clone)]
pub(crate) struct PlateInfo {
    pub kind: PlateKind,
    pub span: Span,
}

/// A chain block. Positions run from `lo` over `size` values, whichever way it was written.
#[derive(Debug, Clone)]
pub(crate) struct Chain<'a> {
    pub index: String,
    pub range: Option<(&'a ast::Expr, &'a ast::Expr)>,
    pub down: bool,
    pub by: Option<String>,
    pub plate: usize,
    pub lo: i64,
    /// The last position where a range says it.
    pub hi: Option<Pos>,
    pub size: Size,
    pub span: Span,
}

/// The graph under construction.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    pub source: &'a Source,
    pub settings: &'a Settings,
    pub errors: Vec<ModelError>,
    told: HashSet<String>,
    pub remarks: Vec<String>,
    pub ents: Vec<Ent<'a>>,
    pub names: HashMap<String, EntId>,
    pub guide_names: HashMap<String, EntId>,
    pub stmts: Vec<Stmt<'a>>,
    pub plates: Vec<PlateInfo>,
    pub chains: Vec<Chain<'a>>,
    pub ranges: Vec<Range>,
    pub sizes: Sizes,
    pub nets: Vec<NetInfo<'a>>,
    /// Default and expression of each declared dim.
    pub dim_values: HashMap<EntId, &'a ast::Expr>,
    pub const_values: HashMap<EntId, Option<&'a ast::Expr>>,
    pub guides: Vec<Span>,
    pub fit: Vec<&'a (ast::Ident, ast::Expr)>,
    pub weight: Option<(String, Span)>,
    /// Open sizes of `I` and of untyped places, by the place that made them.
    pub place_sizes: HashMap<(u32, u32, u8), Size>,
    /// Signature chosen for each call of a distribution.
    pub signatures: HashMap<Span, usize>,
    /// Names of family indices written anywhere, with their ranges.
    pub index_names: HashMap<String, (&'a ast::Expr, &'a ast::Expr)>,
}

/// A net with its types resolved.
#[derive(Debug, Clone)]
pub(crate) struct NetInfo<'a> {
    pub syntax: &'a ast::Net,
    pub inputs: Vec<(Support, Shape)>,
    pub outputs: Vec<(Support, Shape)>,
}

impl<'a> Tables<'a> {
    pub fn new(source: &'a Source, settings: &'a Settings) -> Self {
        let plate = |kind| PlateInfo {
            kind,
            span: Span::default(),
        };
        Self {
            source,
            settings,
            errors: vec![],
            told: HashSet::new(),
            remarks: vec![],
            ents: vec![],
            names: HashMap::new(),
            guide_names: HashMap::new(),
            stmts: vec![],
            plates: vec![plate(PlateKind::Global), plate(PlateKind::Row { parent: None })],
            chains: vec![],
            ranges: vec![],
            sizes: Sizes::default(),
            nets: vec![],
            dim_values: HashMap::new(),
            const_values: HashMap::new(),
            guides: vec![],
            fit: vec![],
            weight: None,
            place_sizes: HashMap::new(),
            signatures: HashMap::new(),
            index_names: HashMap::new(),
        }
    }

    pub fn error(&mut self, e: ModelError) {
        // the same mistake at the same place may be met by several passes
        if self.errors.len() < MOST_ERRORS && self.told.insert(format!("{e:?}")) {
            self.errors.push(e);
        }
    }

    /// The entity of a name as seen from a statement.
    pub fn find(&self, name: &str, guide: bool) -> Option<EntId> {
        let inner = if guide { self.guide_names.get(name) } else { None };
        inner.or_else(|| self.names.get(name)).copied()
    }

    pub fn text(&self, span: Span) -> &'a str {
        self.source.slice(span)
    }

    pub fn line(&self, span: Span) -> usize {
        self.source.line(span.start)
    }

    /// An open size that belongs to a place in the text: the same each time it is asked for.
    pub fn place_size(&mut self, span: Span, which: u8) -> Size {
        if let Some(s) = self.place_sizes.get(&(span.start, span.end, which)) {
            return s.clone();
        }
        let size = self.sizes.open(span);
        self.place_sizes.insert((span.start, span.end, which), size.clone());
        size
    }

    /// A new entity.
    pub fn add_ent(&mut self, name: &str, span: Span, kind: Kind, guide: bool) -> EntId {
        let id = self.ents.len();
        self.ents.push(Ent {
            name: name.to_string(),
            span,
            kind,
            written: None,
            global: None,
            ty: None,
            plate: 1,
            chain: None,
            chain_written: 0,
            axes: vec![],
            axes_known: false,
            shape: None,
            support: None,
            guide,
            free_in: None,
            column: None,
            role: Role::Param,
            because: String::new(),
            has_rhs: false,
            uses: 0,
            data_at: None,
        });
        let table = if guide { &mut self.guide_names } else { &mut self.names };
        table.entry(name.to_string()).or_insert(id);
        id
    }

    pub fn parent(&self, plate: usize) -> Option<usize> {
        match &self.plates[plate].kind {
            PlateKind::Global => None,
            PlateKind::Row { parent } | PlateKind::Group { parent, .. } | PlateKind::Chain { parent, .. } => *parent,
        }
    }

    /// A chain over the rows themselves.
    pub fn is_row_chain(&self, chain: usize) -> bool {
        self.chains[chain].range.is_none()
    }

    /// For messages: `row`, `doc`, `position of the chain`, `data set`.
    pub fn plate_text(&self, plate: usize) -> String {
        match &self.plates[plate].kind {
            PlateKind::Global => "data set".into(),
            PlateKind::Row { .. } => "row".into(),
            PlateKind::Group { column, .. } => column.clone(),
            PlateKind::Chain { chain, .. } => format!("position {}", self.chains[*chain].index),
        }
    }
}
