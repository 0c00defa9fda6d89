//! What law demands of the whole site, asked of it over HTTP as an inspector would, on both frameworks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use std::collections::BTreeSet;

use privet::contact::{ContactId, SessionId};
use privet::{FakeClock, Storage, Timestamp};
use privet_tests::lab;
use privet_tests::server::{Framework, OPERATOR};
use privet_tests::site::{Client, Site};
use privet_web::testing::{Answered, Asked};
use serde_json::Value;

const BOTH: [Framework; 2] = [Framework::Axum, Framework::ActixWeb];
const FORM: &str = "application/x-www-form-urlencoded";

fn clock() -> FakeClock {
    FakeClock::at(Timestamp::from_millis(1_800_000_000_000))
}

async fn shop(framework: Framework) -> Client {
    Client::new(Site::open(framework, Storage::in_memory().unwrap(), clock()).await)
}

async fn laboratory(framework: Framework) -> Client {
    Client::new(lab::open(framework, Storage::in_memory().unwrap(), clock()).await)
}

fn text(answer: &Answered) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

async fn get(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> Answered {
    let asked = headers.iter().fold(Asked::new("GET", path), |a, (n, v)| a.header(*n, *v));
    client.ask(asked.header("accept", "text/html,*/*;q=0.8")).await
}

async fn post(client: &mut Client, path: &str, headers: &[(&str, &str)], kind: &str, body: &str) -> Answered {
    let asked = headers.iter().fold(Asked::new("POST", path), |a, (n, v)| a.header(*n, *v));
    let asked = asked.header("sec-fetch-site", "same-origin").header("content-type", kind);
    client.ask(asked.body(body)).await
}

async fn state(client: &mut Client) -> Value {
    let answer = client.ask(Asked::new("GET", "/privacy/consent")).await;
    serde_json::from_slice(&answer.body).unwrap()
}

async fn decide(client: &mut Client, form: &str) -> Answered {
    let token = client.token().await;
    post(client, "/privacy/consent", &[], FORM, &format!("{form}&notice={token}")).await
}

async fn contacts(client: &mut Client) -> usize {
    let list = Asked::new("GET", "/contacts")
        .header("authorization", format!("Bearer {OPERATOR}"))
        .header("accept", "application/json");
    let list: Value = serde_json::from_slice(&client.ask(list).await.body).unwrap();
    list["contacts"].as_array().unwrap().len()
}

/// CON-03: a grant needs the notice that was shown, which names what the law wants named.
#[tokio::test]
async fn con_03_no_grant_without_a_notice_that_says_everything() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        for notice in ["", "&notice=", "&notice=AAAA"] {
            let form = format!("action=accept_all{notice}");
            assert_eq!(post(&mut client, "/privacy/consent", &[], FORM, &form).await.status, 409);
        }
        assert_eq!(client.jar.names().count(), 0);
        let page = text(&get(&mut client, "/privacy", &[]).await);
        let statement = text(&get(&mut client, "/privacy/cookies", &[]).await);
        let told = (page + &statement).replace("&#38;", "&");
        for needed in [
            "Hedge & Sons, garden shop (example)",
            "privacy@hedge.example",
            "Counting which articles are read",
            "Hedge & Sons support desk",
            "You can withdraw your consent at any time",
            "180 days",
        ] {
            assert!(told.contains(needed), "{needed}");
        }
    }
    for missing in ["name = \"Hedge & Sons, garden shop (example)\"", "contact = \"privacy@hedge.example\""] {
        assert!(chat_shop::CATALOGUE.contains(missing));
        assert!(privet::Catalogue::from_toml(&chat_shop::CATALOGUE.replacen(missing, "", 1)).is_err());
    }
}

/// CON-05: what is ticked was granted, on every layer.
#[tokio::test]
async fn con_05_nothing_is_ticked_that_was_not_granted() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        let ticked = async |client: &mut Client| {
            let page = text(&get(client, "/privacy", &[]).await);
            let banner = text(&get(client, "/privacy/banner", &[]).await);
            assert!(!banner.contains("checked"), "the first layer has no boxes");
            let boxes: Vec<_> = page.split("<input type=\"checkbox\"").skip(1).map(str::to_owned).collect();
            assert_eq!(boxes.len(), 3);
            let ticked = boxes.iter().filter(|b| b.split('>').next().unwrap().contains("checked"));
            ticked
                .map(|b| b.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(ticked(&mut client).await, [] as [&str; 0]);
        decide(&mut client, "action=save&category=analytics").await;
        assert_eq!(ticked(&mut client).await, ["analytics"]);
        post(&mut client, "/privacy/withdraw", &[], FORM, "").await;
        assert_eq!(ticked(&mut client).await, [] as [&str; 0]);
    }
}

