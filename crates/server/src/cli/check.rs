use super::failure::Failure;
use super::output::{Output, Table};
use crate::config::{
    Config, ConfigError, Examined, MailConfig, PlatformKeysConfig, PlatformTokensConfig, Preset, Setting, Sources,
    family_name,
};
use serde_json::{Value, json};
use std::fmt::Display;
use tandem_model::AddressPolicy;
use tandem_switch::Family;

/// Shows every setting with its origin, and what is likely not meant.
pub(super) fn check(sources: &Sources, preset: Preset, output: &Output) -> Result<(), Failure> {
    let Examined { config, problems, not_in_force } = Config::examine(sources, preset);
    let shown = |setting| Shown {
        setting,
        value: (!not_in_force.contains(&setting)).then(|| value_of(setting, &config)),
        origin: sources.origin(setting).to_string(),
    };
    let settings: Vec<Shown> = Setting::ALL.iter().copied().map(shown).collect();
    // With defaults in the place of what is wrong they would be about another configuration.
    let warnings = if problems.is_some() { Vec::new() } else { warnings(&config, preset) };
    let told = problems.iter().flat_map(ConfigError::problems).map(ToString::to_string);
    let answer = json!({
        "ok": problems.is_none(),
        "problems": told.collect::<Vec<_>>(),
        "file": sources.file(),
        "settings": settings.iter().map(Shown::view).collect::<Vec<_>>(),
        "warnings": warnings,
    });
    output.answer(&answer, || table(&settings).to_string())?;
    if !output.is_json() {
        for warning in &warnings {
            Output::remark(&format!("warning: {warning}"));
        }
    }
    problems.map_or(Ok(()), |problems| Err(Failure::Checked(problems)))
}

/// A setting as it is in force.
struct Shown {
    setting: Setting,
    /// `None` when it is given and something is wrong with it: what that is stands with the problems, without the value, which may be secret.
    value: Option<String>,
    origin: String,
}

impl Shown {
    fn view(&self) -> Value {
        json!({
            "key": self.setting.key(),
            "variable": self.setting.variable(),
            "value": self.value,
            "origin": self.origin,
        })
    }
}

/// The value in the spelling in which it is written; secrets are not shown.
fn value_of(setting: Setting, config: &Config) -> String {
    let platform = |shown: &dyn Fn(&PlatformTokensConfig) -> Option<String>| {
        config.platform_tokens.as_ref().and_then(shown).unwrap_or_default()
    };
    let mail = |shown: &dyn Fn(&MailConfig) -> Option<String>| config.mail.as_ref().and_then(shown).unwrap_or_default();
    match setting {
        Setting::DataDir => config.data_dir.display().to_string(),
        Setting::DatabaseUrl => config.database.to_string(),
        Setting::HttpListen => config.http_listen.to_string(),
        Setting::SipListen => joined(&config.sip_listen),
        Setting::MediaAddress => joined(config.media.iter()),
        Setting::PublicAddress => joined(config.public.iter()),
        Setting::RtpPorts => config.rtp_ports.to_string(),
        Setting::MediaIo => config.media_io.to_string(),
        Setting::AdminApiKey => if config.admin_api_key.is_some() { "(set)" } else { "" }.to_owned(),
        Setting::MasterKeyFile => config.master_key_file.display().to_string(),
        Setting::ApiRateLimit => config.api_rate_limit.map_or_else(|| "off".to_owned(), |rate| rate.to_string()),
        Setting::JwtIssuer => platform(&|tokens| Some(tokens.issuer.clone())),
        Setting::JwtAudience => platform(&|tokens| Some(tokens.audience.clone())),
        Setting::JwtKeyFile => platform(&|tokens| match &tokens.keys {
            PlatformKeysConfig::File(path) => Some(path.display().to_string()),
            PlatformKeysConfig::Url(_) => None,
        }),
        Setting::JwtJwksUrl => platform(&|tokens| match &tokens.keys {
            PlatformKeysConfig::File(_) => None,
            PlatformKeysConfig::Url(url) => Some(url.to_string()),
        }),
        Setting::TrustedProxies => joined(&config.trusted_proxies),
        Setting::PeerAllow => joined(&config.peer_allow),
        Setting::SharedCarriers => joined(&config.shared_carriers),
        Setting::DnsServers => joined(&config.dns_servers),
        Setting::SmtpUrl => mail(&|mail| Some(mail.server.url.to_string())),
        Setting::SmtpUsername => mail(&|mail| mail.login.as_ref().map(|(user, _)| user.clone())),
        Setting::SmtpPasswordFile => mail(&|mail| mail.login.as_ref().map(|(_, file)| file.display().to_string())),
        Setting::MailFrom => mail(&|mail| Some(mail.from.clone())),
        Setting::Currency => config.currency.clone(),
        Setting::CreditValue => config.credit_value.to_decimal(),
        Setting::Log => config.log.clone(),
        Setting::LogFormat => config.log_format.to_string(),
        Setting::DrainTimeout => config.drain_timeout.as_secs().to_string(),
        Setting::DemoCarrier => joined(config.demo_carrier),
    }
}

fn joined(items: impl IntoIterator<Item = impl Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

fn table(settings: &[Shown]) -> Table {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    for shown in settings {
        let value = shown.value.clone().unwrap_or_else(|| NOT_IN_FORCE.to_owned());
        table.row([shown.setting.key(), value, shown.origin.clone()]);
    }
    table
}

/// In the place of such a value.
const NOT_IN_FORCE: &str = "(not in force)";

/// What is allowed and yet likely a mistake.
fn warnings(config: &Config, preset: Preset) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_here = |address| match tandem_netio::interface_addresses() {
        Ok(addresses) => addresses.iter().any(|(_, here)| *here == address),
        Err(_) => true,
    };
    for media in config.media.iter() {
        // All of 127.0.0.0/8 is the host's, though only 127.0.0.1 stands in the table.
        if !media.is_loopback() && !is_here(media) {
            warnings.push(format!("media_address: {media} is no address of this host; RTP cannot be bound to it here"));
        }
        let family = Family::of(media);
        if !config.sip_listen.iter().any(|listen| Family::of(listen.address.ip()) == family) {
            let family = family_name(media);
            warnings.push(format!("media_address: {media} is of no use while sip_listen has no place of {family}"));
        }
    }
    if preset == Preset::Node {
        for public in config.public.iter().filter(|public| !AddressPolicy::default().permits(*public)) {
            warnings.push(format!(
                "public_address: {public} cannot be reached from the Internet; behind a NAT set it to the outer address"
            ));
        }
        if !config.http_listen.ip().is_loopback() {
            warnings.push(format!(
                "http_listen: {} is plain HTTP, and API keys cross the network readable; put a TLS proxy in front",
                config.http_listen
            ));
        }
    }
    warnings
}
