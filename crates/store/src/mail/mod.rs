//! Mails: written with what they tell, and sent by whichever node comes first.

mod append;
mod queue;

pub use queue::{ClaimedMail, MailBacklog, MailEnd};

use tandem_model::Alert;

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailText {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub body: String,
}

/// Says what there is to say of an alert, as it is now.
pub type ComposeMail = fn(&Alert) -> MailText;

/// `$1` is the id, `$2` the account, `$3` the recipient, `$4` the subject, `$5` the body, `$6` now, `$7` when it is given up.
const INSERT_MAIL: &str =
    "INSERT INTO mails (id, account_id, recipient, subject, body, state, attempts, due_at, give_up_at, claimed_until, created_at)
     VALUES ($1, $2, $3, $4, $5, 'pending', 0, $6, $7, 0, $6)";
