//! What can be wrong with data, each with the row, the column, the value and what to do.

use lvmc_base::{Bug, Exit, Limit};
use miette::Diagnostic;
use thiserror::Error;

/// A cell of a data file: what a message needs to name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// 1-based row of data (the header is not counted).
    pub row: usize,
    /// The column's name.
    pub column: String,
    /// What stands there.
    pub value: String,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` in column `{}`, row {}", self.value, self.column, self.row)
    }
}

/// Data that cannot be read, or do not fit the model.
#[derive(Debug, Clone, Error, Diagnostic)]
pub enum DataError {
    /// A file that cannot be opened or read.
    #[error("cannot read {path}: {reason}")]
    #[diagnostic(code(lvm::data::file), help("{help}"))]
    File {
        /// The path as given.
        path: String,
        /// The system's reason.
        reason: String,
        /// What to do.
        help: String,
    },

    /// No bytes, or blanks alone.
    #[error("{path} is empty")]
    #[diagnostic(
        code(lvm::data::empty),
        help("a data file has one line of column names, then one line per row")
    )]
    Empty {
        /// The file.
        path: String,
    },

    /// A header and nothing else.
    #[error("{path} has column names and no rows")]
    #[diagnostic(code(lvm::data::no_rows), help("the columns are {columns}; add at least one row"))]
    NoRows {
        /// The file.
        path: String,
        /// Its columns.
        columns: String,
    },

    /// The first line holds numbers.
    #[error("the first line of {path} holds numbers, not column names: {line}")]
    #[diagnostic(code(lvm::data::header), help("put a line of names before it, such as {suggestion}"))]
    Header {
        /// The file.
        path: String,
        /// The first line.
        line: String,
        /// A header to paste.
        suggestion: String,
    },

    /// Rows of different lengths.
    #[error("row {row} of {path} has {found} cells, and the header has {expected} columns (line {line} of the file)")]
    #[diagnostic(
        code(lvm::data::ragged),
        help(
            "every row needs one cell per column; an empty cell is a missing value, and a comma inside a cell needs quotes"
        )
    )]
    Ragged {
        /// The file.
        path: String,
        /// 1-based data row.
        row: usize,
        /// 1-based line.
        line: u64,
        /// Cells in it.
        found: usize,
        /// Columns of the header.
        expected: usize,
    },

    /// Bytes that are no text.
    #[error("{path} is not UTF-8 text: {place}")]
    #[diagnostic(code(lvm::data::encoding), help("save the file as comma-separated UTF-8 text"))]
    Encoding {
        /// The file.
        path: String,
        /// Where.
        place: String,
    },

    /// A column that is not there.
    #[error("there is no column `{column}`{wanted_by}")]
    #[diagnostic(code(lvm::data::unknown_column), help("{help}"))]
    UnknownColumn {
        /// The name.
        column: String,
        /// Who asked for it (` for x`), or empty.
        wanted_by: String,
        /// Did you mean, or the columns there are.
        help: String,
    },

    /// A missing cell in a column that names sequences or orders them.
    #[error("column `{column}`, which {what}, is empty in row {row}")]
    #[diagnostic(code(lvm::data::sequence), help("fill the cell, or remove the row"))]
    Helper {
        /// The column.
        column: String,
        /// 1-based data row.
        row: usize,
        /// What it does.
        what: String,
    },

    /// Two rows of a sequence at one place.
    #[error("rows {first} and {second} have the same place in their sequence: `{value}` in column `{column}`")]
    #[diagnostic(
        code(lvm::data::tie),
        help(
            "a chain needs an order: correct the column, choose a finer one, or name the column that tells the sequences apart with `for each COLUMN {{ chain … }}`"
        )
    )]
    Tie {
        /// The ordering column.
        column: String,
        /// What both rows hold.
        value: String,
        /// 1-based data row.
        first: usize,
        /// 1-based data row.
        second: usize,
    },

    /// Rows of a sequence with different weights.
    #[error("row {row} has another weight than the rows of its sequence before it")]
    #[diagnostic(
        code(lvm::data::sequence_weight),
        help("a weight counts a whole sequence: give all of its rows the same one")
    )]
    SequenceWeight {
        /// 1-based data row.
        row: usize,
    },

    /// Two columns of one name, and that name is asked for.
    #[error("the header names `{column}` {times} times")]
    #[diagnostic(code(lvm::data::duplicate_column), help("give every column a name of its own"))]
    DuplicateColumn {
        /// The name.
        column: String,
        /// How often.
        times: usize,
    },

    /// `--bind` that cannot be understood.
    #[error("cannot read `--bind {text}`: {reason}")]
    #[diagnostic(code(lvm::data::bind_syntax), help("{help}"))]
    BindSyntax {
        /// What was given.
        text: String,
        /// Why.
        reason: String,
        /// The form it takes, or did-you-mean.
        help: String,
    },

    /// A variable that no column is bound to.
    #[error("no column for `{variable}`")]
    #[diagnostic(code(lvm::data::unbound), help("{help}"))]
    Unbound {
        /// The variable.
        variable: String,
        /// The `--bind` to paste, and the columns there are.
        help: String,
    },

    /// More than one way to bind.
    #[error("which columns are `{variable}`? {reason}")]
    #[diagnostic(code(lvm::data::ambiguous), help("{help}"))]
    Ambiguous {
        /// The variable.
        variable: String,
        /// Why it is not clear.
        reason: String,
        /// The `--bind`s to choose from.
        help: String,
    },

    /// Too many or too few columns for a declared size.
    #[error("`{variable}` has {expected} by its declaration, and {found} bound to it")]
    #[diagnostic(code(lvm::data::columns), help("{help}"))]
    Columns {
        /// The variable.
        variable: String,
        /// `2 columns (D = 2)`.
        expected: String,
        /// `4 columns are`.
        found: String,
        /// What to do.
        help: String,
    },

    /// A size that nothing says.
    #[error("the size {name} is not set, and the data do not say it")]
    #[diagnostic(code(lvm::data::size), help("give it: --set {name}={example}"))]
    Size {
        /// The size.
        name: String,
        /// A plausible value.
        example: usize,
    },

    /// More categories than the declared size.
    #[error("`{variable}` has {found} different values, and {size} = {declared}")]
    #[diagnostic(code(lvm::data::categories), help("{help}"))]
    Categories {
        /// The variable.
        variable: String,
        /// Distinct values.
        found: usize,
        /// The size's name.
        size: String,
        /// Its value.
        declared: usize,
        /// The values, and what to do.
        help: String,
    },

    /// A category of the data that the fit does not know.
    #[error("`{variable}` was fitted without the value {cell}")]
    #[diagnostic(
        code(lvm::data::unseen),
        help("known are {known}; leave the cell empty where the value may be missing")
    )]
    UnseenCategory {
        /// The variable.
        variable: String,
        /// The place.
        cell: Box<Cell>,
        /// Known labels.
        known: String,
    },

    /// Text where a number is needed.
    #[error("{cell} is not a number, and `{variable}` needs {wanted}")]
    #[diagnostic(code(lvm::data::text), help("{help}"))]
    Text {
        /// The place.
        cell: Box<Cell>,
        /// The variable.
        variable: String,
        /// What it needs.
        wanted: String,
        /// What to do.
        help: String,
    },

    /// An infinite value.
    #[error("{cell} is infinite, and `{variable}` needs finite numbers")]
    #[diagnostic(
        code(lvm::data::infinite),
        help("leave the cell empty if the value is missing, or remove the row")
    )]
    Infinite {
        /// The place.
        cell: Box<Cell>,
        /// The variable.
        variable: String,
    },

    /// A value outside the type.
    #[error("{cell} is {fault}, and `{variable}` is {wanted}")]
    #[diagnostic(code(lvm::data::range), help("{help}"))]
    Range {
        /// The place.
        cell: Box<Cell>,
        /// `negative`, `not a whole number`, ….
        fault: String,
        /// The variable.
        variable: String,
        /// `count: 0, 1, 2, …`.
        wanted: String,
        /// What to do.
        help: String,
    },

    /// A missing cell where none may be.
    #[error("column `{column}` has {count} missing cells, the first in row {row}, and `{variable}` may not be missing")]
    #[diagnostic(code(lvm::data::missing), help("{help}"))]
    Missing {
        /// The column.
        column: String,
        /// How many.
        count: usize,
        /// The first.
        row: usize,
        /// The variable.
        variable: String,
        /// What to do.
        help: String,
    },

    /// A column without a value.
    #[error("all cells of column `{column}` are missing, so that there is nothing to learn from for `{variable}`")]
    #[diagnostic(
        code(lvm::data::no_value),
        help("leave the column out: --bind {variable}=COLUMNS names the others")
    )]
    NoValue {
        /// The column.
        column: String,
        /// The variable.
        variable: String,
    },

    /// A posterior that has no draws.
    #[error("cells cannot be drawn: {why}")]
    #[diagnostic(code(lvm::data::draws), help("without --draws the means are written"))]
    Draws {
        /// Why not.
        why: String,
    },

    /// Rows after the last cannot be said.
    #[error("{what}")]
    #[diagnostic(code(lvm::data::ahead), help("{help}"))]
    Ahead {
        /// What is wrong.
        what: String,
        /// What to do.
        help: String,
    },

    /// A bad weight.
    #[error("the weight {cell} is {fault}")]
    #[diagnostic(
        code(lvm::data::weight),
        help("a weight counts its row that many times: a finite number, not negative")
    )]
    Weight {
        /// The place.
        cell: Box<Cell>,
        /// What is wrong with it.
        fault: String,
    },

    /// No row counts.
    #[error("the weights of column `{column}` sum to zero")]
    #[diagnostic(code(lvm::data::no_weight), help("at least one row needs a positive weight"))]
    NoWeight {
        /// The column.
        column: String,
    },

    /// Fewer rows than components.
    #[error("{size} components ({name} = {size}) need at least {size} rows, and there are {rows}")]
    #[diagnostic(code(lvm::data::few_rows), help("set {name} to at most {rows}, or add rows"))]
    FewRows {
        /// Rows of the data.
        rows: usize,
        /// The size's name.
        name: String,
        /// Its value.
        size: usize,
    },

    /// A limit of size or memory.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Limit(#[from] Limit),

    /// A bug of ours.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bug(#[from] Bug),
}

impl DataError {
    /// The exit code of the command line.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::BindSyntax { .. } | Self::Size { .. } => Exit::Usage,
            Self::Limit(_) => Exit::Limit,
            Self::Bug(_) => Exit::Bug,
            _ => Exit::Data,
        }
    }
}
