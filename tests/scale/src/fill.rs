use crate::{Owner, Random, now, options};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tandem_model::{
    AlertRule, AlertRuleSettings, CallDirection, DtmfMode, HealthReason, HealthReport, HealthSpan, HealthStatus,
    InboundRouting, Money, OutboundRouting, Provider, Secret, Timestamp, Trunk, TrunkHealth, TrunkId, TrunkStatus,
};
use tandem_store::{Act, DatabaseUrl, Store};
use uuid::Uuid;

/// Where calls are put.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// The address of a server.
    Postgres(String),
}

/// A database full of calls.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Whose calls they are.
    pub owner: Owner,
    /// When the first began.
    pub from: Timestamp,
    /// Before when all of them began: a whole hour.
    pub to: Timestamp,
    /// How many there are.
    pub calls: u64,
    trunks: Vec<TrunkId>,
}

/// Past the store.
enum Connected {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    /// What the store opens.
    #[must_use]
    pub fn url(&self) -> DatabaseUrl {
        match self {
            Self::Sqlite(path) => DatabaseUrl::sqlite(path),
            Self::Postgres(url) => url.parse().unwrap(),
        }
    }

    /// Opens it.
    pub async fn open(&self) -> Store {
        Store::open(&self.url(), options()).await.unwrap()
    }

    /// Puts that many calls that something else carried into it, over a month that ends with the last whole hour, and what they add up to.
    pub async fn fill(&self, calls: u64) -> Filled {
        let store = self.open().await;
        let to = Timestamp::from_unix_micros(now().unix_micros() / MICROS_PER_HOUR * MICROS_PER_HOUR);
        let from = Timestamp::from_unix_micros(to.unix_micros() - MONTH_DAYS * 24 * MICROS_PER_HOUR);
        let act = Act::system("scale", from);
        let account = store.ensure_admin_account(&act, "scale").await.unwrap().id;
        let (_, key) = store.create_api_key(&act, account, "scale").await.unwrap();
        let owner = Owner { account, key: key.expose().to_owned() };
        // It is told of everything, and what its hours usually cost is read whatever the last one did.
        let wishes = store.change_alert_settings(&act, account, |settings| {
            for rule in AlertRule::ALL {
                let mut wish = AlertRuleSettings { enabled: Some(true), ..AlertRuleSettings::default() };
                if *rule == AlertRule::CostSpike {
                    wish.minimum = Some(0);
                }
                settings.rules.insert(*rule, wish);
            }
        });
        let _ = wishes.await.unwrap();
        let mut trunks = Vec::new();
        for number in 1..=TRUNKS {
            let trunk = trunk(account, number, from);
            store.insert_trunk(&act, &trunk, 100).await.unwrap();
            store.record_health(&[health(&trunk, from, to)]).await.unwrap();
            trunks.push(trunk.id);
        }
        // Nothing of an earlier build is there to be counted.
        while store.count_earlier_calls().await.unwrap() {}
        store.close().await;

        let filled = Filled { owner, from, to, calls, trunks };
        let mut connection = self.connect().await;
        let mut first = 0;
        while first < calls {
            let next = calls.min(first + CALLS_PER_STATEMENT);
            connection.run(&self.insert_calls(&filled, first, next)).await;
            first = next;
        }
        connection.run(&self.add_up(&filled)).await;
        connection.run("ANALYZE").await;
        if let Self::Postgres(_) = self {
            connection.run("VACUUM call_logs").await;
        }
        connection.close().await;
        filled
    }

    /// Runs statements past the store.
    pub async fn run(&self, statements: &str) {
        let mut connection = self.connect().await;
        connection.run(statements).await;
        connection.close().await;
    }

    /// The number that a query past the store finds.
    pub async fn number(&self, query: &str) -> i64 {
        let query = AssertSqlSafe(query.to_owned());
        match self.connect().await {
            Connected::Sqlite(mut connection) => sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap(),
            Connected::Postgres(mut connection) => sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap(),
        }
    }

