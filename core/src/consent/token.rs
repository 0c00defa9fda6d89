//! The hidden field of a consent form: which notice was shown, where, and when.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use super::notice::NoticeId;
use super::regime::Regime;
use crate::clock::Timestamp;
use crate::key::{KeyRing, Mac, TAG_LEN};
use crate::scope::Scope;

/// How long a form that was shown can be sent: an open tab may wait for a week.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(7 * 86_400);

const VERSION: u8 = 1;
/// version, regime, minutes since 1970, material, snapshot
const LEN: usize = 1 + 1 + 4 + 8 + 32;

/// What a form carries about the notice it stood under. Tenant and site are in the key, not in the text.
///
/// Layout, base64url without padding: version 1 · regime (1 byte) · issued (minutes since 1970, 4 bytes, big
/// endian) · first 8 bytes of the catalogue's material hash · snapshot id (32 bytes) · tag (16 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoticeToken {
    /// What was shown; its content includes its language.
    pub notice: NoticeId,
    /// Under which rule set.
    pub regime: Regime,
    /// When, to the minute.
    pub issued: Timestamp,
    pub(crate) material: [u8; 8],
}

#[derive(Clone, Debug)]
pub(crate) struct TokenKey(Mac);

impl TokenKey {
    pub(crate) fn new(keys: &KeyRing, scope: &Scope) -> Self {
        Self(keys.mac("notice-token", &[scope.tenant.as_str().as_bytes(), scope.site.as_str().as_bytes()]))
    }

    pub(crate) fn encode(&self, token: &NoticeToken) -> String {
        let mut bytes = Vec::with_capacity(LEN + TAG_LEN);
        bytes.extend([VERSION, token.regime.rules().code]);
        bytes.extend(u32::try_from(token.issued.as_millis() / 60_000).unwrap_or(0).to_be_bytes());
        bytes.extend(token.material);
        bytes.extend(token.notice.as_bytes());
        let tag = self.0.tag(&[&bytes]);
        bytes.extend(tag);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// A token that this installation issued for this site, and that is not too old. Nothing else is told.
    pub(crate) fn decode(&self, text: &str, now: Timestamp) -> Option<NoticeToken> {
        if text.len() != BASE64URL_NOPAD.encode_len(LEN + TAG_LEN) {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (body, tag) = bytes.split_at_checked(LEN)?;
        if !self.0.verify(body, tag) || body[0] != VERSION {
            return None;
        }
        let minutes = u32::from_be_bytes(body[2..6].try_into().ok()?);
        let token = NoticeToken {
            notice: NoticeId::from_bytes(body[14..46].try_into().ok()?),
            regime: Regime::from_code(body[1])?,
            issued: Timestamp::from_millis(i64::from(minutes) * 60_000),
            material: body[6..14].try_into().ok()?,
        };
        // A minute of grace: the stamp is floored, and instances' clocks differ a little.
        let fresh = token.issued <= now + Duration::from_secs(60) && now.since(token.issued) <= TOKEN_LIFE;
        fresh.then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::{Site, Tenant};

    fn key(byte: u8, site: &str) -> TokenKey {
        let mut bytes = [byte; 32];
        bytes[3] = 7;
        let keys = KeyRing::from_bytes(bytes).unwrap();
        TokenKey::new(&keys, &Scope::new(Tenant::default(), Site::new(site).unwrap()))
    }

    #[test]
    fn comes_back_for_its_site_and_its_time_only() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let token = NoticeToken {
            notice: NoticeId::from_bytes([5; 32]),
            regime: Regime::OptIn,
            issued: now.floor_to(Duration::from_secs(60)),
            material: [1; 8],
        };
        let text = key(1, "a").encode(&token);
        assert_eq!(key(1, "a").decode(&text, now), Some(token));
        assert_eq!(key(1, "a").decode(&text, now + TOKEN_LIFE), Some(token));
        assert_eq!(key(1, "a").decode(&text, now + TOKEN_LIFE + Duration::from_secs(60)), None);
        assert_eq!(key(1, "a").decode(&text, now - Duration::from_secs(180)), None, "from the future");
        assert_eq!(key(1, "b").decode(&text, now), None, "another site's");
        assert_eq!(key(2, "a").decode(&text, now), None, "another installation's");
        for at in 0..text.len() {
            let mut broken = text.clone().into_bytes();
            broken[at] = if broken[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(key(1, "a").decode(std::str::from_utf8(&broken).unwrap(), now), None, "byte {at}");
        }
        for text in ["", "x", "ä", &text[1..], &format!("{text}A")] {
            assert_eq!(key(1, "a").decode(text, now), None);
        }
    }
}
