//! The list of contacts, page by page, and how many it has.

use privet::contact::{ContactFilter, ContactSummary, TimeSpan};
use privet::store::{ContactQuery, Direction, Horizon};
use privet::{Scope, Timestamp};
use sqlx::Postgres;
use sqlx::Row as _;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::rows::{self, ms, read_summary, summary_columns};
use crate::db::{On, UnitResult};

type Bound = Query<'static, Postgres, PgArguments>;

enum Value {
    Number(i64),
    Bytes(Vec<u8>),
    Text(String),
}

/// Conditions with their values. The text is made of constants; what is asked for is bound.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Those that a filter puts to contacts that are shown; from a place in the list on, or all of them.
    fn of(
        scope: &Scope,
        filter: &ContactFilter,
        as_of: Timestamp,
        horizon: &Horizon,
        from_a_place: bool,
    ) -> Self {
        let mut all = Self {
            sql: "tenant = $1 AND site = $2 AND erasing IS NULL AND frozen_until IS NULL".to_owned(),
            values: vec![
                Value::Text(scope.tenant.as_str().to_owned()),
                Value::Text(scope.site.as_str().to_owned()),
            ],
        };
        // Said so that a plan that is kept expects to show most of the contacts, and not a third, and a third of that: it would
        // look dear beside one that is made anew each time, which costs as much as the page. Where the list begins at a place,
        // that is what is looked up.
        all.add("(consent_until <= ?) IS NOT TRUE", Value::Number(ms(horizon.now)));
        let (since, until) = if from_a_place {
            ("(last_seen < ?) IS NOT TRUE", "(last_seen > ?) IS NOT TRUE")
        } else {
            ("last_seen >= ?", "last_seen <= ?")
        };
        all.add(since, Value::Number(ms(horizon.contacts)));
        if as_of != Timestamp::from_millis(i64::MAX) {
            all.add(until, Value::Number(ms(as_of)));
        }
        if let Some(country) = filter.country {
            all.add("country = ?", Value::Text(country.to_string()));
        }
        all.span("created", filter.created);
        all.span("last_seen", filter.last_seen);
        if let Some(prefix) = &filter.id {
            let (low, high) = prefix.bounds();
            all.add("id >= ?", Value::Bytes(low.as_bytes().to_vec()));
            all.add("id <= ?", Value::Bytes(high.as_bytes().to_vec()));
        }
        if let Some(identity) = &filter.identity {
            all.add("identity = ?", Value::Bytes(identity.as_bytes().to_vec()));
        }
        if filter.open_conversation {
            // 1: a contact's.
            all.add(
                "EXISTS (SELECT 1 FROM privet.conversations c WHERE c.tenant = contacts.tenant AND c.site = contacts.site
                 AND c.owner_kind = 1 AND c.owner = contacts.id AND c.closed IS NULL AND c.erasing IS NULL
                 AND c.last_message >= ?)",
                Value::Number(ms(horizon.conversations)),
            );
        }
        all
    }

    fn span(&mut self, column: &str, span: TimeSpan) {
        if let Some(from) = span.from {
            self.add(&format!("{column} >= ?"), Value::Number(ms(from)));
        }
        if let Some(before) = span.before {
            self.add(&format!("{column} < ?"), Value::Number(ms(before)));
        }
    }

    fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// One more, whose value stands for its `?`.
    fn add(&mut self, condition: &str, value: Value) {
        let place = self.place(value);
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('?', &place));
    }

    fn bind(self, mut query: Bound) -> Bound {
        for value in self.values {
            query = match value {
                Value::Number(n) => query.bind(n),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Text(text) => query.bind(text),
            };
        }
        query
    }
}

pub(super) async fn page(
    on: &mut On<'_>,
    scope: &Scope,
    query: &ContactQuery,
    horizon: &Horizon,
) -> UnitResult<Vec<ContactSummary>> {
    let mut conditions = Conditions::of(scope, &query.filter, query.as_of, horizon, query.after.is_some());
    let (than, order) = match query.direction {
        Direction::Older => ("<", "DESC"),
        Direction::Newer => (">", "ASC"),
    };
    if let Some(after) = query.after {
        let seen = conditions.place(Value::Number(ms(after.last_seen)));
        let id = conditions.place(Value::Bytes(after.id.as_bytes().to_vec()));
        conditions.sql.push_str(&format!(" AND (last_seen, id) {than} ({seen}, {id})"));
    }
    // Where the limit is bound, a plan that is kept expects a tenth of the table, and the server goes on to make a new one each time.
    let sql = format!(
        "SELECT {} FROM privet.contacts WHERE {} ORDER BY last_seen {order}, id {order} LIMIT {}",
        summary_columns!(),
        conditions.sql,
        query.limit
    );
    let statement = conditions.bind(on.q(sql));
    let rows = statement.fetch_all(&mut *on.c).await?;
    let mut contacts = rows::all(&rows, read_summary)?;
    if query.direction == Direction::Newer {
        contacts.reverse();
    }
    Ok(contacts)
}

pub(super) async fn count(
    on: &mut On<'_>,
    scope: &Scope,
    filter: &ContactFilter,
    as_of: Timestamp,
    cap: u32,
    horizon: &Horizon,
) -> UnitResult<u32> {
    let mut conditions = Conditions::of(scope, filter, as_of, horizon, false);
    let cap = conditions.place(Value::Number(cap.into()));
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM privet.contacts WHERE {} LIMIT {cap}) AS first_ones",
        conditions.sql
    );
    let statement = conditions.bind(on.q(sql));
    let row = statement.fetch_one(&mut *on.c).await?;
    Ok(u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX))
}
