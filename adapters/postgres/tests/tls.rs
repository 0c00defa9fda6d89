//! A server that takes encrypted connections only: who verifies it is let in, and who cannot is told why.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use privet::conformance::records_are_chained;
use privet::store::OpenInfo;
use privet::{Error, KeyRing};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{Authority, Cluster, PASSWORD};
use sqlx::{PgPool, Row as _};

const NAME: &str = "encrypted";

fn url(cluster: &Cluster, host: &str, mode: &str, root: &Path) -> String {
    let url = cluster.tcp_url(host);
    format!("{url}?sslmode={mode}&sslrootcert={}&application_name={NAME}", root.display())
}

/// How many connections the store has, and whether each is encrypted.
async fn connections(cluster: &Cluster) -> (i64, Option<bool>) {
    let pool = PgPool::connect(&cluster.url()).await.unwrap();
    let sql = "SELECT count(*), bool_and(s.ssl) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.application_name = $1";
    let row = sqlx::query(sql).bind(NAME).fetch_one(&pool).await.unwrap();
    (row.get(0), row.get(1))
}

/// Why a store is refused; the password and the URL are in no error.
async fn refused(url: &str) -> String {
    let began = Instant::now();
    let error = PostgresOptions::new(url).unwrap().store().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "it is not tried again and again");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("postgres://"), "{text}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_verified_and_everything_is_encrypted() {
    let Some(authority) = Authority::new() else { return };
    let Some(cluster) = Cluster::encrypted(&authority) else { return };
    for (host, schema) in [("localhost", "by_name"), ("127.0.0.1", "by_address")] {
        let url = url(&cluster, host, "verify-full", authority.root());
        let options = PostgresOptions::new(&url).unwrap().schema(schema);
        let storage = options.storage(KeyRing::generate().unwrap()).await.unwrap();
        storage.store.open(&OpenInfo::new(&storage.key_ring)).await.unwrap();
        records_are_chained(&*storage.store).await;
        assert!(storage.ledger.entries().await.unwrap().is_empty());
        let (count, all) = connections(&cluster).await;
        assert!(count >= 3 && all == Some(true), "store, keys and ledger: {count}, {all:?}");
    }
    // Where the URL says nothing it is encrypted where the server offers that, whoever the server is.
    let store = PostgresOptions::new(&cluster.tcp_url("127.0.0.2")).unwrap().store().await.unwrap();
    records_are_chained(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_and_a_way_in_the_clear_are_refused() {
    let (Some(authority), Some(stranger)) = (Authority::new(), Authority::new()) else { return };
    let Some(cluster) = Cluster::encrypted(&authority) else { return };

    let unknown = refused(&url(&cluster, "localhost", "verify-full", stranger.root())).await;
    assert!(
        unknown.contains("UnknownIssuer") && unknown.contains("as `sslrootcert` in the URL"),
        "{unknown}"
    );
    let public = refused(&format!("{}?sslmode=verify-full", cluster.tcp_url("localhost"))).await;
    assert!(public.contains("as `sslrootcert` in the URL"), "{public}");

    let misnamed = refused(&url(&cluster, "127.0.0.2", "verify-full", authority.root())).await;
    assert!(
        misnamed.contains("not valid for name") && misnamed.contains("as the certificate does"),
        "{misnamed}"
    );
    // Who does not ask for the name gets the same server.
    let url_of_any_name = url(&cluster, "127.0.0.2", "verify-ca", authority.root());
    PostgresOptions::new(&url_of_any_name).unwrap().store().await.unwrap();

    let clear = refused(&url(&cluster, "localhost", "disable", authority.root())).await;
    assert!(clear.contains("no encryption") && clear.contains("its `sslmode`"), "{clear}");

    let missing = refused(&url(&cluster, "localhost", "verify-full", Path::new("/no/such/root.crt"))).await;
    assert!(missing.contains("the files of its certificates"), "{missing}");

    // A server that does not encrypt at all.
    let Some(server) = privet_test_postgres::own_server().and_then(|server| server.tcp_url("postgres"))
    else {
        return;
    };
    let bare = refused(&format!("{server}?sslmode=verify-full")).await;
    assert!(bare.contains("does not support TLS") && bare.contains("`ssl = on`"), "{bare}");
}
