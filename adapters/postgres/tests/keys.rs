//! What every key store has to do.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::store::{KeyName, KeyStore as _, SubjectDigest};
use privet::{Day, Tenant};
use privet_postgres::PostgresOptions;

mod roles;

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().schema(&privet_test_postgres::fresh_name())
}

#[tokio::test]
async fn keys_are_kept_once_and_destroyed_for_good() {
    let Some(server) = privet_test_postgres::server() else { return };
    once_and_for_good(options(server.url())).await;
}

#[tokio::test]
async fn keys_are_kept_behind_row_level_security() {
    let Some(url) = roles::app_url().await else { return };
    once_and_for_good(options(&url).row_security()).await;
}

#[tokio::test]
async fn keys_are_kept_behind_a_pooler() {
    let Some(pooler) = privet_test_postgres::pooler(1) else { return };
    once_and_for_good(options(&pooler.url()).behind_pooler()).await;
}

async fn once_and_for_good(options: PostgresOptions) {
    let names = [
        KeyName::Pepper(Tenant::new("a").unwrap()),
        KeyName::Pepper(Tenant::new("b").unwrap()),
        KeyName::Subject(Tenant::new("a").unwrap(), SubjectDigest::from_bytes([1; 16])),
        KeyName::Subject(Tenant::new("b").unwrap(), SubjectDigest::from_bytes([1; 16])),
        KeyName::Epoch(Day::from_number(20_000)),
        KeyName::Epoch(Day::from_number(20_001)),
    ];
    let wrapped = |n: usize| vec![u8::try_from(n).unwrap() + 0xa0; 72];
    let store = options.key_store().await.unwrap();
    for (n, name) in names.iter().enumerate() {
        assert_eq!(store.get(name).await.unwrap(), None);
        assert_eq!(store.insert(name, &wrapped(n)).await.unwrap(), wrapped(n));
        assert_eq!(store.insert(name, &[0; 72]).await.unwrap(), wrapped(n), "the first one stands");
    }
    store.destroy(&names[2..3]).await.unwrap();
    store.destroy(&names[2..3]).await.unwrap();
    store.destroy(&[]).await.unwrap();
    store.destroy_epochs_before(Day::from_number(20_001)).await.unwrap();
    let another_instance = options.key_store().await.unwrap();
    for (n, name) in names.iter().enumerate() {
        let gone = n == 2 || n == 4;
        assert_eq!(another_instance.get(name).await.unwrap(), (!gone).then(|| wrapped(n)), "{name:?}");
    }
}

/// Instances that want the first key of a day at once get the same one.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_agree_on_a_key() {
    let Some(server) = privet_test_postgres::server() else { return };
    agree_on_a_key(options(server.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_agree_on_a_key_behind_a_pooler() {
    let Some(pooler) = privet_test_postgres::pooler(3) else { return };
    agree_on_a_key(options(&pooler.url()).behind_pooler()).await;
}

async fn agree_on_a_key(options: PostgresOptions) {
    let store = options.key_store().await.unwrap();
    for day in 0..20 {
        let name = KeyName::Epoch(Day::from_number(day));
        let instances = (0..8_u8).map(|n| {
            let (store, name) = (store.clone(), name.clone());
            tokio::spawn(async move { store.insert(&name, &[n; 72]).await.unwrap() })
        });
        let got = futures_util::future::join_all(instances).await;
        let got: std::collections::BTreeSet<_> = got.into_iter().map(Result::unwrap).collect();
        assert_eq!(got.len(), 1);
    }
}
