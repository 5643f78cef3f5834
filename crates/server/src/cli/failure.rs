use super::api::ApiError;
use super::output::{self, Output};
use super::receipt;
use crate::config::ConfigError;
use crate::serve::ServeError;
use serde_json::json;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tandem_model::{AccountId, ApiKeyId};
use tandem_store::{
    ChangeCreditError, DatabaseError, InsertAccountError, InsertApiKeyError, InsertUserError, MAX_USERS, OpenError,
    UpdateAccountError,
};

/// How many there are, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Findings(pub(super) usize);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 finding"),
            many => write!(f, "{many} findings"),
        }
    }
}

/// Why a command did not do what it was told, in one line with what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The same, and the answer has told machines already.
    #[error(transparent)]
    Checked(ConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    OpenDatabase(#[from] OpenError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(
        "there is no database at {path:?}; run tandem migrate, or set TANDEM_DATA_DIR to the node's data directory"
    )]
    NoDatabase { path: PathBuf },
    #[error("there is no account {named:?}; tandem account list shows those there are")]
    UnknownAccount { named: String },
    #[error("there are {count} accounts; say which by --account")]
    WhichAccount { count: usize },
    #[error("there is no account yet; make one by tandem account add")]
    NoAccount,
    #[error(
        "an account named {name:?} exists, or one of that id; choose another, or change that one by tandem account set"
    )]
    AccountNameTaken { name: String },
    #[error("account {id} is gone; tandem account list shows those there are")]
    AccountGone { id: AccountId },
    #[error("the credit of account {id} would be more than an amount can hold")]
    CreditOverflow { id: AccountId },
    #[error("a user with the e-mail address {email:?} exists; each belongs to one account")]
    EmailTaken { email: String },
    #[error("account {id} has its {MAX_USERS} users; remove one first")]
    TooManyUsers { id: AccountId },
    #[error("there is no user {email:?}; tandem user list shows those of an account")]
    UnknownUser { email: String },
    #[error("a password has {least} to {most} characters")]
    PasswordLength { least: usize, most: usize },
    #[error("the key would end before it begins; give --expires a time that is to come")]
    KeyEndsBeforeItBegins,
    #[error("there is no key {id}; tandem key list shows those of an account")]
    UnknownKey { id: ApiKeyId },
    #[error("the key cannot be made: {0}")]
    InsertKey(InsertApiKeyError),
    #[error("{0}")]
    Rotate(tandem_store::RotateError),
    #[error(
        "these nodes have not seen the new master key: {nodes}; look at their logs, then run it again. What is sealed still opens"
    )]
    NodesBehind { nodes: String },
    #[error(
        "the database is PostgreSQL: back it up by pg_dump --format=custom --schema=tandem --file=FILE {database}, and restore it, \
         with all nodes stopped, by pg_restore --clean --if-exists --single-transaction --dbname={database} FILE"
    )]
    PostgresBackup { database: String },
    #[error(
        "the server{pid} runs on this data directory; stop it first (systemctl stop tandem), restore, and start it: what its journal \
         still holds after the backup is stored then. A backup can be made while it runs"
    )]
    ServerRuns { pid: String },
    #[error(transparent)]
    Restore(#[from] tandem_store::RestoreError),
    #[error("the audit log is not as it was written: {findings}; docs/runbook.md says what to do")]
    AuditLogBroken { findings: Findings },
    #[error("the operating system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("there is no trunk {named:?}; tandem trunk list shows those there are")]
    UnknownTrunk { named: String },
    #[error("{source_name} cannot be read: {source}")]
    Read { source_name: String, source: io::Error },
    #[error("{source_name} holds no JSON object: {reason}")]
    NoJsonObject { source_name: String, reason: String },
    #[error("{source_name} holds no password; give it on the first line")]
    NoPassword { source_name: String },
    #[error("the password is read from standard input, which is a terminal; give --password-file, or pipe it in")]
    PasswordFromTerminal,
    #[error("the trunk is {status}{reason}; tandem trunk show lists its settings")]
    TrunkUnwell { status: String, reason: String },
    #[error("the test call was not answered: it ended {status}{reason}; call a number that answers with an echo")]
    TestCallUnanswered { status: String, reason: String },
    #[error(
        "the test call was answered, and {heard} came back instead of the tone that was played; call a number that answers with an echo"
    )]
    TestCallUnheard { heard: String },
    #[error("the call ended {status}{reason}")]
    CallUnsuccessful { status: String, reason: String },
    #[error("the system gives no thread or event queue: {0}")]
    Runtime(io::Error),
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Says it on standard error, a refused call with its receipt. In JSON it also goes to standard output: a problem as the API gave it, all
    /// else on one line, which fits into a stream of lines too.
    pub(super) fn report(&self, output: &Output) -> ExitCode {
        // Who reads the output has seen enough.
        if matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        let mut stderr = io::stderr().lock();
        for line in self.to_string().lines() {
            // Nothing is left to tell it to when this fails.
            let _ = writeln!(stderr, "tandem: {}", output::printable(line));
        }
        if let Self::Api(ApiError::Refused(problem)) = self {
            if output.is_json() {
                let _ = output.json(problem);
            } else if let Some(refused) = problem.receipt() {
                let _ = stderr.write_all(receipt::table(refused).as_bytes());
            }
        } else if output.is_json() && !self.has_answered() {
            let text = self.to_string();
            let _ = output.json_line(&json!({"ok": false, "problems": text.lines().collect::<Vec<_>>()}));
        }
        ExitCode::FAILURE
    }

    /// Whether the command has done what it could, and its answer tells machines what is wrong.
    const fn has_answered(&self) -> bool {
        matches!(
            self,
            Self::Checked(_)
                | Self::AuditLogBroken { .. }
                | Self::TrunkUnwell { .. }
                | Self::TestCallUnanswered { .. }
                | Self::TestCallUnheard { .. }
                | Self::CallUnsuccessful { .. }
        )
    }
}

