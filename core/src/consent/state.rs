use std::fmt;

use serde::{Deserialize, Serialize};

use super::cookie::AccountState;
use super::record::RecordId;
use super::regime::Regime;
use crate::catalogue::{Catalogue, Category, CategoryCode, Exceptions, MAX_CATEGORIES};
use crate::clock::Day;
use crate::privet::SiteState;

/// What a visitor decided about one category. `Unknown` opens nothing (GDPR recital 32: silence is no consent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Not asked, not answered, or asked about something else than what is done today.
    #[default]
    Unknown,
    /// Refused, or withdrawn.
    Refused,
    /// Granted.
    Granted,
}

/// A decision as a device keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Refused,
    Granted,
    /// Granted while the browser sent Global Privacy Control: a choice that is newer and more specific than
    /// the signal, so the signal does not undo it.
    GrantedDespiteSignal,
}

impl Kept {
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Refused => 0,
            Self::Granted => 1,
            Self::GrantedDespiteSignal => 2,
        }
    }

    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Refused),
            1 => Some(Self::Granted),
            2 => Some(Self::GrantedDespiteSignal),
            _ => None,
        }
    }

    pub(crate) const fn is_granted(self) -> bool {
        !matches!(self, Self::Refused)
    }
}

/// One category of a [`ConsentState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) code: CategoryCode,
    pub(crate) kept: Kept,
    pub(crate) fingerprint: [u8; 3],
}

/// The decisions of one visitor on one site, as the device keeps them. Dated to the day, so that two visitors
/// who refuse on one day cannot be told apart.
#[derive(Clone, PartialEq, Eq)]
pub struct ConsentState {
    pub(crate) regime: Regime,
    pub(crate) day: Day,
    /// The record that proves a grant; none when everything is refused.
    pub(crate) record: Option<RecordId>,
    /// A withdrawal took effect here and is not recorded yet.
    pub(crate) pending: bool,
    /// Past its time: nothing is decided any more, but what was refused is done nowhere without asking.
    pub(crate) lapsed: bool,
    choices: [Option<Choice>; MAX_CATEGORIES],
}

impl ConsentState {
    pub(crate) fn new(regime: Regime, day: Day) -> Self {
        Self { regime, day, record: None, pending: false, lapsed: false, choices: [None; MAX_CATEGORIES] }
    }

    /// Puts a choice in its place; false when there is no room, which the catalogue's limit rules out.
    pub(crate) fn set(&mut self, choice: Choice) -> bool {
        let at = self.choices.iter().position(|c| c.is_none_or(|c| c.code >= choice.code));
        match at {
            None => false,
            Some(at) if self.choices[at].is_some_and(|c| c.code == choice.code) => {
                self.choices[at] = Some(choice);
                true
            }
            Some(_) if self.choices[MAX_CATEGORIES - 1].is_some() => false,
            Some(at) => {
                self.choices[at..].rotate_right(1);
                self.choices[at] = Some(choice);
                true
            }
        }
    }

    /// Puts a choice in a place, for one who has the choices in the order of their codes; false when there is none.
    pub(crate) fn put(&mut self, place: usize, choice: Choice) -> bool {
        self.choices.get_mut(place).map(|free| *free = Some(choice)).is_some()
    }

