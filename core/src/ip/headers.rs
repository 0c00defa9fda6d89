//! Request headers that carry an address of the visitor.

/// Well-known headers in which proxies, CDNs and load balancers pass the visitor's address on.
const ADDRESS_HEADERS: &[&str] = &[
    "ali-cdn-real-ip",
    "b-forwarded-for",
    "cdn-real-ip",
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "cloudfront-viewer-address",
    "do-connecting-ip",
    "eo-client-ip",
    "fastly-client-ip",
    "fastly-temp-xff",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "gcp-client-ip",
    "incap-client-ip",
    "ngrok-client-ip",
    "oxy-client-ip",
    "proxy-client-ip",
    "remote-addr",
    "true-client-ip",
    "via-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-remote-addr",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forwarded",
    "x-forwarded-client-cert",
    "x-forwarded-client-ip",
    "x-forwarded-for",
    "x-host-ip",
    "x-ms-forwarded-client-ip",
    "x-nf-client-connection-ip",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-plausible-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-shopify-client-ip",
    "x-sucuri-clientip",
    "x-true-ip",
    "x-user-ip",
    "x-vercel-forwarded-for",
    "x-vercel-proxied-for",
];

/// Whether a header, named in lower case, is one of them.
pub(crate) fn carries_address(name: &str) -> bool {
    is_listed(name) || has_the_look(name)
}

/// Names that nobody has listed yet are made after the same few patterns; some servers write `_` for `-`.
fn has_the_look(name: &str) -> bool {
    let ends = |end: &str| {
        name.len() >= end.len()
            && name.as_bytes()[name.len() - end.len()..]
                .iter()
                .zip(end.as_bytes())
                .all(|(a, b)| a == b || (*a == b'_' && *b == b'-'))
    };
    // Most names end otherwise, and are told apart by their last byte.
    match name.as_bytes().last() {
        Some(b'p') => ["client-ip", "real-ip", "connecting-ip"].iter().any(|end| ends(end)),
        Some(b'r') => ends("forwarded-for"),
        Some(b's') => ends("viewer-address") || ends("client-address"),
        _ => false,
    }
}

fn is_listed(name: &str) -> bool {
    // Most headers of a request are told apart by their first letter.
    matches!(
        name.as_bytes().first(),
        Some(
            b'a' | b'b'
                | b'c'
                | b'd'
                | b'e'
                | b'f'
                | b'g'
                | b'i'
                | b'n'
                | b'o'
                | b'p'
                | b'r'
                | b't'
                | b'v'
                | b'w'
                | b'x'
        )
    ) && !matches!(
        name,
        "accept"
            | "cookie"
            | "referer"
            | "accept-language"
            | "accept-encoding"
            | "cache-control"
            | "connection"
            | "content-type"
            | "content-length"
    ) && ADDRESS_HEADERS.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_the_look_are_found() {
        for name in
            ["x_forwarded_for", "acme-client-ip", "x_real_ip", "edge-viewer-address", "my-connecting-ip"]
        {
            assert!(carries_address(name), "{name}");
        }
        for other in ["x-ip", "real-ip-hint", "ip", "", "tip", "x-address"] {
            assert!(!carries_address(other), "{other}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_found() {
        assert!(ADDRESS_HEADERS.is_sorted());
        assert!(ADDRESS_HEADERS.iter().all(|h| carries_address(h)));
        for other in
            ["host", "user-agent", "cookie", "x-forwarded-proto", "x-forwarded-host", "origin", "", "via"]
        {
            assert!(!carries_address(other), "{other}");
        }
    }
}
