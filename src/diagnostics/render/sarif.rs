//! SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>).

use serde_json::{Value, json};

use super::super::{Code, Diagnostic, Place, Report};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

pub(super) fn render(report: &Report) -> String {
    let rules: Vec<Value> = Code::ALL.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = report.diagnostics.iter().map(|found| result(report, found)).collect();
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.id(),
        "name": code.name(),
        "shortDescription": {"text": code.name()},
        "fullDescription": {"text": code.explanation().replace('\n', " ")},
        "defaultConfiguration": {"level": code.severity().word()},
    })
}

fn result(report: &Report, found: &Diagnostic) -> Value {
    let index = Code::ALL.iter().position(|code| *code == found.code);
    let mut result = json!({
        "ruleId": found.code.id(),
        "ruleIndex": index,
        "level": found.code.severity().word(),
        "message": {"text": found.message.to_string()},
        "locations": [location(report, &found.place)],
    });
    let Some(object) = result.as_object_mut() else { return result };
    if let Some((other, what)) = &found.other {
        let mut related = location(report, other);
        if let Some(related) = related.as_object_mut() {
            related.insert("id".to_owned(), json!(0));
            related.insert("message".to_owned(), json!({"text": what}));
        }
        object.insert("relatedLocations".to_owned(), json!([related]));
    }
    if let Some(fix) = &found.fix {
        let place = Place { range: Some(fix.range.clone()), ..found.place.clone() };
        let mut change = physical(report, &place);
        if let Some(change) = change.as_object_mut() {
            let region = change.remove("region");
            let replacement = json!({"deletedRegion": region, "insertedContent": {"text": fix.replacement}});
            change.insert("replacements".to_owned(), json!([replacement]));
        }
        object.insert("fixes".to_owned(), json!([{"description": {"text": fix.title}, "artifactChanges": [change]}]));
    }
    result
}

fn location(report: &Report, place: &Place) -> Value {
    json!({"physicalLocation": physical(report, place)})
}

fn physical(report: &Report, place: &Place) -> Value {
    let mut physical = json!({"artifactLocation": {"uri": uri(&report.name(place))}});
    if let (Some(source), Some(range)) = (report.source(place), &place.range) {
        let (first, last) = (source.position(range.start), source.position(range.end));
        let region = json!({
            "startLine": first.line, "startColumn": first.column,
            "endLine": last.line, "endColumn": last.column,
        });
        if let Some(physical) = physical.as_object_mut() {
            physical.insert("region".to_owned(), region);
        }
    }
    physical
}

/// A path as a relative reference (RFC 3986): what has a meaning there, or is no ASCII, by its bytes.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
