//! privet's own cookies, in the catalogue like any other.

use std::time::Duration;

use super::declare::{EntryDecl, GateDecl, ServiceDecl};
use super::gate::{Exemption, LegalBasis, SameSite, Trigger, category_id};

/// Id of the service that privet's own cookies stand under.
pub(crate) const OWN_SERVICE: &str = "privet";

/// The names of privet's own cookies on one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnNames {
    pub(crate) consent: String,
    pub(crate) active: String,
    pub(crate) contact: String,
    pub(crate) account: String,
}

impl OwnNames {
    /// `prefix` is `__Host-`, `__Secure-` or, in development, nothing; `tag` tells sites of one host apart.
    pub(crate) fn new(prefix: &str, tag: Option<&str>) -> Self {
        let name = |kind: &str| match tag {
            None => format!("{prefix}privet{kind}"),
            Some(tag) => format!("{prefix}privet{kind}.{tag}"),
        };
        Self {
            consent: name(""),
            active: name("-active"),
            contact: name("-contact"),
            account: name("-account"),
        }
    }

    pub(crate) fn is_own(&self, name: &[u8]) -> bool {
        [&self.consent, &self.active, &self.contact, &self.account].iter().any(|own| own.as_bytes() == name)
    }
}

impl Default for OwnNames {
    fn default() -> Self {
        Self::new("__Host-", None)
    }
}

/// Words of the own service: language, text.
type Words = [(&'static str, &'static str); 6];

const LABEL: Words = [
    ("en", "Privacy settings"),
    ("de", "Datenschutz-Einstellungen"),
    ("fr", "Paramètres de confidentialité"),
    ("nl", "Privacy-instellingen"),
    ("es", "Ajustes de privacidad"),
    ("it", "Impostazioni sulla privacy"),
];
const PURPOSE: Words = [
    ("en", "Remembers what you decided about storage on your device, and keeps to it."),
    (
        "de",
        "Merkt sich, was Sie über die Speicherung auf Ihrem Gerät entschieden haben, und hält sich daran.",
    ),
    ("fr", "Retient ce que vous avez décidé sur le stockage dans votre appareil, et s’y tient."),
    ("nl", "Onthoudt wat u over opslag op uw apparaat hebt besloten, en houdt zich eraan."),
    ("es", "Recuerda lo que decidió sobre el almacenamiento en su dispositivo y lo respeta."),
    ("it", "Ricorda ciò che ha deciso sulla memorizzazione nel suo dispositivo e vi si attiene."),
];
const CONSENT: Words = [
    (
        "en",
        "Your decision per category and its day; a random record number only while you have accepted something.",
    ),
    (
        "de",
        "Ihre Entscheidung je Kategorie und ihr Tag; eine zufällige Nummer nur, solange Sie etwas angenommen haben.",
    ),
    (
        "fr",
        "Votre décision par catégorie et son jour ; un numéro aléatoire seulement tant que vous avez accepté quelque chose.",
    ),
    (
        "nl",
        "Uw besluit per categorie en de dag ervan; een willekeurig nummer alleen zolang u iets hebt geaccepteerd.",
    ),
    ("es", "Su decisión por categoría y su día; un número aleatorio solo mientras haya aceptado algo."),
    (
        "it",
        "La sua decisione per categoria e il suo giorno; un numero casuale solo finché ha accettato qualcosa.",
    ),
];
const ACTIVE: Words = [
    ("en", "The services you started yourself, and a random number for this visit; at most one day."),
    (
        "de",
        "Die Dienste, die Sie selbst gestartet haben, und eine zufällige Nummer für diesen Besuch; höchstens ein Tag.",
    ),
    (
        "fr",
        "Les services que vous avez lancés vous-même, et un numéro aléatoire pour cette visite ; un jour au plus.",
    ),
    (
        "nl",
        "De diensten die u zelf hebt gestart, en een willekeurig nummer voor dit bezoek; hooguit een dag.",
    ),
    (
        "es",
        "Los servicios que usted mismo inició y un número aleatorio para esta visita; un día como máximo.",
    ),
    (
        "it",
        "I servizi che ha avviato lei stesso e un numero casuale per questa visita; al massimo un giorno.",
    ),
];
const CONTACT: Words = [
    ("en", "A random number that recognises this browser in the contact list."),
    ("de", "Eine zufällige Nummer, die diesen Browser in der Kontaktliste wiedererkennt."),
    ("fr", "Un numéro aléatoire qui reconnaît ce navigateur dans la liste des contacts."),
    ("nl", "Een willekeurig nummer dat deze browser in de contactenlijst herkent."),
    ("es", "Un número aleatorio que reconoce este navegador en la lista de contactos."),
    ("it", "Un numero casuale che riconosce questo browser nell’elenco dei contatti."),
];

