//! Which of the site's languages a visitor reads.

use privet::Catalogue;
use privet::catalogue::Language;

pub(crate) fn choose(catalogue: &Catalogue, asked: Option<&str>, accepted: Option<&str>) -> Language {
    let languages = catalogue.languages();
    let same = |tag: &str| {
        let tag = Language::new(tag).ok()?;
        let exact = languages.iter().find(|l| l.as_str().eq_ignore_ascii_case(tag.as_str()));
        exact.or_else(|| languages.iter().find(|l| l.primary() == tag.primary())).cloned()
    };
    let by_browser = || accept_language::parse(accepted?).iter().find_map(|tag| same(tag));
    asked.and_then(same).or_else(by_browser).unwrap_or_else(|| languages[0].clone())
}

#[cfg(test)]
mod tests {
    use privet::catalogue::Controller;

    use super::*;

    #[test]
    fn asked_then_browser_then_first() {
        let site =
            Catalogue::builder(Controller::new("S", "c")).language("de").language("en").language("pt-BR");
        let site = site.build();
        // Brazilian Portuguese has no built-in words, so the site has two languages.
        assert!(site.is_err());
        let site =
            Catalogue::builder(Controller::new("S", "c")).language("de").language("en").build().unwrap();
        let choose = |asked, accepted| choose(&site, asked, accepted).as_str().to_owned();
        assert_eq!(choose(None, None), "de");
        assert_eq!(choose(None, Some("fr, en-GB;q=0.8, de;q=0.5")), "en");
        assert_eq!(choose(None, Some("de;q=0.1, en;q=0.9")), "en");
        assert_eq!(choose(Some("EN"), Some("de")), "en");
        assert_eq!(choose(Some("<x>"), Some("\u{0};;q=")), "de");
    }
}
