//! The catalogue as a developer meets it: what is refused, what is warned about, and what is read from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that meets something else has failed")]

use privet::catalogue::{
    CatalogueBuilder, CatalogueError, CategoryDecl, Controller, EntryDecl, Exemption, Finding, GateDecl,
    LegalBasis, RecipientDecl, Rule, ServiceDecl, Severity, StorageKind, Trigger,
};
use privet::{Catalogue, Error};

const AS_STATED: &str = include_str!("catalogues/webwidget-as-stated.toml");

fn findings(error: Error) -> Vec<Finding> {
    match error {
        Error::Catalogue(e) => e.findings().to_vec(),
        other => panic!("{other}"),
    }
}

fn names(findings: &[Finding], severity: Severity) -> Vec<(Rule, &str)> {
    let mut names: Vec<_> =
        findings.iter().filter(|f| f.severity() == severity).map(|f| (f.rule, f.entry.as_str())).collect();
    names.sort_unstable();
    names
}

/// STM-02, STM-04, STM-07: the statement of a real widget fails with exactly what is not true of it.
#[test]
fn stm_04_the_statement_as_it_stands_fails_with_exactly_what_is_untrue() {
    let found = findings(Catalogue::from_toml(AS_STATED).unwrap_err());
    assert_eq!(
        names(&found, Severity::Error),
        [
            (Rule::DurationMissing, "entry webwidget/<integrationId>.appUserId"),
            (Rule::DurationMissing, "entry webwidget/widget_uuid"),
            (Rule::PromiseBroken, "entry webwidget/widget_auto_opened"),
            (Rule::PromiseBroken, "entry webwidget/widget_loaded"),
            (Rule::ExternalSourceUnnamed, "service webwidget"),
        ]
    );
    assert_eq!(
        names(&found, Severity::Warning),
        [
            (Rule::GestureIsNotActivation, "entry webwidget/widget_closed_by_customer"),
            (Rule::GestureIsNotActivation, "entry webwidget/widget_eyecatcher_closed"),
        ]
    );
    assert!(found.iter().all(|f| !f.what.is_empty() && !f.cure.is_empty()));
    let shown = Catalogue::from_toml(AS_STATED).unwrap_err().to_string();
    assert!(
        shown.contains("error[promise-broken] entry webwidget/widget_loaded")
            && shown.contains("`Persistent` names no period"),
        "{shown}"
    );
    assert_eq!(
        CatalogueBuilder::from_toml(AS_STATED).unwrap().lint(),
        found,
        "lint() and build() say the same"
    );
}

fn shop() -> CatalogueBuilder {
    Catalogue::builder(Controller::new("Shop", "privacy@shop.example"))
}

fn service(entry: EntryDecl) -> ServiceDecl {
    ServiceDecl::new("s", "Shop")
        .purpose("en", "Does something.")
        .legal_basis(LegalBasis::Consent)
        .entry(entry)
}

fn entry(name: &str) -> EntryDecl {
    EntryDecl::new(name)
        .purpose("en", "Holds something.")
        .duration("session")
        .trigger(Trigger::Server)
        .gate(GateDecl::exempt(Exemption::Auth, "Keeps the visitor signed in."))
}

fn analytics() -> CategoryDecl {
    CategoryDecl::new("analytics").purpose("en", "Counts visits.")
}

/// The rule that a catalogue breaks, and only that one.
fn broken(builder: &CatalogueBuilder) -> Rule {
    let errors: Vec<_> = builder.lint().into_iter().filter(|f| f.severity() == Severity::Error).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(builder.build().is_err());
    errors[0].rule
}

