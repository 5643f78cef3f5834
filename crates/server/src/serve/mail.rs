use crate::config::Config;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tandem_control::{Mailer, SmtpError, SmtpMailer, SmtpSecurity, SmtpSettings};
use tandem_model::Secret;

/// Why no mails can be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailSetupError {
    #[error("TANDEM_SMTP_PASSWORD_FILE {path:?} cannot be read: {source}; let this user read it")]
    Read { path: PathBuf, source: io::Error },
    #[error("mails cannot be sent: {0}; see TANDEM_SMTP_URL and TANDEM_MAIL_FROM")]
    Smtp(#[from] SmtpError),
}

/// What sends mails, if the configuration names a mail server. Nothing is asked of that yet: it may be away at the start.
pub(super) fn mailer(config: &Config) -> Result<Option<Arc<dyn Mailer>>, MailSetupError> {
    let Some(mail) = &config.mail else { return Ok(None) };
    let credentials = match &mail.login {
        None => None,
        Some((user, path)) => {
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|source| MailSetupError::Read { path: path.clone(), source })?;
            Some((user.clone(), Secret::new(text.trim_end_matches(['\r', '\n']))))
        }
    };
    let security = if mail.server.is_tls {
        SmtpSecurity::Tls
    } else if mail.server.is_here() {
        SmtpSecurity::Plain
    } else {
        SmtpSecurity::StartTls
    };
    let (host, port) = (mail.server.host().to_owned(), mail.server.port());
    let settings = SmtpSettings { host, port, security, credentials, from: mail.from.clone() };
    Ok(Some(Arc::new(SmtpMailer::new(settings)?)))
}
