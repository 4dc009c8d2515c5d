//! The pure part per range: what criterion found (`pure.rs`).

use std::fs;

use anyhow::{Context as _, Result};

use super::Bench;
use crate::agent::Backend;
use crate::figures::{Samples, Unit};
use crate::report::{Goal, Row, Section, with_thousands};

/// The sizes that `pure.rs` measures and that are compared: a small one, and the larger ones.
const SMALL: usize = 1_000;
const LARGER: [usize; 2] = [10_000, 100_000];
const STAGES: [&str; 6] = ["parse", "policy", "compile", "plan", "encode", "whole"];

/// Whether the time per range grows with the number of ranges.
pub(super) fn linear(bench: &Bench) -> Result<Section> {
    let mut section = Section {
        title: "From the file's bytes to the transaction's, per range",
        about: format!(
            "Criterion's estimates of the median, divided by the number of ranges: parse, policy, compile, plan and \
             encode, without the kernel. The peer is ours at {} ranges.",
            with_thousands(SMALL)
        ),
        ..Section::default()
    };
    for backend in Backend::ALL {
        for stage in STAGES {
            let Some(small) = per_range(bench, backend, stage, SMALL)? else { continue };
            for size in LARGER {
                let Some(samples) = per_range(bench, backend, stage, size)? else { continue };
                section.rows.push(Row {
                    ours: format!("{stage}, {}", backend.name()),
                    ranges: size,
                    samples,
                    peer: Some((format!("at {} ranges", with_thousands(SMALL)), small.clone())),
                    goal: (stage == "whole" && size == 100_000).then_some(Goal::AtMostTimes(2.0)),
                });
            }
        }
    }
    Ok(section)
}

/// The median that criterion has stored, if it has measured this.
fn per_range(bench: &Bench, backend: Backend, stage: &str, size: usize) -> Result<Option<Samples>> {
    let path = bench.criterion.join(backend.name()).join(stage).join(size.to_string()).join("new/estimates.json");
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    let nanoseconds = estimates.pointer("/median/point_estimate").and_then(serde_json::Value::as_f64);
    let nanoseconds = nanoseconds.with_context(|| format!("{} has no median", path.display()))?;
    Ok(Some(Samples::new(Unit::Time, vec![nanoseconds * 1e-9 / size as f64])))
}
