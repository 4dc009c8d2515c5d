//! What the numbers were measured on, and how busy it is.

use std::fs;
use std::thread;

use anyhow::{Context as _, Result};

use crate::program::Program;
use crate::runs::file_name;

/// Facts about the machine and the programs on it, each with its name.
pub fn facts() -> Result<Vec<(String, String)>> {
    let field = |path: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(path).context(path.to_owned())?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix(':'));
        Ok(line.unwrap_or("unknown").trim().to_owned())
    };
    let version = |program: &str, argument: &str| {
        let said = Program::new(program).argument(argument).output().unwrap_or_else(|_| "missing".to_owned());
        said.lines().next().unwrap_or("unknown").trim().to_owned()
    };
    let gib = |text: &str| text.trim_end_matches(" kB").parse::<f64>().map_or(0.0, |kib| kib / f64::from(1 << 20));
    let facts = [
        (PROCESSOR, field("/proc/cpuinfo", "model name")?),
        ("processors", thread::available_parallelism()?.to_string()),
        ("memory", format!("{:.1} GiB", gib(&field("/proc/meminfo", "MemTotal")?))),
        ("kernel", version("uname", "-srm")),
        ("nft", version("nft", "--version")),
        ("iptables-nft", version("iptables-nft", "--version")),
        ("iptables-legacy", version("iptables-legacy", "--version")),
        ("ipset", version("ipset", "--version")),
        ("conntrack", version("conntrack", "--version")),
        ("rustc", version("rustc", "--version")),
    ];
    Ok(facts.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

/// What a machine is called whose name was not given.
#[must_use]
pub fn name(facts: &[(String, String)]) -> String {
    let of = |key: &str| facts.iter().find(|(name, _)| name == key).map_or("unknown", |(_, value)| value);
    file_name(&format!("{}-{}", of(PROCESSOR), of("processors")))
}

const PROCESSOR: &str = "processor";

/// What each processor has done since the machine started (`/proc/stat`), in clock ticks.
#[derive(Debug)]
pub struct CpuTimes {
    /// Busy and total.
    processors: Vec<(u64, u64)>,
}

impl CpuTimes {
    /// Reads it.
    pub fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let of_one = |line: &str| {
            let numbers = line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse::<u64>().ok());
            // user, nice, system, idle, iowait, irq, softirq, steal
            numbers.enumerate().fold((0, 0), |(busy, total), (place, ticks)| {
                let idle = matches!(place, 3 | 4);
                (if idle { busy } else { busy + ticks }, total + ticks)
            })
        };
        let processors = text.lines().skip(1).take_while(|line| line.starts_with("cpu")).map(of_one).collect();
        Ok(Self { processors })
    }

    /// The share of the time since then, 0 to 1, in which the processors worked, one of them left out.
    #[must_use]
    pub fn busy_since(&self, then: &Self, but: Option<usize>) -> f64 {
        let pairs = self.processors.iter().zip(&then.processors).enumerate();
        let counted = pairs.filter(|(number, _)| Some(*number) != but);
        let (busy, total) = counted.fold((0, 0), |(busy, total), (_, (now, then))| {
            (busy + now.0.saturating_sub(then.0), total + now.1.saturating_sub(then.1))
        });
        busy as f64 / total.max(1) as f64
    }

    /// The number of the last processor.
    #[must_use]
    pub const fn last(&self) -> usize {
        self.processors.len().saturating_sub(1)
    }
}
