//! Each must of a group that is built has a test of its name.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use privet::ip::Strategy;
use privet::{Catalogue, Privet};
use privet_tests::law;
use privet_web::Request;

#[test]
fn every_must_has_a_test() {
    let (musts, tests) = (law::musts(), law::tests());
    assert!(musts.len() >= 10);
    let without: Vec<_> = musts.keys().filter(|id| !tests.contains_key(*id)).collect();
    assert!(without.is_empty(), "musts without a test: {without:?}");
}

struct Head;
impl privet::visit::RequestHead for Head {
    fn peer(&self) -> Option<std::net::IpAddr> {
        None
    }
    fn method(&self) -> &str {
        "GET"
    }
    fn path(&self) -> &str {
        "/"
    }
    fn host(&self) -> Option<&str> {
        None
    }
    fn headers<'a>(&'a self, _: &mut dyn FnMut(&'a str, &'a [u8])) {}
}

/// IP-04: a recipient is told to get a pseudonym, in every language and form, and nothing is called anonymous.
#[tokio::test]
async fn ip_04_a_pseudonym_is_told_as_what_it_is() {
    let text = chat_shop::CATALOGUE.replacen(
        "languages = [\"en\", \"de\"]",
        "languages = [\"en\", \"de\", \"fr\", \"nl\", \"es\", \"it\"]",
        1,
    );
    let catalogue = Catalogue::from_toml(&text).unwrap();
    assert_eq!(catalogue.recipient("support-desk").unwrap().address, Strategy::KeyedHash);
    let privet = Privet::builder(catalogue).build().await.unwrap();
    for language in ["en", "de", "fr", "nl", "es", "it"] {
        for path in ["/privacy/cookies", "/privacy/cookies.md", "/privacy/cookies.json", "/privacy"] {
            let (visit, _) = privet.visit(&Head).unwrap();
            let request = Request::new("GET", path, format!("lang={language}"));
            let reply = privet_web::respond(&visit, &request).await;
            assert_eq!(reply.status, 200);
            let privet_web::Body::Full(body) = reply.body else { unreachable!("a page is all there") };
            let page = String::from_utf8(body.to_vec()).unwrap().to_lowercase();
            assert!(
                !page.contains("anonym") && !page.contains("anónim") && !page.contains("anonim"),
                "{language} {path}"
            );
            let named = ["pseudonym", "pseudoniem", "seudónimo", "pseudonimo", "keyed-hash"]
                .iter()
                .any(|w| page.contains(w));
            assert!(named || path == "/privacy", "{language} {path}");
        }
    }
}
