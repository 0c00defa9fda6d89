//! How large the consent cookie is.
#![allow(clippy::unwrap_used, reason = "a test that meets something else has failed")]

mod common;

use common::{Browser, start};
use futures_executor::block_on;
use privet::consent::Answer;
use privet::{Catalogue, FakeClock, Privet};

fn catalogue(categories: u8) -> Catalogue {
    let category = |n: u8| match n {
        0..4 => {
            let id = ["functional", "analytics", "marketing", "contacts"][usize::from(n)];
            format!("[[category]]\nid = \"{id}\"\npurpose = \"What it is for.\"\n")
        }
        n => format!(
            "[[category]]\nid = \"own-{n}\"\nlabel = \"Own\"\ncode = {}\npurpose = \"What it is for.\"\n",
            n + 4
        ),
    };
    let categories: String = (0..categories).map(category).collect();
    Catalogue::from_toml(&format!(
        "[controller]\nname = \"Shop\"\ncontact = \"privacy@shop.example\"\n{categories}"
    ))
    .unwrap()
}

/// Of the whole pair, as each request carries it: at most 100 bytes up to seven categories, and never much more.
#[test]
#[allow(clippy::print_stdout, reason = "the sizes are what one wants to see")]
fn the_consent_cookie_is_small() {
    println!("categories  refused  granted   (bytes of `__Host-privet=…`)");
    for n in 1..=16 {
        let clock = FakeClock::at(start());
        let privet = block_on(Privet::builder(catalogue(n)).clock(clock).build()).unwrap();
        let size = |answer: &Answer| {
            let mut browser = Browser::default();
            browser.answer(&privet, answer).0.unwrap();
            assert_eq!(
                browser.granted(&privet).len(),
                if *answer == Answer::AcceptAll { n.into() } else { 0 }
            );
            "__Host-privet=".len() + browser.cookies["__Host-privet"].len()
        };
        let (refused, granted) = (size(&Answer::RejectAll), size(&Answer::AcceptAll));
        println!("{n:>10}  {refused:>7}  {granted:>7}");
        assert!(refused < granted);
        assert!(granted <= if n <= 7 { 100 } else { 150 }, "{n} categories: {granted} bytes");
    }
}
