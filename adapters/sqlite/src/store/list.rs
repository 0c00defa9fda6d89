//! The list of contacts: its filters, its pages, its count.

use privet::contact::{ContactFilter, ContactId, ContactSummary, Owner, TimeSpan};
use privet::ip::CountryCode;
use privet::store::{ContactQuery, Direction, Horizon};
use privet::{Scope, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::{ms, time};
use crate::db::UnitResult;

/// What a list shows; its indexes have all of it, so that a page is read from them alone.
pub(super) const SUMMARY: &str = "id, country, created, last_seen, conversations";

pub(super) fn read_summary(row: &Row<'_>) -> rusqlite::Result<ContactSummary> {
    Ok(ContactSummary {
        id: ContactId::from_bytes(row.get(0)?),
        country: row.get_ref(1)?.as_str_or_null().ok().flatten().and_then(CountryCode::new),
        created: time(row, 2)?,
        last_seen: time(row, 3)?,
        conversations: row.get(4)?,
    })
}

/// Conditions with their values.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

/// From so many digits on an id's beginning leaves so few contacts that they are sorted, not looked for in the list.
const FEW_BY_ID: u8 = 4;

impl Conditions {
    /// Those that a filter puts to contacts that are shown.
    fn of(scope: &Scope, filter: &ContactFilter, as_of: Timestamp, horizon: &Horizon) -> Self {
        let mut all = Self {
            sql: "tenant = ?1 AND site = ?2 AND erasing IS NULL AND frozen_until IS NULL".to_owned(),
            values: vec![scope.tenant.as_str().to_owned().into(), scope.site.as_str().to_owned().into()],
        };
        let few = filter.id.is_some_and(|p| p.digits() >= FEW_BY_ID);
        // A plus keeps SQLite from choosing an index by the column.
        let (seen, id) = if few { ("+last_seen", "id") } else { ("last_seen", "+id") };
        all.add(&format!("{seen} >= ?"), ms(horizon.contacts));
        all.add("+consent_until > ?", ms(horizon.now));
        if as_of != Timestamp::from_millis(i64::MAX) {
            all.add(&format!("{seen} <= ?"), ms(as_of));
        }
        if let Some(country) = filter.country {
            all.add("country = ?", country.to_string());
        }
        all.span("created", filter.created);
        all.span(seen, filter.last_seen);
        if let Some(prefix) = &filter.id {
            let (low, high) = prefix.bounds();
            all.add(&format!("{id} >= ?"), low.as_bytes().to_vec());
            all.add(&format!("{id} <= ?"), high.as_bytes().to_vec());
        }
        if let Some(identity) = &filter.identity {
            all.add("identity = ?", identity.as_bytes().to_vec());
        }
        if filter.open_conversation {
            let contacts = Owner::CONTACT;
            let open = format!(
                "EXISTS (SELECT 1 FROM conversations AS c WHERE c.tenant = contacts.tenant AND c.site = contacts.site
                 AND c.owner_kind = {contacts} AND c.owner = contacts.id AND c.closed IS NULL AND c.erasing IS NULL
                 AND c.last_message >= ?)"
            );
            all.add(&open, ms(horizon.conversations));
        }
        all
    }

    fn span(&mut self, column: &str, span: TimeSpan) {
        if let Some(from) = span.from {
            self.add(&format!("{column} >= ?"), ms(from));
        }
        if let Some(before) = span.before {
            self.add(&format!("{column} < ?"), ms(before));
        }
    }

    /// One more, whose value stands for its `?`.
    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let place = format!("?{}", self.values.len());
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('?', &place));
    }
}

pub(super) fn page(
    c: &Connection,
    scope: &Scope,
    query: &ContactQuery,
    horizon: &Horizon,
) -> UnitResult<Vec<ContactSummary>> {
    let mut conditions = Conditions::of(scope, &query.filter, query.as_of, horizon);
    let (than, order) = match query.direction {
        Direction::Older => ("<", "DESC"),
        Direction::Newer => (">", "ASC"),
    };
    let seen =
        if query.filter.id.is_some_and(|p| p.digits() >= FEW_BY_ID) { "+last_seen" } else { "last_seen" };
    if let Some(after) = query.after {
        conditions.values.push(ms(after.last_seen).into());
        conditions.values.push(after.id.as_bytes().to_vec().into());
        let n = conditions.values.len();
        conditions.sql.push_str(&format!(" AND ({seen}, id) {than} (?{}, ?{n})", n - 1));
    }
    let sql = format!(
        "SELECT {SUMMARY} FROM contacts WHERE {} ORDER BY {seen} {order}, id {order} LIMIT {}",
        conditions.sql, query.limit
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(conditions.values), read_summary)?;
    let mut contacts: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    if query.direction == Direction::Newer {
        contacts.reverse();
    }
    Ok(contacts)
}

pub(super) fn count(
    c: &Connection,
    scope: &Scope,
    filter: &ContactFilter,
    as_of: Timestamp,
    cap: u32,
    horizon: &Horizon,
) -> UnitResult<u32> {
    let conditions = Conditions::of(scope, filter, as_of, horizon);
    let sql = format!("SELECT count(*) FROM (SELECT 1 FROM contacts WHERE {} LIMIT {cap})", conditions.sql);
    Ok(c.prepare_cached(&sql)?.query_row(params_from_iter(conditions.values), |row| row.get(0))?)
}
