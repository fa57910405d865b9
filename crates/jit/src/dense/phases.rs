//! From steps to phases: each step in the earliest phase that its operands allow.

use super::map::Code;
use super::memory::{is_noise, is_rows};
use super::once::Job;
use super::product::{Multiply, Packed, Strided, cut};
use super::rows::{Batched, RowStep};
use lvmc_dense::ir::{Algebra, ArrayId, Extent, Fate, Matrix, Program, Role, Step};
use lvmc_dense::law;
use lvmc_kernels::array::Float;
use std::sync::Mutex;

/// Row steps, and others that are independent of them and of each other.
pub(super) struct Phase<T> {
    pub rows: Vec<RowStep<T>>,
    pub jobs: Vec<Job<T>>,
}

/// The last phases in which an array is written and read, by row steps and by others.
#[derive(Debug, Clone, Copy, Default)]
struct Uses {
    written_by_rows: Option<usize>,
    written: Option<usize>,
    read_by_rows: Option<usize>,
    read: Option<usize>,
}

/// What a planner has made of a program.
pub(super) struct Plan<T> {
    pub phases: Vec<Phase<T>>,
    /// Numbers behind the arrays, for packed operands.
    pub behind: usize,
    /// Those operands.
    pub packed: Vec<Packed>,
    /// For every array: the phase of the one product that makes all of it, if there is one, and the columns of that.
    pub made: Vec<Option<(usize, usize)>>,
    /// For every array: the last phase that reads it.
    pub read: Vec<Option<usize>>,
}

struct Planner<'a, T> {
    program: &'a Program,
    capacity: usize,
    uses: Vec<Uses>,
    phases: Vec<Phase<T>>,
    packed: Vec<(Packed, usize)>,
    behind: usize,
    made: Vec<Option<(usize, usize)>>,
}

/// The phases of a program; packed operands stand from `behind` on.
pub(super) fn plan<T: Float>(program: &Program, capacity: usize, behind: usize) -> Plan<T> {
    let mut planner = Planner {
        program,
        capacity,
        uses: vec![Uses::default(); program.arrays.len()],
        phases: Vec::new(),
        packed: Vec::new(),
        behind,
        made: vec![None; program.arrays.len()],
    };
    let noise = (0..program.arrays.len()).filter(|&id| is_noise(program, id));
    for (ordinal, array) in noise.enumerate() {
        let Role::Noise(kind) = program.arrays[array].role else {
            continue;
        };
        let (ordinal, law) = (ordinal as u64, law(kind));
        if is_rows(program, array) {
            planner.row_step(RowStep::Draw { array, ordinal, law }, &[], &[array]);
        } else {
            planner.job(Job::Draw { array, ordinal, law }, &[], &[array]);
        }
    }
    program.steps.iter().for_each(|step| planner.step(step));
    Plan {
        phases: planner.phases,
        behind: planner.behind - behind,
        packed: planner.packed.into_iter().map(|(packed, _)| packed).collect(),
        made: planner.made,
        read: planner.uses.iter().map(|u| u.read.max(u.read_by_rows)).collect(),
    }
}