#[test]
fn what_cannot_be_true_is_refused() {
    let one = |e: EntryDecl| broken(&shop().service(service(e)));
    assert_eq!(one(entry("a").gate(GateDecl::consent("analytics"))), Rule::UnknownCategory);
    assert_eq!(one(entry("a").gate(GateDecl::unless_objected("analytics", []))), Rule::UnknownCategory);
    assert_eq!(one(entry("a").gate(GateDecl::consent("necessary"))), Rule::NecessaryIsNotAsked);
    assert_eq!(one(entry("a").gate(GateDecl::activation("chat"))), Rule::UnknownService);
    assert_eq!(one(entry("a").gate(GateDecl::exempt(Exemption::Auth, "  "))), Rule::ExemptUnjustified);
    assert_eq!(one(entry("a").gate(GateDecl::default())), Rule::BadGate);
    assert_eq!(one(entry("a").duration("")), Rule::DurationMissing);
    assert_eq!(one(entry("a").duration("persistent")), Rule::DurationMissing);
    assert_eq!(one(entry("a").duration("13 months")), Rule::DurationInexact);
    assert_eq!(one(entry("a").duration("soon")), Rule::DurationInexact);
    assert_eq!(one(entry("a").duration("401 days")), Rule::DurationOverLimit);
    assert_eq!(one(entry(&"n".repeat(4097))), Rule::BadName);
    assert_eq!(one(entry("a b")), Rule::BadName);
    assert_eq!(one(entry("")), Rule::BadName);
    assert_eq!(one(entry("a<b")), Rule::BadName);
    for prefix in ["__Host-", "__host-", "__HOST-"] {
        assert_eq!(one(entry(&format!("{prefix}x")).domain("shop.example")), Rule::BadName);
        assert_eq!(one(entry(&format!("{prefix}x")).path("/a")), Rule::BadName);
    }
    assert_eq!(one(entry("__Http-x").http_only(false)), Rule::BadName);
    assert_eq!(one(entry("__Host-privet")), Rule::ReservedName);
    assert_eq!(
        broken(&shop().category(CategoryDecl::new("letters").label("en", "x").purpose("en", "x"))),
        Rule::BadCode
    );
    assert_eq!(
        broken(&shop().category(CategoryDecl::new("letters").code(7).label("en", "x").purpose("en", "x"))),
        Rule::BadCode
    );
    assert_eq!(broken(&shop().category(analytics().code(9))), Rule::BadCode);
    assert_eq!(broken(&shop().category(CategoryDecl::new("necessary"))), Rule::NecessaryIsNotAsked);
    assert_eq!(broken(&shop().category(CategoryDecl::new("analytics"))), Rule::TextMissing);
    assert_eq!(broken(&shop().language("pt")), Rule::WordsMissing);
    assert_eq!(broken(&shop().service(service(entry("a")).recipient("desk"))), Rule::UnknownRecipient);
    assert_eq!(broken(&shop().service(service(entry("a"))).service(service(entry("b")))), Rule::BadId);
    assert_eq!(
        broken(
            &shop().service(
                ServiceDecl::new("privet", "Shop").purpose("en", "x").legal_basis(LegalBasis::Consent)
            )
        ),
        Rule::BadId
    );
    let desk = |r: RecipientDecl| broken(&shop().recipient(r.purpose("en", "Answers.")));
    assert_eq!(desk(RecipientDecl::new("desk", "Desk", "Netherlands")), Rule::BadCountry);
    assert_eq!(desk(RecipientDecl::new("desk", "", "NL")), Rule::TextMissing);
    assert_eq!(desk(RecipientDecl::new("desk", "Desk", "NL").field("ip")), Rule::BadField);
    assert_eq!(desk(RecipientDecl::new("desk", "Desk", "NL").header("X-Forwarded-For")), Rule::BadField);
    assert_eq!(desk(RecipientDecl::new("desk", "Desk", "NL").header("Cookie")), Rule::BadField);
}

#[test]
fn a_missing_operator_and_missing_words_are_refused() {
    let empty = findings(Catalogue::from_toml("").unwrap_err());
    assert_eq!(
        empty.iter().map(|f| f.rule).collect::<Vec<_>>(),
        [Rule::ControllerMissing, Rule::ControllerMissing]
    );
    let preset = findings(
        Catalogue::from_toml("presets = [\"tower-session\"]\n[controller]\nname = \"S\"\ncontact = \"c\"")
            .unwrap_err(),
    );
    assert_eq!(preset[0].rule, Rule::UnknownPreset);
    assert!(preset[0].cure.contains("tower-sessions"));
    let bare = findings(Catalogue::from_toml("[controller]\nname = \"S\"\ncontact = \"c\"\n[[service]]\nid = \"s\"\n[[service.entry]]\nname = \"n\"").unwrap_err());
    let rules: std::collections::BTreeSet<_> = bare.iter().map(|f| f.rule).collect();
    let expected = [
        Rule::TextMissing,
        Rule::ProviderMissing,
        Rule::LegalBasisMissing,
        Rule::BadGate,
        Rule::DurationMissing,
        Rule::TriggerMissing,
    ];
    assert_eq!(rules, expected.into_iter().collect());
}