    async fn connect(&self) -> Connected {
        match self {
            Self::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                Connected::Sqlite(SqliteConnection::connect_with(&options).await.unwrap())
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let settings = "SET search_path TO tandem, public; SET synchronous_commit TO off; SET jit TO off";
                sqlx::raw_sql(settings).execute(&mut connection).await.unwrap();
                Connected::Postgres(connection)
            }
        }
    }

    fn insert_calls(&self, filled: &Filled, first: u64, next: u64) -> String {
        let account = self.id(filled.owner.account.as_uuid());
        let (node, boot) = (self.id(options().node_id.as_uuid()), self.id(options().boot_id.as_uuid()));
        let id = match self {
            Self::Sqlite(_) => "unhex(printf('%012x', started / 1000) || '70008000' || printf('%012d', i))",
            Self::Postgres(_) => {
                "(lpad(to_hex(started / 1000), 12, '0') || '70008000' || lpad(i::text, 12, '0'))::uuid"
            }
        };
        let yes = "TRUE";
        let generated = self.generated(filled, first, next);
        format!(
            "INSERT INTO call_logs (id, account_id, call_id, trunk_id, direction, carried_by, from_number, to_number, started_at,
                 answered_at, ended_at, duration_ms, status, hangup_cause, quality_score, cost_micros, metadata, node_id, boot_id,
                 created_at, updated_at, counted)
             SELECT {id}, {account}, 'call-' || i, trunk_id, direction, 'external', '+12025550199', '+' || prefix || number, started,
                 CASE WHEN answered = 1 THEN started + 5000000 END, started + 5000000 + ms * 1000, ms, status, cause, score, ms, '{{}}',
                 {node}, {boot}, started, started, {yes}
             FROM ({generated}) AS generated"
        )
    }

    /// What the calls add up to, in every view that the store keeps.
    fn add_up(&self, filled: &Filled) -> String {
        let account = self.id(filled.owner.account.as_uuid());
        let all = self.id(Uuid::nil());
        let cells = |step: i64, from: i64| {
            format!(
                "SELECT started - started % {step} AS began, trunk_id, direction, prefix, cause, count(*) AS calls,
                     sum(answered) AS answered, sum(1 - answered) AS failed, sum(effective) AS effective, sum(ms) AS ms,
                     sum(CASE WHEN score IS NULL THEN 0 ELSE 1 END) AS scores
                 FROM ({}) AS generated WHERE started >= {from} GROUP BY 1, 2, 3, 4, 5",
                self.generated(filled, 0, filled.calls)
            )
        };
        let view = |cells: &str, view: &str, grain: &str, step: i64, trunk: &str, detail: &str| {
            let groups = "1, 2, 3, 4, 5, 6, 7";
            format!(
                "INSERT INTO traffic (account_id, view, grain, began_at, trunk_id, direction, detail, calls, calls_answered, calls_failed,
                     calls_timed, calls_ms, calls_cost_micros, scores, scores_millis, attempts, attempts_answered, attempts_failed,
                     attempts_effective, attempts_timed, attempts_ms, attempts_cost_micros, billed_seconds, rung, rung_us)
                 SELECT {account}, '{view}', '{grain}', began - began % {step}, {trunk}, direction, {detail}, sum(calls), sum(answered),
                     sum(failed), sum(answered), sum(ms), sum(ms), sum(scores), sum(scores) * 4000, sum(calls), sum(answered),
                     sum(failed), sum(effective), sum(answered), sum(ms), sum(ms), 0, 0, 0
                 FROM {cells} GROUP BY {groups};\n"
            )
        };
        let minute = MICROS_PER_HOUR / 60;
        let recent = now().unix_micros() - 48 * MICROS_PER_HOUR;
        let mut statements = format!(
            "CREATE TEMPORARY TABLE cells AS {};\nCREATE TEMPORARY TABLE minutes AS {};\n",
            cells(MICROS_PER_HOUR, 0),
            cells(minute, recent)
        );
        for (grain, step) in [("hour", MICROS_PER_HOUR), ("day", 24 * MICROS_PER_HOUR)] {
            for (name, trunk, detail) in [
                ("all", all.as_str(), "''"),
                ("cause", all.as_str(), "cause"),
                ("prefix", all.as_str(), "prefix"),
                ("trunk", "trunk_id", "''"),
                ("trunk_cause", "trunk_id", "cause"),
                ("trunk_prefix", "trunk_id", "prefix"),
            ] {
                statements.push_str(&view("cells", name, grain, step, trunk, detail));
            }
        }
        statements.push_str(&view("minutes", "trunk", "minute", minute, "trunk_id", "''"));
        statements.push_str("DROP TABLE cells; DROP TABLE minutes");
        statements
    }

    /// The calls of these numbers: spread evenly over the month, the trunks and the prefixes; six of ten answered.
    fn generated(&self, filled: &Filled, first: u64, next: u64) -> String {
        let last = next - 1;
        let series = match self {
            Self::Sqlite(_) => format!(
                "WITH RECURSIVE numbers (i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}) SELECT i FROM numbers"
            ),
            Self::Postgres(_) => format!("SELECT i FROM generate_series({first}::bigint, {last}::bigint) AS i"),
        };
        let number = match self {
            Self::Sqlite(_) => "printf('%07d', (i * 31) % 10000)",
            Self::Postgres(_) => "lpad(((i * 31) % 10000)::text, 7, '0')",
        };
        let from = filled.from.unix_micros();
        let step = (filled.to.unix_micros() - from) / i64::try_from(filled.calls).unwrap();
        let trunk = choose("i % 10", filled.trunks.iter().map(|trunk| self.id(trunk.as_uuid())));
        let prefix = choose("(i * 13 + i / 7) % 40", PREFIXES.iter().map(|prefix| format!("'{prefix}'")));
        let cause = choose("outcome", OUTCOMES.iter().map(|(_, cause)| format!("'{cause}'")));
        let status = choose("outcome", OUTCOMES.iter().map(|(status, _)| format!("'{status}'")));
        format!(
            "SELECT i, started, trunk_id, direction, prefix, number, answered, {status} AS status, {cause} AS cause,
                 CASE WHEN answered = 1 THEN 1000 + (i * 7919) % 300000 ELSE 0 END AS ms,
                 CASE WHEN outcome < 8 THEN 1 ELSE 0 END AS effective, CASE WHEN i % 10 = 3 THEN 4.0 END AS score
             FROM (SELECT i, {from} + i * {step} AS started, {trunk} AS trunk_id, {prefix} AS prefix, {number} AS number,
                       CASE WHEN i % 5 = 0 THEN 'inbound' ELSE 'outbound' END AS direction, (i * 7 + i / 10) % 10 AS outcome,
                       CASE WHEN (i * 7 + i / 10) % 10 < 6 THEN 1 ELSE 0 END AS answered
                   FROM ({series}) AS series) AS chosen"
        )
    }

    fn id(&self, id: Uuid) -> String {
        match self {
            Self::Sqlite(_) => format!("x'{}'", id.simple()),
            Self::Postgres(_) => format!("'{id}'::uuid"),
        }
    }
}

