//! The node's configuration: `tandem.toml`, then the environment, parsed once into [`Config`].

mod address;
mod error;
mod jwt;
mod listen;
mod log;
mod mail;
mod media_io;
mod own_addresses;
mod port_range;
mod setting;
mod sources;
mod text;

pub(crate) use address::carrier_pair;
pub(crate) use error::ConfigError;
pub(crate) use jwt::{PlatformKeysConfig, PlatformTokensConfig};
pub(crate) use listen::SipListen;
pub(crate) use log::LogFormat;
pub(crate) use mail::MailConfig;
pub(crate) use media_io::MediaIo;
pub(crate) use own_addresses::name as family_name;
pub(crate) use port_range::PortRange;
pub(crate) use setting::Setting;
pub(crate) use sources::Sources;

use error::Problem;
use ipnet::IpNet;
use sources::Settings;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use tandem_model::{AddressPolicy, Money, Secret, Transport};
use tandem_store::DatabaseUrl;
use tandem_switch::{Family, OwnAddresses};

/// How this node runs. `docs/configuration.md` describes every setting.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Database file, journal, recordings and generated keys.
    pub(crate) data_dir: PathBuf,
    /// Where the database is.
    pub(crate) database: DatabaseUrl,
    /// REST, health and metrics. Port 0 takes a free one.
    pub(crate) http_listen: SocketAddr,
    /// Where SIP is heard: at least one. Port 0 takes a free one; an unspecified address hears on all of the host.
    pub(crate) sip_listen: Vec<SipListen>,
    /// Where RTP is bound: addresses of this host, of each family that a listener hears.
    pub(crate) media: OwnAddresses,
    /// What SDP, Via and Contact say; of the same families as `media`.
    pub(crate) public: OwnAddresses,
    /// Ports for RTP and RTCP.
    pub(crate) rtp_ports: PortRange,
    /// How RTP comes and goes.
    pub(crate) media_io: MediaIo,
    /// API key of the bootstrap admin; `None` has one made on the first start.
    pub(crate) admin_api_key: Option<Secret>,
    /// Holds the key that seals stored secrets.
    pub(crate) master_key_file: PathBuf,
    /// Requests a second of each API key, user or account of the platform; `None` for no limit.
    pub(crate) api_rate_limit: Option<NonZeroU32>,
    /// Whose tokens are taken beside our own keys and sessions.
    pub(crate) platform_tokens: Option<PlatformTokensConfig>,
    /// Networks of proxies that are believed about whom they pass on.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Private and loopback ranges that SIP targets and the URL of the platform's keys may name.
    pub(crate) peer_allow: Vec<IpNet>,
    /// Addresses from which calls for several accounts come; from every other they are one account's.
    pub(crate) shared_carriers: Vec<IpNet>,
    /// Resolvers to ask; empty stands for the system's.
    pub(crate) dns_servers: Vec<SocketAddr>,
    /// The mail server, if mails are to be sent.
    pub(crate) mail: Option<MailConfig>,
    /// ISO 4217 code of the node's one currency.
    pub(crate) currency: String,
    /// What one credit is worth.
    pub(crate) credit_value: Money,
    /// A filter that `tracing_subscriber::EnvFilter` has accepted.
    pub(crate) log: String,
    /// Text or JSON lines.
    pub(crate) log_format: LogFormat,
    /// How long calls that are up may go on once the node is asked to stop.
    pub(crate) drain_timeout: Duration,
    /// Where the simulated carrier of `serve --demo` answers; its two addresses differ.
    pub(crate) demo_carrier: [SocketAddr; 2],
}

/// What the sources give, whether a node can run on it or not.
pub(crate) struct Examined {
    /// With the preset's defaults in the place of what is wrong.
    pub(crate) config: Config,
    /// Everything that is wrong.
    pub(crate) problems: Option<ConfigError>,
    /// Settings that are given, and not in force: they cannot be read, or miss others that belong to them.
    pub(crate) not_in_force: BTreeSet<Setting>,
}

/// Which defaults hold for what nobody has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preset {
    /// A node on a network.
    Node,
    /// `serve --demo`: everything on loopback, which SIP targets may then name.
    Demo,
}