#[test]
fn names_that_meet_with_different_gates_or_durations_are_refused() {
    let both = |first: &str, second: &str, gate: GateDecl| {
        let two = service(entry(first)).entry(entry(second).gate(gate));
        shop().category(analytics()).service(two)
    };
    for (a, b) in [("x", "x"), ("<id>.x", "abc.x"), ("<id>.x", "<other>.x")] {
        assert_eq!(broken(&both(a, b, GateDecl::consent("analytics"))), Rule::OverlappingNames, "{a} {b}");
        assert!(both(a, b, GateDecl::exempt(Exemption::Auth, "The same.")).build().is_ok(), "{a} {b}");
    }
    assert!(both("<id>.x", "abc.y", GateDecl::consent("analytics")).build().is_ok());
    let longer = service(entry("x")).entry(entry("x").duration("7 days"));
    assert_eq!(
        broken(&shop().service(longer)),
        Rule::OverlappingNames,
        "which of them would the gate keep to?"
    );
}

#[test]
fn what_looks_wrong_is_warned_about() {
    let warned =
        |b: CatalogueBuilder| b.build().unwrap().warnings().iter().map(|f| f.rule).collect::<Vec<_>>();
    let chat = |e: EntryDecl| shop().service(service(e.gate(GateDecl::activation("s"))).activated_by("open"));
    assert_eq!(warned(chat(entry("a").gesture("open"))), []);
    assert_eq!(warned(chat(entry("a").gesture("close"))), [Rule::GestureIsNotActivation]);
    assert_eq!(warned(chat(entry("a").trigger(Trigger::Load))), [Rule::ActivationWithoutGesture]);
    assert_eq!(warned(shop().service(service(entry("<id>_x")))), [Rule::PatternTooWide]);
    let long = entry("a").duration("90 days").gate(GateDecl::exempt(Exemption::UserInput, "Cart."));
    assert_eq!(warned(shop().service(service(long))), [Rule::ExemptTooLong]);
    assert_eq!(warned(shop().category(analytics())), [Rule::Unused]);
    assert_eq!(
        warned(shop().recipient(RecipientDecl::new("d", "Desk", "nl").purpose("en", "Answers."))),
        [Rule::Unused]
    );
    let german = shop().language("en").language("de").service(service(entry("a")));
    assert_eq!(warned(german), [Rule::LanguageMissing, Rule::LanguageMissing]);
}

#[test]
fn toml_and_builder_give_the_same_catalogue() {
    let toml = Catalogue::from_toml(
        r#"
        [controller]
        name = "Shop"
        contact = "privacy@shop.example"

        [[category]]
        id = "analytics"
        purpose = "Counts visits."

        [[service]]
        id = "s"
        provider = "Shop"
        purpose = { en = "Does something." }
        legal_basis = "consent"

        [[service.entry]]
        name = "visits"
        purpose = "Holds something."
        duration = "30 days"
        trigger = "server"
        gate = { consent = "analytics" }
        "#,
    )
    .unwrap();
    let rust = shop()
        .category(analytics())
        .service(service(entry("visits").duration("30 days").gate(GateDecl::consent("analytics"))))
        .build()
        .unwrap();
    assert_eq!(toml.material(), rust.material());
    let en = &toml.languages()[0];
    let json = |c: &Catalogue| serde_json::to_value(c.statement(en)).unwrap();
    assert_eq!(json(&toml), json(&rust));
}

#[test]
fn privets_own_cookies_are_in_the_statement() {
    let built = shop()
        .category(analytics())
        .category(CategoryDecl::new("contacts").purpose("en", "Recognises you in the chat."))
        .service(service(entry("visits").gate(GateDecl::consent("analytics"))).activated_by("open"))
        .build()
        .unwrap();
    let statement = built.statement(&built.languages()[0]);
    let items: Vec<_> = statement
        .groups
        .iter()
        .flat_map(|g| g.items.iter().map(move |i| (g.kind, g.id.as_deref(), i.name.as_str())))
        .collect();
    for own in [
        ("necessary", None, "__Host-privet"),
        ("necessary", None, "__Host-privet-active"),
        ("consent", Some("contacts"), "__Host-privet-contact"),
    ] {
        assert!(items.contains(&own), "{own:?} not in {items:?}");
    }
    assert!(
        statement
            .groups
            .iter()
            .flat_map(|g| &g.items)
            .all(|i| !i.provider.is_empty() && !i.purpose.is_empty() && !i.duration.is_empty())
    );
}

#[test]
fn an_entry_exists_only_with_its_feature() {
    let with = |feature: Option<&str>| {
        let b = shop().service(service(entry("a").condition("chat")));
        feature.into_iter().fold(b, CatalogueBuilder::feature).build().unwrap()
    };
    assert!(with(None).services()[0].entries.is_empty());
    assert_eq!(with(Some("chat")).services()[0].entries.len(), 1);
}

