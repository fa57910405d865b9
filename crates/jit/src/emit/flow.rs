//! Lifetimes of the values of a row loop that becomes block operations.

use std::collections::{HashMap, HashSet};

use lvmc_loops::ir::{BufId, Op, Reg, Rows, Stmt};
use lvmc_loops::usage::uses;

/// The statements of a body in order, with what is known about its registers.
#[derive(Debug, Default)]
pub(super) struct Flow<'a> {
    /// Statements (not loops themselves) with their positions, ascending.
    pub order: Vec<(usize, &'a Stmt)>,
    /// Where registers are defined.
    defined: HashMap<Reg, usize>,
    /// Registers with a value per row.
    varying: HashSet<Reg>,
    /// Uses: the register, the position, the loops around it (first and last position).
    used: Vec<Use>,
    next: usize,
}

/// A register, the position, and the loops around it.
type Use = (Reg, usize, Vec<(usize, usize)>);

impl<'a> Flow<'a> {
    pub fn of(body: &'a [Stmt]) -> Self {
        let mut flow = Flow::default();
        flow.body(body);
        flow
    }

    fn body(&mut self, body: &'a [Stmt]) {
        for stmt in body {
            let at = self.next;
            self.next += 1;
            if let Stmt::For { body, .. } = stmt {
                let first = self.used.len();
                self.body(body);
                let end = self.next;
                self.next += 1;
                for (_, _, loops) in &mut self.used[first..] {
                    // from inner loops to outer ones
                    loops.push((at, end));
                }
                continue;
            }
            for reg in uses(stmt) {
                self.used.push((reg, at, Vec::new()));
            }
            if let Stmt::Let(reg, op) = stmt {
                self.defined.insert(*reg, at);
                if matches!(op, Op::LoadRow(_)) || uses(stmt).iter().any(|r| self.varies(*r)) {
                    self.varying.insert(*reg);
                }
            }
            self.order.push((at, stmt));
        }
    }

    /// The register has a value per row.
    pub fn varies(&self, reg: Reg) -> bool {
        self.varying.contains(&reg)
    }

    pub fn use_count(&self, reg: Reg) -> usize {
        self.used.iter().filter(|u| u.0 == reg).count()
    }

    /// Statements that store to the buffer.
    pub fn stores_to(&self, buf: BufId) -> usize {
        self.stores(buf).count()
    }

    fn stores(&self, buf: BufId) -> impl Iterator<Item = usize> {
        self.order
            .iter()
            .filter(move |(_, s)| matches!(s, Stmt::StoreRow(at, _) if at.buf == buf))
            .map(|s| s.0)
    }

    /// The last position at which the register's value is needed. Operands of a product are needed where it is summed,
    /// one later; a value from before a loop is needed until the loop's end.
    pub fn last_use(&self, reg: Reg, is_product: impl Fn(Reg) -> bool) -> usize {
        let defined = self.defined.get(&reg).copied().unwrap_or(0);
        let ends = self.used.iter().filter(|u| u.0 == reg).map(|(_, at, loops)| {
            let outer = loops.iter().rev().find(|l| l.0 > defined);
            let summed = self
                .order
                .iter()
                .any(|(p, s)| p == at && matches!(s, Stmt::Let(r, _) if is_product(*r)));
            outer.map_or(at + usize::from(summed), |l| l.1)
        });
        ends.max().unwrap_or(defined)
    }

    /// The column's buffer may be written between the load and the last use. (A store's value may be computed into the
    /// column one position earlier.)
    pub fn overwritten(&self, from: &Rows, load: usize, last: usize) -> bool {
        self.stores(from.buf).any(|store| store > load && store - 1 < last)
    }
}
