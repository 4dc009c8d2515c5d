//! `first-page`: writes the pages anew from the runs that are kept, and measures nothing.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use ip_masq_agent_benches::pages;

/// Writes benchmarks.md and benchmarks/rows.md anew from benchmarks/runs/.
#[derive(Parser)]
struct Arguments {
    /// Where benchmarks.md is
    #[arg(default_value = "docs", value_name = "DIRECTORY")]
    directory: PathBuf,
}

fn main() -> Result<()> {
    pages::write(&Arguments::parse().directory)
}