/// CON-07: a corrected typo asks nobody again; a new recipient, host, entry or a longer duration does.
#[test]
fn con_07_only_material_changes_change_the_fingerprint() {
    let built = |change: fn(ServiceDecl) -> ServiceDecl, e: EntryDecl, purpose: &str| {
        let s = change(service(e.gate(GateDecl::consent("analytics"))));
        shop()
            .category(CategoryDecl::new("analytics").purpose("en", purpose))
            .category(CategoryDecl::new("marketing").purpose("en", "Advertises."))
            .recipient(RecipientDecl::new("desk", "Desk", "NL").purpose("en", "Answers."))
            .service(s)
            .build()
            .unwrap()
    };
    let same = |s: ServiceDecl| s;
    let base = built(same, entry("visits"), "Counts visits.");
    let fingerprint = |c: &Catalogue, id: &str| c.category(id).unwrap().fingerprint();
    let unchanged = [
        built(same, entry("visits"), "Counts your visits!"),
        built(|s| s.purpose("en", "Does something else, in other words."), entry("visits"), "Counts visits."),
        built(same, entry("visits").purpose("en", "Other words."), "Counts visits."),
    ];
    for other in &unchanged {
        assert_eq!(fingerprint(&base, "analytics"), fingerprint(other, "analytics"));
    }
    let changed = [
        built(|s| s.recipient("desk"), entry("visits"), "Counts visits."),
        built(|s| s.external_host("cdn.example"), entry("visits"), "Counts visits."),
        built(|s| s.third_party_access("Desk"), entry("visits"), "Counts visits."),
        built(same, entry("visits").duration("30 days"), "Counts visits."),
        built(same, entry("visits2"), "Counts visits."),
        built(same, entry("visits").storage(StorageKind::LocalStorage), "Counts visits."),
    ];
    for other in &changed {
        assert_ne!(fingerprint(&base, "analytics"), fingerprint(other, "analytics"));
        assert_eq!(fingerprint(&base, "marketing"), fingerprint(other, "marketing"), "the others stand");
        assert_ne!(base.material(), other.material());
    }
}

#[test]
fn errors_are_placed_in_the_text() {
    let error = Catalogue::from_toml("[controller]\nname = \"Shop\"\ncontact = \"c\"\ncolour = \"green\"\n")
        .unwrap_err();
    match error {
        Error::Catalogue(CatalogueError::Toml { line: 4, column: 1, message }) => {
            assert!(message.contains("colour"));
        }
        other => panic!("{other}"),
    }
}

