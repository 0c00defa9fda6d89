//! A thousand visitors who refuse cannot be told apart by what they keep.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use privet::{FakeClock, Storage, Timestamp};
use privet_tests::server::Framework;
use privet_tests::site::Site;
use privet_web::testing::Asked;
use rstest::rstest;

const MIDNIGHT: Timestamp = Timestamp::from_millis(1_799_971_200_000);

fn address(n: u16) -> IpAddr {
    if n.is_multiple_of(3) {
        Ipv6Addr::new(0x2a00, 0x1450, n, 0, 0, 0, 0, n).into()
    } else {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(93, 184, high, low).into()
    }
}

/// GATE-06: over the app's real routes, from other addresses, with other browsers, in other languages, by the banner, by
/// the settings or by a script, at any time of a day: the same bytes. The next day they are others.
#[rstest]
#[tokio::test]
async fn gate_06_a_thousand_refusing_visitors_keep_the_same_bytes(
    #[values(Framework::Axum, Framework::ActixWeb)] framework: Framework,
) {
    let clock = FakeClock::at(MIDNIGHT);
    let mut site = Site::open(framework, Storage::in_memory().unwrap(), clock.clone()).await;
    let mut kept = BTreeSet::new();
    let mut of_day = async |n: u16| {
        let peer = (address(n), 1024 + n).into();
        let with = |asked: Asked| {
            asked
                .peer(peer)
                .header("user-agent", format!("Browser-{n}/{}.0 (X11; Machine {})", n % 90, n % 7))
                .header("accept-language", ["de", "en", "fr;q=0.3, *"][usize::from(n % 3)])
        };
        let page = site.ask(with(Asked::new("GET", "/"))).await;
        assert!(page.all("set-cookie").next().is_none(), "nothing before a decision");
        let page = String::from_utf8(page.body).unwrap();
        let token = page.split("name=\"notice\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let post = |path: &str, content_type: &str, body: String| {
            let asked = Asked::new("POST", path).header("sec-fetch-site", "same-origin");
            with(asked.header("content-type", content_type)).body(body)
        };
        let form = "application/x-www-form-urlencoded";
        let refusal = match n % 4 {
            0 => post("/privacy/consent", form, format!("action=reject_all&notice={token}")),
            1 => post("/privacy/consent", form, format!("action=save&notice={token}")),
            2 => post(
                "/privacy/consent",
                "application/json",
                serde_json::json!({ "action": "reject_all", "notice": token }).to_string(),
            ),
            _ => post("/privacy/withdraw", form, String::new()),
        };
        let answer = site.ask(refusal).await;
        assert!(answer.status < 400, "{}", answer.status);
        let lines: Vec<_> = answer.all("set-cookie").collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        // The time that is left of six months is the browser's to keep: it does not come back.
        let (pair, _) = lines[0].split_once(';').unwrap();
        pair.to_owned()
    };
    for n in 0..1_000 {
        kept.insert(of_day(n).await);
        clock.advance(Duration::from_secs(86));
    }
    assert_eq!(kept.len(), 1, "{kept:?}");
    clock.advance(Duration::from_secs(400));
    let tomorrow = of_day(1_000).await;
    assert!(!kept.contains(&tomorrow));
}
