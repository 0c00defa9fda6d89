//! A role that may read and write rows and make nothing: the public suite, in part, in schemas that another role made, and a shop
//! from its first visitor to a sweep.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod roles;

use std::time::Duration;

use futures_executor::block_on;
use privet::contact::PageRequest;
use privet::portal::{Operator, Role};
use privet::retention::{DataClass, RetentionRule};
use privet::{KeyRing, Privet, Scope, Site, Tenant};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, own_server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tokio::runtime::Runtime;

use common::{Browser, installation_on, save};

/// It owns nothing, and is in no other role.
const RUNS: &str = "privet_runs";
const DAY: Duration = Duration::from_secs(86_400);

/// A schema with all that its owner makes, and the URL of the role that runs on it, with what it needs. None without a
/// PostgreSQL, after saying so; in CI that is a failure.
async fn made() -> Option<(String, String)> {
    let (owner, schema) = (roles::app_url().await?, fresh_name());
    let url = roles::url_of(RUNS, "").await?;
    let options = PostgresOptions::new(&owner).unwrap().schema(&schema).connections(2);
    options.storage(KeyRing::generate().unwrap()).await.unwrap();
    let pool = PgPool::connect(&owner).await.unwrap();
    // A ledger is appended to, and never changed.
    let grants = format!(
        "GRANT USAGE ON SCHEMA \"{schema}\" TO {RUNS};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO {RUNS};
         REVOKE UPDATE, DELETE ON \"{schema}\".ledger FROM {RUNS}"
    );
    sqlx::raw_sql(AssertSqlSafe(grants)).execute(&pool).await.unwrap();
    pool.close().await;
    Some((url, schema))
}

mod suite {
    use privet_postgres::{PostgresOptions, PostgresStore};
    use privet_test_postgres::own_server;

    async fn fresh() -> (PostgresStore, ()) {
        let (url, schema) = super::made().await.unwrap();
        (PostgresOptions::new(&url).unwrap().schema(&schema).store().await.unwrap(), ())
    }

    /// Needs a role, which the tests' own server has. Does nothing where there is none, after saying so; in CI it fails.
    fn run(case: impl Future<Output = ()>) {
        if own_server().is_some() {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case);
        }
    }

    // Of each trait what writes the most, since each case takes a schema of its own.
    privet::store_tests!(@cases fresh, run;
        another_key_is_refused
        notices_are_kept_byte_by_byte_and_never_changed
        statements_are_numbered_and_never_changed
        records_are_chained
        a_withdrawal_marks_the_contacts_of_its_line_only
        contacts_on_another_consent_are_frozen
        messages_are_numbered_and_stored_once
        conversations_go_from_contact_to_contact
        nothing_crosses_tenants_or_sites
        purges_are_bounded_and_complete
        fences_end
        what_was_erased_alone_goes_with_its_contact
        notifications_are_sent_by_one_at_a_time
        notifications_end_when_they_are_settled
        counts_are_added_once
        counts_end
        an_erasure_on_request_cuts_the_line
        notes_go_with_their_contact
        a_contact_is_known_on_two_proofs
        a_snapshot_is_of_one_moment
        the_log_is_the_tenants_own
        a_lease_is_taken_over_when_it_lapses
        units_at_once_are_one_after_the_other
    );
}

/// What the suite is worth: the role is refused whatever changes a table.
#[tokio::test]
async fn the_role_that_runs_may_make_nothing() {
    let Some((url, schema)) = made().await else { return };
    let pool = PgPool::connect(&url).await.unwrap();
    for sql in [
        format!("CREATE TABLE \"{schema}\".more (n INT)"),
        format!(
            "CREATE TABLE \"{schema}\".more PARTITION OF \"{schema}\".messages FOR VALUES FROM (1) TO (2)"
        ),
        format!("CREATE INDEX ON \"{schema}\".contacts (country)"),
        format!("ALTER TABLE \"{schema}\".contacts ADD COLUMN more INT"),
        format!("DROP TABLE \"{schema}\".messages_default"),
        format!("TRUNCATE \"{schema}\".contacts"),
        format!("DELETE FROM \"{schema}\".ledger"),
        "CREATE SCHEMA privet_runs_elsewhere".to_owned(),
    ] {
        let refused = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&pool).await.unwrap_err();
        let code = refused.as_database_error().and_then(sqlx::error::DatabaseError::code);
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
    }
}

