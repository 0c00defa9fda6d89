//! Which conversations are shown, in SQL.

use privet::Scope;
use privet::store::Horizon;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::rows::ms;

/// Rule 7 for a conversation `c`, and for the contact whose it is: [`Horizon::shows_conversation`] and
/// [`Horizon::shows_contact`] in SQL, so that a list is one statement. What [`bind_shown`] binds is `$1` to `$7`.
///
/// No CASE, in which Citus takes no policy that reads a setting.
pub(super) const SHOWN: &str = "c.erasing IS NULL AND (
    (c.owner_kind <> 1 AND c.live_support AND coalesce(c.closed, c.last_message) >= $7)
    OR (c.owner_kind <> 1 AND NOT c.live_support AND c.last_message >= $6)
    OR (c.owner_kind = 1 AND c.last_message >= $5 AND EXISTS (
      SELECT 1 FROM privet.contacts o WHERE o.tenant = c.tenant AND o.site = c.site AND o.id = c.owner
        AND o.erasing IS NULL AND o.frozen_until IS NULL AND o.last_seen >= $3 AND o.consent_until > $4)))";

pub(super) fn bind_shown(
    query: Query<'static, Postgres, PgArguments>,
    scope: &Scope,
    horizon: &Horizon,
) -> Query<'static, Postgres, PgArguments> {
    query
        .bind(scope.tenant.as_str())
        .bind(scope.site.as_str())
        .bind(ms(horizon.contacts))
        .bind(ms(horizon.now))
        .bind(ms(horizon.conversations))
        .bind(ms(horizon.sessions))
        .bind(ms(horizon.support))
}
