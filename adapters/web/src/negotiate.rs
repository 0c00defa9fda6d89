//! Which form of an answer a client wants (RFC 9110, section 12.5.1).

/// The offer that an `Accept` header likes best; the first one when it does not say.
pub(crate) fn choose<'o>(accept: Option<&str>, offers: &[&'o str]) -> &'o str {
    let first = offers.first().copied().unwrap_or("");
    let Some(accept) = accept else { return first };
    let weight = |offer: &str| {
        accept
            .split(',')
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let range = parts.next()?.to_ascii_lowercase();
                let q =
                    parts.find_map(|p| p.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
                let specific = match range.as_str() {
                    r if r == offer => 2,
                    "*/*" => 0,
                    r if r.strip_suffix("/*").is_some_and(|t| offer.split('/').next() == Some(t)) => 1,
                    _ => return None,
                };
                Some((specific, q))
            })
            .max_by_key(|(specific, _)| *specific)
            .map_or(0.0, |(_, q)| q)
    };
    let mut best = (first, weight(first));
    for offer in offers.iter().skip(1) {
        let q = weight(offer);
        if q > best.1 {
            best = (offer, q);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_wins_and_the_first_by_default() {
        let offers = ["text/html", "text/markdown", "application/json"];
        let chosen = |accept| choose(accept, &offers);
        assert_eq!(chosen(None), "text/html");
        assert_eq!(chosen(Some("*/*")), "text/html");
        assert_eq!(chosen(Some("text/html,application/xhtml+xml,*/*;q=0.8")), "text/html");
        assert_eq!(chosen(Some("application/json")), "application/json");
        assert_eq!(chosen(Some("application/json;q=0.5, text/html;q=0.4")), "application/json");
        assert_eq!(chosen(Some("text/*;q=0.3, text/markdown;q=0.9")), "text/markdown");
        assert_eq!(chosen(Some("image/png")), "text/html");
        assert_eq!(chosen(Some(";;;, q=x,/,")), "text/html");
    }
}
