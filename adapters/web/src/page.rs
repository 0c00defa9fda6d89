//! The pages, made from the notice that is kept and from the catalogue.

use askama::Template;
use privet::Visit;
use privet::catalogue::{Language, Statement, StatementItem, StatementVersion};
use privet::consent::{CountKind, Decision, Notice, NoticeCategory, SiteNotice};

use crate::assets::{script_path, style_path};
use crate::changes::told;
use crate::state::state_json;
use crate::words::{self, Words};

#[derive(Template)]
#[template(path = "banner.html")]
struct BannerPage<'a> {
    lang: &'a str,
    base: &'a str,
    style: String,
    asks: bool,
    words: &'a Words,
    notice: &'a Notice,
    asked: Vec<Asked<'a>>,
    token: String,
    return_to: &'a str,
}

struct Asked<'a> {
    category: &'a NoticeCategory,
    /// What is new since the visitor decided about it.
    news: Vec<String>,
}

#[derive(Template)]
#[template(path = "embed.html")]
struct EmbedPage<'a> {
    lang: &'a str,
    base: &'a str,
    script: String,
    words: &'a Words,
    choices_link: bool,
    signal_honoured: bool,
    banner: String,
    state: String,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage<'a> {
    lang: &'a str,
    base: &'a str,
    style: String,
    script: String,
    words: &'a Words,
    notice: &'a Notice,
    choices: Vec<Choice<'a>>,
    decided: bool,
    grants: bool,
    /// What a withdrawal does to what is held, where something may be.
    told_first: Option<&'a str>,
    pending: bool,
    gpc: bool,
    choices_link: bool,
    complaints_to: Option<&'static str>,
    stale: bool,
    token: String,
    return_to: &'a str,
    state: String,
}

struct Choice<'a> {
    category: &'a NoticeCategory,
    /// What is new since the visitor decided about it.
    news: Vec<String>,
    granted: bool,
    on: bool,
    state: &'static str,
}

#[derive(Template)]
#[template(path = "statement.html")]
struct StatementPage<'a> {
    lang: &'a str,
    base: &'a str,
    style: String,
    words: &'a Words,
    statement: &'a Statement,
    version: Option<(u32, String)>,
    groups: Vec<Group<'a>>,
}

/// A group of the statement with the title that a visitor reads.
pub(crate) struct Group<'a> {
    pub(crate) title: String,
    pub(crate) purpose: Option<&'a str>,
    pub(crate) items: &'a [StatementItem],
    pub(crate) external_hosts: &'a [String],
}

#[derive(Template)]
#[template(path = "said.html")]
struct SaidPage<'a> {
    lang: &'a str,
    base: &'a str,
    style: String,
    words: &'a Words,
    title: &'a str,
    text: &'a str,
}

/// A template over strings that are there fails only when memory does.
pub(crate) fn rendered(page: &impl Template) -> String {
    page.render().unwrap_or_else(|error| {
        tracing::error!("a page could not be rendered: {error}");
        String::new()
    })
}

/// What is new of a category since the visitor decided about it, where that is why they are asked anew.
fn news(visit: &Visit, category: &str, language: &Language) -> Vec<String> {
    visit.consent().news(category).iter().map(|c| told(&c.kind, visit.catalogue(), language)).collect()
}

/// The banner of a visitor who has not decided; empty for one who has.
pub(crate) fn banner(visit: &Visit, notice: &SiteNotice, return_to: &str) -> String {
    visit.notice_shown(notice, CountKind::BannerShown);
    let base = visit.privet().base_path();
    let (language, asks) = (&notice.notice.language, visit.asks());
    let asked = notice.notice.categories.iter().filter(|_| asks);
    rendered(&BannerPage {
        lang: language.as_str(),
        base,
        style: style_path(base),
        asks,
        words: words::of(language),
        notice: &notice.notice,
        asked: asked.map(|category| Asked { category, news: news(visit, &category.id, language) }).collect(),
        token: visit.notice_token(notice),
        return_to,
    })
}

/// What a page of the app embeds: the banner, the lasting link to the settings, and the script with its state.
pub(crate) fn embed(visit: &Visit, notice: &SiteNotice, return_to: &str) -> String {
    let base = visit.privet().base_path();
    let language = &notice.notice.language;
    rendered(&EmbedPage {
        lang: language.as_str(),
        base,
        script: script_path(base),
        words: words::of(language),
        choices_link: visit.regime().rules().privacy_choices_link,
        signal_honoured: visit.signal_honoured(),
        banner: banner(visit, notice, return_to),
        state: state_json(visit, notice, true).to_string(),
    })
}

pub(crate) fn settings(visit: &Visit, notice: &SiteNotice, return_to: &str, stale: bool) -> String {
    visit.notice_shown(notice, CountKind::SettingsShown);
    let base = visit.privet().base_path();
    let language = &notice.notice.language;
    let words = words::of(language);
    let consent = visit.consent();
    let decision = |id: &str| consent.decision(id);
    let choices: Vec<_> = notice
        .notice
        .categories
        .iter()
        .map(|category| {
            let decision = decision(&category.id);
            let state = match decision {
                Decision::Granted => words.state_granted,
                Decision::Refused => words.state_refused,
                Decision::Unknown if consent.allows(&category.id) => words.state_allowed,
                Decision::Unknown => words.state_unknown,
            };
            // What happens is what is shown, also where it happens without a grant.
            Choice {
                category,
                news: news(visit, &category.id, language),
                granted: decision == Decision::Granted,
                on: consent.allows(&category.id),
                state,
            }
        })
        .collect();
    rendered(&SettingsPage {
        lang: language.as_str(),
        base,
        style: style_path(base),
        script: script_path(base),
        words,
        notice: &notice.notice,
        decided: !visit.asks(),
        grants: choices.iter().any(|c| c.granted),
        told_first: choices.iter().filter(|c| c.granted).find_map(|c| c.category.on_withdrawal.as_deref()),
        choices,
        pending: consent.pending(),
        gpc: visit.signal_honoured(),
        choices_link: visit.regime().rules().privacy_choices_link,
        complaints_to: visit.regime().rules().complaints_to,
        stale,
        token: visit.notice_token(notice),
        return_to,
        state: state_json(visit, notice, true).to_string(),
    })
}

/// The groups of a statement with their titles.
pub(crate) fn groups<'a>(statement: &'a Statement, words: &Words) -> Vec<Group<'a>> {
    statement
        .groups
        .iter()
        .map(|g| {
            let label = g.label.as_deref().unwrap_or_default();
            let title = match g.kind {
                "necessary" => words.necessary.to_owned(),
                "activation" => format!("{} {label}", words.on_request),
                _ => label.to_owned(),
            };
            Group { title, purpose: g.purpose.as_deref(), items: &g.items, external_hosts: &g.external_hosts }
        })
        .collect()
}

pub(crate) fn statement(base: &str, statement: &Statement, latest: Option<&StatementVersion>) -> String {
    let words = words::of(&statement.language);
    rendered(&StatementPage {
        lang: statement.language.as_str(),
        base,
        style: style_path(base),
        words,
        statement,
        version: latest.map(|v| (v.number, v.date())),
        groups: groups(statement, words),
    })
}

pub(crate) fn said(base: &str, language: &Language, title: &str, text: &str) -> String {
    rendered(&SaidPage {
        lang: language.as_str(),
        base,
        style: style_path(base),
        words: words::of(language),
        title,
        text,
    })
}
