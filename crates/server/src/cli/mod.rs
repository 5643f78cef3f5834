//! Command line.
use crate::config::{Config, Preset, Sources};
pub(crate) fn run() -> std::process::ExitCode {
    let demo = std::env::args().any(|a| a == "--demo");
    let preset = if demo { Preset::Demo } else { Preset::Node };
    let sources = Sources::of_process(None);
    let config = Config::load(&sources.unwrap(), preset).unwrap();
    match crate::serve::serve(config, demo) { Ok(()) => std::process::ExitCode::SUCCESS, Err(error) => { eprintln!("tandem: {error}"); std::process::ExitCode::FAILURE } }
}