impl<T: Float> Planner<'_, T> {
    /// The earliest phase for a step.
    fn earliest(&self, by_rows: bool, reads: &[ArrayId], writes: &[ArrayId]) -> usize {
        let after = |id: ArrayId, by_rows_too: Option<usize>, others: Option<usize>| {
            // row steps of one phase see each other's rows
            let same = by_rows && is_rows(self.program, id);
            let rows = by_rows_too.map_or(0, |p| if same { p } else { p + 1 });
            rows.max(others.map_or(0, |p| p + 1))
        };
        let read = reads
            .iter()
            .map(|&id| after(id, self.uses[id].written_by_rows, self.uses[id].written));
        let written = writes.iter().flat_map(|&id| {
            let uses = self.uses[id];
            [
                after(id, uses.written_by_rows, uses.written),
                after(id, uses.read_by_rows, uses.read),
            ]
        });
        read.chain(written).max().unwrap_or(0)
    }

    /// The phase of a step, noted with what it uses.
    fn place(&mut self, by_rows: bool, reads: &[ArrayId], writes: &[ArrayId]) -> usize {
        let phase = self.earliest(by_rows, reads, writes);
        while self.phases.len() <= phase {
            self.phases.push(Phase {
                rows: Vec::new(),
                jobs: Vec::new(),
            });
        }
        let note = |slot: &mut Option<usize>| *slot = Some(slot.map_or(phase, |p| p.max(phase)));
        for &id in reads {
            note(if by_rows {
                &mut self.uses[id].read_by_rows
            } else {
                &mut self.uses[id].read
            });
        }
        for &id in writes {
            self.made[id] = None;
            note(if by_rows {
                &mut self.uses[id].written_by_rows
            } else {
                &mut self.uses[id].written
            });
        }
        phase
    }

    fn row_step(&mut self, step: RowStep<T>, reads: &[ArrayId], writes: &[ArrayId]) {
        let phase = self.place(true, reads, writes);
        self.phases[phase].rows.push(step);
    }

    fn job(&mut self, job: Job<T>, reads: &[ArrayId], writes: &[ArrayId]) -> usize {
        let phase = self.place(false, reads, writes);
        self.phases[phase].jobs.push(job);
        phase
    }

    fn step(&mut self, step: &Step) {
        let by_rows = |id: ArrayId| is_rows(self.program, id);
        match step {
            Step::Map(map) => {
                let reads: Vec<ArrayId> = map.reads.iter().map(|r| r.array).collect();
                let writes: Vec<ArrayId> = map.writes.iter().map(|w| w.array).collect();
                let code = Code::new(self.program, map);
                if map.extent == Extent::Rows {
                    debug_assert!(map.writes.iter().all(|w| w.fate != Fate::Store || by_rows(w.array)));
                    self.row_step(RowStep::Map(code), &reads, &writes);
                } else {
                    self.job(Job::Map(code), &reads, &writes);
                }
            }
            Step::Product { out, a, b, accumulate } => self.product(out, a, b, *accumulate),
            Step::Batched { out, a, b, accumulate } => {
                let step = Batched {
                    out: Strided::of(out),
                    a: Strided::of(a),
                    b: Strided::of(b),
                    add: *accumulate,
                };
                self.row_step(RowStep::Batched(step), &[a.array, b.array], &[out.array]);
            }
            &Step::Gather {
                out,
                table,
                index,
                len,
                entries,
            } => {
                let reads = [table.array, index.array];
                if by_rows(out.array) {
                    self.row_step(
                        RowStep::Gather {
                            out,
                            table,
                            index,
                            len,
                            entries,
                        },
                        &reads,
                        &[out.array],
                    );
                } else {
                    self.job(
                        Job::Gather {
                            out,
                            table,
                            index,
                            len,
                            entries,
                        },
                        &reads,
                        &[out.array],
                    );
                }
            }
            &Step::Scatter {
                table,
                from,
                index,
                len,
                entries,
            } => {
                let rows = by_rows(from.array) || by_rows(index.array);
                let job = Job::Scatter {
                    table,
                    from,
                    index,
                    len,
                    entries,
                    rows,
                };
                self.job(job, &[from.array, index.array], &[table.array]);
            }
            Step::Pick { out, from, map } => {
                let (out, from, map) = (*out, *from, map.clone());
                if by_rows(out) {
                    self.row_step(RowStep::Pick { out, from, map }, &[from], &[out]);
                } else {
                    self.job(Job::Pick { out, from, map }, &[from], &[out]);
                }
            }
            Step::Unpick { out, from, map } => {
                let (out, from, map) = (*out, *from, map.clone());
                if by_rows(out) {
                    self.row_step(RowStep::Unpick { out, from, map }, &[from], &[out]);
                } else {
                    self.job(Job::Unpick { out, from, map }, &[from], &[out]);
                }
            }
            &Step::Algebra { what, out, a, n } => {
                let result = if what == Algebra::LogDet { 1 } else { n * n };
                let room = Mutex::new([vec![0.0; n * n], vec![0.0; result], vec![0.0; n * n]]);
                let job = Job::Algebra {
                    what,
                    out,
                    a,
                    n,
                    rows: by_rows(out),
                    room,
                };
                self.job(job, &[a], &[out]);
            }
        }
    }

    fn product(&mut self, out: &Matrix, a: &Matrix, b: &Matrix, add: bool) {
        let mut multiply = Multiply::new(out, a, b, add);
        let mut packed_in = None;
        if multiply.wants_packing::<T>(self.program, self.capacity) {
            let (at, phase) = self.pack(&multiply);
            multiply.packed = Some(at);
            packed_in = Some(phase);
        }
        let reads = [multiply.a.array, multiply.b.array];
        let by_rows = multiply.is_row_step();
        let out = &self.uses[multiply.out.array];
        let first = out.written.is_none() && out.written_by_rows.is_none();
        let mut phase = self.place(by_rows, &reads, &[multiply.out.array]);
        if let Some(packed) = packed_in.filter(|&p| p >= phase) {
            phase = packed + 1;
            // everything that was noted for the earlier phase holds for the later one
            self.delay(by_rows, &reads, multiply.out.array, phase);
        }
        if by_rows {
            self.phases[phase].rows.push(RowStep::Multiply(multiply));
        } else {
            let part = cut::<T>(&multiply, self.capacity);
            let out = multiply.out.array;
            let whole = first && multiply.is_whole(self.program.arrays[out].len);
            self.made[out] = whole.then(|| (phase, multiply.shape(0).1));
            self.phases[phase].jobs.push(Job::Multiply { multiply, part });
        }
    }

    /// Notes that a step was moved to a later phase.
    fn delay(&mut self, by_rows: bool, reads: &[ArrayId], out: ArrayId, phase: usize) {
        while self.phases.len() <= phase {
            self.phases.push(Phase {
                rows: Vec::new(),
                jobs: Vec::new(),
            });
        }
        for &id in reads {
            let uses = &mut self.uses[id];
            let slot = if by_rows {
                &mut uses.read_by_rows
            } else {
                &mut uses.read
            };
            *slot = (*slot).max(Some(phase));
        }
        let uses = &mut self.uses[out];
        let slot = if by_rows {
            &mut uses.written_by_rows
        } else {
            &mut uses.written
        };
        *slot = (*slot).max(Some(phase));
    }

    /// The place of a product's packed b, and the phase in which it is packed.
    fn pack(&mut self, multiply: &Multiply) -> (usize, usize) {
        let b = multiply.b;
        let written = self.uses[b.array].written.max(self.uses[b.array].written_by_rows);
        let known = self
            .packed
            .iter()
            .find(|(p, phase)| p.b == b && written.is_none_or(|w| w < *phase));
        if let Some((packed, phase)) = known {
            return (packed.at, *phase);
        }
        let packed = Packed { b, at: self.behind };
        let unit = 64 / size_of::<T>();
        self.behind += multiply.packed_len::<T>().next_multiple_of(unit);
        let phase = self.job(Job::Pack(packed), &[b.array], &[]);
        self.packed.push((packed, phase));
        (packed.at, phase)
    }
}
