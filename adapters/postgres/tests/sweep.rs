//! A sweep over months of messages, from the message that a visitor wrote to the report: what is over for every tenant goes with
//! its partition, what is over for one goes row by row, and the rest stays.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

#[path = "../../../core/tests/common/mod.rs"]
mod common;
mod roles;

use std::time::Duration;

use futures_executor::block_on;
use privet::retention::{DataClass, RetentionRule};
use privet::{FakeClock, KeyRing, Privet, Tenant, Timestamp};
use privet_postgres::PostgresOptions;
use privet_test_postgres::{fresh_name, own_server};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use tokio::runtime::Runtime;

use common::{Browser, catalogue, save};

const DAY: Duration = Duration::from_secs(86_400);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The partitions that have messages, with how many, as one who passes by every wall sees them.
async fn messages(superuser: &PgPool, schema: &str) -> Vec<(String, i64)> {
    let sql = format!(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = '\"{schema}\".messages'::regclass ORDER BY 1"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(superuser).await.unwrap();
    let mut all = Vec::new();
    for name in rows.iter().map(|row| row.get::<String, _>(0)) {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM \"{schema}\".{name}"));
        all.push((name, sqlx::query(count).fetch_one(superuser).await.unwrap().get(0)));
    }
    all
}

/// This month's name, and the instant at which it ends.
async fn month(superuser: &PgPool) -> (String, Timestamp) {
    let sql = "SELECT 'messages_' || to_char(m, 'YYYY_MM'), (extract(epoch FROM m + interval '1 month') * 1000)::bigint
               FROM date_trunc('month', now() AT TIME ZONE 'UTC') AS m";
    let row = sqlx::query(sql).fetch_one(superuser).await.unwrap();
    (row.get(0), Timestamp::from_millis(row.get(1)))
}

struct Shop {
    superuser: PgPool,
    schema: String,
    privet: Privet,
    clock: FakeClock,
    month: String,
    end: Timestamp,
}

/// A shop whose messages are kept for twenty days, in the last days of this month.
fn shop(rt: &Runtime, walled: bool) -> Option<Shop> {
    let url = rt.block_on(roles::app_url())?;
    let superuser = rt.block_on(PgPool::connect(own_server()?.url())).unwrap();
    let schema = fresh_name();
    let options = PostgresOptions::new(&url).unwrap().schema(&schema).connections(4);
    let options = if walled { options.row_security() } else { options };
    let storage = rt.block_on(options.storage(KeyRing::generate().unwrap())).unwrap();
    let (month, end) = rt.block_on(month(&superuser));
    let clock = FakeClock::at(end - DAY * 2);
    let builder = Privet::builder(catalogue()).storage(storage).clock(clock.clone());
    let privet = block_on(builder.build()).unwrap();
    let rule = RetentionRule::new(DataClass::Messages, DAY * 20).unwrap();
    block_on(privet.set_retention(&Tenant::default(), rule)).unwrap();
    Some(Shop { superuser, schema, privet, clock, month, end })
}

impl Shop {
    fn visitor(&self) -> Browser {
        let mut browser = Browser::default();
        browser.answer(&self.privet, &save(&["contacts"])).0.unwrap();
        browser
    }

    /// Two visitors: one wrote in this month only, the other one in the next one too. Twenty days after the third message it is
    /// the twenty-sixth of the next month.
    fn written(&self, rt: &Runtime) -> (Browser, Browser) {
        let (mut anna, mut ben) = (self.visitor(), self.visitor());
        anna.say(&self.privet, "in the old month");
        ben.say(&self.privet, "in the old month, too");
        self.clock.set(self.end + DAY * 2);
        anna.say(&self.privet, "early in the new one");
        self.clock.set(self.end + DAY * 25);
        anna.say(&self.privet, "late in the new one");
        self.clock.set(self.end + DAY * 26);
        block_on(self.privet.flush()).unwrap();
        let filled = rt.block_on(messages(&self.superuser, &self.schema));
        let full: Vec<_> = filled.iter().filter(|(_, count)| *count > 0).collect();
        assert!(full.len() == 2 && full.iter().any(|(name, n)| *name == self.month && *n == 2), "{filled:?}");
        (anna, ben)
    }