/// STM-01: the eleven rows of a real widget's statement, once what was untrue of it is mended: each with its purpose, an
/// exact duration, who provides it and who can read it.
#[test]
fn stm_01_every_row_says_who_what_and_how_long() {
    let mended = AS_STATED
        .replace("duration = \"Persistent\"", "duration = \"24 hours\"")
        .replace("external_hosts = []", "external_hosts = [\"widget.example\"]")
        .replace(
            "trigger = \"timer\"\ngate = { activation = \"webwidget\" }",
            "trigger = \"timer\"\ngate = { consent = \"functional\" }",
        )
        .replace(
            "trigger = \"load\"\ngate = { activation = \"webwidget\" }",
            "trigger = \"load\"\ngate = { consent = \"functional\" }",
        )
        + "\n[[category]]\nid = \"functional\"\npurpose = \"Opens the chat by itself.\"\n";
    let catalogue = Catalogue::from_toml(&mended).unwrap();
    let statement = catalogue.statement(&catalogue.languages()[0]);
    let rows: Vec<_> = statement
        .groups
        .iter()
        .flat_map(|g| g.items.iter().map(move |i| (g.kind, i)))
        .filter(|(_, i)| i.service == "webwidget")
        .collect();
    let told: Vec<_> =
        rows.iter().map(|(kind, i)| (*kind, i.name.as_str(), i.duration.as_str(), i.seconds)).collect();
    let (session, day) = (("session", None), ("1 day", Some(86_400)));
    let row = |kind, name, (duration, seconds): (&'static str, Option<u64>)| (kind, name, duration, seconds);
    assert_eq!(
        told,
        [
            row("activation", "<integrationId>.appUserId", day),
            row("activation", "<integrationId>.clientId", session),
            row("activation", "<integrationId>.sessionToken", session),
            row("activation", "widget_closed_by_customer", session),
            row("activation", "widget_opened_by_customer", session),
            row("activation", "widget_customer_clicked_header", session),
            row("activation", "widget_eyecatcher_closed", session),
            row("activation", "widget_uuid", day),
            row("activation", "widget_show_first_message", session),
            row("consent", "widget_auto_opened", session),
            row("consent", "widget_loaded", session),
        ]
    );
    for (_, row) in rows {
        assert_eq!(
            (row.provider.as_str(), &row.third_party_access[..]),
            ("Web1on1", &["Web1on1".to_owned()][..])
        );
        assert!(row.purpose.ends_with('.') && row.article == "GDPR Art. 6(1)(b)", "{}", row.name);
    }
}

/// STM-02: a word such as persistent is no duration, and neither is one without exact length.
#[test]
fn stm_02_a_duration_is_a_real_one() {
    let with = |duration: &str| {
        let gated = entry("a").duration(duration).gate(GateDecl::consent("analytics"));
        let category = CategoryDecl::new("analytics").purpose("en", "Counts.");
        shop().category(category).service(service(gated)).build()
    };
    for word in [
        "",
        "persistent",
        "Persistent",
        "forever",
        "unlimited",
        "until deleted",
        "13 months",
        "1 year",
        "0 days",
    ] {
        assert!(with(word).is_err(), "{word}");
    }
    for (duration, told) in [("session", "session"), ("24 hours", "1 day"), ("395 days", "395 days")] {
        let catalogue = with(duration).unwrap();
        let statement = catalogue.statement(&catalogue.languages()[0]);
        let items: Vec<_> =
            statement.groups.iter().flat_map(|g| &g.items).filter(|i| i.name == "a").collect();
        assert_eq!(items.iter().map(|i| i.duration.as_str()).collect::<Vec<_>>(), [told]);
    }
}

/// STM-03: what is called necessary cannot wait for consent, and what waits for consent stands under its category.
#[test]
fn stm_03_nothing_is_called_what_its_gate_denies() {
    let necessary = entry("a").gate(GateDecl::consent("necessary"));
    assert_eq!(broken(&shop().service(service(necessary))), Rule::NecessaryIsNotAsked);
    let asked = CategoryDecl::new("necessary").purpose("en", "All of it.");
    assert!(shop().category(asked).build().is_err());
    let catalogue =
        shop()
            .category(CategoryDecl::new("analytics").purpose("en", "Counts."))
            .service(service(entry("counted").gate(GateDecl::consent("analytics"))).entry(
                entry("kept").gate(GateDecl::exempt(Exemption::Auth, "Sign-in cannot work without it.")),
            ))
            .build()
            .unwrap();
    let statement = catalogue.statement(&catalogue.languages()[0]);
    let of = |name: &str| {
        let mut groups = statement.groups.iter().filter(|g| g.items.iter().any(|i| i.name == name));
        let group = groups.next().unwrap();
        assert!(groups.next().is_none(), "{name} stands once");
        let item = group.items.iter().find(|i| i.name == name).unwrap();
        (group.kind, group.id.clone(), item.justification.clone())
    };
    assert_eq!(of("counted"), ("consent", Some("analytics".to_owned()), None));
    assert_eq!(of("kept"), ("necessary", None, Some("Sign-in cannot work without it.".to_owned())));
}

/// STM-07: content of others is announced with its sources, and who receives something is declared by name.
#[test]
fn stm_07_external_sources_are_named() {
    let toml = |hosts: &str| {
        format!(
            "[controller]\nname = \"S\"\ncontact = \"c\"\n[[category]]\nid = \"analytics\"\npurpose = \"x\"\n[[service]]\nid = \"v\"\nprovider = \"V\"\npurpose = \"x\"\nlegal_basis = \"consent\"\nexternal_content = true\n{hosts}\ngate = {{ consent = \"analytics\" }}\n"
        )
    };
    let found = findings(Catalogue::from_toml(&toml("")).unwrap_err());
    assert_eq!(names(&found, Severity::Error), [(Rule::ExternalSourceUnnamed, "service v")]);
    let catalogue = Catalogue::from_toml(&toml("external_hosts = [\"video.example\"]")).unwrap();
    let statement = catalogue.statement(&catalogue.languages()[0]);
    assert!(statement.groups.iter().any(|g| g.external_hosts == ["video.example"]));
    let nobody = toml("external_hosts = [\"video.example\"]\nrecipients = [\"nobody\"]");
    assert!(Catalogue::from_toml(&nobody).is_err());
}