impl Failure {
    pub(super) fn of_insert_account(error: InsertAccountError, name: &str) -> Self {
        match error {
            InsertAccountError::NameTaken => Self::AccountNameTaken { name: name.to_owned() },
            InsertAccountError::Database(error) => error.into(),
        }
    }

    pub(super) fn of_update_account(error: UpdateAccountError, id: AccountId) -> Self {
        match error {
            UpdateAccountError::NotFound => Self::AccountGone { id },
            UpdateAccountError::Database(error) => error.into(),
        }
    }

    pub(super) fn of_change_credit(error: ChangeCreditError, id: AccountId) -> Self {
        match error {
            ChangeCreditError::UnknownAccount => Self::AccountGone { id },
            ChangeCreditError::Overflow => Self::CreditOverflow { id },
            ChangeCreditError::Database(error) => error.into(),
        }
    }

    pub(super) fn of_insert_user(error: InsertUserError, email: &str, account: AccountId) -> Self {
        match error {
            InsertUserError::EmailTaken => Self::EmailTaken { email: email.to_owned() },
            InsertUserError::UnknownAccount => Self::AccountGone { id: account },
            InsertUserError::TooMany => Self::TooManyUsers { id: account },
            InsertUserError::Database(error) => error.into(),
        }
    }

    pub(super) fn of_insert_key(error: InsertApiKeyError, account: AccountId) -> Self {
        match error {
            InsertApiKeyError::UnknownAccount => Self::AccountGone { id: account },
            InsertApiKeyError::Database(error) => error.into(),
            error @ (InsertApiKeyError::KeyTaken
            | InsertApiKeyError::Revoked
            | InsertApiKeyError::TooMany
            | InsertApiKeyError::MakerRevoked
            | InsertApiKeyError::EndsAfterMaker { .. }
            | InsertApiKeyError::Length { .. }) => Self::InsertKey(error),
        }
    }
}
