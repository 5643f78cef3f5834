use crate::postgres_server::Database;
use crate::{connect, execute, name_of, open, options, run, with_user};
use std::net::TcpListener;
use tandem_store::{DatabaseUrl, Migrated, OpenError, Store};

async fn refusal(url: &DatabaseUrl) -> OpenError {
    let error = Store::open(url, options(1)).await.err().expect("it must not open");
    let line = error.to_string();
    assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
    error
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // Nobody listens on a port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refusal(&format!("postgresql://tandem:hunter2@127.0.0.1:{port}/calls").parse().unwrap()).await;
    assert!(matches!(&error, OpenError::ServerUnreachable { server, .. } if *server == format!("127.0.0.1:{port}")));

    let error = refusal(&"postgresql://tandem:hunter2@%2Fnonexistent/calls".parse().unwrap()).await;
    assert!(matches!(&error, OpenError::ServerUnreachable { server, .. } if server == "/nonexistent"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_refused() {
    let database = Database::create().await;
    let user = with_user(&database, "").await;
    let error = refusal(&database.url_for(&user, "hunter22")).await;
    assert!(matches!(&error, OpenError::LoginRefused { user: refused, .. } if *refused == user), "{error}");
    let error = refusal(&database.url_for("nobody", "hunter2")).await;
    assert!(matches!(&error, OpenError::LoginRefused { user, .. } if user == "nobody"), "{error}");

    execute(&database, &format!("REVOKE CONNECT ON DATABASE {} FROM public", name_of(&database))).await;
    let error = refusal(&database.url_for(&user, "hunter2")).await;
    assert!(
        matches!(&error, OpenError::LoginRefused { reason, .. } if reason.contains("permission denied")),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let database = Database::create().await;
    let url = database.url();
    drop(database);
    let error = refusal(&url).await;
    assert!(matches!(&error, OpenError::DatabaseMissing { database, .. } if url.to_string().ends_with(database)));
}

#[tokio::test]
async fn a_user_who_may_not_make_the_schema_gets_the_statement_for_the_owner() {
    let database = Database::create().await;
    let user = with_user(&database, "").await;
    let url = database.url_for(&user, "hunter2");
    let error = refusal(&url).await;
    assert!(matches!(&error, OpenError::SchemaForbidden { user: refused, .. } if *refused == user), "{error}");

    execute(&database, "CREATE SCHEMA tandem").await;
    assert!(matches!(refusal(&url).await, OpenError::SchemaForbidden { .. }));

    // What the error says to run.
    execute(&database, "DROP SCHEMA tandem").await;
    let statement = error.to_string().rsplit_once("run: ").unwrap().1.to_owned();
    execute(&database, &statement).await;
    Store::open(&url, options(1)).await.unwrap().close().await;
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    let database = Database::create().await;
    execute(&database, "CREATE SCHEMA tandem; CREATE TABLE tandem.bookmarks (url TEXT)").await;
    let error = refusal(&database.url()).await;
    assert!(matches!(&error, OpenError::SchemaTaken { database: taken } if *taken == name_of(&database)));
    let mut connection = connect(&database).await;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname IN ('tandem', 'public')")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_standby_a_full_server_and_a_narrow_encoding_are_refused() {
    let database = Database::create().await;
    let user = with_user(&database, "CONNECTION LIMIT 0").await;
    let error = refusal(&database.url_for(&user, "hunter2")).await;
    assert!(matches!(error, OpenError::TooManyConnections { .. }), "{error}");

    execute(&database, &format!("ALTER DATABASE {} SET default_transaction_read_only TO on", name_of(&database))).await;
    let error = refusal(&database.url()).await;
    assert!(matches!(error, OpenError::ReadOnlyServer { .. }), "{error}");

    let narrow = Database::create_with("ENCODING 'LATIN1' TEMPLATE template0").await;
    let error = refusal(&narrow.url()).await;
    assert!(matches!(&error, OpenError::Encoding { encoding, .. } if encoding == "LATIN1"), "{error}");
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let database = Database::create().await;
    open(&database).await.unwrap().close().await;
    let error = Store::open(&database.url(), options(2)).await.err().unwrap();
    assert!(matches!(error, OpenError::WrongMasterKey));
    open(&database).await.unwrap().close().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_versions() {
    let database = Database::create().await;
    let made = Store::migrate(&database.url()).await.unwrap();
    assert_eq!((made.from, Store::migrate(&database.url()).await.unwrap()), (0, Migrated { from: made.to, ..made }));

    let mut connection = connect(&database).await;
    run(
        &mut connection,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'from the future', true, '', 1)",
    )
    .await;
    assert!(
        matches!(refusal(&database.url()).await, OpenError::NewerSchema { found: 9999, known } if known == made.to)
    );
    run(&mut connection, "DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    run(&mut connection, "UPDATE _sqlx_migrations SET checksum = '' WHERE version = 1").await;
    assert!(matches!(refusal(&database.url()).await, OpenError::ForeignSchema { version: 1 }));
}
