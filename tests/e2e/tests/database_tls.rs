//! TLS to PostgreSQL: what is asked for is what happens, and never less.

use serde_json::json;
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use tandem_e2e::{Authority, Finished, Flaw, Network, Options, Postgres, Tandem, environment, run};

const CERTAIN: &str =
    "SELECT pg_stat_ssl.ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = $1";

#[test]
fn tls_to_postgresql_is_what_the_url_says_and_never_less() {
    let network = Network::claim();
    let (named, unnamed) = (network.host(5), network.host(6));
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the folder is the test's own");
        path.display().to_string()
    };
    let authority = Authority::default();
    let (certificate, key) = authority.certificate(&named, Flaw::None).pem();
    let (certificate, key) = (write("server.pem", &certificate), write("server.key", &key));
    // In plain text nobody is let in.
    let rules = write("rules", "local all postgres trust\nhostssl all all 127.0.0.0/8 trust\n");
    let (trusted, other) = (write("ca.pem", &authority.pem()), write("other.pem", &Authority::default().pem()));
    // The server is another user, and wants its key for itself.
    let all = |mode| Permissions::from_mode(mode);
    std::fs::set_permissions(folder.path(), all(0o755)).expect("the folder is the test's own");
    std::fs::set_permissions(&key, all(0o600)).expect("the file is the test's own");
    let given = Command::new("chown").args(["postgres", &key]).status();
    assert!(given.is_ok_and(|status| status.success()), "as root the server is run by the user postgres");
    let postgres = Postgres::start_with(&format!(
        "-c listen_addresses={named},{unnamed} -c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key} -c hba_file={rules}"
    ));

    let url = |host, query: &str| format!("postgresql://postgres@{}/postgres{query}", SocketAddr::new(host, 5432));
    let verified = url(named, &format!("?sslmode=verify-full&sslrootcert={trusted}"));
    let tandem = Tandem::start(&network, &Options::default().env("DATABASE_URL", &verified));
    let api = tandem.api();
    assert_eq!(api.get("/trunks").expect(200), json!([]));
    let certain = postgres.column(CERTAIN, "tandem");
    assert!(certain.len() > 1 && certain.iter().all(|ssl| ssl.as_deref() == Some("true")), "{certain:?}");

    let ask = |url: &str| -> Finished {
        let options = Options::default()
            .env("DATABASE_URL", url)
            .env("TANDEM_DATA_DIR", &tandem.data_dir().display().to_string());
        run(&["account", "list"], &environment(&network, folder.path(), &options), folder.path())
    };
    let expect_refused = |url: &str, told: &str| {
        let refused = ask(url);
        assert_eq!(refused.status.code(), Some(1), "{url}: {refused:?}");
        assert!(refused.stderr.contains(told), "{url}: {refused:?}");
    };
    for (host, query) in [
        (named, "?sslmode=require".to_owned()),
        (named, format!("?sslmode=verify-ca&sslrootcert={trusted}")),
        (unnamed, "?sslmode=require".to_owned()),
        (unnamed, format!("?sslmode=verify-ca&sslrootcert={trusted}")),
    ] {
        let done = ask(&url(host, &query));
        assert!(done.status.success(), "{host} {query}: {done:?}");
    }
    expect_refused(&url(named, "?sslmode=disable"), "refuses user");
    expect_refused(&url(named, ""), "refuses user");
    expect_refused(
        &url(unnamed, &format!("?sslmode=verify-full&sslrootcert={trusted}")),
        "TLS to the PostgreSQL server",
    );
    for mode in ["require", "verify-ca", "verify-full"] {
        let elsewhere = url(named, &format!("?sslmode={mode}&sslrootcert={other}"));
        expect_refused(&elsewhere, "invalid peer certificate");
    }
    expect_refused(&url(named, "?sslmode=verify-full&sslrootcert=/nonexistent.pem"), "cannot be read");
    expect_refused(&url(named, "?sslmode=prefer"), "verify-full");

    // Who has no TLS is not spoken to without.
    let plain = Postgres::start_with(&format!("-c listen_addresses={} -c hba_file={rules}", network.host(7)));
    expect_refused(&url(network.host(7), "?sslmode=require"), "TLS");
    drop(plain);
}
