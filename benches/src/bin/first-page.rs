//! `first-page`: writes the first page anew from the rows that are there, and measures nothing.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use ip_masq_agent_benches::report;

/// Writes benchmarks.md anew from benchmarks/rows.md.
#[derive(Parser)]
struct Arguments {
    /// Where benchmarks.md is
    #[arg(default_value = "docs", value_name = "DIRECTORY")]
    directory: PathBuf,
}

fn main() -> Result<()> {
    report::write_first_page(&Arguments::parse().directory)
}
