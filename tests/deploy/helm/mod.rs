//! The chart, as Helm's own code renders it.
//!
//! `values/` holds cases of values with what is rendered from them beside it, in `rendered/`; `refused.yaml` values that must
//! not be accepted. `BLESS=1 cargo test --test deploy helm` writes `rendered/`, the tables of the chart's README, and the files
//! that the chart has from elsewhere in `deploy/`.

mod agent;
mod borrowed;
mod package;
mod readme;
mod refused;
mod rendered;
mod rings;
mod values;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::tools::{ROOT, output, python};

/// The chart, from the repository's root.
const CHART: &str = "deploy/helm/ip-masq-agent";
/// What belongs to these tests, likewise.
const TESTS: &str = "tests/deploy/helm";
/// Versions of Kubernetes whose schemas judge what is rendered: the oldest and the newest that there are, and some between.
const VERSIONS: [&str; 4] = ["1.25", "1.29", "1.33", "1.37"];

/// What `judge.py` tells of the chart; asked once, as it takes seconds.
static JUDGED: LazyLock<Value> = LazyLock::new(|| {
    let mut judge = python();
    judge.args([&format!("{TESTS}/judge.py"), CHART, &format!("{TESTS}/values"), &format!("{TESTS}/refused.yaml")]);
    judge.args(VERSIONS).env("PYTHONDONTWRITEBYTECODE", "1");
    serde_json::from_str(&output(judge)).unwrap()
});

/// The cases of `values/` by their names.
fn cases() -> &'static Map<String, Value> {
    object(&JUDGED["cases"])
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The objects of a case that are of this kind.
fn of_kind<'a>(case: &'a Value, kind: &str) -> Vec<&'a Value> {
    list(&case["objects"]).iter().filter(|object| object["kind"] == kind).collect()
}

/// The labels or the like of an object, and an empty map where there are none.
fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn path(of: &str) -> PathBuf {
    Path::new(ROOT).join(of)
}

/// Compares a text with a file, or writes it there (`BLESS=1`).
fn assert_stands(file: &str, expected: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path(file).parent().unwrap()).unwrap();
        std::fs::write(path(file), expected).unwrap();
    }
    let found = std::fs::read_to_string(path(file)).unwrap_or_default();
    assert!(found == expected, "{file} is not the following; BLESS=1 writes it:\n{expected}");
}
