//! The words of the portal. Operators read it in a language of their own, whichever the site has.

mod de;
mod en;
mod es;
mod fr;
mod it;
mod nl;

use privet::catalogue::{Language, LegalBasis};
use privet::consent::{Act, Decision, Method};
use privet::contact::{Author, Channel};
use privet::portal::{Outcome, Role, Verb};

/// The portal's languages; the first one is for whoever reads none of them.
pub(super) const LANGUAGES: [&PortalWords; 6] =
    [&en::WORDS, &de::WORDS, &fr::WORDS, &nl::WORDS, &es::WORDS, &it::WORDS];

/// The words of the portal in one language.
pub(super) struct PortalWords {
    /// Its tag, and its name in itself.
    pub(super) lang: &'static str,
    pub(super) name: &'static str,
    /// Between groups of three digits, of numbers from here on.
    pub(super) thousands: &'static str,
    pub(super) grouped_from: u64,
    pub(super) decimal: &'static str,
    pub(super) percent: &'static str,
    /// Whether a date has the name of its month.
    pub(super) months_follow: bool,
    pub(super) months: [&'static str; 12],

    pub(super) portal: &'static str,
    pub(super) skip: &'static str,
    pub(super) pages: &'static str,
    pub(super) language: &'static str,
    pub(super) sites: &'static str,
    pub(super) no_sites: &'static str,
    pub(super) log_in: &'static str,
    pub(super) log_out: &'static str,
    /// Viewer, agent, privacy officer.
    pub(super) roles: [&'static str; 3],
    pub(super) yes: &'static str,
    pub(super) no: &'static str,
    pub(super) unknown: &'static str,
    pub(super) nothing: &'static str,

    /// What went wrong: a title and a sentence.
    pub(super) stranger: [&'static str; 2],
    pub(super) not_found: [&'static str; 2],
    pub(super) not_allowed: [&'static str; 2],
    pub(super) foreign: [&'static str; 2],
    pub(super) invalid: [&'static str; 2],
    pub(super) too_long: [&'static str; 2],
    pub(super) conflict: [&'static str; 2],
    pub(super) unavailable: [&'static str; 2],
    pub(super) failed: [&'static str; 2],

    pub(super) contacts: &'static str,
    pub(super) contact: &'static str,
    pub(super) contact_id: &'static str,
    pub(super) country: &'static str,
    pub(super) created: &'static str,
    pub(super) last_seen: &'static str,
    pub(super) conversations: &'static str,
    pub(super) filter: &'static str,
    pub(super) any: &'static str,
    pub(super) created_from: &'static str,
    pub(super) created_to: &'static str,
    pub(super) seen_from: &'static str,
    pub(super) seen_to: &'static str,
    pub(super) open_only: &'static str,
    pub(super) show: &'static str,
    pub(super) reset: &'static str,
    pub(super) found: &'static str,
    pub(super) as_of: &'static str,
    pub(super) behind: &'static str,
    pub(super) next: &'static str,
    pub(super) previous: &'static str,

    pub(super) identity: &'static str,
    pub(super) blocked: &'static str,
    pub(super) blocked_text: &'static str,
    pub(super) kept_on: &'static str,
    pub(super) bases: [&'static str; 6],
    pub(super) consent: &'static str,
    pub(super) consent_until: &'static str,
    pub(super) frozen_until: &'static str,
    pub(super) history: &'static str,
    pub(super) act: &'static str,
    pub(super) time: &'static str,
    pub(super) method: &'static str,
    pub(super) decisions: &'static str,
    /// Grant, withdrawal, revocation, objection, refusal.
    pub(super) acts: [&'static str; 5],
    /// Form, script, server, signal.
    pub(super) methods: [&'static str; 4],
    pub(super) granted: &'static str,
    pub(super) refused: &'static str,
    pub(super) undecided: &'static str,
    pub(super) actions: &'static str,
    pub(super) block: &'static str,
    pub(super) unblock: &'static str,
    pub(super) download: &'static str,
    pub(super) notes: &'static str,
    pub(super) new_note: &'static str,
    pub(super) note_hint: &'static str,
    pub(super) save: &'static str,
    pub(super) erase: &'static str,

    pub(super) erase_contact: &'static str,
    pub(super) erase_conversation: &'static str,
    pub(super) erase_message: &'static str,
    pub(super) for_good: &'static str,
    pub(super) what_goes: &'static str,
    pub(super) messages: &'static str,
    pub(super) records: &'static str,
    pub(super) severed: &'static str,
    pub(super) cancel: &'static str,

    pub(super) clean_up: &'static str,
    pub(super) clean_up_text: &'static str,
    pub(super) not_seen_since: &'static str,
    pub(super) would_go: &'static str,
    pub(super) in_steps: &'static str,
    pub(super) was_removed: &'static str,
    pub(super) still_left: &'static str,
    pub(super) go_on: &'static str,

    pub(super) conversation: &'static str,
    pub(super) open_conversations: &'static str,
    pub(super) opened: &'static str,
    pub(super) closed: &'static str,
    pub(super) open: &'static str,
    pub(super) last_message: &'static str,
    pub(super) waits: &'static str,
    pub(super) page: &'static str,
    pub(super) no_contact: &'static str,
    pub(super) earlier: &'static str,
    pub(super) later: &'static str,
    pub(super) export_all: &'static str,
    pub(super) not_whole: &'static str,
    /// Search, live support.
    pub(super) channels: [&'static str; 2],
    /// Visitor, assistant, agent.
    pub(super) authors: [&'static str; 3],
    pub(super) answer: &'static str,
    pub(super) send: &'static str,
    pub(super) close: &'static str,

    pub(super) overview: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) day: &'static str,
    pub(super) consent_rate: &'static str,
    pub(super) by_country: &'static str,
    pub(super) new_contacts: &'static str,
    pub(super) new_conversations: &'static str,
    pub(super) other_countries: &'static str,
    pub(super) small_groups: &'static str,
    pub(super) small_days: &'static str,
    pub(super) too_few: &'static str,
    pub(super) as_table: &'static str,
    pub(super) at_most: &'static str,
    pub(super) in_all: &'static str,

    pub(super) log: &'static str,
    pub(super) log_text: &'static str,
    pub(super) operator: &'static str,
    pub(super) asked_for: &'static str,
    pub(super) site: &'static str,
    pub(super) about: &'static str,
    pub(super) outcome: &'static str,
    pub(super) outcomes: [&'static str; 2],
    /// In the order of their codes.
    pub(super) verbs: [&'static str; 20],
}

/// The words of a language by its tag, such as `de` or `de-AT`.
pub(super) fn named(tag: &str) -> Option<&'static PortalWords> {
    let language = Language::new(tag).ok()?;
    LANGUAGES.into_iter().find(|words| words.lang == language.primary())
}

/// What was asked for, or what the browser reads, or the first language.
pub(super) fn choose(asked: Option<&str>, accepted: Option<&str>) -> &'static PortalWords {
    let by_browser = || accept_language::parse(accepted?).iter().find_map(|tag| named(tag));
    asked.and_then(named).or_else(by_browser).unwrap_or(&en::WORDS)
}

fn by_code<const N: usize>(words: &[&'static str; N], code: u8) -> Option<&'static str> {
    words.get(usize::from(code).checked_sub(1)?).copied()
}

impl PortalWords {
    pub(super) fn role(&self, role: Role) -> &'static str {
        self.roles[match role {
            Role::Agent => 1,
            Role::PrivacyOfficer => 2,
            _ => 0,
        }]
    }

    pub(super) fn act(&self, act: Act) -> &'static str {
        self.acts[match act {
            Act::Grant => 0,
            Act::Withdrawal => 1,
            Act::Revocation => 2,
            Act::Objection => 3,
            Act::Refusal => 4,
            _ => return self.unknown,
        }]
    }

    pub(super) fn method(&self, method: Method) -> &'static str {
        by_code(&self.methods, method.code()).unwrap_or(self.unknown)
    }

    pub(super) fn decision(&self, decision: Decision) -> &'static str {
        match decision {
            Decision::Granted => self.granted,
            Decision::Refused => self.refused,
            Decision::Unknown => self.undecided,
        }
    }

    pub(super) fn basis(&self, basis: LegalBasis) -> &'static str {
        by_code(&self.bases, basis.code()).unwrap_or(self.unknown)
    }

    pub(super) fn channel(&self, channel: Channel) -> &'static str {
        by_code(&self.channels, channel.code()).unwrap_or(self.unknown)
    }

    pub(super) fn author(&self, author: Author) -> &'static str {
        by_code(&self.authors, author.code()).unwrap_or(self.unknown)
    }

    pub(super) fn verb(&self, verb: Verb) -> &'static str {
        by_code(&self.verbs, verb.code()).unwrap_or(verb.as_str())
    }

    pub(super) fn outcome(&self, outcome: Outcome) -> &'static str {
        by_code(&self.outcomes, outcome.code()).unwrap_or(self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_then_browser_then_english() {
        let lang = |asked, accepted| choose(asked, accepted).lang;
        assert_eq!(lang(None, None), "en");
        assert_eq!(lang(Some("fr"), Some("de")), "fr");
        assert_eq!(lang(Some("xx"), Some("pt-BR, nl-BE;q=0.8, de;q=0.5")), "nl");
        assert_eq!(lang(Some("DE-at"), None), "de");
        assert_eq!(lang(Some("\u{0}"), Some(";;q=")), "en");
    }

    #[test]
    fn every_verb_has_words() {
        for words in LANGUAGES {
            for verb in Verb::ALL {
                assert_ne!(words.verb(*verb), verb.as_str(), "{} {verb:?}", words.lang);
            }
            assert_eq!(named(words.lang).map(|w| w.name), Some(words.name));
        }
    }
}
