//! Roles, written and inferred, and definitions that come back to themselves.

use crate::collect::role_word;
use crate::errors::ModelError;
use crate::graph::Role;
use crate::tables::{EntId, Kind, Rhs, Tables};
use lvmc_syntax::ast;
use std::collections::BTreeSet;

impl Tables<'_> {
    /// Decides every role.
    pub fn roles(&mut self) {
        let direct = self.all_mentions();
        self.cycles(&direct);
        let random = self.random_statements();
        let depends = self.dependencies(&direct);
        let used_by = self.used_by(&depends, &random);
        for id in 0..self.ents.len() {
            match self.ents[id].kind {
                Kind::Var => self.role_of(id, random[id], used_by[id]),
                Kind::Det => {
                    self.ents[id].role = Role::Deterministic;
                    self.ents[id].plate = self.meeting_plate(&depends[id]);
                    self.ents[id].because = format!("line {}", self.line(self.ents[id].span));
                }
                Kind::Const => {
                    self.ents[id].role = Role::Const;
                    let set = self.settings.set.iter().any(|(n, _)| *n == self.ents[id].name);
                    let line = format!("line {}", self.line(self.ents[id].span));
                    self.ents[id].because = if set { "--set".into() } else { line };
                }
                Kind::Dim(_) | Kind::Net(_) => {}
            }
        }
    }

    /// Names that a name's statements mention directly (model statements, or the guide's for names of its own).
    fn all_mentions(&self) -> Vec<BTreeSet<EntId>> {
        let mut out = vec![BTreeSet::new(); self.ents.len()];
        for (s, stmt) in self.stmts.iter().enumerate() {
            if stmt.guide == self.ents[stmt.ent].guide {
                // the first name is the statement's own
                out[stmt.ent].extend(self.names_in_stmt(s).into_iter().skip(1));
            }
        }
        out
    }

    /// The first `~` statement of each name.
    fn random_statements(&self) -> Vec<Option<usize>> {
        let mut out = vec![None; self.ents.len()];
        for (s, stmt) in self.stmts.iter().enumerate() {
            if stmt.guide == self.ents[stmt.ent].guide && matches!(stmt.rhs, Rhs::Random(_)) {
                out[stmt.ent] = out[stmt.ent].or(Some(s));
            }
        }
        out
    }

    /// For each name: the first other random variable of the model that depends on it.
    fn used_by(&self, depends: &[BTreeSet<EntId>], random: &[Option<usize>]) -> Vec<Option<EntId>> {
        let mut out = vec![None; self.ents.len()];
        for (x, on) in depends.iter().enumerate() {
            if self.ents[x].kind == Kind::Var && !self.ents[x].guide && random[x].is_some() {
                for &id in on.iter().filter(|&&id| id != x) {
                    out[id] = out[id].or(Some(x));
                }
            }
        }
        out
    }

    /// For each name: the random names it depends on, seen through definitions.
    fn dependencies(&self, direct: &[BTreeSet<EntId>]) -> Vec<BTreeSet<EntId>> {
        (0..self.ents.len())
            .map(|id| {
                let mut out = BTreeSet::new();
                let mut seen = BTreeSet::new();
                let mut todo: Vec<EntId> = direct[id].iter().copied().collect();
                while let Some(x) = todo.pop() {
                    if !seen.insert(x) {
                        continue;
                    }
                    match self.ents[x].kind {
                        Kind::Det => todo.extend(direct[x].iter().copied()),
                        Kind::Var => {
                            out.insert(x);
                        }
                        _ => {}
                    }
                }
                out
            })
            .collect()
    }

    /// A definition lives where its inputs meet: in the innermost of their plates.
    fn meeting_plate(&self, inputs: &BTreeSet<EntId>) -> usize {
        let depth = |mut p: usize| {
            let mut n = usize::from(p != 0);
            while let Some(up) = self.parent(p) {
                (p, n) = (up, n + 1);
            }
            n
        };
        let plates = inputs.iter().map(|&i| self.ents[i].plate);
        plates.max_by_key(|&p| depth(p)).unwrap_or(0)
    }

    /// A definition, or a random variable outside chains and families, must not come back to itself.
    fn cycles(&mut self, direct: &[BTreeSet<EntId>]) {
        let loose = |t: &Self, id: EntId| match t.ents[id].kind {
            Kind::Det | Kind::Const => true,
            Kind::Var => t.ents[id].chain.is_none() && t.ents[id].axes.is_empty(),
            _ => false,
        };
        let mut told: BTreeSet<EntId> = BTreeSet::new();
        for start in 0..self.ents.len() {
            if !loose(self, start) || told.contains(&start) {
                continue;
            }
            let mut from: Vec<Option<EntId>> = vec![None; self.ents.len()];
            let mut todo = vec![start];
            let mut back = None;
            while let (Some(x), None) = (todo.pop(), back) {
                for &y in &direct[x] {
                    if y == start {
                        back = Some(x);
                    } else if loose(self, y) && from[y].is_none() {
                        from[y] = Some(x);
                        todo.push(y);
                    }
                }
            }
            let Some(mut x) = back else { continue };
            let mut circle = vec![start];
            while x != start && circle.len() <= self.ents.len() {
                circle.push(x);
                match from[x] {
                    Some(y) => x = y,
                    None => break,
                }
            }
            told.extend(&circle);
            let names: Vec<String> = circle.iter().map(|&c| format!("`{}`", self.ents[c].name)).collect();
            let stmt = self
                .stmts
                .iter()
                .find(|s| s.ent == start && !matches!(s.rhs, Rhs::None));
            let at = stmt.map_or(self.ents[start].span, |s| s.span);
            self.error(ModelError::Cyclic {
                names: names.join(", "),
                at,
            });
        }
    }

    fn role_of(&mut self, id: EntId, random: Option<usize>, used_by: Option<EntId>) {
        if self.ents[id].free_in.is_some() {
            return;
        }
        if let Some(because) = self.ents[id].column.clone() {
            if self.ents[id].because.is_empty() {
                self.ents[id].because = because;
            }
            return;
        }
        let name = self.ents[id].name.clone();
        let written = self.ents[id].written;
        self.global_fits(id);
        let (role, because) = match (written, random) {
            (Some((role, span)), _) => (role, format!("line {}", self.line(span))),
            (None, Some(s)) => self.inferred(id, s, used_by),
            (None, None) => {
                self.error(ModelError::NoRole {
                    at: self.ents[id].span,
                    help: format!("write what is known of it: given {name}, param {name}, or {name} ~ …"),
                    name,
                });
                return;
            }
        };
        self.ents[id].because = because;
        self.ents[id].role = match role {
            ast::Role::Param => Role::Param,
            ast::Role::Latent => Role::Latent,
            ast::Role::Data if self.ents[id].data_at.is_some() => Role::Latent,
            ast::Role::Data => Role::Data,
            ast::Role::Given => Role::Given,
            ast::Role::Noise => Role::Noise,
        };
        self.distribution_fits(id, role, random);
    }

    /// A given has no distribution; data, latents and noise have one.
    fn distribution_fits(&mut self, id: EntId, role: ast::Role, random: Option<usize>) {
        let (name, span) = (self.ents[id].name.clone(), self.ents[id].span);
        match (role, random) {
            (ast::Role::Given, Some(s)) => {
                let declared = self.ents[id].written.map_or(span, |(_, s)| s);
                self.error(ModelError::GivenWithDistribution {
                    at: self.stmts[s].span,
                    declared,
                    help: format!("to model it, declare it:  data {name}\nto condition on it, leave out its `~`"),
                    name,
                });
            }
            (ast::Role::Data | ast::Role::Latent | ast::Role::Noise, None) => {
                let help = match role {
                    ast::Role::Data => {
                        format!("say where it comes from:  {name} ~ Normal(…)\nor condition on it:  given {name}")
                    }
                    _ => format!("give it one:  {name} ~ Normal(0, 1)\nor estimate it as a point:  param {name}"),
                };
                self.error(ModelError::NoDistribution {
                    name,
                    role: role_word(role).into(),
                    at: span,
                    help,
                });
            }
            _ => {}
        }
    }

    fn global_fits(&mut self, id: EntId) {
        let Some(at) = self.ents[id].global else { return };
        if let Some((role @ (ast::Role::Data | ast::Role::Given | ast::Role::Noise), _)) = self.ents[id].written {
            let name = &self.ents[id].name;
            let help = format!("what is observed lies in rows and columns; a constant is written: const {name} = …");
            self.error(ModelError::Misplaced {
                what: format!("`global` before {}", role_word(role)),
                at,
                help,
            });
        }
    }

    /// A `~` variable on which no other depends is data, any other is latent.
    fn inferred(&self, id: EntId, s: usize, used_by: Option<EntId>) -> (ast::Role, String) {
        let text = match self.stmts[s].rhs {
            Rhs::Random(e) => self.text(e.span).split_whitespace().collect::<Vec<_>>().join(" "),
            _ => String::new(),
        };
        match used_by {
            Some(x) => (
                ast::Role::Latent,
                format!("{text}; {} depends on it", self.ents[x].name),
            ),
            None if self.ents[id].global.is_some() => (ast::Role::Latent, format!("global; {text}")),
            None => (ast::Role::Data, format!("{text}; nothing depends on it")),
        }
    }
}
