//! Figures about a site.

use std::collections::BTreeMap;

use privet::consent::{Act, RecordedDecision};
use privet::ip::CountryCode;
use privet::store::{DayCount, DecisionsByDay, Horizon, SiteFigures, sorted_figures};
use privet::{Day, Scope};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::conversations::{CONVERSATION, owner_is_there, read_conversation};
use super::{column, ms, time};
use crate::db::UnitResult;

/// A count.
pub(super) fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    column(row, at, "count", |n: i64| u64::try_from(n).ok())
}

const DAY_MS: i64 = 86_400_000;

/// How many rows there are per day of a column, of those that a condition over the table keeps.
fn by_day(
    c: &Connection,
    sql: &str,
    scope: &Scope,
    (from, before): (i64, i64),
    rest: &[i64],
) -> UnitResult<Vec<DayCount>> {
    let mut values: Vec<Value> = vec![
        scope.tenant.as_str().to_owned().into(),
        scope.site.as_str().to_owned().into(),
        from.into(),
        before.into(),
    ];
    values.extend(rest.iter().copied().map(Value::from));
    let mut statement = c.prepare_cached(sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok(DayCount { day: Day::from_number(row.get(0)?), count: number(row, 1)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn figures(
    c: &Connection,
    scope: &Scope,
    from: Day,
    to: Day,
    horizon: &Horizon,
) -> UnitResult<SiteFigures> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let span = (ms(from.start()), ms(to.start()) + DAY_MS);
    let is_shown = "erasing IS NULL AND frozen_until IS NULL AND last_seen >= ?5 AND consent_until > ?6";
    let countries = c
        .prepare_cached(
            "SELECT country, count(*) FROM contacts WHERE tenant = ?1 AND site = ?2
             AND erasing IS NULL AND frozen_until IS NULL AND last_seen >= ?3 AND consent_until > ?4 GROUP BY country",
        )?
        .query_map(params![tenant, site, ms(horizon.contacts), ms(horizon.now)], |row| {
            Ok((row.get::<_, Option<String>>(0)?.and_then(|code| CountryCode::new(&code)), number(row, 1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let contacts = by_day(
        c,
        &format!(
            "SELECT created / {DAY_MS}, count(*) FROM contacts
             WHERE tenant = ?1 AND site = ?2 AND created >= ?3 AND created < ?4 AND {is_shown} GROUP BY 1"
        ),
        scope,
        span,
        &[ms(horizon.contacts), ms(horizon.now)],
    )?;
    let mut conversations = BTreeMap::<Day, u64>::new();
    let mut opened = c.prepare_cached(&format!(
        "SELECT {CONVERSATION} FROM conversations
         WHERE tenant = ?1 AND site = ?2 AND opened >= ?3 AND opened < ?4 AND erasing IS NULL"
    ))?;
    for row in opened.query_map(params![tenant, site, span.0, span.1], read_conversation)? {
        let conversation = row?;
        if horizon.shows_conversation(&conversation) && owner_is_there(c, scope, conversation.owner, horizon)?
        {
            *conversations.entry(conversation.opened.day()).or_default() += 1;
        }
    }
    let mut decisions = DecisionsByDay::default();
    let mut records = c.prepare_cached(
        "SELECT act, at, decisions FROM consent_records WHERE tenant = ?1 AND site = ?2 AND at >= ?3 AND at < ?4",
    )?;
    let rows = records.query_map(params![tenant, site, span.0, span.1], |row| {
        let decided = column(row, 2, "decisions", |bytes: Vec<u8>| RecordedDecision::all_from_bytes(&bytes))?;
        Ok((column(row, 0, "act", Act::from_code)?, time(row, 1)?, decided))
    })?;
    for row in rows {
        let (act, at, decided) = row?;
        decisions.count(act, at, &decided);
    }
    let conversations = conversations.into_iter().map(|(day, count)| DayCount { day, count }).collect();
    Ok(sorted_figures(SiteFigures { countries, contacts, conversations, decisions: decisions.finish() }))
}
