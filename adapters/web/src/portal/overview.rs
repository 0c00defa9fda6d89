//! Figures of a site as charts, each with its table.

use askama::Template;
use privet::Day;
use privet::portal::{ConsentRate, DEFAULT_SMALLEST_GROUP, Figures};
use privet::store::DayCount;
use serde::Serialize;

use super::ask::{Answer, Ask, Failure, Params};
use super::chart::{Chart, Column, Line};
use super::contacts::country;
use super::frame::{Frame, Nav};
use super::text::{self, number};

/// The span that is shown if nothing is asked for.
const OFFERED_DAYS: i64 = 30;

#[derive(Template)]
#[template(path = "portal/overview.html")]
struct OverviewPage {
    frame: Frame,
    here: String,
    from: String,
    to: String,
    charts: Vec<Chart>,
}

#[derive(Serialize)]
struct Told {
    from: String,
    to: String,
    consent: Vec<ToldCategory>,
    countries: Vec<privet::portal::CountryShare>,
    other_countries: Option<u64>,
    contacts: Vec<ToldCount>,
    conversations: Vec<ToldCount>,
}

#[derive(Serialize)]
struct ToldCategory {
    category: String,
    days: Vec<ToldRate>,
}

#[derive(Serialize)]
struct ToldRate {
    day: String,
    granted: u64,
    refused: u64,
}

#[derive(Serialize)]
struct ToldCount {
    day: String,
    count: u64,
}

fn told(figures: Figures) -> Told {
    let counts = |days: &[DayCount]| {
        days.iter().map(|d| ToldCount { day: text::iso(d.day), count: d.count }).collect()
    };
    let rate = |r: &ConsentRate| ToldRate { day: text::iso(r.day), granted: r.granted, refused: r.refused };
    Told {
        from: text::iso(figures.from),
        to: text::iso(figures.to),
        contacts: counts(&figures.contacts),
        conversations: counts(&figures.conversations),
        consent: figures
            .consent
            .iter()
            .map(|(id, days)| ToldCategory { category: id.clone(), days: days.iter().map(rate).collect() })
            .collect(),
        countries: figures.countries,
        other_countries: figures.other_countries,
    }
}

fn per_day(ask: &Ask<'_>, id: &'static str, title: &str, label: &'static str, days: &[DayCount]) -> Chart {
    let w = ask.words;
    let columns = days.iter().map(|d| Column {
        label: text::day(w, d.day).text,
        value: d.count,
        cells: vec![number(w, d.count)],
    });
    let most = days.iter().map(|d| d.count).max().unwrap_or_default();
    let total = days.iter().map(|d| d.count).sum();
    let said = format!("{} {}, {} {}", w.in_all, number(w, total), w.at_most, number(w, most));
    Chart::columns(id.to_owned(), title.to_owned(), said, most, number(w, most))
        .table(vec![w.day, label])
        .filled(columns.collect())
}

fn rates(ask: &Ask<'_>, id: &str, title: String, days: &[ConsentRate]) -> Chart {
    let w = ask.words;
    let none = || "–".to_owned();
    let columns = days.iter().map(|d| {
        let asked = d.granted + d.refused;
        Column {
            label: text::day(w, d.day).text,
            value: (d.granted * 100).checked_div(asked).unwrap_or_default(),
            cells: vec![
                number(w, d.granted),
                number(w, d.refused),
                text::percent(w, d.granted, asked).unwrap_or_else(none),
            ],
        }
    });
    let granted: u64 = days.iter().map(|d| d.granted).sum();
    let refused: u64 = days.iter().map(|d| d.refused).sum();
    let whole = text::percent(w, granted, granted + refused).unwrap_or_else(none);
    let said = format!(
        "{} {whole}; {} {}, {} {}",
        w.in_all,
        w.granted,
        number(w, granted),
        w.refused,
        number(w, refused)
    );
    Chart::columns(format!("rate-{id}"), title, said, 100, format!("100{}", w.percent))
        .table(vec![w.day, w.granted, w.refused, "%"])
        .filled(columns.collect())
}

fn by_country(ask: &Ask<'_>, figures: &Figures) -> Chart {
    let w = ask.words;
    let shares = figures.countries.iter().map(|c| (country(ask, c.country), c.contacts));
    let other = figures.other_countries.map(|n| (w.other_countries.to_owned(), n));
    let lines: Vec<_> =
        shares.chain(other).map(|(label, value)| Line { label, value, text: number(w, value) }).collect();
    Chart::lines("countries".to_owned(), w.by_country.to_owned(), w.small_groups.to_owned(), lines)
        .table(vec![w.country, w.contacts])
}

/// Consent, contacts and conversations of a span of days.
pub(super) async fn overview(ask: &Ask<'_>, params: &Params<'_>) -> Answer {
    let portal = ask.portal(params.site())?;
    let day = |name| ask.query(name).map(|t| text::read_day(t.trim()).ok_or(Failure::Told(400))).transpose();
    let to = day("to")?.unwrap_or(ask.visit.now().day());
    let from = day("from")?.unwrap_or(Day::from_number(to.number() - OFFERED_DAYS + 1));
    if from > to {
        return Err(Failure::Told(400));
    }
    let figures = portal.figures(from, to, DEFAULT_SMALLEST_GROUP).await?;
    if !ask.wants_html() {
        return Ok(ask.json(200, &told(figures)));
    }
    let w = ask.words;
    let catalogue = ask.privet().catalogue(portal.scope())?;
    let mut charts = Vec::new();
    for (id, days) in &figures.consent {
        let label =
            catalogue.category(id).map(|c| catalogue.category_label(c.code, &ask.language(catalogue)));
        let title = format!("{} {}", w.consent_rate, label.as_deref().unwrap_or(id));
        charts.push(rates(ask, id, title, days));
    }
    charts.push(by_country(ask, &figures));
    charts.push(per_day(ask, "contacts", w.new_contacts, w.contacts, &figures.contacts));
    charts.push(per_day(ask, "conversations", w.new_conversations, w.conversations, &figures.conversations));
    Ok(ask.html(&OverviewPage {
        frame: ask.frame(Some(&portal), Some(Nav::Overview)),
        here: ask.link(&format!("/{}/overview", portal.scope().site), &[]),
        from: text::iso(figures.from),
        to: text::iso(figures.to),
        charts,
    }))
}
