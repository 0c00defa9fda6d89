//! The visitor's receipt: JSON-LD with the fields of ISO/IEC TS 27560:2023, in terms of the Data Privacy Vocabulary 2.3
//! (a report of a W3C community group, which maps the one to the other).

use data_encoding::HEXLOWER;
use privet::catalogue::category_id;
use privet::consent::{Method, Receipt, Standpoint};
use privet::{Timestamp, Visit};
use serde_json::{Value, json};

use super::not_found;
use crate::reply::Reply;
use crate::request::Request;

pub(super) async fn receipt(visit: &Visit, request: &Request) -> Reply {
    match visit.privet().receipt(visit).await {
        Ok(Some(receipt)) => {
            let body = written(visit, &receipt);
            Reply::json(200, &body)
                .content_type("application/ld+json")
                .header("content-language", receipt.record.language.as_str())
                .header("content-disposition", "inline; filename=\"consent-receipt.jsonld\"")
                .personal()
        }
        Ok(None) => not_found(visit, request),
        Err(error) => Reply::of_error(&error),
    }
}

/// What the built-in categories are for, in the vocabulary; an app's own are a purpose with a description.
fn purpose(id: &str) -> &'static str {
    match id {
        category_id::FUNCTIONAL => "dpv:ServicePersonalisation",
        category_id::ANALYTICS => "dpv:ServiceUsageAnalytics",
        category_id::MARKETING => "dpv:Marketing",
        category_id::CONTACTS => "dpv:CommunicationForCustomerCare",
        _ => "dpv:Purpose",
    }
}

fn at(time: Timestamp) -> Value {
    json!({ "@type": "xsd:dateTime", "@value": time.to_string() })
}

/// A category of the notice by its number; nothing when the notice is gone.
fn shown(notice: &Value, standpoint: &Standpoint) -> Value {
    let categories = notice["categories"].as_array();
    let found = categories.into_iter().flatten().find(|c| c["code"] == standpoint.category.get());
    found.cloned().unwrap_or_default()
}

fn written(visit: &Visit, receipt: &Receipt) -> Value {
    let record = &receipt.record;
    let id = record.id.encode();
    let notice: Value =
        receipt.notice.as_ref().and_then(|n| serde_json::from_str(&n.body).ok()).unwrap_or_default();
    let controller = visit.catalogue().controller();
    let base = visit.privet().base_path();
    let method = match record.method {
        Method::Form => "a form of the notice or of the settings",
        Method::Script => "a script of the page",
        Method::Signal => "a signal of the browser: Global Privacy Control",
        _ => "a program on the server",
    };
    let processes: Vec<_> = receipt
        .standpoints
        .iter()
        .map(|standpoint| {
            let category = shown(&notice, standpoint);
            let category_id = category["id"].as_str().unwrap_or_default();
            let services = category["services"].as_array().cloned().unwrap_or_default();
            let entries: Vec<_> = services.iter().filter_map(|s| s["entries"].as_array().cloned()).flatten().collect();
            let recipients: Vec<_> = services
                .iter()
                .filter_map(|s| s["recipients"].as_array().cloned())
                .flatten()
                .map(|r| json!({ "@type": "dpv:Recipient", "dpv:hasName": r["name"], "dpv:hasCountry": r["country"] }))
                .collect();
            json!({
                "@type": "dpv:Process",
                "dct:identifier": category_id,
                "dct:title": category["label"],
                "dpv:hasPurpose": [{ "@type": purpose(category_id), "dct:description": category["purpose"] }],
                "dpv:hasPersonalData": entries.iter().map(|e| e["name"].clone()).collect::<Vec<_>>(),
                "dpv:hasStorageCondition": entries
                    .iter()
                    .map(|e| json!({ "dct:title": e["name"], "dpv:hasDuration": duration(&e["seconds"]) }))
                    .collect::<Vec<_>>(),
                "dpv:hasRecipient": recipients,
                "dpv:hasLegalBasis": [{ "@id": "eu-gdpr:A6-1-a" }, { "@id": "dpv:ExpressedConsent" }],
                "dpv:hasConsentStatus": {
                    "@id": format!("dpv:{}", standpoint.status.term()),
                    "dpv:isIndicatedAtTime": at(standpoint.since),
                    "dpv:isIndicatedBy": { "@type": "dpv:DataSubject", "dct:identifier": id },
                    "dpv:hasIndicationMethod": method,
                    "dct:valid": at(record.until),
                },
            })
        })
        .collect();
    json!({
        "@context": {
            "dpv": "https://w3id.org/dpv#",
            "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
            "dct": "http://purl.org/dc/terms/",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
        },
        "dct:conformsTo": { "@id": "https://w3id.org/dpv/schema/dpv-27560#receipt" },
        "dct:identifier": format!("{id}/{}", receipt.made.as_millis()),
        "dct:created": at(receipt.made),
        "dpv:hasRecordOfActivity": [{
            "@type": "dpv:ConsentRecord",
            "dct:conformsTo": { "@id": "https://w3id.org/dpv/schema/dpv-27560#record" },
            "dct:identifier": id,
            "dpv:hasDataSubject": { "@type": "dpv:DataSubject", "dct:identifier": id },
            "dpv:hasDataController": {
                "@type": "dpv:DataController",
                "dpv:hasName": controller.name,
                "dpv:hasContact": controller.contact,
                "dpv:hasAddress": controller.address,
            },
            "dpv:hasNotice": {
                "@type": "dpv:ConsentNotice",
                "dct:identifier": HEXLOWER.encode(record.notice.as_bytes()),
                "dct:language": record.language.as_str(),
            },
            "dpv:hasJurisdiction": record.regime,
            "dpv:hasConsentControl": [{ "@type": "dpv:WithdrawConsent", "dct:title": base }],
            "dpv:hasProcess": processes,
        }],
    })
}

/// ISO 8601; a session has none.
fn duration(seconds: &Value) -> Value {
    seconds
        .as_u64()
        .map_or_else(|| json!("session"), |s| json!({ "@type": "xsd:duration", "@value": format!("PT{s}S") }))
}
