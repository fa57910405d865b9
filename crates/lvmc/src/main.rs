//! The command line.

fn main() -> std::process::ExitCode {
    lvmc::cli::main()
}
