//! What a check of the catalogue finds.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It looks wrong; the catalogue builds.
    Warning,
    /// It cannot be true; the catalogue does not build.
    Error,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $severity:ident $text:literal,)*) => {
        /// A rule that a catalogue is checked against.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$rule,)*];

            /// The rule's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$rule => $text,)* }
            }

            /// How bad it is to break it.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$rule => Severity::$severity,)* }
            }
        }
    };
}

rules! {
    /// The operator's name or contact is missing (GDPR Art. 13(1)(a)).
    ControllerMissing = Error "controller-missing",
    /// An id is empty, repeated, or not plain.
    BadId = Error "bad-id",
    /// A preset that privet does not have.
    UnknownPreset = Error "unknown-preset",
    /// A category that is used and not declared.
    UnknownCategory = Error "unknown-category",
    /// A service that is named and not declared.
    UnknownService = Error "unknown-service",
    /// A recipient that is named and not declared.
    UnknownRecipient = Error "unknown-recipient",
    /// A category's code is missing, out of range, or another category's.
    BadCode = Error "bad-code",
    /// `necessary` is not asked for, so it cannot be a category of consent.
    NecessaryIsNotAsked = Error "necessary-is-not-asked",
    /// A text that a visitor must be given is missing in the default language (GDPR Art. 12(1), 13(1)(c)).
    TextMissing = Error "text-missing",
    /// A word of the notice is missing for a language that privet has no words in.
    WordsMissing = Error "words-missing",
    /// A service without provider (CJEU C-673/17).
    ProviderMissing = Error "provider-missing",
    /// A service without legal basis (GDPR Art. 6(1), 13(1)(c)).
    LegalBasisMissing = Error "legal-basis-missing",
    /// An entry without gate, or with more than one.
    BadGate = Error "bad-gate",
    /// An exemption without justification (ePrivacy Directive Art. 5(3)).
    ExemptUnjustified = Error "exempt-unjustified",
    /// No duration, or one that names no period (CJEU C-673/17).
    DurationMissing = Error "duration-missing",
    /// A duration in months or years, or one that cannot be read.
    DurationInexact = Error "duration-inexact",
    /// A cookie that is to outlive what browsers keep (RFC 6265bis, section 5.5).
    DurationOverLimit = Error "duration-over-limit",
    /// What makes the entry come into being is not said.
    TriggerMissing = Error "trigger-missing",
    /// A name that no browser would take, or that breaks its own prefix (RFC 6265bis, section 4.1.3).
    BadName = Error "bad-name",
    /// Two active cookies whose names meet and whose gates differ.
    OverlappingNames = Error "overlapping-names",
    /// A name that privet uses itself.
    ReservedName = Error "reserved-name",
    /// An entry that is set before the visitor acts, against the service's own promise.
    PromiseBroken = Error "promise-broken",
    /// External content is announced and its sources are not named (CJEU C-40/17, GDPR Art. 13(1)(e)).
    ExternalSourceUnnamed = Error "external-source-unnamed",
    /// The French exception for the measurement of the own audience, without all of its conditions (CNIL, deliberation
    /// 2020-091, Art. 5).
    ExceptionNotAttested = Error "exception-not-attested",
    /// Statistics that are to need no consent, and are shared (PECR Sch. A1; CNIL, deliberation 2020-091, Art. 5).
    ExceptionShared = Error "exception-shared",
    /// A recipient is to get something that nobody may be given, such as the address itself.
    BadField = Error "bad-field",
    /// A recipient's country is no ISO 3166-1 code.
    BadCountry = Error "bad-country",
    /// What is held on a consent is to be kept after its withdrawal on no other basis (GDPR Art. 17(1)(b)).
    BadKeep = Error "bad-keep",
    /// A recipient is to be told of withdrawals at something that is no public `https` endpoint.
    BadEndpoint = Error "bad-endpoint",
    /// More categories than the device's cookie has room for.
    TooManyCategories = Error "too-many-categories",
    /// A gesture of the visitor that does not start the service (CNIL on chatbots, 19 February 2021).
    GestureIsNotActivation = Warning "gesture-is-not-activation",
    /// An entry that waits for activation and is set by load or timer.
    ActivationWithoutGesture = Warning "activation-without-gesture",
    /// A gate that is to be open until the visitor objects, and stands on no exception that a regime knows.
    ExceptionMissing = Warning "exception-missing",
    /// A text is missing in one of the other languages (GDPR Art. 12(1)).
    LanguageMissing = Warning "language-missing",
    /// An exempt entry that lives longer than its reason needs (WP29 Opinion 04/2012).
    ExemptTooLong = Warning "exempt-too-long",
    /// A name pattern that recognises nearly everything.
    PatternTooWide = Warning "pattern-too-wide",
    /// So many categories that nobody reads them; the device's cookie grows with each.
    ManyCategories = Warning "many-categories",
    /// Something that is declared and that nothing refers to.
    Unused = Warning "unused",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding: what was looked at, the rule, what is wrong, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at: `service webwidget`, `entry webwidget/widget_loaded`.
    pub entry: String,
    /// The rule that it breaks.
    pub rule: Rule,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub cure: String,
}

impl Finding {
    pub(super) fn new(
        rule: Rule,
        entry: impl Into<String>,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { entry: entry.into(), rule, what: what.into(), cure: cure.into() }
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.rule.severity()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity() {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}[{}] {}: {}; {}", self.rule, self.entry, self.what, self.cure)
    }
}

/// Why there is no catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The text is no TOML, or holds a key or word that a catalogue does not know.
    #[error("catalogue, line {line}, column {column}: {message}")]
    Toml {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// The catalogue cannot be true; every error and warning there is.
    #[error("the catalogue cannot be true:{}", list(.0))]
    Untrue(Vec<Finding>),
}

impl CatalogueError {
    /// The findings; none when the text could not be read at all.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Toml { .. } => &[],
            Self::Untrue(findings) => findings,
        }
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("\n  {f}")).collect()
}
