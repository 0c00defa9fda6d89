//! What is held about the visitor, for them: as JSON, or as CSV of the same values.

use privet::Visit;
use privet::rights::OwnData;
use serde_json::Value;

use crate::formula::inert;
use crate::negotiate;
use crate::reply::Reply;
use crate::request::Request;

pub(super) async fn me(visit: &Visit, request: &Request) -> Reply {
    let data = match visit.visitor().data().await {
        Ok(data) => data,
        Err(error) => return Reply::of_error(&error),
    };
    let asked = request.query_value("format");
    let csv = match asked.as_deref() {
        Some("csv") => true,
        Some(_) => false,
        None => negotiate::choose(request.header("accept"), &["application/json", "text/csv"]) == "text/csv",
    };
    let reply = if csv {
        match table(&data) {
            Ok(text) => Reply::new(200, "text/csv; charset=utf-8; header=present", text),
            Err(error) => {
                tracing::error!("a visitor's data could not be written as CSV: {error}");
                return Reply::problem(500, "Something went wrong.");
            }
        }
    } else {
        Reply::json(200, &data)
    };
    reply.header("vary", "Accept").personal()
}

/// Where a value stands, and the value, a row each (RFC 4180).
fn table(data: &OwnData) -> Result<Vec<u8>, csv::Error> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    rows.write_record(["field", "value"])?;
    let value = serde_json::to_value(data).unwrap_or_default();
    write_rows(&mut rows, "", &value)?;
    rows.into_inner().map_err(|e| e.into_error().into())
}

fn write_rows(rows: &mut csv::Writer<Vec<u8>>, field: &str, value: &Value) -> Result<(), csv::Error> {
    let below = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    match value {
        Value::Object(members) => members.iter().try_for_each(|(name, v)| write_rows(rows, &below(name), v)),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(n, v)| write_rows(rows, &below(&(n + 1).to_string()), v))
        }
        Value::Null => rows.write_record([field, ""]),
        Value::String(text) => rows.write_record([field, inert(text).as_ref()]),
        other => rows.write_record([field, &other.to_string()]),
    }
}
