//! Mails of the node, to the one mail server that the operator has named.

use async_trait::async_trait;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::time::{Duration, SystemTime};
use tandem_model::Secret;
use tandem_store::ClaimedMail;

/// Sends mails.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Hands a mail to the mail server.
    ///
    /// # Errors
    /// [`MailError`].
    async fn send(&self, mail: &ClaimedMail) -> Result<(), MailError>;
}

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The same may be taken later.
    #[error("{0}")]
    Later(String),
    /// The server takes no such mail.
    #[error("{0}")]
    Never(String),
}

/// How the mail server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS after STARTTLS, which the server must know.
    StartTls,
    /// None: for a server on this host, or on a network that the operator trusts.
    Plain,
}

/// The mail server, and who sends.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub security: SmtpSecurity,
    /// With whom it is spoken to, if it asks.
    pub credentials: Option<(String, Secret)>,
    /// The address that mails come from.
    pub from: String,
}

/// Why no mails can be sent.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The sender is no address.
    #[error("the sender is no e-mail address: {0}")]
    From(lettre::address::AddressError),
    /// TLS cannot be used.
    #[error("TLS to the mail server cannot be used: {0}")]
    Tls(lettre::transport::smtp::Error),
}

/// Sends mails over SMTP, each over a connection of its own.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMailer {
    /// One that speaks to this server. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`SmtpError`].
    pub fn new(settings: SmtpSettings) -> Result<Self, SmtpError> {
        let SmtpSettings { host, port, security, credentials, from } = settings;
        let from = Mailbox::new(None, from.parse().map_err(SmtpError::From)?);
        let builder = match security {
            SmtpSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&host).map_err(SmtpError::Tls)?,
            SmtpSecurity::StartTls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&host).map_err(SmtpError::Tls)?
            }
            SmtpSecurity::Plain => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host),
        };
        let name = ClientId::Domain(from.email.domain().to_owned());
        let mut builder = builder.port(port).timeout(Some(PATIENCE)).hello_name(name);
        if let Some((user, password)) = credentials {
            builder = builder.credentials(Credentials::new(user, password.expose().to_owned()));
        }
        Ok(Self { transport: builder.build(), from })
    }

    /// A mail as it is sent: plain text, with an id by which a receiver knows what it has seen.
    fn message(&self, mail: &ClaimedMail) -> Result<Message, MailError> {
        let never = |error: &dyn std::fmt::Display| MailError::Never(error.to_string());
        let to = mail.recipient.parse().map_err(|error: lettre::address::AddressError| never(&error))?;
        let written_at = u64::try_from(mail.created_at.unix_micros()).unwrap_or(0);
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(mail.text.subject.as_str())
            .date(SystemTime::UNIX_EPOCH + Duration::from_micros(written_at))
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.body.clone())
            .map_err(|error| never(&error))
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: &ClaimedMail) -> Result<(), MailError> {
        let message = self.message(mail)?;
        // Each step has its time limit; a server that is slow at every one of them must not take more than the claim holds.
        match tokio::time::timeout(LONGEST, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(MailError::Never(error.to_string())),
            Ok(Err(error)) => Err(MailError::Later(error.to_string())),
            Err(_) => Err(MailError::Later("the mail server is too slow".to_owned())),
        }
    }
}

/// How long a mail server may take for each answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long it may take for a mail.
const LONGEST: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_model::{AccountId, MailId, Timestamp};
    use tandem_store::MailText;
    use uuid::Uuid;

    #[test]
    fn a_mail_is_one_of_plain_text_whatever_is_in_it() {
        let settings = SmtpSettings {
            host: "mail.example.com".to_owned(),
            port: 465,
            security: SmtpSecurity::Tls,
            credentials: None,
            from: "tandem@example.com".to_owned(),
        };
        let mailer = SmtpMailer::new(settings).unwrap();
        let mut mail = ClaimedMail {
            id: MailId::from_uuid(Uuid::from_u128(7)),
            account_id: AccountId::from_uuid(Uuid::from_u128(1)),
            recipient: "noc@example.com".to_owned(),
            text: MailText {
                subject: "full\r\nBcc: everybody@example.com".to_owned(),
                body: "9 of 10\n.\nQUIT".to_owned(),
            },
            created_at: Timestamp::from_unix_micros(1_700_000_000_000_000),
            attempts: 0,
            give_up_at: Timestamp::from_unix_micros(0),
        };
        let text = String::from_utf8(mailer.message(&mail).unwrap().formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.com>"), "{head}");
        mail.recipient = "noc@example.com\r\nRCPT TO:<x@example.com>".to_owned();
        assert!(matches!(mailer.message(&mail), Err(MailError::Never(_))));
    }
}
