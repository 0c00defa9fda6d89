//! A unit of work that is on its way goes on when nobody waits for it any more: what it counted is not counted again.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Waker};

use privet::conformance::block_on;
use privet::consent::CountKind;
use privet::visit::RequestHead;
use privet::{Catalogue, Privet, Scope};

struct Head;

impl RequestHead for Head {
    fn peer(&self) -> Option<IpAddr> {
        None
    }
    fn method(&self) -> &'static str {
        "GET"
    }
    fn path(&self) -> &'static str {
        "/"
    }
    fn host(&self) -> Option<&str> {
        None
    }
    fn headers<'a>(&'a self, _: &mut dyn FnMut(&'a str, &'a [u8])) {}
}

/// An operator leaves the page of figures, which writes what was counted, in the middle.
#[test]
fn what_nobody_waits_for_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::from_toml(
        "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"\n
         [[category]]\nid = \"analytics\"\npurpose = \"Counts visits.\"",
    );
    block_on(async {
        let storage = privet_sqlite::open(folder.path()).await.unwrap();
        let privet = Privet::builder(catalogue.unwrap()).storage(storage).build().await.unwrap();
        let show = || {
            let (visit, _) = privet.visit(&Head).unwrap();
            let notice = visit.notice(&visit.catalogue().languages()[0]).unwrap().clone();
            visit.notice_shown(&notice, CountKind::BannerShown);
        };
        for _ in 0..3 {
            show();
        }
        let today = privet.now().day();
        let started = pin!(privet.consent_counts(&Scope::default(), today, today))
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(started.is_pending(), "it was left in the middle");
        show();
        let counts = privet.consent_counts(&Scope::default(), today, today).await.unwrap();
        assert_eq!(counts.iter().map(|c| c.count).collect::<Vec<_>>(), [4]);
    });
}
