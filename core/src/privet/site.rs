//! One site of an installation: its catalogue and what is prepared from it.

use std::sync::Arc;
use std::time::Duration;

use super::SiteDecl;
use super::counts::Counts;
use super::history::History;
use crate::catalogue::{
    Catalogue, Category, CategoryCode, EntryId, Language, LegalBasis, OwnNames, category_id,
};
use crate::clock::Timestamp;
use crate::consent::cookie::CookieCodec;
use crate::consent::{
    ConsentState, Notice, NoticeSnapshot, NoticeToken, Regime, Regimes, Standing, TokenKey,
};
use crate::error::{Error, Result};
use crate::key::KeyRing;
use crate::legal::{Figure, LegalFigures};
use crate::scope::Scope;
use crate::visit::Visit;

/// A notice in one language with its exact copy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SiteNotice {
    /// What pages are made from.
    pub notice: Notice,
    /// What is kept.
    pub snapshot: NoticeSnapshot,
}

#[derive(Debug)]
pub(crate) struct SiteState {
    pub(crate) scope: Scope,
    pub(crate) catalogue: Catalogue,
    pub(crate) names: OwnNames,
    pub(crate) domain: Option<String>,
    pub(crate) secure: bool,
    pub(crate) public_origins: Vec<String>,
    pub(crate) regimes: Regimes,
    /// None where nobody's country has to be known.
    pub(crate) one_regime: Option<Regime>,
    pub(crate) gpc_promise: Option<String>,
    pub(crate) accounts: bool,
    /// The basis on which contacts are kept when their consent is withdrawn; none where they are erased.
    pub(crate) keeps: Option<LegalBasis>,
    pub(crate) choice_life: Duration,
    /// How long the device's cookie lives: longer than the choice, where a refusal is kept as an objection.
    pub(crate) consent_life: Duration,
    pub(crate) codec: CookieCodec,
    pub(crate) token_key: TokenKey,
    pub(crate) notices: Vec<SiteNotice>,
    pub(super) counts: Counts,
    /// The categories that are a sale or sharing, on which Global Privacy Control bears.
    pub(crate) sales: u64,
    /// The categories that a regime may allow without a decision: all but contacts, which exist on a record.
    pub(crate) allowable: u64,
    /// The cookies whose life visits must not extend.
    pub(crate) unrenewable: Vec<EntryId>,
    /// Every category.
    categories: u64,
    /// What earlier versions of the statement asked for, as they were known at the start.
    pub(super) history: History,
}

impl SiteState {
    pub(crate) fn new(
        decl: &SiteDecl,
        insecure_dev: bool,
        keys: &KeyRing,
        figures: &LegalFigures,
    ) -> Result<Arc<Self>> {
        let (scope, own) = (decl.scope.clone(), decl.own_cookies(insecure_dev, figures));
        let catalogue = decl.catalogue.with_own(&own)?;
        let notices = catalogue
            .languages()
            .iter()
            .filter_map(|l| Notice::of(&catalogue, l))
            .map(|notice| SiteNotice { snapshot: notice.snapshot(), notice })
            .collect();
        audience_trackers_end(&catalogue, figures)?;
        let kept = catalogue.category(category_id::CONTACTS).and_then(|c| c.kept_on_withdrawal.as_ref());
        let keeps = kept.map(|(basis, _)| *basis);
        Ok(Arc::new(Self {
            unrenewable: catalogue.cookie_ids().filter(|id| !catalogue.entry(*id).may_be_renewed()).collect(),
            sales: catalogue.sales(),
            allowable: catalogue.allowable(),
            categories: catalogue.all_codes(),
            codec: CookieCodec::new(keys, &scope).keeping_objections(own.consent_life),
            consent_life: own.consent_life.max(own.choice_life),
            token_key: TokenKey::new(keys, &scope),
            scope,
            catalogue,
            names: own.names,
            domain: own.domain,
            secure: !insecure_dev,
            public_origins: decl.public_origins.clone(),
            one_regime: decl.regimes.is_opt_in().then_some(Regime::OptIn),
            regimes: decl.regimes.clone(),
            gpc_promise: decl.gpc_promise.clone(),
            accounts: decl.accounts,
            keeps,
            choice_life: own.choice_life,
            notices,
            counts: Counts::default(),
            history: History::default(),
        }))
    }

    /// Whether a decision about this fingerprint is one about what is done today.
    pub(crate) fn stands_for(&self, category: &Category, fingerprint: [u8; 3]) -> bool {
        category.fingerprint() == fingerprint || self.history.covers(category, fingerprint)
    }

    pub(crate) fn stands_for_code(&self, code: CategoryCode, fingerprint: [u8; 3]) -> bool {
        self.catalogue.category_by_code(code).is_some_and(|c| self.stands_for(c, fingerprint))
    }

    /// Whether every category has an answer.
    pub(crate) fn is_decided(&self, standing: Standing) -> bool {
        self.categories & !(standing.granted | standing.refused) == 0
    }

    /// The notice in a language, or else in the site's first.
    pub(crate) fn notice(&self, language: &Language) -> Option<&SiteNotice> {
        self.notices.iter().find(|n| n.notice.language == *language).or_else(|| self.notices.first())
    }

    /// When the decisions of a state that is recorded at `at` lapse: with the choice, or at once if it grants
    /// nothing.
    pub(crate) fn lapses(&self, state: &ConsentState, at: Timestamp) -> Timestamp {
        if state.grants_something() { state.day.start() + self.choice_life } else { at }
    }

    pub(crate) fn material(&self) -> [u8; 8] {
        let mut short = [0; 8];
        short.copy_from_slice(&self.catalogue.material()[..8]);
        short
    }

    /// The token of a form; none when it stands for something else than is asked today.
    pub(crate) fn current_token(&self, text: &str, now: Timestamp) -> Option<NoticeToken> {
        self.token_key.decode(text, now).filter(|t| t.material == self.material())
    }
}

/// What needs no consent in France as a measurement of the own audience has to end in time.
fn audience_trackers_end(catalogue: &Catalogue, figures: &LegalFigures) -> Result<()> {
    let longest = figures.get(Figure::AudienceTrackerLife);
    let mut entries = catalogue.services().iter().flat_map(|s| &s.entries);
    let too_long = entries.find(|e| !e.may_be_renewed() && e.lifetime.exactly().is_some_and(|d| d > longest));
    match too_long {
        Some(entry) => Err(Error::config(
            format!(
                "`{}` is to need no consent in France, and lives longer than {} days",
                entry.name,
                longest.as_secs() / 86_400
            ),
            "shorten its duration, or take `fr-audience-measurement` from its exceptions",
        )),
        None => Ok(()),
    }
}

impl Visit {
    /// The notice in a language of the site, or else in the site's first language.
    #[must_use]
    pub fn notice(&self, language: &Language) -> Option<&SiteNotice> {
        self.site().notice(language)
    }

    /// The hidden field of a form that stands under this notice.
    #[must_use]
    pub fn notice_token(&self, notice: &SiteNotice) -> String {
        let site = self.site();
        site.token_key.encode(&NoticeToken {
            notice: notice.snapshot.id,
            regime: self.regime(),
            issued: self.now().floor_to(Duration::from_secs(60)),
            material: site.material(),
        })
    }
}
