//! Pages of the contact list.

use privet::Timestamp;
use privet::contact::{ContactFilter, ContactId, IdPrefix};
use privet::store::{ContactCursor, ContactQuery, ContactStore as _, Horizon};
use privet_postgres::PostgresStore;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::Bench;
use crate::turns::{RUNS, p50, settle, times, title};

const PAGE: u16 = 50;
const COLUMNS: &str = "id, country, created, last_seen, conversations";
const SHOWN: &str =
    "tenant = $1 AND site = $2 AND erasing IS NULL AND frozen_until IS NULL AND consent_until > $3";
const ORDER: &str = "ORDER BY last_seen DESC, id DESC LIMIT 51";

type Contact = (Vec<u8>, Option<String>, i64, i64, i64);

fn fixed(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}

/// The list, of one country or of all, as somebody writes it who needs no other filter.
struct ByHand {
    now: i64,
    country: Option<&'static str>,
    first: &'static str,
    after: &'static str,
}

impl ByHand {
    fn of(now: Timestamp, country: Option<&'static str>) -> Self {
        let (of, place) = match country {
            Some(_) => ("AND country = $4", "AND (last_seen, id) < ($5, $6)"),
            None => ("", "AND (last_seen, id) < ($4, $5)"),
        };
        let sql =
            |place| fixed(format!("SELECT {COLUMNS} FROM hand.contacts WHERE {SHOWN} {of} {place} {ORDER}"));
        Self { now: now.as_millis(), country, first: sql(""), after: sql(place) }
    }

    async fn page(&self, pool: &PgPool, after: Option<ContactCursor>) -> Vec<Contact> {
        let sql = if after.is_some() { self.after } else { self.first };
        let mut query = sqlx::query_as(sql).bind("main").bind("main").bind(self.now);
        if let Some(country) = self.country {
            query = query.bind(country);
        }
        if let Some(after) = after {
            query = query.bind(after.last_seen.as_millis()).bind(after.id.as_bytes().to_vec());
        }
        query.fetch_all(pool).await.unwrap()
    }

    /// Where pages end from a depth on, one after the other.
    async fn places(&self, pool: &PgPool, depth: i64) -> Vec<Option<ContactCursor>> {
        let of = self.country.map(|c| format!("AND country = '{c}'")).unwrap_or_default();
        let sql = format!(
            "SELECT last_seen, id FROM (
               SELECT last_seen, id, row_number() OVER (ORDER BY last_seen DESC, id DESC) AS n FROM (
                 SELECT last_seen, id FROM hand.contacts WHERE tenant = 'main' AND site = 'main' {of}
                 ORDER BY last_seen DESC, id DESC OFFSET $1 LIMIT $2) AS part) AS numbered
             WHERE n % $3 = 1 ORDER BY n"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(depth);
        let query = query.bind(i64::try_from(RUNS).unwrap() * i64::from(PAGE)).bind(i64::from(PAGE));
        let cursor = |row: &PgRow| {
            let id = row.get::<&[u8], _>(1).try_into().unwrap();
            ContactCursor { last_seen: Timestamp::from_millis(row.get(0)), id: ContactId::from_bytes(id) }
        };
        query.fetch_all(pool).await.unwrap().iter().map(|row| Some(cursor(row))).collect()
    }

    async fn compare(
        &self,
        what: &str,
        (store, pool): (&PostgresStore, &PgPool),
        bench: &Bench,
        places: &[Option<ContactCursor>],
    ) {
        let horizon = Horizon::unlimited(bench.now);
        let filter = self.country.map_or_else(ContactFilter::default, |country| {
            ContactFilter::default().country(country.parse().unwrap())
        });
        let query = ContactQuery::first(PAGE + 1).only(filter);
        let ours = async |run: usize| {
            let query = query.clone().after(places[run % places.len()]);
            store.contacts(&bench.scope, &query, &horizon).await.unwrap()
        };
        let by_hand = async |run: usize| self.page(pool, places[run % places.len()]).await;
        for run in [0, RUNS / 2] {
            let (a, b) = (ours(run).await, by_hand(run).await);
            assert!(a.iter().map(|c| c.id.as_bytes().as_slice()).eq(b.iter().map(|c| c.0.as_slice())));
        }
        let measured = p50(async |run| drop(ours(run).await), async |run| drop(by_hand(run).await)).await;
        times(what, measured);
    }
}

async fn search(bench: &Bench, (store, pool): (&PostgresStore, &PgPool)) {
    let horizon = Horizon::unlimited(bench.now);
    let by_hand =
        fixed(format!("SELECT {COLUMNS} FROM hand.contacts WHERE {SHOWN} AND id BETWEEN $4 AND $5 {ORDER}"));
    let prefix = |run: usize| format!("{:05x}", run * 3_400 + 17).parse::<IdPrefix>().unwrap();
    let measured = p50(
        async |run| {
            let query = ContactQuery::first(PAGE + 1).only(ContactFilter::default().id(prefix(run)));
            drop(store.contacts(&bench.scope, &query, &horizon).await.unwrap());
        },
        async |run| {
            let (low, high) = prefix(run).bounds();
            let query = sqlx::query_as(by_hand).bind("main").bind("main").bind(bench.now.as_millis());
            let query = query.bind(low.as_bytes().to_vec()).bind(high.as_bytes().to_vec());
            let found: Vec<Contact> = query.fetch_all(pool).await.unwrap();
            drop(found);
        },
    );
    times("search by five digits of an id", measured.await);
}

pub(crate) async fn run(bench: &Bench) {
    let (store, pool) = (&bench.store().await, &bench.pool().await);
    settle(pool).await;
    title(&format!("pages of {PAGE}, p50 of {RUNS} runs"), "at most 1.50 x");
    let list = ByHand::of(bench.now, None);
    list.compare("first page", (store, pool), bench, &[None]).await;
    for percent in [10, 50, 90, 99] {
        let places = list.places(pool, bench.size * percent / 100).await;
        list.compare(&format!("{percent} % down"), (store, pool), bench, &places).await;
    }
    let dutch = ByHand::of(bench.now, Some("NL"));
    dutch.compare("first page, by country", (store, pool), bench, &[None]).await;
    // One in twenty is from there.
    let places = dutch.places(pool, bench.size / 40).await;
    dutch.compare("50 % down, by country", (store, pool), bench, &places).await;
    let few = ByHand::of(bench.now, Some("LU"));
    few.compare("few rows, by country", (store, pool), bench, &[None]).await;
    search(bench, (store, pool)).await;
}