    /// In the order of their codes.
    pub(crate) fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.choices.iter().map_while(Option::as_ref)
    }

    pub(crate) fn grants_something(&self) -> bool {
        self.choices().any(|c| c.kept.is_granted())
    }

    /// What is left when the time of a choice is over: the refusals, as objections.
    pub(crate) fn lapsed(&self) -> Self {
        let mut left = Self { lapsed: true, ..Self::new(self.regime, self.day) };
        for choice in self.choices().filter(|c| c.kept == Kept::Refused) {
            left.set(*choice);
        }
        left
    }

    /// The same decisions with another record behind them.
    pub(crate) fn standing_on(mut self, record: Option<RecordId>) -> Self {
        self.record = record;
        self
    }

    /// The same state with one category unanswered; a plain refusal of `today` if nothing else is granted.
    pub(crate) fn without(&self, code: CategoryCode, today: Day) -> Self {
        let mut state = Self::new(self.regime, self.day);
        for choice in self.choices().filter(|c| c.code != code) {
            state.set(*choice);
        }
        state.pending = self.pending;
        if state.grants_something() || state.pending {
            state.record = self.record;
        } else {
            state.day = today;
        }
        state
    }

    /// The same state without what another one refuses.
    pub(crate) fn refusing_too(mut self, other: &Self) -> Self {
        for refused in other.choices().filter(|c| c.kept == Kept::Refused) {
            if let Some(choice) = self.choices.iter_mut().flatten().find(|c| c.code == refused.code) {
                choice.kept = Kept::Refused;
            } else {
                self.set(*refused);
            }
        }
        self
    }

    /// The same state with some categories refused. Its day stays: what is still granted is not renewed by a
    /// withdrawal. When nothing remains granted it is a plain refusal of `today`.
    pub(crate) fn withdrawing(&self, codes: u64, today: Day) -> Self {
        let mut state = Self { lapsed: false, ..self.clone() };
        for choice in state.choices.iter_mut().flatten() {
            if codes & choice.code.bit() != 0 {
                choice.kept = Kept::Refused;
            }
        }
        if !state.grants_something() {
            state.day = today;
            if !state.pending {
                state.record = None;
            }
        }
        state
    }
}

/// Without the record's id, which would recognise a visitor.
impl fmt::Debug for ConsentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsentState")
            .field("regime", &self.regime)
            .field("day", &self.day)
            .field("pending", &self.pending)
            .field("choices", &self.choices().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// What a state means today: bit masks over category codes, for the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    /// What was refused at any time, whatever it was about: nothing that needs no consent is done against it.
    pub(crate) objected: u64,
    /// What the regime allows without a decision.
    pub(crate) allowed: u64,
    /// What the regime excepts from consent.
    pub(crate) exceptions: Exceptions,
}

/// What somebody was seen to decide, as bit masks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SeenDecisions {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    /// Granted while the browser sent Global Privacy Control.
    pub(crate) despite: u64,
}

/// What a device or an account decided, as bit masks.
#[derive(Clone, Copy, Default)]
struct Decided {
    granted: u64,
    refused: u64,
    /// Refused, whatever it was about.
    objected: u64,
    /// Granted in spite of Global Privacy Control.
    despite: u64,
}

impl Decided {
    /// A choice about something else than is done today is unknown, and so is a grant that was made where nobody
    /// asks first.
    fn of(state: Option<&ConsentState>, site: &SiteState, regime: Regime) -> Self {
        let mut decided = Self::default();
        let Some(state) = state else { return decided };
        let counts = state.regime == regime || state.regime != Regime::OptOut;
        for choice in state.choices() {
            let Some(category) = site.catalogue.category_by_code(choice.code) else { continue };
            let bit = choice.code.bit();
            if choice.kept == Kept::Refused {
                decided.objected |= bit;
            }
            if state.lapsed {
                continue;
            }
            if !site.stands_for(category, choice.fingerprint) {
                continue;
            }
            match choice.kept {
                Kept::Refused => decided.refused |= bit,
                Kept::Granted if counts => decided.granted |= bit,
                Kept::GrantedDespiteSignal if counts => {
                    decided.granted |= bit;
                    decided.despite |= bit;
                }
                Kept::Granted | Kept::GrantedDespiteSignal => {}
            }
        }
        decided
    }

    /// The stricter of the two; where only one has decided, that counts.
    fn and(self, other: Self) -> Self {
        let refused = self.refused | other.refused;
        Self {
            granted: (self.granted | other.granted) & !refused,
            refused,
            objected: self.objected | other.objected,
            despite: self.despite | other.despite,
        }
    }

    /// Global Privacy Control refuses every sale that was not granted in spite of it, whoever asked before, and
    /// nothing else.
    fn under(self, regime: Regime, gpc: bool, sales: u64, allowable: u64) -> Standing {
        let capped = if gpc { sales & !self.despite } else { 0 };
        let (granted, refused) = (self.granted & !capped, self.refused | capped);
        let (objected, rules) = (self.objected | refused, regime.rules());
        let allowed = if rules.allowed_until_objection { allowable & !objected } else { 0 };
        Standing { granted, refused, objected, allowed, exceptions: rules.exceptions }
    }
}

