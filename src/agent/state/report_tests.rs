//! What is said of the rules is what is known of them, over a kernel in memory and a real file.

use std::fs;

use tempfile::TempDir;

use crate::agent::{ConfigFiles, Look, SteppedAgent};
use crate::backend::nftables::fake::Kernel;
use crate::backend::{BackendOption, Protect};
use crate::config::{Context, SourcePaths};
use crate::last_good::LastGoodStore;
use crate::policy::Flags;
use crate::report::{LogReporter, Observer as _, Report, ServiceManager};
use crate::telemetry::page::Page;

const FILE: &str = "nonMasqueradeCIDRs: [10.1.0.0/16]\n";
const OTHER: &str = "nonMasqueradeCIDRs: [10.2.0.0/16]\n";
const BAD: &str = "nonMasqueradeCIDRs: [10.1.2.3/8]\n";

/// What does not work in the kernel just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    Looking,
    Committing,
}

/// An agent, who reports what it does, and its node's disk.
struct Life {
    scratch: TempDir,
    kernel: Kernel,
    file: ConfigFiles,
    agent: SteppedAgent,
    log: LogReporter,
}

impl Life {
    /// An agent that has not looked at this file yet, and no rules.
    fn new(file: &str) -> Self {
        Self::over(Kernel::default(), file)
    }

    /// The same over what an agent before left.
    fn over(kernel: Kernel, file: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("config");
        fs::write(&path, file).unwrap();
        let (flags, paths) = (Flags::default(), SourcePaths::one(path));
        let file = ConfigFiles::new(paths.clone(), Context::from(&flags));
        let agent = SteppedAgent::new(
            kernel.backends(),
            BackendOption::NftCompat,
            Protect::Off,
            flags,
            paths.clone(),
            LastGoodStore::default(),
        );
        Self { scratch, kernel, file, agent, log: LogReporter::new(paths) }
    }

    /// A pass over this file in such a kernel: what is logged, and what the service manager is told.
    fn pass(&mut self, file: &str, broken: Broken) -> (String, String) {
        let path = self.scratch.path().join("config");
        fs::write(&path, file).unwrap();
        self.kernel.get().ignores_questions = broken == Broken::Looking;
        self.kernel.get().ignores_changes = broken == Broken::Committing;
        let page = Page::default();
        let writer = page.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let status = tracing::subscriber::with_default(subscriber, || {
            let news = if let Look::News(news) = self.file.look(false) { Some(news) } else { None };
            let pass = self.agent.pass(news);
            let status = ServiceManager::status_after(&pass.report);
            self.log.observe(&Report::Pass(Box::new(pass.report)), 0);
            status
        });
        let log = page.text();
        (log, status)
    }
}

/// The time is another each time.
fn without_time(text: &str) -> String {
    let Some((before, behind)) = text.split_once("; at ") else { return text.to_owned() };
    let (time, behind) = behind.split_once(" UTC").unwrap();
    assert!(time.len() == 8 && time.split(':').all(|part| part.parse::<u8>().is_ok()), "{text}");
    format!("{before}; at …{behind}")
}

#[test]
fn a_failed_look_says_that_nothing_is_known_and_when_the_rules_were_last_in_force() {
    let looking = "could not look at the rules: could not read the generation of the rules: ";
    let mut life = Life::new(FILE);
    let (log, status) = life.pass(FILE, Broken::Looking);
    assert!(log.contains("/config is valid, but it is not known whether it is in force: could not look"), "{log}");
    assert!(log.contains("; whether any rules are in force is not known; it is tried again"), "{log}");
    assert!(
        status.starts_with(looking) && status.ends_with("; whether any rules are in force is not known"),
        "{status}"
    );

    let (log, status) = life.pass(FILE, Broken::Nothing);
    assert!(log.contains("the failure is over: the rules are in force"), "{log}");
    assert!(log.contains("/config is valid and in force: 1 range"), "{log}");
    assert!(status.starts_with("1 range exempt"), "{status}");

    let (log, status) = life.pass(FILE, Broken::Looking);
    assert!(!log.contains("not in force"), "{log}");
    assert!(without_time(&log).contains("; at … they were in force; it is tried again"), "{log}");
    assert!(without_time(&status).ends_with("; at … they were in force"), "{status}");
    let (log, _) = life.pass(FILE, Broken::Looking);
    assert_eq!(log, "", "told once");

    let (log, _) = life.pass(OTHER, Broken::Looking);
    assert!(log.contains("/config is valid, but it is not known whether it is in force: "), "{log}");
    assert!(without_time(&log).contains("; at … those of the configuration before were in force; "), "{log}");
    let counters = life.agent.state.counters;
    assert_eq!((counters.failed_looks, counters.failures), (4, 0));
}

#[test]
fn a_valid_file_is_said_to_be_in_force_once_its_rules_are_and_not_before() {
    let mut life = Life::new(FILE);
    let (log, status) = life.pass(FILE, Broken::Committing);
    assert!(log.contains("/config is valid, but not in force: could not change the rules: "), "{log}");
    assert!(!log.contains("valid and in force"), "{log}");
    assert!(status.starts_with("the rules are not in force: could not change the rules: "), "{status}");
    assert_eq!(life.pass(FILE, Broken::Committing).0, "", "told once");
    let (log, _) = life.pass(OTHER, Broken::Committing);
    assert!(log.contains("/config is valid, but not in force: could not change the rules: "), "another file: {log}");
    let (log, _) = life.pass(BAD, Broken::Committing);
    assert!(log.contains("the last valid configuration is what the rules shall follow: 1 range"), "{log}");

    let (log, status) = life.pass(BAD, Broken::Nothing);
    assert!(log.contains("the failure is over: the rules are in force"), "{log}");
    assert!(!log.contains("valid and in force"), "the file is not: {log}");
    let degraded =
        "degraded: the configuration file cannot be used; in force: the last valid configuration since the start";
    assert!(status.starts_with(degraded), "{status}");
    let (log, status) = life.pass(FILE, Broken::Nothing);
    assert!(log.contains("/config is valid and in force: 1 range"), "{log}");
    assert!(status.starts_with("1 range exempt"), "{status}");
    assert_eq!((life.agent.state.counters.failed_looks, life.agent.state.counters.failures), (0, 4));
}

#[test]
fn at_a_start_with_a_bad_file_the_status_says_what_holds() {
    let mut life = Life::new(BAD);
    let (_, status) = life.pass(BAD, Broken::Nothing);
    assert!(
        status.starts_with("degraded: the configuration file cannot be used (")
            && status.contains("); in force: the flags' defaults ("),
        "{status}"
    );

    let kernel = Kernel::default();
    Life::over(kernel.clone(), FILE).pass(FILE, Broken::Nothing);
    let mut life = Life::over(kernel, BAD);
    let (_, status) = life.pass(BAD, Broken::Nothing);
    let problem = status.strip_prefix("degraded: the configuration file cannot be used (");
    let stays = "); the rules that stood before the start stay, their origin is unknown";
    assert!(problem.is_some_and(|problem| problem.contains("config:1: ") && problem.ends_with(stays)), "{status}");
}
