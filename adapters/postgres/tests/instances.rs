//! Instances of one app on one database.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::{Catalogue, Error, KeyRing, Privet};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, server};

fn ring(byte: u8) -> KeyRing {
    let mut bytes = [byte; 32];
    bytes[0] = 99;
    KeyRing::from_bytes(bytes).unwrap()
}

async fn start(url: &str, schema: &str, ring: KeyRing) -> privet::Result<Privet> {
    let catalogue = "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"";
    let storage = PostgresOptions::new(url)?.schema(schema).connections(4).storage(ring).await?;
    Privet::builder(Catalogue::from_toml(catalogue)?).storage(storage).build().await
}

/// Eight instances of an app start at once with the same key; one with another key is refused.
#[tokio::test(flavor = "multi_thread")]
async fn instances_start_together_on_one_key() {
    let Some(server) = server() else { return };
    let schema = fresh_name();
    let starting = (0..8).map(|_| {
        let schema = schema.clone();
        tokio::spawn(async move { start(server.url(), &schema, ring(1)).await })
    });
    for started in futures_util::future::join_all(starting).await {
        let privet = started.unwrap().unwrap();
        privet.sweep(privet.now()).await.unwrap();
    }
    let refused = start(server.url(), &schema, ring(2)).await;
    assert!(matches!(refused, Err(Error::Key { .. })), "{refused:?}");
}
