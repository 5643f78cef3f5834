use super::jwt::address_of;
use reqwest::Url;
use std::path::PathBuf;
use std::str::FromStr;

/// The mail server, and who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailConfig {
    /// Where it is.
    pub(crate) server: MailServer,
    /// Who speaks to it, and the file with their password.
    pub(crate) login: Option<(String, PathBuf)>,
    /// The address that mails come from.
    pub(crate) from: String,
}

/// Where a mail server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailServer {
    /// As it was written.
    pub(crate) url: Url,
    /// TLS from the first byte; else STARTTLS, but for a server on this host.
    pub(crate) is_tls: bool,
}

/// Why a text is no mail server, or no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MailSettingError {
    #[error("{0:?} is no mail server, as smtps://mail.example.com or smtp://mail.example.com:587")]
    Syntax(String),
    #[error("may hold no user and no password; see TANDEM_SMTP_USERNAME and TANDEM_SMTP_PASSWORD_FILE")]
    Credentials,
    #[error("{0:?} is no e-mail address, as tandem@example.com")]
    Address(String),
    #[error("must have 1 to 255 characters, none of them a control character")]
    Username,
}

impl MailServer {
    /// Its name or address.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port: the submission ports (RFC 8314 §3.3, RFC 6409 §3.1) unless another is named.
    pub(crate) fn port(&self) -> u16 {
        self.url.port().unwrap_or(if self.is_tls { 465 } else { 587 })
    }

    /// Whether it is an address of this host, to which no TLS is needed.
    pub(crate) fn is_here(&self) -> bool {
        address_of(&self.url).is_some_and(|address| address.is_loopback())
    }
}

pub(super) fn server(text: &str) -> Result<MailServer, MailSettingError> {
    let wrong = || MailSettingError::Syntax(text.to_owned());
    let url = Url::from_str(text).map_err(|_| wrong())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(MailSettingError::Credentials);
    }
    let is_tls = match url.scheme() {
        "smtps" => true,
        "smtp" => false,
        _ => return Err(wrong()),
    };
    let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    if url.host_str().is_none_or(str::is_empty) || !is_bare {
        return Err(wrong());
    }
    Ok(MailServer { url, is_tls })
}

pub(super) fn sender(text: &str) -> Result<String, MailSettingError> {
    let is_plain =
        text.len() <= 254 && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>()[]\\,;:\"".contains(&byte));
    match text.split_once('@') {
        Some((local, domain)) if is_plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
            Ok(text.to_owned())
        }
        Some(_) | None => Err(MailSettingError::Address(text.to_owned())),
    }
}

pub(super) fn username(text: &str) -> Result<String, MailSettingError> {
    let fits = (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err(MailSettingError::Username) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_whether_there_is_tls_and_where() {
        let read = |text: &str| {
            server(text).map(|server| (server.host().to_owned(), server.port(), server.is_tls, server.is_here()))
        };
        assert_eq!(read("smtps://mail.example.com"), Ok(("mail.example.com".to_owned(), 465, true, false)));
        assert_eq!(read("smtp://mail.example.com:25"), Ok(("mail.example.com".to_owned(), 25, false, false)));
        assert_eq!(read("smtp://[::1]"), Ok(("::1".to_owned(), 587, false, true)));
        assert_eq!(read("smtp://u:p@mail.example.com"), Err(MailSettingError::Credentials));
        for wrong in ["mail.example.com", "https://mail.example.com", "smtp://", "smtp://a.example/x"] {
            assert_eq!(read(wrong), Err(MailSettingError::Syntax(wrong.to_owned())));
        }
        assert!(sender("a@example.com").is_ok() && sender("a").is_err() && sender("a@b\r\nc").is_err());
    }
}
