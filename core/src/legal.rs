//! Figures with a legal origin, in one dated table that an app can override.
//!
//! Guidance changes, and one authority's figure is another's silence: so each figure says where it stands and when that
//! was looked up. The periods of retention are such figures too, one per [`DataClass`], and
//! are a tenant's to set ([`Privet::set_retention`](crate::Privet::set_retention)).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::retention::DataClass;

const fn days(n: u64) -> Duration {
    Duration::from_secs(86_400 * n)
}

macro_rules! figures {
    ($($(#[$doc:meta])* $figure:ident = $id:literal, $default:expr, $shortest:expr, $longest:expr, $as_of:literal, $source:literal;)*) => {
        /// A figure with a legal origin.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Figure {
            $($(#[$doc])* $figure,)*
        }

        impl Figure {
            /// Every figure.
            pub const ALL: &[Self] = &[$(Self::$figure,)*];

            /// Its stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$figure => $id,)* }
            }

            /// Its value, unless the app says otherwise.
            #[must_use]
            pub const fn built_in(self) -> Duration {
                match self { $(Self::$figure => $default,)* }
            }

            /// The shortest and the longest that an app can set.
            #[must_use]
            pub const fn bounds(self) -> (Duration, Duration) {
                match self { $(Self::$figure => ($shortest, $longest),)* }
            }

            /// Day of the look-up, ISO 8601.
            #[must_use]
            pub const fn as_of(self) -> &'static str {
                match self { $(Self::$figure => $as_of,)* }
            }

            /// Where it stands.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$figure => $source,)* }
            }
        }
    };
}

figures! {
    /// How long a choice is kept, the same for a yes and a no, before the visitor is asked again.
    ChoiceLife = "choice-life", days(180), days(1), days(400), "2026-11-21",
        "CNIL, recommendation 2020-092: six months as good practice, in exact days; RFC 6265bis: at most 400 days";
    /// How long a tracker of the own audience may live where it needs no consent in France; visits do not extend it.
    AudienceTrackerLife = "audience-tracker-life", days(395), days(1), days(400), "2026-11-21",
        "CNIL, guidelines 2020-091 and the sheet on audience measurement: 13 months, not extended by visits";
    /// How long a complaint may wait for its acknowledgement in the United Kingdom.
    ComplaintAcknowledgement = "complaint-acknowledgement", days(30), days(1), days(30), "2026-11-21",
        "Data Protection Act 2018 s. 164A, inserted by the Data (Use and Access) Act 2025, in force 19 June 2026";
    /// How long a contact stays frozen whose consent ended without an act, because what it was given for has changed;
    /// then it is erased.
    FrozenLife = "frozen-life", days(30), days(0), days(184), "2026-11-27",
        "GDPR Art. 7, 17(1)(b), 18: no figure; a month, as Art. 12(3) gives for acting on a request, for the visitor to decide anew";
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FigureRow {
    /// The figure's name.
    pub id: String,
    /// What holds, in seconds.
    pub seconds: u64,
    /// Whether the app has set it.
    pub overridden: bool,
    /// Day of the look-up, ISO 8601.
    pub as_of: &'static str,
    /// Where the built-in value stands.
    pub source: &'static str,
}

/// The figures of an installation: the built-in ones with the app's own on top.
///
/// ```
/// use std::time::Duration;
/// use privet::legal::{Figure, LegalFigures};
///
/// let year = Duration::from_secs(365 * 86_400);
/// let figures = LegalFigures::default().with(Figure::ChoiceLife, year)?;
/// assert_eq!(figures.get(Figure::ChoiceLife), year);
/// assert!(figures.table().iter().any(|row| row.id == "choice-life" && row.overridden));
/// assert!(LegalFigures::default().with(Figure::ChoiceLife, Duration::MAX).is_err());
/// # Ok::<(), privet::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegalFigures(BTreeMap<Figure, Duration>);

impl LegalFigures {
    /// With another value for a figure.
    ///
    /// # Errors
    /// [`Error::Config`] when it is outside the figure's [bounds](Figure::bounds).
    pub fn with(mut self, figure: Figure, value: Duration) -> Result<Self> {
        let (shortest, longest) = figure.bounds();
        if !(shortest..=longest).contains(&value) {
            return Err(Error::config(
                format!("`{}` cannot be {} seconds", figure.as_str(), value.as_secs()),
                format!("set {} to {} seconds", shortest.as_secs(), longest.as_secs()),
            ));
        }
        self.0.insert(figure, value);
        Ok(self)
    }

    /// What holds.
    #[must_use]
    pub fn get(&self, figure: Figure) -> Duration {
        self.0.get(&figure).copied().unwrap_or(figure.built_in())
    }

    /// The whole table: each figure, and the built-in period of each class of data.
    #[must_use]
    pub fn table(&self) -> Vec<FigureRow> {
        let figures = Figure::ALL.iter().map(|f| FigureRow {
            id: f.as_str().to_owned(),
            seconds: self.get(*f).as_secs(),
            overridden: self.0.contains_key(f),
            as_of: f.as_of(),
            source: f.source(),
        });
        let classes = DataClass::ALL.iter().map(|class| FigureRow {
            id: format!("retention/{}", class.as_str()),
            seconds: class.default_period().as_secs(),
            overridden: false,
            as_of: class.as_of(),
            source: class.source(),
        });
        figures.chain(classes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each figure is dated and sourced, within its own bounds, and there once.
    #[test]
    fn the_table_is_whole() {
        let table = LegalFigures::default().table();
        assert_eq!(table.len(), Figure::ALL.len() + DataClass::ALL.len());
        for row in &table {
            assert!(row.as_of.len() == 10 && row.source.len() > 20 && !row.overridden, "{row:?}");
        }
        let ids: std::collections::BTreeSet<_> = table.iter().map(|r| &r.id).collect();
        assert_eq!(ids.len(), table.len());
        for figure in Figure::ALL {
            assert!(LegalFigures::default().with(*figure, figure.built_in()).is_ok());
        }
    }
}
