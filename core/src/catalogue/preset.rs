use super::build::CatalogueBuilder;
use super::declare::ServiceDecl;
use super::load;
use crate::error::Result;

/// Cookies of well-known crates, ready to be declared: `presets = ["tower-sessions"]` in TOML or
/// [`CatalogueBuilder::preset`](super::CatalogueBuilder::preset).
///
/// A preset names the crate's default cookie. An app that renames it declares it itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// Session cookie `id` of tower-sessions.
    TowerSessions,
    /// Session cookie `id` of axum-login over tower-sessions.
    AxumLogin,
    /// Form token `Csrf_Token` of axum_csrf.
    AxumCsrf,
    /// Session cookie `id` of actix-session.
    ActixSession,
    /// Session cookie `id` of actix-identity over actix-session.
    ActixIdentity,
    /// Message cookie `_flash` of actix-web-flash-messages.
    FlashMessages,
    /// State cookie `oauth_state` of an OAuth 2 sign-in.
    OauthState,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 7] = [
        Self::TowerSessions,
        Self::AxumLogin,
        Self::AxumCsrf,
        Self::ActixSession,
        Self::ActixIdentity,
        Self::FlashMessages,
        Self::OauthState,
    ];

    /// As it is written in a catalogue.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TowerSessions => "tower-sessions",
            Self::AxumLogin => "axum-login",
            Self::AxumCsrf => "axum-csrf",
            Self::ActixSession => "actix-session",
            Self::ActixIdentity => "actix-identity",
            Self::FlashMessages => "flash-messages",
            Self::OauthState => "oauth-state",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.as_str() == name)
    }

    pub(super) fn services(self) -> Result<Vec<ServiceDecl>> {
        let text = match self {
            Self::TowerSessions => include_str!("presets/tower-sessions.toml"),
            Self::AxumLogin => include_str!("presets/axum-login.toml"),
            Self::AxumCsrf => include_str!("presets/axum-csrf.toml"),
            Self::ActixSession => include_str!("presets/actix-session.toml"),
            Self::ActixIdentity => include_str!("presets/actix-identity.toml"),
            Self::FlashMessages => include_str!("presets/flash-messages.toml"),
            Self::OauthState => include_str!("presets/oauth-state.toml"),
        };
        load::from_toml(text).map(CatalogueBuilder::into_services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, Controller, Exemption, Gate};

    #[test]
    fn every_preset_builds_alone_and_with_the_others() {
        let builder = || {
            ["en", "de", "fr", "nl", "es", "it"]
                .iter()
                .fold(Catalogue::builder(Controller::new("Shop", "mail")), |b, l| b.language(l))
        };
        for preset in Preset::ALL {
            let built = builder().preset(preset).build().unwrap();
            assert!(built.warnings().is_empty(), "{preset:?}: {:?}", built.warnings());
            assert_eq!(Preset::named(preset.as_str()), Some(preset));
        }
        let all = Preset::ALL.into_iter().fold(builder(), CatalogueBuilder::preset).build().unwrap();
        let id = all.find_cookie(b"id").unwrap();
        assert!(matches!(all.entry(id).gate, Gate::Exempt { reason: Exemption::RequestedService, .. }));
        assert_eq!(all.service("session").unwrap().provider, "Shop");
    }
}