impl Config {
    /// Parses what the sources give, with the preset's defaults for the rest.
    ///
    /// # Errors
    /// Every problem found, each one line with its place and what to do.
    pub(crate) fn load(sources: &Sources, preset: Preset) -> Result<Self, ConfigError> {
        let mut reading = Reading::of(sources);
        let config = reading.config(preset);
        reading.finish(config)
    }

    /// The same for whoever wants to see all of it, with what is wrong.
    pub(crate) fn examine(sources: &Sources, preset: Preset) -> Examined {
        let mut reading = Reading::of(sources);
        let config = reading.config(preset);
        let not_in_force = Setting::ALL.iter().copied().filter(|setting| reading.is_not_in_force(*setting, &config));
        let not_in_force = not_in_force.collect();
        Examined { config, not_in_force, problems: reading.finish(()).err() }
    }

    /// The data directory alone, for commands that need nothing else: what is wrong elsewhere does not stop them.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn load_data_dir(sources: &Sources) -> Result<PathBuf, ConfigError> {
        let (settings, _) = Settings::read(sources);
        let mut reading = Reading { settings, problems: Vec::new() };
        let data_dir = reading.data_dir();
        reading.finish(data_dir)
    }
}

/// Settings on their way to a [`Config`], with the problems met so far.
struct Reading {
    settings: Settings,
    problems: Vec<Problem>,
}

impl Reading {
    fn of(sources: &Sources) -> Self {
        let (settings, problems) = Settings::read(sources);
        Self { settings, problems }
    }