/// CON-06: who refuses everything is served like anybody, chat and all; only no contact comes of it.
#[tokio::test]
async fn con_06_the_site_works_without_consent() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        decide(&mut client, "action=reject_all").await;
        for path in ["/", "/articles/roses", "/chat/messages", "/privacy", "/privacy/cookies", "/privacy/me"]
        {
            assert_eq!(get(&mut client, path, &[]).await.status, 200, "{path}");
        }
        let question = r#"{"text":"When do I plant roses?","channel":"ai-search","page":"/articles/roses"}"#;
        let answer = post(&mut client, "/chat/messages", &[], "application/json", question).await;
        assert!(answer.status < 300, "{}", answer.status);
        let messages = text(&get(&mut client, "/chat/messages", &[]).await);
        assert!(messages.contains("When do I plant roses?"));
        assert_eq!(contacts(&mut client).await, 0);
    }
}

/// CON-11: what can be kept of a contact is fixed, and none of it is of a special category; there is no place for more.
#[tokio::test]
async fn con_11_a_contact_has_no_field_for_special_categories() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        decide(&mut client, "action=accept_all").await;
        let question = r#"{"text":"I am ill, what tea helps?","channel":"ai-search","page":"/"}"#;
        post(&mut client, "/chat/messages", &[], "application/json", question).await;
        let own: Value =
            serde_json::from_slice(&client.ask(Asked::new("GET", "/privacy/me")).await.body).unwrap();
        let fields: BTreeSet<_> = own["contact"].as_object().unwrap().keys().map(String::as_str).collect();
        let known = ["consent_until", "conversations", "country", "created", "id", "last_seen"];
        assert_eq!(fields, BTreeSet::from(known));
        let more = r#"{"text":"x","channel":"ai-search","page":"/","health":"ill"}"#;
        let refused = post(&mut client, "/chat/messages", &[], "application/json", more).await;
        let own = text(&client.ask(Asked::new("GET", "/privacy/me")).await);
        assert!(!own.contains("\"health\""), "{}: {own}", refused.status);
    }
}

