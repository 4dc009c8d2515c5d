//! The state of the node as metrics, in the text format of `OpenMetrics`. docs/operations.md says what each means.

mod conntrack;
mod families;
mod new_flows;
mod process;
mod source_ports;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::health::{Health, Histogram, NodeState, Surroundings};
use crate::net::ChainName;
use new_flows::NewFlows;

pub(crate) use conntrack::Conntrack;
pub(crate) use new_flows::FlowTotals;
pub(crate) use process::Process;
pub(crate) use source_ports::Scans;
pub use source_ports::{PortScan, ScanInterval, ScanIntervalError};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What all names begin with, but for those of the process, which have the same names in every program.
const PREFIX: &str = "ip_masq_agent";

/// The metric of which prometheus-client does not know the type: it writes a gauge.
const STATE_SET: &str = "state";

/// Everything that metrics are made of, at one moment.
#[derive(Debug)]
pub(crate) struct Scrape<'a> {
    pub(crate) state: &'a NodeState,
    pub(crate) surroundings: Surroundings,
    pub(crate) wakeups: u64,
    pub(crate) new_flows: &'a FlowTotals,
    pub(crate) conntrack: Conntrack,
    /// `None` if nothing looks for source ports (`--snat-scan-interval`).
    pub(crate) source_ports: Option<&'a Scans>,
    pub(crate) process: Process,
}

/// One metric, with its samples.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Samples,
}

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum Samples {
    Info(Labels),
    Gauges(Vec<(Labels, f64)>),
    Counters(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Histogram)>),
}

/// Which metrics there are beside those that there always are, and what they are read by.
#[derive(Clone, Debug)]
pub struct Options {
    /// The chain in iptables' table.
    pub chain: ChainName,
    /// Whether new flows are told by range, too (`--metrics-ranges`).
    pub tells_ranges: bool,
    /// What looks for source ports in use, if anything does (`--snat-scan-interval`).
    pub source_ports: Option<PortScan>,
}

/// Makes the metrics of the agent each time it is asked.
#[derive(Debug)]
pub struct Scraper {
    health: Health,
    new_flows: Mutex<NewFlows>,
    source_ports: Option<PortScan>,
}

impl Scraper {
    /// Nothing is read so far.
    #[must_use]
    pub fn new(health: Health, options: Options) -> Self {
        let new_flows = NewFlows::new(options.chain, &health.state().setup.families, options.tells_ranges);
        Self { health, new_flows: Mutex::new(new_flows), source_ports: options.source_ports }
    }

    /// What the metrics are made of.
    #[must_use]
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// The metrics as they are now.
    #[must_use]
    pub fn scrape(&self) -> String {
        let state = self.health.state();
        let source_ports = self.source_ports.as_ref().map(PortScan::read);
        let mut new_flows = self.new_flows.lock().unwrap_or_else(PoisonError::into_inner);
        text(&Scrape {
            state: &state,
            surroundings: Surroundings::now(self.health.pulse(), state.setup.host),
            wakeups: self.health.pulse().wakeups(),
            new_flows: new_flows.read(),
            conntrack: Conntrack::read(),
            source_ports: source_ports.as_deref(),
            process: Process::read(),
        })
    }
}

fn text(scrape: &Scrape<'_>) -> String {
    let mut text = String::new();
    let mut agent = Registry::with_prefix(PREFIX);
    agent.register_collector(Box::new(Metrics(families::of_agent(scrape))));
    let mut process = Registry::default();
    process.register_collector(Box::new(Metrics(families::of_process(scrape))));
    // Writing to a string never fails.
    let _ = encode_registry(&mut text, &agent)
        .and_then(|()| encode_registry(&mut text, &process))
        .and_then(|()| encode_eof(&mut text));
    let line = |kind| format!("# TYPE {PREFIX}_{STATE_SET} {kind}\n");
    text.replacen(&line("gauge"), &line("stateset"), 1)
}

#[derive(Debug)]
struct Metrics(Vec<Metric>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Metric { name, help, samples } in &self.0 {
            let mut metric = encoder.encode_descriptor(name, help, None, samples.kind())?;
            match samples {
                Samples::Info(labels) => metric.encode_info(labels)?,
                Samples::Gauges(gauges) => {
                    for (labels, value) in gauges {
                        with(&mut metric, labels, |metric| metric.encode_gauge(value))?;
                    }
                }
                Samples::Counters(counters) => {
                    for (labels, value) in counters {
                        with(&mut metric, labels, |metric| metric.encode_counter::<NoLabelSet, _, f64>(value, None))?;
                    }
                }
                Samples::Histograms(histograms) => {
                    for (labels, histogram) in histograms {
                        with(&mut metric, labels, |metric| {
                            let (sum, count) = (histogram.sum(), histogram.count());
                            metric.encode_histogram::<NoLabelSet>(sum, count, &histogram.buckets(), None)
                        })?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Encodes a sample with its labels, and without braces if it has none.
fn with(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { encode(metric) } else { encode(&mut metric.encode_family(labels)?) }
}

impl Samples {
    const fn kind(&self) -> MetricType {
        match self {
            Self::Info(_) => MetricType::Info,
            Self::Gauges(_) => MetricType::Gauge,
            Self::Counters(_) => MetricType::Counter,
            Self::Histograms(_) => MetricType::Histogram,
        }
    }
}
