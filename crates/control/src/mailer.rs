//! Mails of the node, to the one mail server that the operator has named.

mod before_tls;

use async_trait::async_trait;
use before_tls::BeforeTls;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::time::{Duration, SystemTime};
use tandem_model::Secret;
use tandem_store::ClaimedMail;
use tokio::net::TcpStream;

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
    way: Way,
    from: Mailbox,
}

enum Way {
    /// TLS from the first byte, or none.
    Direct(AsyncSmtpTransport<Tokio1Executor>),
    StartTls(Box<StartTls>),
}

/// A server that TLS begins with by STARTTLS, before anything else.
struct StartTls {
    server: (String, u16),
    tls: TlsParameters,
    name: ClientId,
    credentials: Option<Credentials>,
}

impl StartTls {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let (host, port) = &self.server;
        let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect((host.as_str(), *port)));
        let stream = connecting.await.map_err(|_| SendError::Connect(std::io::ErrorKind::TimedOut.into()))?;
        let stream = BeforeTls::new(stream.map_err(SendError::Connect)?);
        let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.name).await?;
        connection.starttls(self.tls.clone(), &self.name).await?;
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        connection.send(message.envelope(), &message.formatted()).await?;
        // The mail is taken, whatever the server says now.
        drop(connection.quit().await);
        Ok(())
    }
}

/// Why a server did not take a mail.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("connection error: {0}")]
    Connect(std::io::Error),
    #[error(transparent)]
    Smtp(#[from] lettre::transport::smtp::Error),
}

impl SendError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::Connect(_) => false,
            Self::Smtp(error) => error.is_permanent(),
        }
    }
}

impl SmtpMailer {
    /// One that speaks to this server. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`SmtpError`].
    pub fn new(settings: SmtpSettings) -> Result<Self, SmtpError> {
        let SmtpSettings { host, port, security, credentials, from } = settings;
        let from = Mailbox::new(None, from.parse().map_err(SmtpError::From)?);
        let name = ClientId::Domain(from.email.domain().to_owned());
        let credentials = credentials.map(|(user, password)| Credentials::new(user, password.expose().to_owned()));
        let builder = match security {
            SmtpSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&host).map_err(SmtpError::Tls)?,
            SmtpSecurity::StartTls => {
                let tls = TlsParameters::new(host.clone()).map_err(SmtpError::Tls)?;
                let way = StartTls { server: (host, port), tls, name, credentials };
                return Ok(Self { way: Way::StartTls(Box::new(way)), from });
            }
            SmtpSecurity::Plain => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host),
        };
        let mut builder = builder.port(port).timeout(Some(PATIENCE)).hello_name(name);
        if let Some(credentials) = credentials {
            builder = builder.credentials(credentials);
        }
        Ok(Self { way: Way::Direct(builder.build()), from })
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
        let sending = async {
            match &self.way {
                Way::Direct(transport) => transport.send(message).await.map(drop).map_err(SendError::from),
                Way::StartTls(server) => server.send(&message).await,
            }
        };
        match tokio::time::timeout(LONGEST, sending).await {
            Ok(Ok(())) => Ok(()),
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
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use uuid::Uuid;

    fn settings(port: u16, security: SmtpSecurity) -> SmtpSettings {
        let credentials = Some(("tandem".to_owned(), Secret::new("hunter2")));
        SmtpSettings {
            host: "localhost".to_owned(),
            port,
            security,
            credentials,
            from: "tandem@example.com".to_owned(),
        }
    }

    fn mail() -> ClaimedMail {
        ClaimedMail {
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
        }
    }

    /// Says that it takes everything, in clear, together with the answer to STARTTLS.
    #[tokio::test]
    async fn what_is_said_before_tls_does_not_count_after_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mailer = SmtpMailer::new(settings(listener.local_addr().unwrap().port(), SmtpSecurity::StartTls)).unwrap();
        let serve = async {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            stream.write_all(b"220 mail\r\n").await.unwrap();
            for (command, answer) in [
                ("EHLO example.com\r\n", "250-mail\r\n250 STARTTLS\r\n"),
                ("STARTTLS\r\n", "220 go\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n"),
            ] {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                assert_eq!(line, command);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            let mut rest = Vec::new();
            // The client leaves, perhaps with a reset.
            drop(stream.read_to_end(&mut rest).await);
            rest
        };
        let mail = mail();
        let (sent, rest) = tokio::join!(mailer.send(&mail), serve);
        let Err(MailError::Later(reason)) = sent else { panic!("{sent:?}") };
        assert!(reason.contains("between the answer to STARTTLS and TLS"), "{reason}");
        assert!(!rest.starts_with(&[0x16]), "TLS was not begun: {rest:?}");
    }

    #[test]
    fn a_mail_is_one_of_plain_text_whatever_is_in_it() {
        let mailer = SmtpMailer::new(settings(465, SmtpSecurity::Tls)).unwrap();
        let mut mail = mail();
        let text = String::from_utf8(mailer.message(&mail).unwrap().formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.com>"), "{head}");
        mail.recipient = "noc@example.com\r\nRCPT TO:<x@example.com>".to_owned();
        assert!(matches!(mailer.message(&mail), Err(MailError::Never(_))));
    }
}