const ACCOUNT: Words = [
    ("en", "While you are signed in: what you decided for your account, on whichever device."),
    (
        "de",
        "Solange Sie angemeldet sind: was Sie für Ihr Konto entschieden haben, auf welchem Gerät auch immer.",
    ),
    (
        "fr",
        "Tant que vous êtes connecté : ce que vous avez décidé pour votre compte, sur quelque appareil que ce soit.",
    ),
    ("nl", "Zolang u bent aangemeld: wat u voor uw account hebt besloten, op welk apparaat ook."),
    ("es", "Mientras tenga la sesión iniciada: lo que decidió para su cuenta, en cualquier dispositivo."),
    ("it", "Finché l’accesso è attivo: ciò che ha deciso per il suo account, su qualsiasi dispositivo."),
];

fn purpose(entry: EntryDecl, words: &Words) -> EntryDecl {
    words.iter().fold(entry, |e, (language, text)| e.purpose(language, *text))
}

/// What the own service needs to know of the rest of the catalogue and of the installation.
pub(super) struct OwnNeeds<'a> {
    pub(super) names: &'a OwnNames,
    pub(super) domain: Option<&'a str>,
    pub(super) choice_life: Duration,
    pub(super) consent_life: Duration,
    pub(super) has_categories: bool,
    pub(super) has_activation: bool,
    pub(super) has_contacts: bool,
    pub(super) has_accounts: bool,
}

pub(super) fn service(needs: &OwnNeeds<'_>) -> Option<ServiceDecl> {
    if !(needs.has_categories || needs.has_activation) {
        return None;
    }
    let life = format!("{} seconds", needs.choice_life.as_secs());
    let common = |name: &str, words: &Words| {
        let entry = purpose(EntryDecl::new(name), words).same_site(SameSite::Lax).http_only(true).path("/");
        needs.domain.into_iter().fold(entry, EntryDecl::domain)
    };
    let mut own = ServiceDecl::new(OWN_SERVICE, "").legal_basis(LegalBasis::LegalObligation);
    own = LABEL.iter().fold(own, |s, (l, t)| s.label(l, *t));
    own = PURPOSE.iter().fold(own, |s, (l, t)| s.purpose(l, *t));
    if needs.has_categories {
        let consent_life = format!("{} seconds", needs.consent_life.as_secs());
        own = own.entry(common(&needs.names.consent, &CONSENT).duration(consent_life).trigger(Trigger::Gesture).gate(
            GateDecl::exempt(Exemption::ChoiceMemory, "Keeps the visitor's own choice; holds no identifier unless something was granted (CNIL, deliberation 2020-092)."),
        ));
    }
    if needs.has_activation {
        own = own.entry(common(&needs.names.active, &ACTIVE).duration("session").trigger(Trigger::Gesture).gate(
            GateDecl::exempt(Exemption::RequestedService, "Written when the visitor starts a service, and only to serve it (CNIL on chatbots, 19 February 2021)."),
        ));
    }
    if needs.has_accounts {
        own = own.entry(common(&needs.names.account, &ACCOUNT).duration("session").trigger(Trigger::Server).gate(
            GateDecl::exempt(Exemption::ChoiceMemory, "Keeps the choice of a signed-in person while they are signed in, and only that (CNIL, deliberation 2025-131)."),
        ));
    }
    if needs.has_contacts {
        own = own.entry(
            common(&needs.names.contact, &CONTACT)
                .duration(life)
                .trigger(Trigger::Server)
                .gate(GateDecl::consent(category_id::CONTACTS)),
        );
    }
    Some(own)
}
