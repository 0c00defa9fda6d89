//! The URL has a password: it is in no error and in no `Debug`.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, own_server};

const SECRET: &str = "s3cr3t-of-the-database";

fn holds_nothing(text: &str) {
    assert!(!text.contains(SECRET) && !text.contains("s3cr3t"), "{text}");
}

#[test]
fn a_url_that_cannot_be_read_is_not_repeated() {
    for url in [
        format!("postgres://app:{SECRET}@host:notaport/db"),
        format!("postgres://app:{SECRET}@[::1/db"),
        format!("app:{SECRET}@host/db"),
        format!("postgres://app@host/db?sslmode={SECRET}"),
    ] {
        let error = PostgresOptions::new(&url).unwrap_err();
        holds_nothing(&error.to_string());
        holds_nothing(&format!("{error:?}"));
        assert!(error.to_string().contains("postgres://user:password@host"), "{error}");
    }
}

#[tokio::test]
async fn neither_errors_nor_debug_show_the_password() {
    // Nobody listens there.
    let options = PostgresOptions::new(&format!("postgres://app:{SECRET}@127.0.0.1:1/db")).unwrap();
    let options = options.wait(std::time::Duration::from_millis(300));
    holds_nothing(&format!("{options:?}"));
    let error = options.store().await.unwrap_err();
    holds_nothing(&format!("{error} {error:?}"));
    let Some(server) = own_server() else { return };
    let Some(url) = server.tcp_url("postgres") else { return };
    let wrong = url.replace(privet_test_postgres::PASSWORD, SECRET);
    let error = PostgresOptions::new(&wrong).unwrap().store().await.unwrap_err();
    holds_nothing(&format!("{error} {error:?}"));
    assert!(error.to_string().contains("check the user and the password"), "{error}");
    let missing = format!("{}/nodb", url.rsplit_once('/').unwrap().0);
    let error = PostgresOptions::new(&missing).unwrap().store().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(privet_test_postgres::PASSWORD), "{error:?}");
    let store = PostgresOptions::new(&url).unwrap().schema(&fresh_name()).store().await.unwrap();
    assert!(!format!("{store:?}").contains(privet_test_postgres::PASSWORD), "{store:?}");
    for bad in ["Robert'); DROP", "a.b", ""] {
        let error = PostgresOptions::new(&url).unwrap().schema(bad).store().await.unwrap_err();
        assert!(matches!(error, privet::Error::Config { .. }), "{error}");
    }
}
