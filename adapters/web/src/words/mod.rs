//! The words of the pages around the notice. The notice's own words are in `privet::consent`: they are part of what
//! is kept as proof.

mod de;
mod en;
mod es;
mod fr;
mod it;
mod nl;

use privet::catalogue::{ChangeKind, Language, Lifetime, TimeUnit, Trigger};

/// The words of the pages in one language.
pub(crate) struct Words {
    pub(crate) settings_title: &'static str,
    pub(crate) settings_intro: &'static str,
    pub(crate) decided: &'static str,
    pub(crate) undecided: &'static str,
    pub(crate) state_granted: &'static str,
    pub(crate) state_refused: &'static str,
    pub(crate) state_unknown: &'static str,
    pub(crate) state_allowed: &'static str,
    pub(crate) pending: &'static str,
    pub(crate) gpc: &'static str,
    pub(crate) details: &'static str,
    pub(crate) withdraw_title: &'static str,
    pub(crate) withdraw_all: &'static str,
    pub(crate) necessary: &'static str,
    pub(crate) necessary_text: &'static str,
    pub(crate) settings_link: &'static str,
    pub(crate) choices_link: &'static str,
    pub(crate) signal_honoured: &'static str,
    pub(crate) complaint: &'static str,
    pub(crate) own_data: &'static str,
    pub(crate) own_data_first: &'static str,
    pub(crate) receipt_link: &'static str,
    pub(crate) back: &'static str,
    pub(crate) stale_title: &'static str,
    pub(crate) stale_text: &'static str,
    pub(crate) unavailable_title: &'static str,
    pub(crate) unavailable_text: &'static str,
    pub(crate) too_many_title: &'static str,
    pub(crate) too_many_text: &'static str,
    pub(crate) bad_request: &'static str,
    pub(crate) forbidden: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) statement_title: &'static str,
    pub(crate) statement_intro: &'static str,
    pub(crate) statement_browser: &'static str,
    pub(crate) statement_template: &'static str,
    pub(crate) versions_title: &'static str,
    pub(crate) version: &'static str,
    pub(crate) versions_first: &'static str,
    pub(crate) versions_words: &'static str,
    pub(crate) versions_asked: &'static str,
    pub(crate) versions_added: &'static str,
    pub(crate) versions_removed: &'static str,
    pub(crate) versions_changed: &'static str,
    pub(crate) news: &'static str,
    /// A change of each kind, before what it is about.
    pub(crate) changes: [&'static str; 16],
    pub(crate) on_request: &'static str,
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    pub(crate) duration: &'static str,
    pub(crate) provider: &'static str,
    pub(crate) storage: &'static str,
    pub(crate) third_parties: &'static str,
    pub(crate) nobody: &'static str,
    pub(crate) trigger: &'static str,
    pub(crate) basis: &'static str,
    pub(crate) external_hosts: &'static str,
    pub(crate) recipients_title: &'static str,
    pub(crate) country: &'static str,
    pub(crate) fields: &'static str,
    pub(crate) address: &'static str,
    pub(crate) address_drop: &'static str,
    pub(crate) address_keyed_hash: &'static str,
    pub(crate) address_truncate: &'static str,
    pub(crate) triggers: [&'static str; 4],
    /// Singular and plural of second, minute, hour, day.
    pub(crate) units: [[&'static str; 2]; 4],
    pub(crate) session: &'static str,
}

pub(crate) fn of(language: &Language) -> &'static Words {
    match language.primary() {
        "de" => &de::WORDS,
        "es" => &es::WORDS,
        "fr" => &fr::WORDS,
        "it" => &it::WORDS,
        "nl" => &nl::WORDS,
        _ => &en::WORDS,
    }
}

impl Words {
    pub(crate) fn lifetime(&self, seconds: Option<u64>) -> String {
        let lifetime =
            seconds.map_or(Lifetime::Session, |s| Lifetime::Exactly(std::time::Duration::from_secs(s)));
        let Some((n, unit)) = lifetime.in_largest_unit() else { return self.session.to_owned() };
        let unit = match unit {
            TimeUnit::Seconds => self.units[0],
            TimeUnit::Minutes => self.units[1],
            TimeUnit::Hours => self.units[2],
            TimeUnit::Days => self.units[3],
        };
        format!("{n} {}", unit[usize::from(n != 1)])
    }

    pub(crate) fn trigger(&self, trigger: Trigger) -> &'static str {
        self.triggers[match trigger {
            Trigger::Load => 0,
            Trigger::Timer => 1,
            Trigger::Gesture => 2,
            Trigger::Server => 3,
        }]
    }

    /// A change, before what it is about.
    pub(crate) fn change(&self, kind: &ChangeKind) -> &'static str {
        self.changes[match kind {
            ChangeKind::NewCategory => 0,
            ChangeKind::OtherPurpose { .. } => 1,
            ChangeKind::NowSold => 2,
            ChangeKind::OtherEnd => 3,
            ChangeKind::NewService { .. } => 4,
            ChangeKind::OtherProvider { .. } => 5,
            ChangeKind::OtherBasis { .. } => 6,
            ChangeKind::NewHost { .. } => 7,
            ChangeKind::NewRecipient { .. } => 8,
            ChangeKind::OtherCountry { .. } => 9,
            ChangeKind::OtherAddress { .. } => 10,
            ChangeKind::MoreData { .. } => 11,
            ChangeKind::NewEntry { .. } => 12,
            ChangeKind::LongerDuration { .. } => 13,
            ChangeKind::NewAccess { .. } => 14,
            _ => 15,
        }]
    }

    /// The name of a field of the statement; none for what has no column of its own.
    pub(crate) fn field(&self, field: &str) -> Option<&'static str> {
        Some(match field {
            "name" | "label" => self.name,
            "purpose" | "justification" => self.purpose,
            "duration" | "seconds" => self.duration,
            "provider" | "service_label" => self.provider,
            "storage" => self.storage,
            "third_party_access" => self.third_parties,
            "trigger" => self.trigger,
            "gate" | "legal_basis" | "article" => self.basis,
            "country" | "safeguard" => self.country,
            "fields" => self.fields,
            "address" => self.address,
            "external_hosts" => self.external_hosts.trim_end_matches([':', '\u{a0}', ' ']),
            _ => return None,
        })
    }

    pub(crate) fn address(&self, strategy: &str) -> &'static str {
        match strategy {
            "drop" => self.address_drop,
            "keyed-hash" => self.address_keyed_hash,
            _ => self.address_truncate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_words() {
        assert_eq!(en::WORDS.lifetime(Some(15_552_000)), "180 days");
        assert_eq!(de::WORDS.lifetime(Some(86_400)), "1 Tag");
        assert_eq!(fr::WORDS.lifetime(None), fr::WORDS.session);
        assert_eq!(nl::WORDS.lifetime(Some(3_600)), "1 uur");
    }
}
