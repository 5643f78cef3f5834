//! The binary `tandem`: configuration, threads, sockets, clock, wiring and CLI.

mod cli;
mod config;
mod places;
mod runtime;
mod serve;

/// A fifth of the time of a call went into the system's allocator, which also keeps what a burst of calls has freed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
