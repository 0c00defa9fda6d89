//! Figures, without small groups (CNIL: a cell of an audience measurement must not single anybody out).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Permission, Portal, Verb};
use crate::clock::Day;
use crate::consent::CountKind;
use crate::error::Result;
use crate::ip::CountryCode;
use crate::store::DayCount;

/// A group of fewer contacts than this is shown together with the others.
pub const DEFAULT_SMALLEST_GROUP: u64 = 5;

/// Contacts of one country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CountryShare {
    /// The country; none where it is not known.
    pub country: Option<CountryCode>,
    /// How many contacts.
    pub contacts: u64,
}

/// How visitors decided about a category on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConsentRate {
    /// The day, UTC.
    pub day: Day,
    /// So many granted it,
    pub granted: u64,
    /// and so many refused it, plainly or beside a grant of something else.
    pub refused: u64,
}

/// Figures about a site in a span of days.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// The first day.
    pub from: Day,
    /// The last day.
    pub to: Day,
    /// Contacts by country, the largest group first, without groups that are too small.
    pub countries: Vec<CountryShare>,
    /// Contacts of countries with too few of them, together; nothing is said when even that is too few.
    pub other_countries: Option<u64>,
    /// Contacts by the day they were opened on, each day once.
    pub contacts: Vec<DayCount>,
    /// Conversations by the day they were opened on, each day once.
    pub conversations: Vec<DayCount>,
    /// Per category, by its id: each day once.
    pub consent: Vec<(String, Vec<ConsentRate>)>,
}

/// The longest span, in days.
const MAX_DAYS: i64 = 400;

fn days(from: Day, to: Day) -> impl Iterator<Item = Day> {
    (from.number()..=to.number()).map(Day::from_number)
}

fn every_day(counts: &[DayCount], from: Day, to: Day) -> Vec<DayCount> {
    let of: BTreeMap<_, _> = counts.iter().map(|c| (c.day, c.count)).collect();
    days(from, to).map(|day| DayCount { day, count: of.get(&day).copied().unwrap_or(0) }).collect()
}

impl Portal {
    /// Figures from a day to a day, both included, at most 400 of them; groups of fewer than `smallest_group` contacts are
    /// put together.
    ///
    /// # Errors
    /// [`Error::NotAllowed`](crate::Error::NotAllowed), or what the store says.
    pub async fn figures(&self, from: Day, to: Day, smallest_group: u64) -> Result<Figures> {
        let now = self.asks(Permission::SeeFigures, Verb::SeeFigures, None).await?;
        let (privet, scope) = (&self.privet, &self.scope);
        let from = from.max(Day::from_number(to.number().saturating_sub(MAX_DAYS - 1))).min(to);
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let exact = privet.store().figures(scope, from, to, &horizon).await?;
        let refusals = privet.consent_counts(scope, from, to).await?;
        let (shown, small): (Vec<_>, Vec<_>) =
            exact.countries.iter().copied().partition(|(_, count)| *count >= smallest_group);
        let other: u64 = small.iter().map(|(_, count)| count).sum();
        let mut plain = BTreeMap::<Day, u64>::new();
        for count in refusals.iter().filter(|c| c.kind == CountKind::Refusal) {
            *plain.entry(count.day).or_default() += count.count;
        }
        let consent = privet.catalogue(scope)?.categories().iter().map(|category| {
            let of: BTreeMap<_, _> = exact
                .decisions
                .iter()
                .filter(|d| d.category == category.code)
                .map(|d| (d.day, (d.granted, d.refused)))
                .collect();
            let rate = |day: Day| {
                let (granted, refused) = of.get(&day).copied().unwrap_or_default();
                ConsentRate { day, granted, refused: refused + plain.get(&day).copied().unwrap_or(0) }
            };
            (category.id.clone(), days(from, to).map(rate).collect())
        });
        Ok(Figures {
            from,
            to,
            countries: shown
                .into_iter()
                .map(|(country, contacts)| CountryShare { country, contacts })
                .collect(),
            other_countries: (other >= smallest_group && other > 0).then_some(other),
            contacts: every_day(&exact.contacts, from, to),
            conversations: every_day(&exact.conversations, from, to),
            consent: consent.collect(),
        })
    }
}
