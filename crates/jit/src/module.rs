//! A program's module: compilation, and the memory that holds the code.

use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cranelift::codegen::Context;
use cranelift::codegen::ir::{FuncRef, Function};
use cranelift::codegen::isa::OwnedTargetIsa;
use cranelift::prelude::types::I64;
use cranelift::prelude::{AbiParam, Configurable, FunctionBuilder, FunctionBuilderContext, settings};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use lvmc_base::Bug;
use lvmc_loops::ir::{BufId, Func, Program};
use lvmc_loops::{Kernels, Options, passes, usage};

use crate::emit::{self, TapePlan, Target};
use crate::error::JitError;
use crate::externals::External;
use crate::run::Entry;

/// A compiled program.
pub struct Compiled {
    program: Arc<Program>,
    functions: Vec<Compiled1>,
    /// Keeps the code in memory; never looked at.
    _code: Code,
    time: Duration,
}

/// A compiled function.
struct Compiled1 {
    entry: Entry,
    scratch: usize,
    needs: Vec<(BufId, bool)>,
    size: u32,
    time: Duration,
}

/// The module, freed when dropped.
struct Code(ManuallyDrop<JITModule>);

// SAFETY: after compilation the module is not touched until it is dropped, by one thread.
unsafe impl Send for Code {}
// SAFETY: as above; there are no methods on a shared `Code`.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: taken once, here. No function of the module runs: calls borrow the `Compiled` that owns it.
        unsafe { ManuallyDrop::take(&mut self.0).free_memory() };
    }
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiled")
            .field("program", &self.program.name)
            .field("size", &self.size())
            .finish()
    }
}

/// Compiles a program. Memory for it is made from [`Compiled::program`].
///
/// # Errors
/// Where the program is not well formed, or the machine is not supported.
pub fn compile(program: &Arc<Program>, options: &Options) -> Result<Compiled, JitError> {
    let started = Instant::now();
    let program = prepare(program, options)?;
    let mut session = Session::new(&program, *options)?;
    let mut ids = Vec::new();
    for func in &program.funcs {
        ids.push(session.define(func, false)?);
    }
    session
        .module
        .finalize_definitions()
        .map_err(|e| JitError::Memory(e.to_string()))?;
    let functions = program.funcs.iter().zip(ids).map(|(func, done)| {
        let address = session.module.get_finalized_function(done.id);
        // SAFETY: the function was compiled with exactly this signature
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(address) };
        let written = usage::written(&func.body);
        let needs = usage::mentioned(&func.body)
            .into_iter()
            .map(|b| (b, written.contains(&b)))
            .collect();
        Compiled1 {
            entry,
            scratch: done.scratch,
            needs,
            size: done.size,
            time: done.time,
        }
    });
    let functions = functions.collect();
    let code = Code(ManuallyDrop::new(session.module));
    Ok(Compiled {
        program,
        functions,
        _code: code,
        time: started.elapsed(),
    })
}

/// The program that is compiled: verified, with kernels expanded if they are not wanted, and cleaned up.
fn prepare(program: &Arc<Program>, options: &Options) -> Result<Arc<Program>, JitError> {
    lvmc_loops::verify(program)?;
    let mut out = Program::clone(program);
    if options.kernels == Kernels::None {
        passes::expand_kernels(&mut out);
    }
    passes::hoist(&mut out);
    lvmc_loops::verify(&out)?;
    Ok(Arc::new(out))
}

impl Compiled {
    /// The program as it was compiled. Its buffers begin with those of the original, which keep their ids.
    #[must_use]
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Bytes of code.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.functions.iter().map(|f| f.size).sum()
    }

    /// How long compilation took.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Per function: its name, how long it took and its bytes of code.
    pub fn functions(&self) -> impl Iterator<Item = (&str, Duration, u32)> {
        self.program
            .funcs
            .iter()
            .zip(&self.functions)
            .map(|(f, c)| (&f.name[..], c.time, c.size))
    }

    pub(crate) fn entry(&self, func: usize) -> Entry {
        self.functions[func].entry
    }

    pub(crate) fn scratch(&self, func: usize) -> usize {
        self.functions[func].scratch
    }

    /// Buffers that the function mentions, and whether it writes them.
    pub(crate) fn needs(&self, func: usize) -> &[(BufId, bool)] {
        &self.functions[func].needs
    }
}

/// A module under construction.
struct Session<'p> {
    program: &'p Program,
    options: Options,
    module: JITModule,
    context: Context,
    builder: FunctionBuilderContext,
    externals: HashMap<External, FuncId>,
    fma: bool,
    /// Text forms of the last function, where asked for.
    clif: String,
    asm: String,
}

/// What is known of a function when it is defined.
struct Defined {
    id: FuncId,
    scratch: usize,
    size: u32,
    time: Duration,
}