impl Connected {
    async fn run(&mut self, statements: &str) {
        let statements = AssertSqlSafe(statements.to_owned());
        match self {
            Self::Sqlite(connection) => drop(sqlx::raw_sql(statements).execute(connection).await.unwrap()),
            Self::Postgres(connection) => drop(sqlx::raw_sql(statements).execute(connection).await.unwrap()),
        }
    }

    async fn close(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

impl Filled {
    /// The trunks that the calls went over.
    pub(crate) fn trunks(&self) -> &[TrunkId] {
        &self.trunks
    }

    /// One of the trunks.
    pub fn trunk(&self, random: &mut Random) -> TrunkId {
        self.trunks[usize::try_from(random.below(TRUNKS)).unwrap()]
    }

    /// Digits of a number that was called.
    pub fn number(&self, random: &mut Random) -> String {
        let i = random.below(self.calls);
        let prefix = PREFIXES[usize::try_from((i * 13 + i / 7) % 40).unwrap()];
        format!("{prefix}{:07}", (i * 31) % 10_000)
    }

    /// A time in the month.
    pub fn moment(&self, random: &mut Random) -> Timestamp {
        let span = u64::try_from(self.to.unix_micros() - self.from.unix_micros()).unwrap();
        Timestamp::from_unix_micros(self.from.unix_micros() + i64::try_from(random.below(span)).unwrap())
    }
}

/// One of several, by a number from 0.
fn choose(number: &str, choices: impl Iterator<Item = String>) -> String {
    let cases: Vec<String> = choices.enumerate().map(|(place, choice)| format!("WHEN {place} THEN {choice}")).collect();
    format!("CASE {number} {} END", cases.join(" "))
}

fn trunk(account_id: tandem_model::AccountId, number: u64, created_at: Timestamp) -> Trunk {
    Trunk {
        id: TrunkId::from_uuid(Uuid::from_u64_pair(2, number)),
        account_id,
        name: format!("trunk {number}"),
        description: None,
        provider: Provider::Custom,
        status: TrunkStatus::Active,
        sip_domain: "sip.example.com".into(),
        sip_port: 5060,
        sip_proxy: None,
        sip_username: "user".into(),
        sip_password: Secret::new("password"),
        auth_username: None,
        auth_password: None,
        call_direction: CallDirection::Bidirectional,
        max_concurrent_calls: 100,
        inbound_routing: serde_json::json!({}),
        inbound: InboundRouting::default(),
        outbound_routing: serde_json::json!({}),
        outbound: OutboundRouting::default(),
        codec_preferences: Vec::new(),
        dtmf_mode: DtmfMode::Rfc2833,
        cost_per_minute: Money::from_micros(4_200),
        monthly_cost: Money::from_micros(9_990_000),
        allowed_ips: Vec::new(),
        encryption_enabled: true,
        failover_trunk_id: None,
        custom_headers: BTreeMap::new(),
        advanced_config: serde_json::Map::new(),
        priority: 1,
        health: TrunkHealth::UNKNOWN,
        created_at,
        updated_at: created_at,
    }
}

/// An hour of health after the other; the first of each day was bad.
fn health(trunk: &Trunk, from: Timestamp, to: Timestamp) -> HealthReport {
    let hours = (to.unix_micros() - from.unix_micros()) / MICROS_PER_HOUR;
    let spans = (0..hours).map(|hour| HealthSpan {
        began_at: Timestamp::from_unix_micros(from.unix_micros() + hour * MICROS_PER_HOUR),
        until: Timestamp::from_unix_micros(from.unix_micros() + (hour + 1) * MICROS_PER_HOUR),
        status: if hour % 24 == 0 { HealthStatus::Unhealthy } else { HealthStatus::Healthy },
        reason: HealthReason::Answers,
        latency_us: Some(12_000),
        loss_basis_points: Some(0),
    });
    let health =
        TrunkHealth { status: HealthStatus::Healthy, checked_at: Some(to), latency_us: None, loss_basis_points: None };
    HealthReport { trunk_id: trunk.id, account_id: trunk.account_id, health, spans: spans.collect() }
}

impl Database {
    /// An empty file in a folder.
    #[must_use]
    pub fn file_in(folder: &Path) -> Self {
        Self::Sqlite(folder.join("tandem.db"))
    }
}

/// How many days the calls are spread over.
pub const MONTH_DAYS: i64 = 30;
pub(crate) const MICROS_PER_HOUR: i64 = 3_600_000_000;
const TRUNKS: u64 = 10;
const CALLS_PER_STATEMENT: u64 = 100_000;
/// Status and cause.
const OUTCOMES: [(&str, &str); 10] = [
    ("completed", "normal_clearing"),
    ("completed", "normal_clearing"),
    ("completed", "normal_clearing"),
    ("completed", "normal_clearing"),
    ("completed", "normal_clearing"),
    ("completed", "normal_clearing"),
    ("busy", "user_busy"),
    ("no_answer", "no_answer"),
    ("failed", "temporary_failure"),
    ("canceled", "canceled"),
];
/// As statistics tell them apart.
const PREFIXES: [&str; 40] = [
    "1202", "1212", "1303", "1310", "1415", "1512", "1617", "1702", "1808", "1917", "4420", "4477", "4478", "4479",
    "4930", "4915", "4916", "4917", "4989", "3361", "3362", "3314", "3491", "3466", "3933", "3906", "3162", "3120",
    "4179", "4368", "35312", "35386", "35191", "35844", "8190", "8613", "9198", "5511", "6140", "2782",
];
