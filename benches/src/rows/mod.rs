//! What is measured: a file a question.

mod apply;
mod change;
mod flows;
mod in_process;
mod linear;
mod memory;
mod read_back;
mod repair;
mod replace;
mod resync;
mod topology;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::agent::Agent;
use crate::effort::Effort;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::ranges::Range;
use crate::report::Section;
use crate::texts;

/// What every question needs.
#[derive(Debug)]
pub struct Bench {
    /// How thorough to be.
    pub effort: Effort,
    /// The agent.
    pub agent: Agent,
    /// The program that sends packets.
    pub flood: PathBuf,
    /// Where criterion keeps its results.
    pub criterion: PathBuf,
    /// For files; removed at the end.
    pub scratch: TempDir,
}

/// A question's name on the command line, and what answers it.
pub type Question = (&'static str, fn(&Bench) -> Result<Section>);

/// All questions, in the document's order.
pub const QUESTIONS: [Question; 9] = [
    ("apply", apply::apply),
    ("change", change::change),
    ("resync", resync::resync),
    ("repair", repair::repair),
    ("replace", replace::replace),
    ("linear", linear::linear),
    ("read-back", read_back::read_back),
    ("flows", flows::flows),
    ("memory", memory::memory),
];

impl Bench {
    /// A file with this text.
    fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// A file with a configuration that exempts these ranges.
    fn configuration(&self, name: &str, ranges: &[Range]) -> Result<PathBuf> {
        self.file(name, &texts::configuration(ranges, "60s"))
    }

    /// The same two directories below, where nothing else happens: a running agent watches them.
    fn watched_configuration(&self, ranges: &[Range], interval: &str) -> Result<PathBuf> {
        let directory = self.scratch.path().join("watched/alone");
        fs::create_dir_all(&directory)?;
        self.file("watched/alone/ip-masq-agent", &texts::configuration(ranges, interval))
    }

    /// One of iptables' programs, with a lock of its own.
    fn iptables(&self, program: &str) -> Program {
        Program::new(program).variable("XTABLES_LOCKFILE", self.scratch.path().join("xtables.lock"))
    }

    /// The agent's own rules as `nft -f` reads them where there are none yet: the rendered text less what deletes the
    /// table first, because `nft` would be made to wait for that.
    fn nft_text(&self, configuration: &Path) -> Result<String> {
        let text = self.agent.verb("render --format nft", configuration).output()?;
        Ok(text
            .lines()
            .filter(|line| !line.starts_with("delete table"))
            .fold(String::new(), |text, line| text + line + "\n"))
    }

    /// Upstream's first pass by iptables of this flavour (`nft` or `legacy`), less its check that nothing is there.
    fn upstream_start(&self, namespace: &Namespace, flavour: &str, restore: &Path) -> Result<()> {
        let iptables = self.iptables(&format!("iptables-{flavour}"));
        namespace.run(&iptables.clone().words("-w 5 -N IP-MASQ-AGENT -t nat"))?;
        let jump = iptables.words("-w 5 -A");
        namespace.run(&texts::UPSTREAM_JUMP.iter().fold(jump, |jump, word| jump.argument(*word)))?;
        namespace.run(&self.upstream_restore(flavour, restore))?;
        Ok(())
    }

    /// The program with which upstream writes its chain.
    fn upstream_restore(&self, flavour: &str, restore: &Path) -> Program {
        self.iptables(&format!("iptables-{flavour}-restore")).words("-w 5 --noflush").input(restore)
    }
}
