//! Figures, without small groups (CNIL: a cell of an audience measurement must not single anybody out).

use std::collections::BTreeMap;
use std::time::Duration;

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

/// How many of something there were in a span of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanCount {
    /// The first day, UTC.
    pub from: Day,
    /// The last day; the first one, where that alone has enough.
    pub to: Day,
    /// How many.
    pub count: u64,
}

/// How visitors decided about a category in a span of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentRate {
    /// The first day, UTC.
    pub from: Day,
    /// The last day; the first one, where that alone has enough.
    pub to: Day,
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
    /// Contacts by the day they were opened on. Each day is in one span: alone if there was nobody or enough of them, else
    /// together with days beside it. Empty when all days together have too few.
    pub contacts: Vec<SpanCount>,
    /// Conversations by the day they were opened on, in such spans.
    pub conversations: Vec<SpanCount>,
    /// Per category, by its id, in such spans: each has nobody who granted, or enough, and the same of those who refused.
    pub consent: Vec<(String, Vec<ConsentRate>)>,
    /// How old they are, about, where they were read from a copy of the database that follows. None where they are of the present.
    pub behind: Option<Duration>,
}

/// The longest span, in days.
const MAX_DAYS: i64 = 400;

fn days(from: Day, to: Day) -> impl Iterator<Item = Day> {
    (from.number()..=to.number()).map(Day::from_number)
}

/// Counts of consecutive days.
#[derive(Clone, Copy)]
struct Span {
    from: Day,
    to: Day,
    /// Of two kinds, which count together.
    counts: [u64; 2],
}

impl Span {
    fn size(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Whether it singles nobody out: of each kind there is nobody, or enough.
    fn is_safe(&self, smallest: u64) -> bool {
        self.counts.iter().all(|count| *count == 0 || *count >= smallest)
    }

    fn take(&mut self, later: Self) {
        self.to = later.to;
        self.counts.iter_mut().zip(later.counts).for_each(|(count, more)| *count += more);
    }
}

/// Days, put together until nobody stands out: of each kind a span has nobody, or at least `smallest`.
fn merged(days: impl Iterator<Item = (Day, [u64; 2])>, smallest: u64) -> Vec<Span> {
    let enough = |span: &Span| span.is_safe(smallest);
    let mut spans: Vec<Span> = Vec::new();
    for (day, counts) in days {
        let next = Span { from: day, to: day, counts };
        match spans.last_mut().filter(|last| !enough(last)) {
            Some(last) => last.take(next),
            None => spans.push(next),
        }
    }
    // What is too small at the end goes to what came before it.
    while let Some(last) = spans.pop() {
        if enough(&last) {
            spans.push(last);
            break;
        }
        if let Some(before) = spans.last_mut() {
            before.take(last);
        }
    }
    spans
}

fn spans(counts: &[DayCount], from: Day, to: Day, smallest: u64) -> Vec<SpanCount> {
    let of: BTreeMap<_, _> = counts.iter().map(|c| (c.day, c.count)).collect();
    let every = days(from, to).map(|day| (day, [of.get(&day).copied().unwrap_or(0), 0]));
    let span = |s: Span| SpanCount { from: s.from, to: s.to, count: s.size() };
    merged(every, smallest).into_iter().map(span).collect()
}

impl Portal {
    /// Figures from a day to a day, both included, at most 400 of them; groups of fewer than `smallest_group`, countries and
    /// days alike, are put together. That keeps an answer from singling anybody out, not two of them: spans begin where they
    /// are asked for, and whoever compares answers for different days sees the difference. Whoever sees figures sees the
    /// list of contacts, too.
    ///
    /// # Errors
    /// [`Error::NotAllowed`](crate::Error::NotAllowed), or what the store says.
    pub async fn figures(&self, from: Day, to: Day, smallest_group: u64) -> Result<Figures> {
        let now = self.asks(Permission::SeeFigures, Verb::SeeFigures, None).await?;
        let (privet, scope) = (&self.privet, &self.scope);
        let from = from.max(Day::from_number(to.number().saturating_sub(MAX_DAYS - 1))).min(to);
        let horizon = privet.horizon(&scope.tenant, now).await?;
        let (exact, behind) = privet.listed(privet.store().figures(scope, from, to, &horizon)).await?;
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
            let decided = |day: Day| {
                let (granted, refused) = of.get(&day).copied().unwrap_or_default();
                (day, [granted, refused + plain.get(&day).copied().unwrap_or(0)])
            };
            let rate = |Span { from, to, counts: [granted, refused] }: Span| ConsentRate {
                from,
                to,
                granted,
                refused,
            };
            let spans = merged(days(from, to).map(decided), smallest_group);
            (category.id.clone(), spans.into_iter().map(rate).collect())
        });
        Ok(Figures {
            from,
            to,
            countries: shown
                .into_iter()
                .map(|(country, contacts)| CountryShare { country, contacts })
                .collect(),
            other_countries: (other >= smallest_group && other > 0).then_some(other),
            contacts: spans(&exact.contacts, from, to, smallest_group),
            conversations: spans(&exact.conversations, from, to, smallest_group),
            consent: consent.collect(),
            behind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(counts: &[u64], smallest: u64) -> Vec<(i64, i64, u64)> {
        let days = (0..).zip(counts).map(|(n, count)| (Day::from_number(n), [*count, 0]));
        merged(days, smallest).iter().map(|s| (s.from.number(), s.to.number(), s.size())).collect()
    }

    #[test]
    fn small_days_are_put_together() {
        assert_eq!(told(&[7, 0, 5], 5), [(0, 0, 7), (1, 1, 0), (2, 2, 5)], "nobody, or enough");
        assert_eq!(told(&[0, 2, 0, 1, 4, 9], 5), [(0, 0, 0), (1, 4, 7), (5, 5, 9)]);
        assert_eq!(told(&[6, 0, 0, 2], 5), [(0, 3, 8)], "the end goes to what came before");
        assert_eq!(told(&[0, 1, 2, 0], 5), [], "all together they are few");
        assert_eq!(told(&[0, 0], 5), [(0, 0, 0), (1, 1, 0)]);
        assert_eq!(told(&[], 5), []);
        assert_eq!(told(&[1, 2], 0), [(0, 0, 1), (1, 1, 2)], "nothing is too small");
    }

    #[test]
    fn few_of_one_kind_are_few() {
        let days = [[9, 0], [9, 2], [9, 0], [9, 4], [9, 0]];
        let spans = merged((0..).map(Day::from_number).zip(days), 5);
        let told: Vec<_> = spans.iter().map(|s| (s.from.number(), s.to.number(), s.counts)).collect();
        assert_eq!(told, [(0, 0, [9, 0]), (1, 3, [27, 6]), (4, 4, [9, 0])]);
    }

    #[test]
    fn every_day_is_in_one_span_and_no_span_is_small() {
        for seed in 0..500_u64 {
            let counts: Vec<_> = (0..40).map(|n| (seed * 7919 + n * n * 104_729) % 9 / 2).collect();
            let spans = told(&counts, 5);
            assert_eq!(spans.iter().map(|s| s.2).sum::<u64>(), counts.iter().sum::<u64>());
            assert!(spans.iter().all(|s| s.2 == 0 || s.2 >= 5), "{spans:?}");
            assert!(spans.windows(2).all(|w| w[0].1 + 1 == w[1].0), "{spans:?}");
            assert_eq!((spans[0].0, spans.last().unwrap().1), (0, 39));
        }
    }
}
