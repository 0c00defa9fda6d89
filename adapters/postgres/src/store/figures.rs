//! Figures about a site.

use privet::consent::{Act, RecordedDecision};
use privet::ip::CountryCode;
use privet::store::{DayCount, DecisionsByDay, Horizon, SiteFigures, sorted_figures};
use privet::{Day, Scope};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::rows::{self, RowResult, column, ms, number};
use super::shown::{SHOWN, bind_shown};
use crate::db::{On, UnitResult};

const DAY_MS: i64 = 86_400_000;

fn day_count(row: &PgRow) -> RowResult<DayCount> {
    Ok(DayCount { day: Day::from_number(row.try_get(0)?), count: number(row, 1)? })
}

/// How many grants of each day say the same: visitors choose among few answers, so these are few rows, however many
/// visitors there are.
async fn grants(on: &mut On<'_>, scope: &Scope, (start, end): (i64, i64)) -> UnitResult<Vec<PgRow>> {
    Ok(on
        .q("SELECT at / 86400000, decisions, count(*) FROM privet.consent_records
            WHERE tenant = $1 AND site = $2 AND at >= $3 AND at < $4 AND act = $5 GROUP BY 1, 2")
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(start)
        .bind(end)
        .bind(i16::from(Act::Grant.code()))
        .fetch_all(&mut *on.c)
        .await?)
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
    let mut decisions = DecisionsByDay::default();
    for row in &grants(on, scope, (start, end)).await? {
        let decided = column(row, 1, "decisions", RecordedDecision::all_from_bytes)?;
        decisions.count_grants(Day::from_number(row.try_get(0)?), &decided, number(row, 2)?);
    }
    Ok(sorted_figures(SiteFigures { countries, contacts, conversations, decisions: decisions.finish() }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]
mod tests {
    use privet::store::PortalStore as _;
    use privet_test_postgres::{fresh_name, server};
    use sqlx::{AssertSqlSafe, PgPool};

    use super::*;
    use crate::PostgresOptions;
    use crate::db::read;

    const GRANTS: i64 = 5_000;

    /// As many rows as there are days and answers, and not as there are visitors; and the same figures.
    #[tokio::test]
    async fn grants_are_added_up_where_they_are() {
        let Some(server) = server() else { return };
        let schema = fresh_name();
        let store = PostgresOptions::new(server.url()).unwrap().schema(&schema).store().await.unwrap();
        // Two days, and on each of them one of two answers: category 7 granted or refused, category 8 refused.
        let grants = format!(
            "INSERT INTO \"{schema}\".consent_records
             SELECT 'main', 0, n, 'main', int8send(n), int8send(n), {}, (n % 2) * {DAY_MS} + n, 9, '', 'en', 1, 1, false, false,
               CASE WHEN n % 4 < 2 THEN '\\x07020000000801000000'::bytea ELSE '\\x07010000000801000000'::bytea END, ''
             FROM generate_series(0, {GRANTS} - 1) n",
            Act::Grant.code()
        );
        let pool = PgPool::connect(server.url()).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(grants)).execute(&pool).await.unwrap();
        let scope = Scope::default();
        let rows = read!(store.db, &scope, on => grants_of_all(on, &scope)).unwrap();
        assert_eq!(rows.len(), 4);
        let (first, second) = (Day::from_number(0), Day::from_number(1));
        let everything = Horizon::unlimited(privet::Timestamp::from_millis(0));
        let figures = store.figures(&scope, first, second, &everything).await.unwrap();
        let quarter = u64::try_from(GRANTS / 4).unwrap();
        let said: Vec<_> =
            figures.decisions.iter().map(|d| (d.day, d.category.get(), d.granted, d.refused)).collect();
        let of_day = |day| [(day, 7, quarter, quarter), (day, 8, 0, 2 * quarter)];
        assert_eq!(said, [of_day(first), of_day(second)].concat());
    }

    async fn grants_of_all(on: &mut On<'_>, scope: &Scope) -> UnitResult<Vec<PgRow>> {
        grants(on, scope, (0, i64::MAX)).await
    }
}
