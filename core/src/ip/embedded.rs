use std::net::IpAddr;

use super::country::{CountryCode, CountryLookup};

/// Registry data inside the binary, from the crate `iptocc`: which country each network was given to. No file,
/// no download, no licence to keep; as old as the crate's version. A network may be used elsewhere than where
/// its registry put it, so for country figures that matter take a country file.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddedCountries;

impl CountryLookup for EmbeddedCountries {
    fn lookup(&self, ip: IpAddr) -> Option<CountryCode> {
        iptocc::country_code(ip).and_then(CountryCode::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_networks() {
        let at = |ip: &str| EmbeddedCountries.lookup(ip.parse().unwrap()).map(|c| c.to_string());
        assert_eq!(at("8.8.8.8").as_deref(), Some("US"));
        assert_eq!(at("2001:4860:4860::8888").as_deref(), Some("US"));
        assert_eq!(at("10.0.0.1"), None);
    }
}