impl<'p> Session<'p> {
    fn new(program: &'p Program, options: Options) -> Result<Self, JitError> {
        let isa = host()?;
        let fma = has(&isa, "has_fma") || cfg!(target_arch = "aarch64");
        let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
        for external in External::all() {
            builder.symbol(external.name(), external.address());
        }
        let module = JITModule::new(builder);
        let context = module.make_context();
        let (clif, asm) = (String::new(), String::new());
        let builder = FunctionBuilderContext::new();
        Ok(Self {
            program,
            options,
            module,
            context,
            builder,
            externals: HashMap::new(),
            fma,
            clif,
            asm,
        })
    }

    /// Compiles a function into the module; with `text`, keeps its text forms.
    fn define(&mut self, func: &Func, text: bool) -> Result<Defined, JitError> {
        let started = Instant::now();
        let mut signature = self.module.make_signature();
        signature.params.extend([AbiParam::new(I64); 3]);
        let name = format!("lvm_{}", func.name);
        let id = self
            .module
            .declare_function(&name, Linkage::Export, &signature)
            .map_err(|e| bug(&e, ""))?;
        self.context.func.signature = signature;
        self.context.set_disasm(text);
        let plan = TapePlan::new(self.program, func, self.options);
        self.build(func, &plan);
        if text {
            self.clif = self.context.func.display().to_string();
        }
        let defined = self.module.define_function(id, &mut self.context);
        defined.map_err(|e| bug(&e, &self.context.func.display().to_string()))?;
        let compiled = self.context.compiled_code();
        let size = compiled.map_or(0, |c| c.code_info().total_size);
        if text {
            self.asm = compiled.and_then(|c| c.vcode.clone()).unwrap_or_default();
        }
        self.module.clear_context(&mut self.context);
        let scratch = if plan.is_empty() { 0 } else { plan.len() };
        Ok(Defined {
            id,
            scratch,
            size,
            time: started.elapsed(),
        })
    }

    fn build(&mut self, func: &Func, plan: &TapePlan) {
        let config = self.module.target_config();
        let builder = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        let (module, externals) = (&mut self.module, &mut self.externals);
        let mut import = |function: &mut Function, external: External| -> FuncRef {
            let id = *externals.entry(external).or_insert_with(|| {
                let mut signature = module.make_signature();
                external.signature(&mut signature);
                let declared = module.declare_function(&external.name(), Linkage::Import, &signature);
                declared.expect("every external function has one name and one signature")
            });
            module.declare_func_in_func(id, function)
        };
        let target = Target {
            fma: self.fma,
            import: &mut import,
        };
        emit::emit(builder, self.program, func, self.options, plan, target, config);
    }
}

/// The code generator for this machine.
///
/// No optimisation: for straight-line floating point Cranelift's optimiser moves arithmetic away from its loads and
/// spills, and the plain code is faster (measured: 1.2 to 1.6 times).
fn host() -> Result<OwnedTargetIsa, JitError> {
    let machine = |e: String| JitError::Machine(e);
    let mut flags = settings::builder();
    let verifier = if cfg!(debug_assertions) { "true" } else { "false" };
    let set = [
        ("opt_level", "none"),
        ("enable_verifier", verifier),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
    ];
    for (name, value) in set {
        flags.set(name, value).map_err(|e| machine(e.to_string()))?;
    }
    let isa = cranelift_native::builder().map_err(|e| machine(e.to_owned()))?;
    isa.finish(settings::Flags::new(flags))
        .map_err(|e| machine(e.to_string()))
}

fn has(isa: &OwnedTargetIsa, flag: &str) -> bool {
    isa.isa_flags()
        .iter()
        .any(|f| f.name == flag && f.as_bool() == Some(true))
}

fn bug(error: &dyn std::error::Error, ir: &str) -> JitError {
    JitError::from(Bug {
        stage: "jit",
        message: format!("{error}: {error:?}"),
        ir: ir.to_owned(),
    })
}

/// The Cranelift IR of every function, with the names of what it calls.
///
/// # Errors
/// As [`compile`].
pub fn clif_text(program: &Arc<Program>, options: &Options) -> Result<String, JitError> {
    texts(program, options).map(|t| t.0)
}

/// The machine code of every function, disassembled.
///
/// # Errors
/// As [`compile`].
pub fn asm_text(program: &Arc<Program>, options: &Options) -> Result<String, JitError> {
    texts(program, options).map(|t| t.1)
}

fn texts(program: &Arc<Program>, options: &Options) -> Result<(String, String), JitError> {
    let program = prepare(program, options)?;
    let mut session = Session::new(&program, *options)?;
    let (mut clif, mut asm) = (String::new(), String::new());
    for func in &program.funcs {
        session.define(func, true)?;
        clif += &format!("; {}\n{}\n", func.name, session.clif);
        asm += &format!("; {}\n{}\n", func.name, session.asm);
    }
    let mut names: Vec<(FuncId, External)> = session.externals.iter().map(|(e, id)| (*id, *e)).collect();
    names.sort_by_key(|n| n.0);
    for (id, external) in names {
        clif += &format!("; u0:{} is {}\n", id.as_u32(), external.name());
    }
    let code = Code(ManuallyDrop::new(session.module));
    drop(code);
    Ok((clif, asm))
}
