//! The binary `tandem`: configuration, threads, sockets, clock, wiring and CLI.

mod cli;
mod config;
mod runtime;
mod serve;

fn main() -> std::process::ExitCode {
    cli::run()
}
