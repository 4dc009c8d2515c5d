//! `/status`: how the node is, for programs; a format with a version, apart from the types that the program itself works with.
//! docs/json.md describes it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{BackendState, ConflictState, Diagnostic, NodeState, Problem, Reason, Surroundings, live, ready};
use crate::report::Counters as Done;

/// The version of the format.
const VERSION: u32 = 1;

/// How the node is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) version: u32,
    pub(crate) agent_version: String,
    pub(crate) started_at: f64,
    pub(crate) live: bool,
    pub(crate) ready: bool,
    pub(crate) reasons: Vec<String>,
    pub(crate) problem: Option<Problem>,
    pub(crate) policy: Option<Policy>,
    pub(crate) file: File,
    pub(crate) backend: Option<Backend>,
    pub(crate) families: Vec<Family>,
    pub(crate) failure: Option<Failure>,
    pub(crate) conflict: Option<Conflict>,
    pub(crate) last_error: Option<LastError>,
    pub(crate) counters: Counters,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    pub(crate) origin: String,
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_force_since: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    pub(crate) paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    pub(crate) diagnostics: Vec<FileDiagnostic>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileDiagnostic {
    pub(crate) severity: String,
    pub(crate) file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    pub(crate) text: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) protected: bool,
    pub(crate) description: String,
    pub(crate) refused: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Family {
    #[serde(rename = "ipFamily")]
    pub(crate) name: String,
    pub(crate) ranges: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_verified: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    pub(crate) result: String,
    pub(crate) text: String,
    pub(crate) known: bool,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conflict {
    pub(crate) since: f64,
    pub(crate) repairs: u32,
    pub(crate) suspects: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LastError {
    pub(crate) at: f64,
    pub(crate) text: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counters {
    pub(crate) passes: u64,
    pub(crate) repairs: u64,
    pub(crate) failures: u64,
    pub(crate) failed_looks: u64,
    pub(crate) foreign_commits: u64,
    pub(crate) conflicts: u64,
}

/// The state as `/status` shows it.
#[must_use]
pub(crate) fn status(state: &NodeState, surroundings: Surroundings) -> Status {
    let reasons = ready(state, surroundings);
    Status {
        version: VERSION,
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: seconds(state.setup.started),
        live: live(surroundings).is_empty(),
        ready: reasons.is_empty(),
        reasons: reasons.iter().map(Reason::to_string).collect(),
        problem: Problem::of(&reasons),
        policy: state.policy.as_ref().map(|policy| Policy {
            origin: policy.origin.to_owned(),
            description: policy.words.clone(),
            fingerprint: policy.fingerprint.map(|fingerprint| fingerprint.to_string()),
            in_force_since: policy.in_force_since.map(seconds),
        }),
        file: File {
            paths: state.setup.paths.iter().map(|path| path.display().to_string()).collect(),
            state: state.file.as_ref().map(|file| file.state.to_owned()),
            diagnostics: state.file.iter().flat_map(|file| &file.diagnostics).map(FileDiagnostic::from).collect(),
        },
        backend: state.backend.as_ref().map(Backend::from),
        families: state
            .setup
            .families
            .iter()
            .map(|family| Family {
                name: family.human().to_owned(),
                ranges: state.policy.as_ref().and_then(|policy| policy.ranges.get(family)).copied().unwrap_or_default(),
                last_verified: state.verified.get(family).copied().map(seconds),
            })
            .collect(),
        failure: state.failure.as_ref().map(|failure| Failure {
            result: failure.result.to_owned(),
            text: failure.text.clone(),
            known: !failure.is_of_reading,
        }),
        conflict: state.conflict.as_ref().map(Conflict::from),
        last_error: state.last_error.as_ref().map(|(at, text)| LastError { at: seconds(*at), text: text.clone() }),
        counters: Counters::from(&state.counters),
    }
}

impl Status {
    /// As indented JSON, with a newline at its end.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        // Maps with string keys and finite numbers only: nothing here can fail to serialise.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl From<&Diagnostic> for FileDiagnostic {
    fn from(Diagnostic { is_error, file, line, text }: &Diagnostic) -> Self {
        let severity = if *is_error { "error" } else { "warning" };
        Self { severity: severity.to_owned(), file: file.clone(), line: *line, text: text.clone() }
    }
}

impl From<&BackendState> for Backend {
    fn from(BackendState { name, is_protected, why, refused }: &BackendState) -> Self {
        Self { name: (*name).to_owned(), protected: *is_protected, description: why.clone(), refused: refused.clone() }
    }
}

impl From<&ConflictState> for Conflict {
    fn from(ConflictState { since, repairs, suspects }: &ConflictState) -> Self {
        Self { since: seconds(*since), repairs: *repairs, suspects: suspects.clone() }
    }
}

impl From<&Done> for Counters {
    fn from(done: &Done) -> Self {
        let Done { passes, repairs, failures, failed_looks, foreign_commits, conflicts } = *done;
        Self { passes, repairs, failures, failed_looks, foreign_commits, conflicts }
    }
}

/// Seconds since 1970, as Prometheus has them.
pub(crate) fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
