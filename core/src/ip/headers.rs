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
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "gcp-client-ip",
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
    "x-nf-client-connection-ip",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-plausible-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-sucuri-clientip",
    "x-true-ip",
    "x-vercel-forwarded-for",
    "x-vercel-proxied-for",
];

/// Whether a header, named in lower case, is one of them.
pub(crate) fn carries_address(name: &str) -> bool {
    // Most headers of a request are told apart by their first letter.
    matches!(
        name.as_bytes().first(),
        Some(b'a' | b'b' | b'c' | b'd' | b'f' | b'g' | b'o' | b'p' | b'r' | b't' | b'v' | b'w' | b'x')
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
