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
