//! What only PostgreSQL can do or suffer.

#![expect(clippy::unwrap_used, reason = "a test fails where it goes wrong")]

#[path = "../call_lists/mod.rs"]
mod call_lists;
mod nodes;
mod opening;
mod outages;
#[path = "../postgres_server/mod.rs"]
mod postgres_server;
mod relay;
mod tables;

use postgres_server::{Database, socket_folder};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tandem_model::*;
use tandem_store::{Act, MasterKey, OpenError, Store, StoreOptions};
use uuid::Uuid;

/// Who does everything here.
static ACT: Act = Act::system("test", Timestamp::from_unix_micros(0));
const PASSWORD: &str = "a-very-secret-sip-password";

fn options(key: u8) -> StoreOptions {
    StoreOptions {
        master_key: MasterKey::from_bytes([key; 32]),
        node_id: NodeId::from_uuid(Uuid::from_u128(1)),
        boot_id: BootId::from_uuid(Uuid::from_u128(2)),
    }
}

async fn open(database: &Database) -> Result<Store, OpenError> {
    Store::open(&database.url(), options(1)).await
}

fn name_of(database: &Database) -> String {
    database.url().to_string().rsplit('/').next().unwrap().to_owned()
}

/// A connection past the store, which sees its tables.
async fn connect(database: &Database) -> PgConnection {
    let (name, folder) = (name_of(database), socket_folder().display());
    let mut connection =
        PgConnection::connect(&format!("postgresql:///{name}?host={folder}&user=postgres")).await.unwrap();
    run(&mut connection, "SET search_path TO tandem, public").await;
    connection
}

async fn run(connection: &mut PgConnection, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.unwrap();
}

/// Runs statements past the store.
async fn execute(database: &Database, statements: &str) {
    let mut connection = connect(database).await;
    run(&mut connection, statements).await;
    connection.close().await.unwrap();
}

/// A user with a password, who may do nothing yet. Users belong to the whole server, so the name has that of the database.
async fn with_user(database: &Database, options: &str) -> String {
    let user = format!("user_of_{}", name_of(database));
    execute(database, &format!("CREATE USER {user} PASSWORD 'hunter2' {options}")).await;
    user
}

fn trunk(account_id: AccountId, number: u128) -> Trunk {
    Trunk {
        id: TrunkId::from_uuid(Uuid::from_u128(number)),
        account_id,
        name: format!("trunk {number}"),
        description: None,
        provider: Provider::Custom,
        status: TrunkStatus::Active,
        sip_domain: "sip.example.com".into(),
        sip_port: 5060,
        sip_proxy: None,
        sip_username: "user".into(),
        sip_password: Secret::new(PASSWORD),
        auth_username: None,
        auth_password: Some(Secret::new(PASSWORD)),
        call_direction: CallDirection::Bidirectional,
        max_concurrent_calls: 10,
        inbound_routing: serde_json::json!({}),
        inbound: Default::default(),
        outbound_routing: serde_json::json!({}),
        outbound: OutboundRouting::default(),
        codec_preferences: Vec::new(),
        dtmf_mode: DtmfMode::Rfc2833,
        cost_per_minute: Money::ZERO,
        monthly_cost: Money::ZERO,
        allowed_ips: Vec::new(),
        encryption_enabled: true,
        failover_trunk_id: None,
        custom_headers: std::collections::BTreeMap::new(),
        advanced_config: serde_json::Map::new(),
        priority: 1,
        health: TrunkHealth::UNKNOWN,
        created_at: Timestamp::from_unix_micros(1),
        updated_at: Timestamp::from_unix_micros(1),
    }
}

/// A call under way.
fn call(account_id: AccountId, number: u64) -> CallRecord {
    let at = Timestamp::from_unix_micros(1).saturating_add(std::time::Duration::from_micros(number));
    CallRecord {
        id: CallId::from_uuid(Uuid::from_u64_pair(7, number)),
        account_id,
        call_id: format!("call {number}"),
        trunk_id: Some(TrunkId::from_uuid(Uuid::from_u128(u128::from(number % 4)))),
        direction: CallDirection::Outbound,
        carried_by: CarriedBy::Tandem,
        conversation_id: None,
        from_number: "+12025550100".into(),
        to_number: "+442079460000".into(),
        to_uri: None,
        started_at: at,
        answered_at: None,
        ended_at: None,
        duration_ms: None,
        status: CallStatus::Initiated,
        hangup_cause: None,
        sip_status: None,
        hung_up_by: None,
        quality_score: None,
        codec_used: None,
        sip_call_id: None,
        remote_ip: None,
        cost: None,
        credits_used: None,
        metadata: serde_json::Map::new(),
        receipt: None,
        created_at: at,
    }
}

fn state(call: CallRecord) -> Record {
    Record::Call(Box::new(call))
}
