//! Figures about a site.

use privet::consent::{Act, RecordedDecision};
use privet::ip::CountryCode;
use privet::store::{DayCount, DecisionsByDay, Horizon, SiteFigures, sorted_figures};
use privet::{Day, Scope};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::conversations::{SHOWN, bind_shown};
use super::rows::{self, RowResult, code, column, ms, number, time};
use crate::db::{On, UnitResult};

const DAY_MS: i64 = 86_400_000;

fn day_count(row: &PgRow) -> RowResult<DayCount> {
    Ok(DayCount { day: Day::from_number(row.try_get(0)?), count: number(row, 1)? })
}

pub(super) async fn of(
    on: &mut On<'_>,
    scope: &Scope,
    from: Day,
    to: Day,
    horizon: &Horizon,
) -> UnitResult<SiteFigures> {
    let (tenant, site) = (scope.tenant.as_str(), scope.site.as_str());
    let (start, end) = (ms(from.start()), ms(to.start()) + DAY_MS);
    let countries = on
        .q("SELECT country, count(*) FROM privet.contacts WHERE tenant = $1 AND site = $2
              AND erasing IS NULL AND frozen_until IS NULL AND last_seen >= $3 AND consent_until > $4 GROUP BY country")
        .bind(tenant)
        .bind(site)
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .fetch_all(&mut *on.c)
        .await?;
    let countries = rows::all(&countries, |row| {
        Ok((row.try_get::<Option<&str>, _>(0)?.and_then(CountryCode::new), number(row, 1)?))
    })?;
    let contacts = on
        .q("SELECT created / 86400000, count(*) FROM privet.contacts WHERE tenant = $1 AND site = $2
              AND created >= $3 AND created < $4
              AND erasing IS NULL AND frozen_until IS NULL AND last_seen >= $5 AND consent_until > $6 GROUP BY 1")
        .bind(tenant)
        .bind(site)
        .bind(start)
        .bind(end)
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .fetch_all(&mut *on.c)
        .await?;
    let contacts = rows::all(&contacts, day_count)?;
    let sql = format!(
        "SELECT c.opened / {DAY_MS}, count(*) FROM privet.conversations c
         WHERE c.tenant = $1 AND c.site = $2 AND c.opened >= $8 AND c.opened < $9 AND {SHOWN} GROUP BY 1"
    );
    let query = bind_shown(on.q(sql), scope, horizon).bind(start).bind(end);
    let conversations = rows::all(&query.fetch_all(&mut *on.c).await?, day_count)?;
    let records = on
        .q("SELECT act, at, decisions FROM privet.consent_records WHERE tenant = $1 AND site = $2 AND at >= $3 AND at < $4 AND act = $5")
        .bind(tenant)
        .bind(site)
        .bind(start)
        .bind(end)
        .bind(i16::from(Act::Grant.code()))
        .fetch_all(&mut *on.c)
        .await?;
    let mut decisions = DecisionsByDay::default();
    for row in &records {
        let decided = column(row, 2, "decisions", RecordedDecision::all_from_bytes)?;
        decisions.count(code(row, 0, "act", Act::from_code)?, time(row, 1)?, &decided);
    }
    Ok(sorted_figures(SiteFigures { countries, contacts, conversations, decisions: decisions.finish() }))
}