impl Standing {
    /// The decisions of a device under today's catalogue, the visitor's regime, and their browser's signal.
    pub(crate) fn of(state: Option<&ConsentState>, site: &SiteState, regime: Regime, gpc: bool) -> Self {
        Decided::of(state, site, regime).under(regime, gpc, site.sales, site.allowable)
    }

    /// The same of a device on which somebody may be signed in: the stricter of the two, until they decide for their
    /// account.
    pub(crate) fn of_both(
        device: Option<&ConsentState>,
        account: Option<&AccountState>,
        site: &SiteState,
        regime: Regime,
        gpc: bool,
    ) -> Self {
        let decided = match account {
            None => Decided::of(device, site, regime),
            Some(account) => {
                let of_account = Decided::of(Some(&account.state), site, regime);
                if account.decided { of_account } else { of_account.and(Decided::of(device, site, regime)) }
            }
        };
        decided.under(regime, gpc, site.sales, site.allowable)
    }

    /// The decisions that somebody was seen to make about today's catalogue. What they grant is granted in spite of a
    /// signal that their browser sent with it.
    pub(crate) fn seen(decisions: &SeenDecisions, regime: Regime, gpc: bool, catalogue: &Catalogue) -> Self {
        let SeenDecisions { granted, refused, despite } = *decisions;
        Decided { granted, refused, objected: refused, despite }.under(
            regime,
            gpc,
            catalogue.sales(),
            catalogue.allowable(),
        )
    }

    /// Whether what needs these categories may happen.
    pub(crate) fn opens(self, codes: u64) -> bool {
        codes & !(self.granted | self.allowed) == 0
    }

    /// The decision of the visitor, or of their browser's signal; what the regime allows without one is none.
    pub(crate) fn decision(self, category: &Category) -> Decision {
        let bit = category.code.bit();
        if self.granted & bit != 0 {
            Decision::Granted
        } else if self.refused & bit != 0 {
            Decision::Refused
        } else {
            Decision::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(code: u8, kept: Kept) -> Choice {
        Choice { code: CategoryCode::new(code).unwrap(), kept, fingerprint: [code; 3] }
    }

    #[test]
    fn choices_stand_in_order_and_replace() {
        let mut s = ConsentState::new(Regime::OptIn, Day::from_number(1));
        for code in [9, 2, 4, 2] {
            assert!(s.set(choice(code, Kept::Granted)));
        }
        assert!(s.set(choice(2, Kept::Refused)));
        let codes: Vec<_> = s.choices().map(|c| (c.code.get(), c.kept)).collect();
        assert_eq!(codes, [(2, Kept::Refused), (4, Kept::Granted), (9, Kept::Granted)]);
    }

    #[test]
    fn a_full_state_takes_no_more() {
        let mut s = ConsentState::new(Regime::OptIn, Day::from_number(1));
        for code in 1..=u8::try_from(MAX_CATEGORIES).unwrap() {
            assert!(s.set(choice(code, Kept::Refused)));
        }
        assert!(!s.set(choice(40, Kept::Refused)));
        assert!(s.set(choice(3, Kept::Granted)));
        assert_eq!(s.choices().count(), MAX_CATEGORIES);
    }

    #[test]
    fn a_partial_withdrawal_renews_nothing() {
        let mut s = ConsentState::new(Regime::OptIn, Day::from_number(10));
        s.set(choice(2, Kept::Granted));
        s.set(choice(4, Kept::Granted));
        let today = Day::from_number(50);
        let partly = s.withdrawing(1 << 4, today);
        assert_eq!(partly.day, Day::from_number(10));
        assert!(partly.grants_something());
        let wholly = partly.withdrawing(1 << 2, today);
        assert_eq!(wholly.day, today);
        assert!(!wholly.grants_something());
    }
}
