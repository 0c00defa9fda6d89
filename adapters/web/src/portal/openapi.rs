//! The portal for programs, as OpenAPI 3.1, made from the table that requests are dispatched by.

use privet::portal::{Permission, Role};
use serde_json::{Map, Value, json};

use super::routes::{Page, ROUTES, Route};

/// The least role that a permission comes with.
fn role(permission: Permission) -> &'static str {
    let roles = [Role::Viewer, Role::Agent, Role::PrivacyOfficer];
    roles.into_iter().find(|role| role.may(permission)).map_or("", Role::as_str)
}

fn id(route: &Route) -> String {
    let mut name = format!("{:?}", route.page);
    if route.path == "/" {
        name.push_str("Below");
    }
    name
}

/// The parts in braces.
fn parts(route: &Route) -> impl Iterator<Item = &'static str> {
    route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn schema(name: &str) -> Value {
    match name {
        "contact" | "conversation" | "note" => json!({ "type": "string", "format": "uuid" }),
        "number" | "limit" => json!({ "type": "integer", "minimum": 1 }),
        "created_from" | "created_to" | "seen_from" | "seen_to" | "before" | "from" | "to" => {
            json!({ "type": "string", "format": "date" })
        }
        "country" => json!({ "type": "string", "pattern": "^[A-Z]{2}$" }),
        "open" => json!({ "type": "string", "enum": ["1"] }),
        _ => json!({ "type": "string" }),
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = parts(route)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": schema(name) }));
    let query = route.takes.iter().filter(|_| !route.post);
    let in_query = query.map(|name| json!({ "name": name, "in": "query", "schema": schema(name) }));
    in_path.chain(in_query).collect()
}

fn body(route: &Route) -> Value {
    let properties: Map<String, Value> = route.takes.iter().map(|n| ((*n).to_owned(), schema(n))).collect();
    let schema = json!({ "type": "object", "required": route.takes, "properties": properties });
    json!({
        "required": !route.takes.is_empty(),
        "content": {
            "application/x-www-form-urlencoded": { "schema": schema },
            "application/json": { "schema": schema },
        },
    })
}

/// What a success is, and of which kind.
fn success(route: &Route) -> (&'static str, Value) {
    let of = |kind: &str| json!({ "description": "Done.", "content": { kind: {} } });
    match route.page {
        Page::Style => ("200", of("text/css")),
        Page::Script => ("200", of("text/javascript")),
        Page::Site => ("303", json!({ "description": "The contacts of the site." })),
        Page::Events => ("200", of("text/event-stream")),
        Page::Export => {
            let content = json!({ "text/csv": {}, "application/jsonl": {} });
            ("200", json!({ "description": "Done.", "content": content }))
        }
        Page::AddNote | Page::Answer => ("201", of("application/json")),
        Page::Contacts => {
            let contact = json!({ "$ref": "#/components/schemas/Contact" });
            let schema = json!({
                "type": "object",
                "required": ["contacts", "next", "previous", "as_of", "behind_ms", "total"],
                "properties": {
                    "contacts": { "type": "array", "items": contact },
                    "next": { "type": ["string", "null"] },
                    "previous": { "type": ["string", "null"] },
                    "as_of": { "type": "string", "format": "date-time" },
                    "behind_ms": {
                        "type": ["integer", "null"],
                        "description": "How old the list is, where it is read from a copy of the database that follows.",
                    },
                    "total": {
                        "type": "object",
                        "properties": { "count": { "type": "integer" }, "more": { "type": "boolean" } },
                    },
                },
            });
            (
                "200",
                json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } }),
            )
        }
        _ => ("200", of("application/json")),
    }
}

fn operation(route: &Route) -> Value {
    let problem = |text: &str| json!({ "description": text, "content": { "application/problem+json": {} } });
    let (status, done) = success(route);
    let mut responses = Map::new();
    responses.insert(status.to_owned(), done);
    responses.insert("401".to_owned(), problem("The guard does not know who is asking."));
    if route.page == Page::Events {
        responses.insert("204".to_owned(), json!({ "description": "It is closed, and nothing is new." }));
    }
    if route.needs.is_some() {
        responses.insert("400".to_owned(), problem("It could not be understood."));
        responses
            .insert("403".to_owned(), problem("The role does not allow it, or it came from another origin."));
    }
    if parts(route).next().is_some() {
        responses.insert("404".to_owned(), problem("There is no such thing."));
    }
    let does = match route.needs {
        Some(permission) => format!("{} For the role `{}` and those above it.", route.does, role(permission)),
        None => route.does.to_owned(),
    };
    let mut operation = json!({
        "operationId": format!("{}{}", if route.post { "post" } else { "get" }, id(route)),
        "summary": route.does,
        "description": does,
        "parameters": parameters(route),
        "responses": responses,
    });
    if route.post {
        operation["requestBody"] = body(route);
    }
    operation
}

/// The document.
pub(super) fn document(root: &str) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let method = if route.post { "post" } else { "get" };
        paths.entry(format!("{root}{}", route.path)).or_insert_with(|| json!({}))[method] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "privet portal",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Answers are JSON for whoever sends `Accept: application/json`, pages otherwise. Requests that change something say that they come from the portal itself, by `Sec-Fetch-Site` or `Origin`.",
        },
        "paths": paths,
        "components": { "schemas": { "Contact": {
            "type": "object",
            "required": ["id", "country", "created", "last_seen", "conversations"],
            "properties": {
                "id": { "type": "string", "format": "uuid" },
                "country": { "type": ["string", "null"] },
                "created": { "type": "string", "format": "date-time" },
                "last_seen": { "type": "string", "format": "date-time" },
                "conversations": { "type": "integer" },
            },
        } } },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_it_once() {
        let document = document("/privacy/portal");
        let paths = document["paths"].as_object().unwrap();
        let operations: Vec<_> = paths.values().flat_map(|p| p.as_object().unwrap().values()).collect();
        assert_eq!(operations.len(), ROUTES.len());
        let ids: BTreeSet<_> = operations.iter().map(|o| o["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), ROUTES.len());
        let list = &paths["/privacy/portal/{site}/contacts"]["get"];
        assert_eq!(list["parameters"][0]["in"], "path");
        assert!(list["description"].as_str().unwrap().contains("`viewer`"));
    }
}