    fn config(&mut self, preset: Preset) -> Config {
        let demo = preset == Preset::Demo;

        let data_dir = self.data_dir();
        let sip_listen = self.parsed(Setting::SipListen, listen::list).unwrap_or_else(|| {
            let host = if demo { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
            let address = SocketAddr::from((host, SIP_PORT));
            [Transport::Udp, Transport::Tcp].map(|transport| SipListen { transport, address }).into()
        });
        let media = self.parsed(Setting::MediaAddress, own_addresses::parse).unwrap_or_else(|| {
            let here = if demo { Vec::new() } else { addresses_of_host() };
            own_addresses::default_media(&sip_listen, &here)
        });
        let public = self.parsed(Setting::PublicAddress, own_addresses::parse).unwrap_or_default();
        let config = Config {
            database: self
                .parsed(Setting::DatabaseUrl, text::database_url)
                .unwrap_or_else(|| DatabaseUrl::sqlite(data_dir.join(DATABASE_FILE))),
            http_listen: self.parsed(Setting::HttpListen, address::socket).unwrap_or(HTTP_LISTEN),
            sip_listen,
            media,
            public: own_addresses::or_of(public, media),
            rtp_ports: self.parsed(Setting::RtpPorts, port_range::parse).unwrap_or(PortRange::DEFAULT),
            media_io: self.parsed(Setting::MediaIo, media_io::parse).unwrap_or(MediaIo::Auto),
            admin_api_key: self.parsed(Setting::AdminApiKey, text::api_key),
            master_key_file: self
                .parsed(Setting::MasterKeyFile, text::path)
                .unwrap_or_else(|| data_dir.join(MASTER_KEY_FILE)),
            api_rate_limit: self.parsed(Setting::ApiRateLimit, text::rate_limit).unwrap_or(API_RATE_LIMIT),
            trusted_proxies: self.parsed(Setting::TrustedProxies, address::proxies).unwrap_or_default(),
            platform_tokens: self.platform_tokens(),
            peer_allow: self.parsed(Setting::PeerAllow, address::networks).unwrap_or_else(|| match preset {
                Preset::Node => Vec::new(),
                Preset::Demo => vec![LOOPBACK_NETWORK],
            }),
            shared_carriers: self.parsed(Setting::SharedCarriers, address::networks).unwrap_or_default(),
            dns_servers: self.parsed(Setting::DnsServers, address::resolvers).unwrap_or_default(),
            mail: self.mail(),
            currency: self.parsed(Setting::Currency, text::currency).unwrap_or_else(|| CURRENCY.to_owned()),
            credit_value: self.parsed(Setting::CreditValue, text::credit_value).unwrap_or(CREDIT_VALUE),
            log: self.parsed(Setting::Log, log::filter).unwrap_or_else(|| LOG.to_owned()),
            log_format: self.parsed(Setting::LogFormat, log::format).unwrap_or(LogFormat::Text),
            drain_timeout: self.parsed(Setting::DrainTimeout, text::drain_timeout).unwrap_or(DRAIN_TIMEOUT),
            demo_carrier: self.parsed(Setting::DemoCarrier, carrier_pair).unwrap_or(DEMO_CARRIER),
            data_dir,
        };
        self.refuse_contradictions(&config);
        config
    }

    fn data_dir(&mut self) -> PathBuf {
        self.parsed(Setting::DataDir, text::path).unwrap_or_else(|| PathBuf::from(DATA_DIR))
    }

    /// The setting's value, or `None` when it is not set or wrong; what is wrong is noted.
    fn parsed<T, E: ToString>(&mut self, setting: Setting, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let given = self.settings.given(setting)?;
        match parse(given.text.expose().trim()) {
            Ok(value) => Some(value),
            Err(error) => {
                let origin = given.origin.clone();
                self.problems.push(Problem::new(origin.clone(), error.to_string()));
                self.settings.mark_unreadable(setting, origin);
                None
            }
        }
    }

    /// Issuer, audience and one place of keys: all of them or none.
    fn platform_tokens(&mut self) -> Option<PlatformTokensConfig> {
        let problems = self.problems.len();
        let issuer = self.parsed(Setting::JwtIssuer, jwt::issuer);
        let audience = self.parsed(Setting::JwtAudience, jwt::audience);
        let file = self.parsed(Setting::JwtKeyFile, text::path);
        let url = self.parsed(Setting::JwtJwksUrl, jwt::key_set);
        let settings = [Setting::JwtIssuer, Setting::JwtAudience, Setting::JwtKeyFile, Setting::JwtJwksUrl];
        let is_set = settings.map(|setting| self.settings.given(setting).is_some());
        let [has_issuer, has_audience, has_file, has_url] = is_set;
        // What cannot be read is told first, and alone.
        if self.problems.len() == problems {
            if has_file && has_url {
                let message = "the platform's keys are in a file or behind a URL; set one of the two".to_owned();
                self.contradiction(&[Setting::JwtKeyFile], message);
            } else if is_set.contains(&true) && !(has_issuer && has_audience && (has_file || has_url)) {
                let message = "platform tokens need TANDEM_JWT_ISSUER, TANDEM_JWT_AUDIENCE, and TANDEM_JWT_KEY_FILE or TANDEM_JWT_JWKS_URL";
                self.contradiction(&settings, message.to_owned());
            }
        }
        let keys = file.map(PlatformKeysConfig::File).or_else(|| url.map(PlatformKeysConfig::Url))?;
        Some(PlatformTokensConfig { issuer: issuer?, audience: audience?, keys })
    }

    /// Server and sender, and perhaps a user with a password: all of them or none.
    fn mail(&mut self) -> Option<MailConfig> {
        let problems = self.problems.len();
        let server = self.parsed(Setting::SmtpUrl, mail::server);
        let username = self.parsed(Setting::SmtpUsername, mail::username);
        let password = self.parsed(Setting::SmtpPasswordFile, text::path);
        let from = self.parsed(Setting::MailFrom, mail::sender);
        let settings = [Setting::SmtpUrl, Setting::MailFrom, Setting::SmtpUsername, Setting::SmtpPasswordFile];
        let is_set = settings.map(|setting| self.settings.given(setting).is_some());
        let [has_server, has_sender, has_user, has_password] = is_set;
        if self.problems.len() == problems && is_set.contains(&true) {
            if !(has_server && has_sender) {
                let message = "mails need TANDEM_SMTP_URL and TANDEM_MAIL_FROM".to_owned();
                self.contradiction(&settings, message);
            } else if has_user != has_password {
                let message = "set both TANDEM_SMTP_USERNAME and TANDEM_SMTP_PASSWORD_FILE, or neither".to_owned();
                self.contradiction(&[Setting::SmtpUsername, Setting::SmtpPasswordFile], message);
            }
        }
        Some(MailConfig { server: server?, login: username.zip(password), from: from? })
    }

    /// What each setting allows and both together do not.
    fn refuse_contradictions(&mut self, config: &Config) {
        if let Some(PlatformTokensConfig { keys: PlatformKeysConfig::Url(url), .. }) = &config.platform_tokens
            && jwt::address_of(url)
                .is_some_and(|address| !AddressPolicy::new(config.peer_allow.clone()).permits(address))
        {
            let message = "names an address that is not global; name its network in TANDEM_PEER_ALLOW".to_owned();
            self.contradiction(&[Setting::JwtJwksUrl], message);
        }
        let media_for = |address: IpAddr| config.media.of(Family::of(address));
        for public in config.public.iter().filter(|public| media_for(*public).is_none()) {
            let family = own_addresses::name(public);
            let message = format!(
                "{public} is {family}, and no media address is; give TANDEM_MEDIA_ADDRESS one of {family} beside it"
            );
            self.contradiction(&[Setting::PublicAddress, Setting::MediaAddress], message);
        }
        let mut without_media: Vec<&'static str> = Vec::new();
        for listen in &config.sip_listen {
            let heard = listen.address.ip();
            let family = own_addresses::name(heard);
            if media_for(heard).is_none() && !without_media.contains(&family) {
                without_media.push(family);
                let message = format!(
                    "{listen} hears {family}, and there is no media address of it; give TANDEM_MEDIA_ADDRESS one of this host, or listen elsewhere"
                );
                self.contradiction(&[Setting::MediaAddress, Setting::SipListen], message);
            }
            let shares_address = media_for(heard).is_some_and(|media| heard.is_unspecified() || heard == media);
            let is_udp = listen.transport == Transport::Udp;
            if is_udp && shares_address && config.rtp_ports.contains(listen.address.port()) {
                let message = format!("{listen} lies within the RTP ports {}; move one of the two", config.rtp_ports);
                self.contradiction(&[Setting::SipListen, Setting::RtpPorts], message);
            }
        }
    }

    /// Notes a contradiction at the first of the settings that somebody has set.
    fn contradiction(&mut self, settings: &[Setting], message: String) {
        if let Some(given) = settings.iter().find_map(|&setting| self.settings.given(setting)) {
            self.problems.push(Problem::new(given.origin.clone(), message));
        }
    }

    /// Whether somebody has set it and the configuration is without it.
    fn is_not_in_force(&self, setting: Setting, config: &Config) -> bool {
        let is_without = match setting {
            Setting::JwtIssuer | Setting::JwtAudience | Setting::JwtKeyFile | Setting::JwtJwksUrl => {
                config.platform_tokens.is_none()
            }
            Setting::SmtpUrl | Setting::MailFrom => config.mail.is_none(),
            Setting::SmtpUsername | Setting::SmtpPasswordFile => {
                config.mail.as_ref().is_none_or(|mail| mail.login.is_none())
            }
            Setting::DataDir
            | Setting::DatabaseUrl
            | Setting::HttpListen
            | Setting::SipListen
            | Setting::MediaAddress
            | Setting::PublicAddress
            | Setting::RtpPorts
            | Setting::MediaIo
            | Setting::AdminApiKey
            | Setting::MasterKeyFile
            | Setting::ApiRateLimit
            | Setting::TrustedProxies
            | Setting::PeerAllow
            | Setting::SharedCarriers
            | Setting::DnsServers
            | Setting::Currency
            | Setting::CreditValue
            | Setting::Log
            | Setting::LogFormat
            | Setting::DrainTimeout
            | Setting::DemoCarrier => false,
        };
        self.settings.is_unreadable(setting) || (is_without && self.settings.given(setting).is_some())
    }

    fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        ConfigError::unless_none(self.problems).map(|()| value)
    }
}