struct Shop {
    rt: Runtime,
    owner: PgPool,
    schema: String,
}

impl Shop {
    fn number(&self, what: &str) -> i64 {
        let sql =
            format!("SELECT count(*) FROM {}", what.replace("privet.", &format!("\"{}\".", self.schema)));
        self.rt.block_on(sqlx::query(AssertSqlSafe(sql)).fetch_one(&self.owner)).unwrap().get(0)
    }

    fn months(&self) -> i64 {
        self.number("pg_inherits WHERE inhparent = 'privet.messages'::regclass")
    }
}

fn contacts(privet: &Privet) -> usize {
    block_on(privet.contacts(&Scope::default(), &PageRequest::first(9))).unwrap().contacts.len()
}

/// Consent, contacts, messages, keys, the ledger, an erasure on request, and sweeps, in which a month goes row by row.
#[test]
fn a_shop_is_kept_by_a_role_that_only_runs() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some((url, schema)) = rt.block_on(made()) else { return };
    let owner = rt.block_on(PgPool::connect(own_server().unwrap().url())).unwrap();
    let options = PostgresOptions::new(&url).unwrap().schema(&schema).connections(4);
    let shop = Shop { rt, owner, schema };
    let _in = shop.rt.enter();
    let storage = shop.rt.block_on(options.storage(KeyRing::generate().unwrap())).unwrap();
    let (privet, clock) = installation_on(storage, |b| b);
    let rule = RetentionRule::new(DataClass::Messages, DAY * 20).unwrap();
    block_on(privet.set_retention(&Tenant::default(), rule)).unwrap();
    let [mut anna, mut ben, mut carl] = ["anna", "ben", "carl"].map(|name| {
        let mut browser = Browser::default();
        browser.answer(&privet, &save(&["contacts"])).0.unwrap();
        browser.say(&privet, &format!("{name} is here"));
        browser
    });
    // Each has a key of its own.
    let (keys, lines, months) = (shop.number("privet.keys"), shop.number("privet.ledger"), shop.months());
    assert_eq!(months, 4);

    ben.withdraw(&privet, &[]).0.unwrap();
    let operator = Operator::new(Tenant::default(), "Olga", Role::PrivacyOfficer).unwrap();
    let olga = privet.portal(&operator, &Site::default()).unwrap();
    let (visit, _) = carl.open(&privet);
    let id = visit.visitor().contact().unwrap();
    assert_eq!(block_on(olga.erase_contact(id)).unwrap().contacts, 1);
    carl.close(&visit, common::Answered::new(200));
    assert_eq!(contacts(&privet), 1);
    assert_eq!(shop.number("privet.keys"), keys - 2, "Ben's and Carl's are gone");
    assert!(shop.number("privet.ledger") >= lines + 2, "and it is written down");

    clock.advance(DAY * 21);
    anna.say(&privet, "and again");
    let report = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!((report.expired[&DataClass::Messages], report.removed.messages), (1, 1), "{report:?}");
    assert_eq!(anna.texts(&privet), ["and again"]);
    clock.advance(DAY * 400);
    let report = block_on(privet.sweep(privet.now())).unwrap();
    assert_eq!((report.removed.contacts, report.removed.messages), (1, 1), "{report:?}");
    assert_eq!(
        (contacts(&privet), shop.number("privet.messages"), shop.number("privet.contacts")),
        (0, 0, 0)
    );
    assert_eq!(shop.months(), months, "which are for others to drop");
    assert!(block_on(privet.sweep(privet.now())).unwrap().is_nothing());
}
