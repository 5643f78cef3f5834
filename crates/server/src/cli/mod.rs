//! The command line.

mod account;
mod alerts;
mod api;
mod audit;
mod backup;
mod call;
mod calls;
mod check;
mod credit;
mod database;
mod failure;
mod key;
mod keys;
mod migrate;
mod output;
mod receipt;
mod refusals;
mod trunk;
mod user;

use crate::config::{Config, Preset, Sources, carrier_pair};
use clap::{CommandFactory, Parser, Subcommand};
use failure::Failure;
use output::Output;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tandem_carrier::PERSONAS;

/// A self-hosted SIP trunk switch.
#[derive(Parser)]
#[command(
    name = "tandem",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage. Settings come from tandem.toml and the environment; tandem check shows them."
)]
struct Cli {
    /// The configuration file [default: ./tandem.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "TANDEM_CONFIG")]
    config: Option<PathBuf>,
    /// Answer in JSON, for machines
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server until it is told to stop
    Serve {
        /// On loopback alone, with a simulated carrier behind two trunks and a key in demo.key of the data directory
        #[arg(long)]
        demo: bool,
    },
    /// Show the configuration and what is wrong with it; touches neither network nor database
    Check {
        /// With the defaults of serve --demo
        #[arg(long)]
        demo: bool,
    },
    /// Make the database, or bring its schema up to date
    Migrate,
    /// Accounts, in the database
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// People who act for an account, in the database
    #[command(subcommand)]
    User(user::UserCommand),
    /// API keys, in the database
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// The master key, which seals the secrets in the database
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Copy the database into a file, while the server runs or not
    Backup {
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Put a backup in the place of the database; the server must be stopped
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Who did what, in the database
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Trunks, by the API of a running server
    Trunk(trunk::TrunkArgs),
    /// Place a call, by the API of a running server
    Call(call::CallArgs),
    /// Show the calls, by the API of a running server
    Calls(calls::CallsArgs),
    /// Show the calls that came in and were refused, by the API of a running server
    Refusals(refusals::RefusalsArgs),
    /// Show what somebody should look at, by the API of a running server
    Alerts(alerts::AlertsArgs),
    /// Run the simulated carrier on its own
    #[command(after_help = carrier_numbers())]
    Carrier {
        /// Its two addresses
        #[arg(long, value_name = "A,B", default_value = "127.0.0.2:5060,127.0.0.3:5060", value_parser = carrier_pair)]
        listen: CarrierAddresses,
    },
    /// Print the OpenAPI document of the API
    Openapi,
    /// Print a completion script
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
}

/// What the carrier's numbers do, as a part of its help.
fn carrier_numbers() -> String {
    let lines = PERSONAS.iter().map(|persona| format!("\n  +{}  {}", persona.digits, persona.summary));
    format!("Its numbers; all others are not assigned (404):{}", lines.collect::<String>())
}

/// Named, because clap would take an array for a list of arguments.
type CarrierAddresses = [SocketAddr; 2];

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            // A closed stream means that nobody wants to see it.
            let _ = error.print();
            return status;
        }
    };
    let output = Output::new(cli.json);
    match cli.perform(&output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&output),
    }
}

impl Cli {
    fn perform(self, output: &Output) -> Result<(), Failure> {
        let settings = ConfigSource { file: self.config };
        match self.command {
            Command::Serve { demo } => {
                let preset = if demo { Preset::Demo } else { Preset::Node };
                Ok(crate::serve::serve(settings.config(preset)?, demo)?)
            }
            Command::Check { demo } => {
                check::check(&settings.sources()?, if demo { Preset::Demo } else { Preset::Node }, output)
            }
            Command::Migrate => migrate::migrate(&settings.config(Preset::Node)?, output),
            Command::Account(command) => command.perform(&settings.config(Preset::Node)?, output),
            Command::User(command) => command.perform(&settings.config(Preset::Node)?, output),
            Command::Key(command) => command.perform(&settings.config(Preset::Node)?, output),
            Command::Keys(command) => command.perform(&settings.config(Preset::Node)?, output),
            Command::Backup { file } => backup::back_up(&file, &settings.config(Preset::Node)?, output),
            Command::Restore { file } => backup::restore(&file, &settings.config(Preset::Node)?, output),
            Command::Audit(command) => command.perform(&settings.config(Preset::Node)?, output),
            Command::Trunk(arguments) => arguments.perform(&settings, output),
            Command::Call(arguments) => arguments.perform(&settings, output),
            Command::Calls(arguments) => arguments.perform(&settings, output),
            Command::Refusals(arguments) => arguments.perform(&settings, output),
            Command::Alerts(arguments) => arguments.perform(&settings, output),
            Command::Carrier { listen } => Ok(crate::serve::carrier(&settings.config(Preset::Demo)?, listen)?),
            Command::Openapi => Ok(output.json(&tandem_control::openapi())?),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "tandem", &mut script);
                Ok(output.raw(&script)?)
            }
        }
    }
}

/// Where the configuration is read from, once a command needs it.
struct ConfigSource {
    file: Option<PathBuf>,
}

impl ConfigSource {
    fn sources(&self) -> Result<Sources, Failure> {
        // An empty variable counts as not set, as everywhere.
        let named = self.file.as_deref().filter(|path| *path != Path::new(""));
        Ok(Sources::of_process(named)?)
    }

    fn config(&self, preset: Preset) -> Result<Config, Failure> {
        Ok(Config::load(&self.sources()?, preset)?)
    }

    fn data_dir(&self) -> Result<PathBuf, Failure> {
        Ok(Config::load_data_dir(&self.sources()?)?)
    }
}

/// Wrong usage.
const USAGE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
