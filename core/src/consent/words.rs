//! The words of the notice: what a visitor reads before deciding. They are part of the snapshot, so they live
//! here and not with the pages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::Language;

macro_rules! words {
    ($($(#[$doc:meta])* $field:ident),* $(,)?) => {
        /// The words of a notice in one language.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[non_exhaustive]
        pub struct NoticeWords {
            $($(#[$doc])* pub $field: String,)*
        }

        /// The words that an app puts in place of the built-in ones: table `[notice.<language>]`.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct WordsDecl {
            $($field: Option<String>,)*
        }

        impl WordsDecl {
            /// The built-in words with the app's own on top; the names of the words that nobody gave.
            fn resolve(&self, built_in: Option<&BuiltIn>) -> Result<NoticeWords, Vec<&'static str>> {
                let mut missing = Vec::new();
                $(
                    let $field = self.$field.clone().or_else(|| built_in.map(|b| b.$field.to_owned()));
                    if $field.is_none() { missing.push(stringify!($field)); }
                )*
                if missing.is_empty() {
                    Ok(NoticeWords { $($field: $field.unwrap_or_default(),)* })
                } else {
                    Err(missing)
                }
            }
        }

        struct BuiltIn {
            $($field: &'static str,)*
        }
    };
}

words! {
    /// Heading.
    title,
    /// The first sentences: what is asked, and that refusing is as good an answer.
    text,
    /// Button that grants every category shown.
    accept_all,
    /// Button that refuses every category shown.
    reject_all,
    /// Button that keeps the boxes as they are ticked.
    save,
    /// Link to the settings page.
    settings,
    /// Link to the cookie statement.
    statement,
    /// The right to withdraw, told before the visitor consents (GDPR Art. 13(2)(c)).
    withdrawal,
    /// That the contact is erased on withdrawal, told before.
    contact_erased,
    /// Precedes the controller's name.
    controller,
    /// Precedes the recipients' names.
    recipients,
    /// Precedes how long something is kept.
    kept,
    /// A lifetime that ends with the browser's session.
    session,
    /// Name of the built-in category `functional`.
    functional,
    /// Name of the built-in category `analytics`.
    analytics,
    /// Name of the built-in category `marketing`.
    marketing,
    /// Name of the category `contacts`.
    contacts,
}

impl NoticeWords {
    pub(crate) fn category_label(&self, id: &str) -> Option<&str> {
        use crate::catalogue::category_id::{ANALYTICS, CONTACTS, FUNCTIONAL, MARKETING};
        match id {
            FUNCTIONAL => Some(&self.functional),
            ANALYTICS => Some(&self.analytics),
            MARKETING => Some(&self.marketing),
            CONTACTS => Some(&self.contacts),
            _ => None,
        }
    }
}

pub(crate) fn resolve(
    language: &Language,
    own: &BTreeMap<Language, WordsDecl>,
) -> Result<NoticeWords, Vec<&'static str>> {
    let built_in = match language.primary() {
        "en" => Some(&EN),
        "de" => Some(&DE),
        "fr" => Some(&FR),
        "nl" => Some(&NL),
        "es" => Some(&ES),
        "it" => Some(&IT),
        _ => None,
    };
    own.get(language).unwrap_or(&WordsDecl::default()).resolve(built_in)
}

const EN: BuiltIn = BuiltIn {
    title: "Your privacy",
    text: "We would like to do what is listed below. It is up to you: the site works either way, and a no is kept as long as a yes.",
    accept_all: "Accept all",
    reject_all: "Reject all",
    save: "Save selection",
    settings: "Choose one by one",
    statement: "Cookie statement",
    withdrawal: "You can withdraw your consent at any time on the privacy settings page; what was done before stays lawful.",
    contact_erased: "If you withdraw your consent to contacts, your contact and its conversations are erased.",
    controller: "Responsible:",
    recipients: "Recipients:",
    kept: "Kept for:",
    session: "until you close the browser",
    functional: "Comfort",
    analytics: "Statistics",
    marketing: "Advertising",
    contacts: "Being recognised in chat",
};

const DE: BuiltIn = BuiltIn {
    title: "Ihre Privatsphäre",
    text: "Wir würden gern tun, was unten steht. Sie entscheiden: Die Seite funktioniert so oder so, und ein Nein gilt so lange wie ein Ja.",
    accept_all: "Alle annehmen",
    reject_all: "Alle ablehnen",
    save: "Auswahl speichern",
    settings: "Einzeln wählen",
    statement: "Cookie-Erklärung",
    withdrawal: "Sie können Ihre Einwilligung jederzeit auf der Seite der Datenschutz-Einstellungen widerrufen; was vorher geschah, bleibt rechtmäßig.",
    contact_erased: "Wenn Sie die Einwilligung in Kontakte widerrufen, werden Ihr Kontakt und seine Gespräche gelöscht.",
    controller: "Verantwortlich:",
    recipients: "Empfänger:",
    kept: "Aufbewahrt:",
    session: "bis Sie den Browser schließen",
    functional: "Komfort",
    analytics: "Statistik",
    marketing: "Werbung",
    contacts: "Im Chat wiedererkannt werden",
};

const FR: BuiltIn = BuiltIn {
    title: "Votre vie privée",
    text: "Nous aimerions faire ce qui est indiqué ci-dessous. À vous de choisir : le site fonctionne dans les deux cas, et un non est retenu aussi longtemps qu’un oui.",
    accept_all: "Tout accepter",
    reject_all: "Tout refuser",
    save: "Enregistrer la sélection",
    settings: "Choisir un par un",
    statement: "Déclaration relative aux cookies",
    withdrawal: "Vous pouvez retirer votre consentement à tout moment sur la page des paramètres de confidentialité ; ce qui a été fait avant reste licite.",
    contact_erased: "Si vous retirez votre consentement aux contacts, votre contact et ses conversations sont effacés.",
    controller: "Responsable :",
    recipients: "Destinataires :",
    kept: "Conservé :",
    session: "jusqu’à la fermeture du navigateur",
    functional: "Confort",
    analytics: "Statistiques",
    marketing: "Publicité",
    contacts: "Être reconnu dans le chat",
};

const NL: BuiltIn = BuiltIn {
    title: "Uw privacy",
    text: "Wij willen graag doen wat hieronder staat. U beslist: de site werkt in beide gevallen, en een nee wordt even lang bewaard als een ja.",
    accept_all: "Alles accepteren",
    reject_all: "Alles weigeren",
    save: "Keuze opslaan",
    settings: "Een voor een kiezen",
    statement: "Cookieverklaring",
    withdrawal: "U kunt uw toestemming op elk moment intrekken op de pagina met privacy-instellingen; wat eerder gebeurde, blijft rechtmatig.",
    contact_erased: "Als u uw toestemming voor contacten intrekt, worden uw contact en de gesprekken ervan gewist.",
    controller: "Verantwoordelijk:",
    recipients: "Ontvangers:",
    kept: "Bewaard:",
    session: "tot u de browser sluit",
    functional: "Gemak",
    analytics: "Statistieken",
    marketing: "Reclame",
    contacts: "Herkend worden in de chat",
};

const ES: BuiltIn = BuiltIn {
    title: "Su privacidad",
    text: "Nos gustaría hacer lo que se indica a continuación. Usted decide: el sitio funciona en ambos casos, y un no se conserva tanto tiempo como un sí.",
    accept_all: "Aceptar todo",
    reject_all: "Rechazar todo",
    save: "Guardar selección",
    settings: "Elegir uno por uno",
    statement: "Declaración de cookies",
    withdrawal: "Puede retirar su consentimiento en cualquier momento en la página de ajustes de privacidad; lo hecho antes sigue siendo lícito.",
    contact_erased: "Si retira su consentimiento a los contactos, se borran su contacto y sus conversaciones.",
    controller: "Responsable:",
    recipients: "Destinatarios:",
    kept: "Se conserva:",
    session: "hasta que cierre el navegador",
    functional: "Comodidad",
    analytics: "Estadísticas",
    marketing: "Publicidad",
    contacts: "Ser reconocido en el chat",
};

const IT: BuiltIn = BuiltIn {
    title: "La sua privacy",
    text: "Vorremmo fare quanto indicato qui sotto. Decide lei: il sito funziona in entrambi i casi, e un no vale tanto a lungo quanto un sì.",
    accept_all: "Accetta tutto",
    reject_all: "Rifiuta tutto",
    save: "Salva la scelta",
    settings: "Scegliere uno per uno",
    statement: "Dichiarazione sui cookie",
    withdrawal: "Può revocare il consenso in qualsiasi momento nella pagina delle impostazioni sulla privacy; quanto fatto prima resta lecito.",
    contact_erased: "Se revoca il consenso ai contatti, il suo contatto e le relative conversazioni vengono cancellati.",
    controller: "Titolare:",
    recipients: "Destinatari:",
    kept: "Conservato:",
    session: "fino alla chiusura del browser",
    functional: "Comodità",
    analytics: "Statistiche",
    marketing: "Pubblicità",
    contacts: "Essere riconosciuti nella chat",
};
