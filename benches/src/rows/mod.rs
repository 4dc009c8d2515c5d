//! What is measured: a file a question.

mod announced;
mod apply;
mod change;
mod conntrack;
mod flows;
mod in_process;
mod linear;
mod listener;
mod memory;
mod one_shot;
mod read_back;
mod repair;
mod replace;
mod resync;
mod topology;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::agent::{Agent, Versions};
use crate::effort::Effort;
use crate::namespace::Namespace;
use crate::program::Program;
use crate::ranges::Range;
use crate::section::Section;
use crate::texts;

/// What every question needs.
#[derive(Debug)]
pub struct Bench {
    /// How thorough to be.
    pub effort: Effort,
    agents: Versions<Agent>,
    /// The program that sends packets.
    flood: PathBuf,
    /// For files; removed at the end.
    scratch: TempDir,
    /// For what the agent's verbs leave for later calls, where that is by default: on a file system in memory.
    runtime: TempDir,
    /// So many directories were made in it.
    directories: AtomicUsize,
}

/// What is asked, and what answers it.
#[derive(Debug)]
pub struct Question {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is measured, and how.
    pub about: &'static str,
    /// The pictures of it.
    pub pictures: &'static [Picture],
    /// Measures it, once.
    pub ask: fn(&Bench, &mut Section),
}

/// A picture of rows over the number of ranges.
#[derive(Debug)]
pub struct Picture {
    /// Its file.
    pub file: &'static str,
    /// Its caption.
    pub title: &'static str,
    /// What the vertical axis shows.
    pub axis: &'static str,
    /// Whether it shows the row of this name.
    pub shows: fn(&str) -> bool,
}

/// All questions, in the document's order.
pub const QUESTIONS: [Question; 13] = [
    apply::QUESTION,
    change::QUESTION,
    announced::QUESTION,
    one_shot::QUESTION,
    resync::QUESTION,
    repair::QUESTION,
    replace::QUESTION,
    listener::QUESTION,
    conntrack::QUESTION,
    linear::QUESTION,
    read_back::QUESTION,
    flows::QUESTION,
    memory::QUESTION,
];

impl Bench {
    /// What is measured of these agents.
    pub fn new(effort: Effort, agents: Versions<Agent>, flood: PathBuf) -> Result<Self> {
        // A tmpfs, as /run is on a node, but not in every virtual machine.
        let runtime = tempfile::Builder::new().prefix("ip-masq-agent-bench-").tempdir_in("/dev/shm");
        Ok(Self {
            effort,
            agents,
            flood,
            scratch: tempfile::tempdir()?,
            runtime: runtime.context("making a directory in /dev/shm")?,
            directories: AtomicUsize::new(0),
        })
    }

    /// A directory that nobody else has, for `--runtime-dir`. It is not there yet.
    fn runtime_dir(&self) -> PathBuf {
        self.runtime.path().join(self.directories.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A namespace for each version, with its own directory for `--runtime-dir`.
    fn places(&self) -> Result<Versions<Place<'_>>> {
        self.agents.each(|agent| Ok(Place { agent, namespace: Namespace::new()?, runtime: self.runtime_dir() }))
    }

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

    /// The same in a directory of its own two directories below, where nothing else happens: a running agent watches them.
    fn watched_configuration(&self, ranges: &[Range], interval: &str) -> Result<PathBuf> {
        let directory = format!("watched-{}/alone", self.directories.fetch_add(1, Ordering::Relaxed));
        fs::create_dir_all(self.scratch.path().join(&directory))?;
        self.file(&format!("{directory}/ip-masq-agent"), &texts::configuration(ranges, interval))
    }

    /// One of iptables' programs, with a lock of its own.
    fn iptables(&self, program: &str) -> Program {
        Program::new(program).variable("XTABLES_LOCKFILE", self.scratch.path().join("xtables.lock"))
    }

    /// The agent's own rules as `nft -f` reads them where there are none yet: the rendered text less what deletes the
    /// table first, because `nft` would be made to wait for that.
    fn nft_text(&self, configuration: &Path) -> Result<String> {
        let text = self.agents.now.verb("render --format nft", configuration).output()?;
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

/// Where one version of the agent works.
#[derive(Debug)]
struct Place<'a> {
    agent: &'a Agent,
    namespace: Namespace,
    runtime: PathBuf,
}

impl Place<'_> {
    /// A verb that writes rules, with this configuration.
    fn writing(&self, verb: &str, backend: crate::agent::Backend, configuration: &Path) -> Program {
        self.agent.writing(verb, backend, configuration, &self.runtime)
    }
}