/// CON-13: what another platform says counts for the category it names, when it comes from the site's own page; what it
/// does not name stays closed, what nobody declared changes nothing, and a later no ends an earlier yes.
#[tokio::test]
async fn con_13_another_platforms_word_counts_for_what_it_names() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        let tell = async |client: &mut Client, categories: &str, site: &str| {
            let token = client.token().await;
            let body = format!(
                r#"{{"action":"save","categories":[{categories}],"notice":"{token}","source":"other-cmp"}}"#
            );
            let asked = Asked::new("POST", "/privacy/consent").header("sec-fetch-site", site);
            client.ask(asked.header("content-type", "application/json").body(body)).await.status
        };
        assert_eq!(state(&mut client).await["categories"]["contacts"], "unknown", "nobody said anything");
        assert_eq!(tell(&mut client, r#""functional""#, "cross-site").await, 403);
        assert_eq!(tell(&mut client, r#""statistics""#, "same-origin").await, 400, "mapped to nothing");
        assert_eq!(state(&mut client).await["decided"], false);
        assert_eq!(tell(&mut client, r#""functional""#, "same-origin").await, 200);
        let told = state(&mut client).await["categories"].clone();
        assert_eq!((&told["functional"], &told["contacts"]), (&"granted".into(), &"refused".into()));
        assert_eq!(tell(&mut client, r#""functional""#, "same-origin").await, 200, "the same again");
        assert_eq!(tell(&mut client, "", "same-origin").await, 200);
        assert_eq!(state(&mut client).await["categories"]["functional"], "refused");
    }
}

/// WDR-01: taking everything back is one request, as granting is; the way there stands on every page, before and after a
/// choice, and shows what holds.
#[tokio::test]
async fn wdr_01_withdrawing_is_as_easy_as_granting() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        let links = async |client: &mut Client| {
            for path in ["/", "/articles/roses"] {
                let page = text(&get(client, path, &[]).await);
                assert!(page.contains("<a href=\"/privacy\">"), "{path}");
            }
        };
        links(&mut client).await;
        assert_eq!(decide(&mut client, "action=accept_all").await.status, 303);
        links(&mut client).await;
        let settings = text(&get(&mut client, "/privacy", &[]).await);
        assert!(settings.contains("action=\"/privacy/withdraw\"") && settings.contains("accepted"));
        let before = settings.find("/privacy/me?format=json").unwrap();
        assert!(before < settings.find("Withdraw everything").unwrap(), "the copy is offered first");
        assert!(settings.contains("your contact and its conversations are erased"));
        assert_eq!(post(&mut client, "/privacy/withdraw", &[], FORM, "").await.status, 303);
        let after = state(&mut client).await;
        assert!(after["categories"].as_object().unwrap().values().all(|d| d == "refused"), "{after}");
    }
}

/// WDR-05: the right to withdraw is told on the first layer and on the settings, in every language.
#[tokio::test]
async fn wdr_05_withdrawal_is_told_before() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        for (language, told) in [("en", "You can withdraw your consent at any time"), ("de", "jederzeit")] {
            for path in ["/", "/privacy", "/privacy/banner"] {
                let page = text(&get(&mut client, path, &[("accept-language", language)]).await);
                assert!(page.contains(told), "{path} {language}");
            }
        }
    }
}

/// GATE-02: an exemption says why, and a cookie that serves two ends is exempt only if both are.
#[test]
fn gate_02_an_exemption_is_justified_and_whole() {
    let with = |more: &str| privet::Catalogue::from_toml(&format!("{}\n{more}", lab::CATALOGUE));
    let entry = |name: &str, gate: &str| {
        format!(
            "[[service.entry]]\nname = \"{name}\"\npurpose = {{ en = \"x\", de = \"x\" }}\nduration = \"session\"\ntrigger = \"server\"\ngate = {gate}\n"
        )
    };
    assert!(with(&entry("other", "{ exempt = \"auth\", justification = \"Sign-in.\" }")).is_ok());
    assert!(with(&entry("other", "{ exempt = \"auth\" }")).is_err(), "no justification");
    assert!(
        with(&entry("other", "{ exempt = \"functional\", justification = \"It is.\" }")).is_err(),
        "no reason"
    );
    // The session's cookie is to count visits too.
    assert!(with(&entry("sid", "{ consent = \"analytics\" }")).is_err(), "two ends, one of them not exempt");
}

/// GATE-05, GATE-08: by country and choice: what of others a page may load, and what is set on an exception.
#[tokio::test]
async fn gate_08_exceptions_hold_until_the_objection() {
    for framework in BOTH {
        let set = async |client: &mut Client, from: (&str, &str)| {
            let answer = get(client, "/cookies", &[from]).await;
            let lines = answer.all("set-cookie").filter(|l| !l.contains("Max-Age=0"));
            lines.map(|l| l.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let mut briton = laboratory(framework).await;
        assert_eq!(set(&mut briton, lab::GB).await, ["sid", "stat"]);
        let objected = post(&mut briton, "/privacy/withdraw", &[lab::GB], FORM, "category=analytics").await;
        assert!(objected.all("set-cookie").any(|l| l.starts_with("stat=;") && l.contains("Max-Age=0")));
        assert_eq!(set(&mut briton, lab::GB).await, ["sid"]);
        let mut german = laboratory(framework).await;
        assert_eq!(set(&mut german, lab::DE).await, ["sid"]);
        assert_eq!(set(&mut german, lab::FR).await, ["sid"], "not a French exception");
        decide(&mut german, "action=save&category=analytics").await;
        assert_eq!(set(&mut german, lab::DE).await, ["sid", "visits", "stat"]);
    }
}

/// GATE-05: nothing of privet's on a page loads from anybody else, whatever was decided; and hosts of others are offered to
/// the page's policy only while their category is granted.
#[tokio::test]
async fn gate_05_nothing_of_others_is_loaded_unasked() {
    for framework in BOTH {
        let mut client = laboratory(framework).await;
        for action in ["", "action=reject_all", "action=accept_all"] {
            if !action.is_empty() {
                decide(&mut client, action).await;
            }
            for path in ["/", "/privacy", "/privacy/banner", "/privacy/cookies"] {
                let page = text(&get(&mut client, path, &[]).await);
                for attribute in
                    ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "preconnect", "dns-prefetch"]
                {
                    assert!(!page.contains(attribute), "{path} after `{action}`: {attribute}");
                }
            }
        }
    }
    let privet = lab::installation(Storage::in_memory().unwrap(), clock()).await;
    let catalogue = privet.catalogue(&privet::Scope::default()).unwrap();
    assert_eq!(catalogue.service("ads").unwrap().external_hosts, ["https://ads.exchange.example"]);
}

/// GATE-10: every cookie that leaves is hardened, the app's and ours; what names somebody is drawn at random, 128 bits.
#[tokio::test]
async fn gate_10_every_cookie_is_hardened() {
    for framework in BOTH {
        let mut client = shop(framework).await;
        let mut lines = Vec::new();
        lines.extend(decide(&mut client, "action=accept_all").await.all("set-cookie").map(str::to_owned));
        let question = r#"{"text":"Roses?","channel":"ai-search","page":"/"}"#;
        let asked = post(&mut client, "/chat/messages", &[], "application/json", question).await;
        lines.extend(asked.all("set-cookie").map(str::to_owned));
        let article = get(&mut client, "/articles/roses", &[]).await;
        lines.extend(article.all("set-cookie").map(str::to_owned));
        let mut laboratory = laboratory(framework).await;
        let weak = get(&mut laboratory, "/cookies", &[lab::US]).await;
        lines.extend(weak.all("set-cookie").map(str::to_owned));
        post(&mut laboratory, "/sign-in/ann", &[], FORM, "").await;
        let names: BTreeSet<_> = lines.iter().map(|l| l.split('=').next().unwrap()).collect();
        for own in ["__Host-privet", "__Host-privet-active", "__Host-privet-contact", "reader", "sid"] {
            assert!(names.contains(own), "{own}: {names:?}");
        }
        for line in &lines {
            for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(
                    line.split("; ").any(|a| a == attribute),
                    "{attribute}: {}",
                    line.split('=').next().unwrap()
                );
            }
        }
    }
    let drawn: BTreeSet<_> = (0..1_000).map(|_| *ContactId::generate().unwrap().as_bytes()).collect();
    assert_eq!(drawn.len(), 1_000);
    // Of 128 bits, all but the version and the variant of RFC 9562 vary.
    let vary = (0..128).filter(|bit| {
        let set = drawn.iter().filter(|id| id[bit / 8] >> (bit % 8) & 1 == 1).count();
        (350..650).contains(&set)
    });
    assert_eq!(vary.count(), 122);
}

/// GATE-12: no id of a chat's visit can be taken for a contact's: there is no conversion between the types, and what is
/// drawn for the one is not used for the other.
#[tokio::test]
async fn gate_12_a_visit_is_no_contact() {
    static_assertions::assert_not_impl_any!(ContactId: From<SessionId>, Into<SessionId>);
    static_assertions::assert_not_impl_any!(SessionId: From<ContactId>, Into<ContactId>);
    for framework in BOTH {
        let mut client = shop(framework).await;
        let question = r#"{"text":"Roses?","channel":"ai-search","page":"/"}"#;
        post(&mut client, "/chat/messages", &[], "application/json", question).await;
        let active = client.jar.line().unwrap();
        assert!(active.contains("__Host-privet-active=") && !active.contains("privet-contact"));
        decide(&mut client, "action=accept_all").await;
        assert_eq!(contacts(&mut client).await, 0, "the visit did not become a contact");
        post(&mut client, "/chat/messages", &[], "application/json", question).await;
        assert_eq!(contacts(&mut client).await, 1);
        let line = client.jar.line().unwrap();
        let value = |name: &str| {
            let from = line.split(&format!("{name}=")).nth(1).unwrap();
            data_encoding::BASE64URL_NOPAD.decode(from.split(';').next().unwrap().as_bytes()).unwrap()
        };
        let (active, contact) = (value("__Host-privet-active"), value("__Host-privet-contact"));
        assert!(!contact.windows(16).any(|w| w == &active[5..21]), "the same number in both");
    }
}