/// What the kernel does not tell is the same as no address: the caller takes loopback.
fn addresses_of_host() -> Vec<IpAddr> {
    let addresses = tandem_netio::interface_addresses().unwrap_or_default();
    addresses.into_iter().map(|(_interface, address)| address).collect()
}

const DATA_DIR: &str = "./data";
const DATABASE_FILE: &str = "tandem.db";
const MASTER_KEY_FILE: &str = "master.key";
const HTTP_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// RFC 3261 §19.1.2.
const SIP_PORT: u16 = 5060;
const LOOPBACK_NETWORK: IpNet = IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));
/// Enough for one client to place all the calls of a node, and too little to keep others out.
const API_RATE_LIMIT: Option<NonZeroU32> = NonZeroU32::new(1_000);
const CURRENCY: &str = "USD";
/// A hundredth of the currency unit.
const CREDIT_VALUE: Money = Money::from_micros(10_000);
const LOG: &str = "info";
/// Long enough for most people to finish a sentence, short enough for a service manager's own limit (90 s with systemd).
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// All of 127.0.0.0/8 is loopback on Linux, so that the carrier has two addresses without any set-up.
const DEMO_CARRIER: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), SIP_PORT),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), SIP_PORT),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_settings_has_the_documented_defaults() {
        let config = node(&[], None).unwrap();
        assert_eq!(config.data_dir, PathBuf::from("./data"));
        assert_eq!(config.database.to_string(), "sqlite://./data/tandem.db");
        assert_eq!(config.http_listen.to_string(), "127.0.0.1:8080");
        assert_eq!(
            config.sip_listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]
        );
        assert_eq!(config.public, config.media);
        assert!(config.media.v4.is_some() && config.media.v6.is_none(), "SIP is heard over IPv4");
        assert_eq!(config.rtp_ports.to_string(), "20000-29999");
        assert!(config.admin_api_key.is_none());
        assert_eq!(config.master_key_file, PathBuf::from("./data/master.key"));
        assert!(config.peer_allow.is_empty() && config.dns_servers.is_empty());
        assert_eq!(
            (config.currency.as_str(), config.log.as_str(), config.log_format),
            ("USD", "info", LogFormat::Text)
        );
        assert_eq!(config.drain_timeout, Duration::from_secs(30));
    }

    #[test]
    fn the_demo_stays_on_loopback() {
        let config = Config::load(&Sources::of_text(&[], None), Preset::Demo).unwrap();
        assert!(config.http_listen.ip().is_loopback());
        assert!(config.sip_listen.iter().all(|listen| listen.address.ip().is_loopback()));
        for own in [config.media, config.public] {
            assert_eq!((own.v4, own.v6), (Some(Ipv4Addr::LOCALHOST), None));
        }
        assert!(config.demo_carrier.iter().all(|address| address.ip().is_loopback()));
        assert_eq!(config.peer_allow, [LOOPBACK_NETWORK]);
    }

    #[test]
    fn the_environment_overrides_the_demo() {
        let environment =
            [("TANDEM_SIP_LISTEN", "udp:127.0.0.1:0"), ("TANDEM_DEMO_CARRIER", "127.0.0.2:6060,127.0.0.3:6060")];
        let config = Config::load(&Sources::of_text(&environment, None), Preset::Demo).unwrap();
        assert_eq!(config.sip_listen[0].address.port(), 0);
        assert_eq!(config.demo_carrier[1].to_string(), "127.0.0.3:6060");
    }

    #[test]
    fn every_variable_is_read_and_so_is_its_key() {
        let values = [
            ("TANDEM_DATA_DIR", "/srv/tandem"),
            ("DATABASE_URL", "sqlite:///srv/calls.db"),
            ("TANDEM_HTTP_LISTEN", "[::1]:9090"),
            ("TANDEM_SIP_LISTEN", "udp:192.0.2.1:5070"),
            ("TANDEM_MEDIA_ADDRESS", "192.0.2.1,2001:db8::1"),
            ("TANDEM_PUBLIC_ADDRESS", "198.51.100.7"),
            ("TANDEM_RTP_PORTS", "40000-40099"),
            ("TANDEM_MEDIA_IO", "epoll"),
            ("TANDEM_ADMIN_API_KEY", "tdm_0123456789abcdef0123456789abcdef"),
            ("TANDEM_MASTER_KEY_FILE", "/etc/tandem/master.key"),
            ("TANDEM_API_RATE_LIMIT", "250"),
            ("TANDEM_PEER_ALLOW", "10.0.0.0/8"),
            ("TANDEM_SHARED_CARRIERS", "198.51.100.0/24,203.0.113.7"),
            ("TANDEM_DNS_SERVERS", "9.9.9.9"),
            ("TANDEM_SMTP_URL", "smtps://mail.example.com"),
            ("TANDEM_SMTP_USERNAME", "tandem"),
            ("TANDEM_SMTP_PASSWORD_FILE", "/etc/tandem/smtp.password"),
            ("TANDEM_MAIL_FROM", "tandem@example.com"),
            ("TANDEM_CURRENCY", "EUR"),
            ("TANDEM_CREDIT_VALUE", "0.05"),
            ("TANDEM_LOG", "warn,tandem_switch=debug"),
            ("TANDEM_LOG_FORMAT", "json"),
            ("TANDEM_DRAIN_TIMEOUT", "5"),
            ("TANDEM_DEMO_CARRIER", "127.0.0.4:5060,127.0.0.5:5060"),
            ("TANDEM_JWT_ISSUER", "https://id.example.com"),
            ("TANDEM_JWT_AUDIENCE", "tandem"),
            ("TANDEM_JWT_KEY_FILE", "/etc/tandem/platform.pem"),
        ];
        // Of the two places of keys one is set.
        let is_read = |setting: &&Setting| !matches!(setting, Setting::TrustedProxies | Setting::JwtJwksUrl);
        assert_eq!(values.len(), Setting::ALL.iter().filter(is_read).count());
        let file: String = values
            .iter()
            .map(|(variable, value)| {
                let key = variable.strip_prefix("TANDEM_").unwrap_or(variable).to_lowercase();
                format!("{key} = \"{value}\"\n")
            })
            .collect();

        for config in [node(&values, None).unwrap(), node(&[], Some(&file)).unwrap()] {
            assert_eq!(config.data_dir, PathBuf::from("/srv/tandem"));
            assert_eq!(config.database.to_string(), "sqlite:///srv/calls.db");
            assert_eq!(config.http_listen.to_string(), "[::1]:9090");
            assert_eq!(config.sip_listen[0].to_string(), "udp:192.0.2.1:5070");
            let shown = |own: OwnAddresses| own.iter().map(|address| address.to_string()).collect::<Vec<_>>();
            assert_eq!(shown(config.media), ["192.0.2.1", "2001:db8::1"]);
            assert_eq!(shown(config.public), ["198.51.100.7", "2001:db8::1"], "what is not said is the media address");
            assert_eq!(config.rtp_ports, PortRange { first: 40_000, last: 40_099 });
            assert_eq!(config.media_io, MediaIo::Only(tandem_netio::IoPath::Epoll));
            assert_eq!(config.admin_api_key.as_ref().unwrap().expose(), "tdm_0123456789abcdef0123456789abcdef");
            assert_eq!(config.master_key_file, PathBuf::from("/etc/tandem/master.key"));
            assert_eq!(config.peer_allow[0].to_string(), "10.0.0.0/8");
            assert_eq!(config.shared_carriers[1].to_string(), "203.0.113.7/32");
            assert_eq!(config.dns_servers[0].to_string(), "9.9.9.9:53");
            assert_eq!(config.currency, "EUR");
            assert_eq!(config.credit_value, Money::from_micros(50_000));
            assert_eq!(config.api_rate_limit, NonZeroU32::new(250));
            assert_eq!(config.log, "warn,tandem_switch=debug");
            assert_eq!(config.log_format, LogFormat::Json);
            assert_eq!(config.drain_timeout, Duration::from_secs(5));
            assert_eq!(config.demo_carrier[0].to_string(), "127.0.0.4:5060");
            let platform = config.platform_tokens.as_ref().unwrap();
            assert_eq!((platform.issuer.as_str(), platform.audience.as_str()), ("https://id.example.com", "tandem"));
            assert_eq!(platform.keys, PlatformKeysConfig::File("/etc/tandem/platform.pem".into()));
            assert!(!format!("{config:?}").contains("0123456789abcdef"));
        }
    }

    #[test]
    fn a_bad_value_is_named_with_its_variable_and_what_would_be_right() {
        for (variable, value, expected) in [
            ("DATABASE_URL", "mysql://root:hunter2@db/x", "must begin with sqlite://"),
            ("TANDEM_HTTP_LISTEN", "localhost", "an address and a port"),
            ("TANDEM_SIP_LISTEN", "tls:0.0.0.0:5061", "not built yet"),
            ("TANDEM_MEDIA_ADDRESS", "0.0.0.0", "no single host"),
            ("TANDEM_MEDIA_ADDRESS", "192.0.2.1,192.0.2.2", "one of each family"),
            ("TANDEM_PUBLIC_ADDRESS", "sip.example.com", "not an IP address"),
            ("TANDEM_RTP_PORTS", "30000-20000", "ends before it begins"),
            ("TANDEM_ADMIN_API_KEY", "hunter2hunter2hunter2hunter2hun", "fewer than 32 characters"),
            ("TANDEM_ADMIN_API_KEY", "hunter2 hunter2 hunter2 hunter2 hunter2", "letters, digits"),
            ("TANDEM_API_RATE_LIMIT", "0", "off nor a number"),
            ("TANDEM_JWT_ISSUER", "tandem", "must be another"),
            ("TANDEM_JWT_AUDIENCE", "other", "need TANDEM_JWT_ISSUER"),
            ("TANDEM_JWT_KEY_FILE", "/etc/jwt.pem", "need TANDEM_JWT_ISSUER"),
            ("TANDEM_JWT_JWKS_URL", "http://id.example.com", "must be https"),
            ("TANDEM_TRUSTED_PROXIES", "10.0.0.1/8", "10.0.0.0/8"),
            ("TANDEM_TRUSTED_PROXIES", "10.0.0.1,::/0", "anybody"),
            ("TANDEM_PEER_ALLOW", "10.0.0.1/8", "10.0.0.0/8"),
            ("TANDEM_SHARED_CARRIERS", "carrier.example", "not a network"),
            ("TANDEM_DNS_SERVERS", "dns.example", "a resolver"),
            ("TANDEM_CURRENCY", "usd", "ISO 4217"),
            ("TANDEM_LOG", "tandem=loud", "log filter"),
            ("TANDEM_LOG_FORMAT", "xml", "text or json"),
            ("TANDEM_DRAIN_TIMEOUT", "30s", "number of seconds"),
            ("TANDEM_DRAIN_TIMEOUT", "86401", "number of seconds"),
            ("TANDEM_DEMO_CARRIER", "127.0.0.2:5060", "two addresses"),
        ] {
            let error = node(&[(variable, value)], None).unwrap_err();
            let [problem] = error.problems() else { panic!("{variable}: {error}") };
            let line = problem.to_string();
            assert!(
                line.starts_with(&format!("{variable}: ")) && line.contains(expected),
                "{variable}={value}: {line}"
            );
            assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn an_unknown_variable_names_the_nearest_one() {
        for (variable, nearest) in [
            ("TANDEM_HTTP_LISTENER", "TANDEM_HTTP_LISTEN"),
            ("TANDEM_RTP_PORT", "TANDEM_RTP_PORTS"),
            ("TANDEM_DATABASE_URL", "DATABASE_URL"),
            ("TANDEM_API_KEYS", "TANDEM_API_KEY"),
        ] {
            let error = node(&[(variable, "x")], None).unwrap_err().to_string();
            assert_eq!(error, format!("{variable}: unknown variable; did you mean {nearest}?"));
        }
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_one() {
        let file = "# my node\ncurrency = \"EUR\"\nhttp_listn = \"127.0.0.1:1\"\nTANDEM_LOG = \"info\"\n";
        let error = node(&[], Some(file)).unwrap_err();
        let lines: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines.contains(&"tandem.toml:3: http_listn: unknown key; did you mean http_listen?".to_owned()),
            "{error}"
        );
        assert!(lines.contains(&"tandem.toml:4: TANDEM_LOG: unknown key; did you mean log?".to_owned()), "{error}");
    }

    #[test]
    fn a_file_takes_lists_and_numbers_in_their_own_form() {
        let file = "peer_allow = [\"10.0.0.0/8\", \"127.0.0.0/8\"]\ndrain_timeout = 12\n";
        let config = node(&[], Some(file)).unwrap();
        assert_eq!(config.peer_allow.len(), 2);
        assert_eq!(config.drain_timeout, Duration::from_secs(12));

        let error = node(&[], Some("currency = true\n[log]\nlevel = \"info\"\n")).unwrap_err().to_string();
        assert!(error.contains("tandem.toml:1: currency: must be a string"), "{error}");
        assert!(error.contains("tandem.toml:2: log: must be a string"), "{error}");
    }

    #[test]
    fn what_is_no_toml_names_its_line() {
        let error = node(&[], Some("currency = \"EUR\"\nlog = info info\n")).unwrap_err().to_string();
        assert!(error.starts_with("tandem.toml: line 2 is no TOML"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn the_environment_wins_over_the_file_unless_it_is_empty() {
        let file = "currency = \"EUR\"\nlog = \"debug\"\n";
        let config = node(&[("TANDEM_CURRENCY", "CHF"), ("TANDEM_LOG", "")], Some(file)).unwrap();
        assert_eq!((config.currency.as_str(), config.log.as_str()), ("CHF", "debug"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let error = node(&[("TANDEM_CURRENCY", "euro"), ("TANDEM_LOG_FORMAT", "xml"), ("TANDEM_LOGS", "x")], None);
        assert_eq!(error.unwrap_err().problems().len(), 3);
    }

    #[test]
    fn what_a_container_runtime_sets_for_a_service_named_tandem_is_not_ours() {
        let environment = [
            ("TANDEM_SERVICE_HOST", "10.0.0.1"),
            ("TANDEM_SERVICE_PORT", "8080"),
            ("TANDEM_SERVICE_PORT_HTTP", "8080"),
            ("TANDEM_PORT", "tcp://10.0.0.1:8080"),
            ("TANDEM_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("TANDEM_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ];
        assert!(node(&environment, None).is_ok());
        assert!(node(&[("TANDEM_PORT", "8080")], None).is_err(), "somebody has written this one");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let error = node(&[("TANDEM_MEDIA_ADDRESS", "192.0.2.1"), ("TANDEM_PUBLIC_ADDRESS", "2001:db8::1")], None);
        assert!(error.unwrap_err().to_string().starts_with("TANDEM_PUBLIC_ADDRESS: 2001:db8::1 is IPv6, and no media"));
        let both = ("TANDEM_SIP_LISTEN", "udp:0.0.0.0:5060,udp:[::]:5060,tcp:[::]:5060");
        let error = node(&[both, ("TANDEM_MEDIA_ADDRESS", "192.0.2.1")], None).unwrap_err();
        let [problem] = error.problems() else { panic!("one for a family: {error}") };
        let told = problem.to_string();
        assert!(told.starts_with("TANDEM_MEDIA_ADDRESS: udp:[::]:5060 hears IPv6, and there is no media"), "{told}");
        let error = node(&[("TANDEM_RTP_PORTS", "5000-6000")], None).unwrap_err().to_string();
        assert_eq!(
            error,
            "TANDEM_RTP_PORTS: udp:0.0.0.0:5060 lies within the RTP ports 5000-6000; move one of the two"
        );
        // A wildcard of one family leaves the other's ports alone.
        let apart = [
            ("TANDEM_SIP_LISTEN", "udp:192.0.2.9:5060,udp:[::]:5060"),
            ("TANDEM_MEDIA_ADDRESS", "192.0.2.1,2001:db8::1"),
            ("TANDEM_RTP_PORTS", "5000-6000"),
        ];
        let error = node(&apart, None).unwrap_err().to_string();
        assert_eq!(error, "TANDEM_SIP_LISTEN: udp:[::]:5060 lies within the RTP ports 5000-6000; move one of the two");
    }

    #[test]
    fn platform_tokens_have_an_issuer_an_audience_and_one_place_of_keys() {
        let least = [("TANDEM_JWT_ISSUER", "https://id.example.com"), ("TANDEM_JWT_AUDIENCE", "tandem")];
        let with = |more: &[(&'static str, &'static str)]| node(&[&least[..], more].concat(), None);
        let published = with(&[("TANDEM_JWT_JWKS_URL", "https://id.example.com/keys")]).unwrap();
        assert!(matches!(published.platform_tokens.unwrap().keys, PlatformKeysConfig::Url(_)));
        assert!(with(&[]).unwrap_err().to_string().contains("TANDEM_JWT_JWKS_URL"));
        let both = [("TANDEM_JWT_JWKS_URL", "https://id.example.com/keys"), ("TANDEM_JWT_KEY_FILE", "key.pem")];
        assert!(with(&both).unwrap_err().to_string().contains("one of the two"));

        let here = ("TANDEM_JWT_JWKS_URL", "http://127.0.0.1:9000/keys");
        assert!(with(&[here]).unwrap_err().to_string().contains("TANDEM_PEER_ALLOW"));
        assert!(with(&[here, ("TANDEM_PEER_ALLOW", "127.0.0.0/8")]).is_ok());
    }

    #[test]
    fn the_data_directory_is_found_though_something_else_is_wrong() {
        let environment = [("TANDEM_DATA_DIR", "/srv/tandem"), ("TANDEM_CURRENCY", "euro"), ("TANDEM_LOGS", "x")];
        let data_dir = Config::load_data_dir(&Sources::of_text(&environment, None)).unwrap();
        assert_eq!(data_dir, PathBuf::from("/srv/tandem"));
    }

    fn node(environment: &[(&str, &str)], file: Option<&str>) -> Result<Config, ConfigError> {
        Config::load(&Sources::of_text(environment, file), Preset::Node)
    }
}
