//! The metrics, as an agent shows them and as docs/operations.md lists them.

use std::collections::{BTreeMap, BTreeSet};

use super::http::get;
use super::netns::Netns;

/// What the documentation says of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Documented {
    /// Its type, in the words of `OpenMetrics`.
    pub(crate) kind: String,
    /// Its labels.
    pub(crate) labels: BTreeSet<String>,
}

/// The samples of an agent's metrics: each by its name and labels, as they are written.
pub(crate) fn samples(netns: &Netns) -> BTreeMap<String, f64> {
    read(&get(netns, "/metrics"))
}

/// The samples in a text.
pub(crate) fn read(text: &str) -> BTreeMap<String, f64> {
    let (_, text) = text.split_once("\r\n\r\n").unwrap_or(("", text));
    let samples = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
    });
    samples.collect()
}

/// The name and the labels of a sample, without their values and without what histograms add.
pub(crate) fn parts(series: &str) -> (&str, BTreeSet<&str>) {
    let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
    // No value has a comma with a quotation mark behind it.
    let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0));
    (name, labels.collect())
}

/// The table of metrics, each under its whole name.
pub(crate) fn documented() -> BTreeMap<String, Documented> {
    let text = include_str!("../../docs/operations.md");
    let (_, behind) = text.split_once("\n## Metrics\n").expect("a section on metrics");
    let rows = behind.lines().skip_while(|line| !line.starts_with("| name ")).skip(2);
    let mut metrics = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [names, kind, labels, ..] = cells.as_slice() else { panic!("{row}") };
        for name in in_code(names) {
            let prefix = if name.starts_with("process_") { "" } else { "ip_masq_agent_" };
            let labels = in_code(labels).map(str::to_owned).collect();
            let documented = Documented { kind: (*kind).to_owned(), labels };
            assert_eq!(metrics.insert(format!("{prefix}{name}"), documented), None, "{name} is there twice");
        }
    }
    assert!(metrics.len() > 20, "{metrics:?}");
    metrics
}

fn in_code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
