use std::fmt;

macro_rules! settings {
    ($( $(#[$meta:meta])* $variant:ident = $variable:literal ),+ $(,)?) => {
        /// Everything that can be set, by environment variable or key of `tandem.toml`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Setting {
            $( $(#[$meta])* $variant ),+
        }

        impl Setting {
            /// Every setting, in the order of the documentation.
            pub(crate) const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// The environment variable.
            pub(crate) const fn variable(self) -> &'static str {
                match self { $( Self::$variant => $variable ),+ }
            }
        }
    };
}

settings! {
    DataDir = "TANDEM_DATA_DIR",
    DatabaseUrl = "DATABASE_URL",
    HttpListen = "TANDEM_HTTP_LISTEN",
    SipListen = "TANDEM_SIP_LISTEN",
    MediaAddress = "TANDEM_MEDIA_ADDRESS",
    PublicAddress = "TANDEM_PUBLIC_ADDRESS",
    RtpPorts = "TANDEM_RTP_PORTS",
    MediaIo = "TANDEM_MEDIA_IO",
    AdminApiKey = "TANDEM_ADMIN_API_KEY",
    MasterKeyFile = "TANDEM_MASTER_KEY_FILE",
    JwtIssuer = "TANDEM_JWT_ISSUER",
    JwtAudience = "TANDEM_JWT_AUDIENCE",
    JwtKeyFile = "TANDEM_JWT_KEY_FILE",
    JwtJwksUrl = "TANDEM_JWT_JWKS_URL",
    ApiRateLimit = "TANDEM_API_RATE_LIMIT",
    TrustedProxies = "TANDEM_TRUSTED_PROXIES",
    PeerAllow = "TANDEM_PEER_ALLOW",
    SharedCarriers = "TANDEM_SHARED_CARRIERS",
    DnsServers = "TANDEM_DNS_SERVERS",
    SmtpUrl = "TANDEM_SMTP_URL",
    SmtpUsername = "TANDEM_SMTP_USERNAME",
    SmtpPasswordFile = "TANDEM_SMTP_PASSWORD_FILE",
    MailFrom = "TANDEM_MAIL_FROM",
    Currency = "TANDEM_CURRENCY",
    CreditValue = "TANDEM_CREDIT_VALUE",
    Log = "TANDEM_LOG",
    LogFormat = "TANDEM_LOG_FORMAT",
    DrainTimeout = "TANDEM_DRAIN_TIMEOUT",
    DemoCarrier = "TANDEM_DEMO_CARRIER",
}

impl Setting {
    /// The key in `tandem.toml`: the variable in lower case, without its prefix.
    pub(crate) fn key(self) -> String {
        let variable = self.variable();
        variable.strip_prefix(PREFIX).unwrap_or(variable).to_ascii_lowercase()
    }

    /// The setting of this key, or the key most like it.
    pub(super) fn of_key(key: &str) -> Result<Self, String> {
        let keys = Self::ALL.iter().map(|setting| setting.key());
        match Self::ALL.iter().find(|setting| setting.key() == key) {
            Some(setting) => Ok(*setting),
            // People write the variable's name, too.
            None => {
                let written = key.to_ascii_lowercase();
                Err(nearest(written.strip_prefix("tandem_").unwrap_or(&written), keys, ""))
            }
        }
    }

    /// What a variable of the environment is to this program.
    pub(super) fn of_variable(variable: &str, value: &str) -> Variable {
        if let Some(setting) = Self::ALL.iter().find(|setting| setting.variable() == variable) {
            return Variable::Setting(*setting);
        }
        if !variable.starts_with(PREFIX) || CLIENT_VARIABLES.contains(&variable) || is_service_link(variable, value) {
            return Variable::Other;
        }
        let known = Self::ALL.iter().map(|setting| setting.variable()).chain(CLIENT_VARIABLES.iter().copied());
        Variable::Unknown { nearest: nearest(variable, known.map(str::to_owned), PREFIX) }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.variable())
    }
}

/// What a variable of the environment is to this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// It sets this.
    Setting(Setting),
    /// Nothing that a configuration is made of.
    Other,
    /// It has our prefix and is nothing of ours: most likely a slip of the pen.
    Unknown {
        /// The known name most like it.
        nearest: String,
    },
}

/// Kubernetes and Docker set these in every container beside a service named `tandem`: nobody has written them.
fn is_service_link(variable: &str, value: &str) -> bool {
    let Some(name) = variable.strip_prefix(PREFIX) else {
        return false;
    };
    let is_link = name == "PORT" || name.starts_with("PORT_");
    name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || (is_link && (value.contains("://") || name.contains("_TCP") || name.contains("_UDP")))
}

/// The known name most like the written one; the prefix that they share says nothing.
fn nearest(written: &str, known: impl Iterator<Item = String>, prefix: &str) -> String {
    let telling = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
    let written = telling(written);
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&telling(name), &written);
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

const PREFIX: &str = "TANDEM_";
/// What the command line reads itself; no part of a node's configuration.
const CLIENT_VARIABLES: &[&str] = &["TANDEM_CONFIG", "TANDEM_API_URL", "TANDEM_API_KEY"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_variable_and_key() {
        let documentation = include_str!("../../../../docs/configuration.md");
        for setting in Setting::ALL {
            let row = format!("| `{}` | `{}` |", setting.variable(), setting.key());
            assert!(documentation.contains(&row), "docs/configuration.md has no row that begins {row}");
        }
        for variable in CLIENT_VARIABLES {
            assert!(documentation.contains(variable), "docs/configuration.md does not name {variable}");
        }
    }
}