    /// The partition of the old month is gone, or has nothing; and what the others have.
    fn left(&self, rt: &Runtime) -> (Option<i64>, i64) {
        let all = rt.block_on(messages(&self.superuser, &self.schema));
        let old = all.iter().find(|(name, _)| *name == self.month).map(|(_, count)| *count);
        (old, all.iter().filter(|(name, _)| *name != self.month).map(|(_, count)| count).sum())
    }
}

fn a_month_goes(walled: bool) {
    let rt = runtime();
    let _in = rt.enter();
    let Some(shop) = shop(&rt, walled) else { return };
    let (anna, ben) = shop.written(&rt);

    let report = block_on(shop.privet.sweep(shop.privet.now())).unwrap();
    assert_eq!(report.expired[&DataClass::Messages], 3, "two with the month, one by itself");
    assert_eq!((report.removed.messages, report.removed.contacts, report.removed.conversations), (3, 0, 0));
    assert_eq!(shop.left(&rt), (None, 1), "the old month is no more");
    assert_eq!(anna.texts(&shop.privet), ["late in the new one"]);
    assert_eq!(ben.texts(&shop.privet), [] as [String; 0]);

    let again = block_on(shop.privet.sweep(shop.privet.now())).unwrap();
    assert!(again.is_nothing(), "{again:?}");
    // It goes on, in the month that is.
    let mut ben = ben;
    ben.say(&shop.privet, "here again");
    assert_eq!(ben.texts(&shop.privet), ["here again"]);
    assert_eq!(shop.left(&rt), (None, 2));
}

#[test]
fn a_month_that_is_over_goes_with_its_partition() {
    a_month_goes(false);
}

#[test]
fn a_month_that_is_over_goes_from_behind_the_wall() {
    a_month_goes(true);
}

/// Another tenant keeps its messages for longer: the month stays for it, and the first one's go by themselves.
fn a_month_stays(walled: bool) {
    let rt = runtime();
    let _in = rt.enter();
    let Some(shop) = shop(&rt, walled) else { return };
    let (anna, _) = shop.written(&rt);
    let schema = &shop.schema;
    let theirs = format!(
        "INSERT INTO \"{schema}\".messages (tenant, site, conversation, number, id, at, channel, author, body)
         VALUES ('other', 'main', '\\x01', 1, '\\x01', {}, 1, 1, '\\x01');
         INSERT INTO \"{schema}\".audit_events VALUES ('other', '\\x01', NULL, {}, 'ann', 1, NULL, 1)",
        (shop.end - DAY).as_millis(),
        shop.privet.now().as_millis()
    );
    rt.block_on(sqlx::raw_sql(AssertSqlSafe(theirs)).execute(&shop.superuser)).unwrap();
    let other = Tenant::new("other").unwrap();
    let rule = RetentionRule::new(DataClass::Messages, DAY * 60).unwrap();
    block_on(shop.privet.set_retention(&other, rule)).unwrap();

    let report = block_on(shop.privet.sweep(shop.privet.now())).unwrap();
    assert_eq!((report.expired[&DataClass::Messages], report.removed.messages), (3, 3));
    assert_eq!(shop.left(&rt), (Some(1), 1), "the other one's, and what is young");
    assert_eq!(anna.texts(&shop.privet), ["late in the new one"]);

    // When it is over for both it goes.
    shop.clock.set(shop.end + DAY * 61);
    let report = block_on(shop.privet.sweep(shop.privet.now())).unwrap();
    assert_eq!(report.expired[&DataClass::Messages], 2);
    assert_eq!(shop.left(&rt).0, None);
}

#[test]
fn a_month_stays_for_whom_it_is_not_over() {
    a_month_stays(false);
}

#[test]
fn a_month_stays_behind_the_wall_for_whom_it_is_not_over() {
    a_month_stays(true);
}
