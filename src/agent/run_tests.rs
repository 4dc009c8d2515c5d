//! The loop over a kernel in memory and a real file.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::backend::nftables::fake::{Kernel, Memory};
use crate::config::{Context, SourcePaths};
use crate::report::{Cause, Observer, Report, ServiceManager};

/// Says why each pass was made.
struct Listener(UnboundedSender<Cause>);

impl Observer for Listener {
    fn observe(&mut self, report: &Report, _: u64) {
        if let Report::Pass(report) = report {
            let _ = self.0.send(report.cause);
        }
    }
}

/// Is stuck with the first report.
struct Stuck(&'static Mutex<()>);

impl Observer for Stuck {
    fn observe(&mut self, _: &Report, _: u64) {
        drop(self.0.lock());
    }
}

fn agent(kernel: &Kernel, path: &Path, signals: Signals, reports: Reports) -> Agent {
    Agent {
        backends: kernel.backends(),
        option: BackendOption::NftCompat,
        protect: Protect::Off,
        watch_rules: WatchRules::default(),
        flags: Flags::default(),
        store: LastGoodStore::default(),
        files: ConfigFiles::new(SourcePaths::one(path), Context::default()),
        flows: None,
        signals,
        reports,
        pulse: Arc::default(),
    }
}

async fn heard(causes: &mut UnboundedReceiver<Cause>, expected: Cause) {
    while causes.recv().await.unwrap() != expected {}
}

#[test]
fn an_observer_that_is_stuck_for_ever_does_not_keep_the_loop_from_its_work_nor_from_its_end() {
    static HELD: Mutex<()> = Mutex::new(());
    let _held = HELD.lock().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("config");
    fs::write(&path, "resyncInterval: 100ms\n").unwrap();
    let (tell, mut causes) = unbounded_channel();
    let mut reports = Reports::new(SourcePaths::one(&path), ServiceManager::default());
    reports.add("stuck", Box::new(Stuck(&HELD))).unwrap();
    reports.add("listener", Box::new(Listener(tell))).unwrap();
    let (stop, signals) = Signals::by_hand();
    let agent = agent(&Kernel::default(), &path, signals, reports);
    let life = async {
        heard(&mut causes, Cause::Start).await;
        for text in ["masqLinkLocal: true\nresyncInterval: 100ms\n", "resyncInterval: 100ms\n"] {
            fs::write(&path, text).unwrap();
            heard(&mut causes, Cause::FileChanged).await;
            heard(&mut causes, Cause::Tick).await;
        }
        stop();
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (ended, ()) = runtime.block_on(async { tokio::join!(run(agent), life) });
    ended.unwrap();
}

#[test]
fn others_that_could_not_be_listened_to_at_the_start_are_listened_to_from_the_next_pass_on() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("config");
    fs::write(&path, "resyncInterval: 1h\n").unwrap();
    let kernel = Kernel::from(Memory { refuses_listeners: 1, ..Memory::default() });
    let (tell, mut causes) = unbounded_channel();
    let mut reports = Reports::new(SourcePaths::one(&path), ServiceManager::default());
    reports.add("listener", Box::new(Listener(tell))).unwrap();
    let (stop, signals) = Signals::by_hand();
    let agent = agent(&kernel, &path, signals, reports);
    let life = async {
        heard(&mut causes, Cause::Start).await;
        fs::write(&path, "masqLinkLocal: true\nresyncInterval: 1h\n").unwrap();
        heard(&mut causes, Cause::FileChanged).await;
        kernel.get().commit_of_another();
        heard(&mut causes, Cause::RulesChanged).await;
        stop();
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (ended, ()) = runtime.block_on(async { tokio::join!(run(agent), life) });
    ended.unwrap();
}

/// An agent that watches the rules in this way, and what happens to it after its start.
fn lives(kernel: &Kernel, watch_rules: &str, life: impl AsyncFnOnce(&Path, &mut UnboundedReceiver<Cause>)) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("config");
    fs::write(&path, "resyncInterval: 1h\n").unwrap();
    let (tell, mut causes) = unbounded_channel();
    let mut reports = Reports::new(SourcePaths::one(&path), ServiceManager::default());
    reports.add("listener", Box::new(Listener(tell))).unwrap();
    let (stop, signals) = Signals::by_hand();
    let agent = Agent { watch_rules: watch_rules.parse().unwrap(), ..agent(kernel, &path, signals, reports) };
    let whole_life = async {
        heard(&mut causes, Cause::Start).await;
        life(&path, &mut causes).await;
        stop();
    };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (ended, ()) = runtime.block_on(async { tokio::join!(run(agent), whole_life) });
    ended.unwrap();
}

#[test]
fn a_commit_of_another_while_it_did_not_listen_leads_to_a_pass_as_if_it_had_been_announced() {
    for how in ["notify", "poll=10ms"] {
        let kernel = Kernel::default();
        kernel.get().after_commit = Some(|memory| {
            memory.after_commit = None;
            memory.commit_of_another();
        });
        lives(&kernel, how, async |_, causes| heard(causes, Cause::RulesChanged).await);
    }
}

#[test]
fn where_it_could_not_listen_again_after_a_commit_it_listens_anew_from_the_next_pass_on() {
    let kernel = Kernel::default();
    kernel.get().after_commit = Some(|memory| {
        memory.after_commit = None;
        memory.refuses_listeners = 1;
    });
    lives(&kernel, "notify", async |path, causes| {
        fs::write(path, "masqLinkLocal: true\nresyncInterval: 1h\n").unwrap();
        heard(causes, Cause::FileChanged).await;
        kernel.get().commit_of_another();
        heard(causes, Cause::RulesChanged).await;
    });
}

#[test]
fn a_commit_of_another_leads_to_a_pass_when_the_poll_interval_is_over() {
    let kernel = Kernel::default();
    lives(&kernel, "poll=10ms", async |_, causes| {
        for _ in 0..3 {
            kernel.get().commit_of_another();
            assert_eq!(causes.recv().await, Some(Cause::RulesChanged));
        }
    });
}

#[test]
fn who_watches_nothing_makes_its_passes_for_the_file_and_the_resync_alone() {
    let kernel = Kernel::default();
    lives(&kernel, "off", async |path, causes| {
        kernel.get().commit_of_another();
        fs::write(path, "resyncInterval: 100ms\n").unwrap();
        assert_eq!(causes.recv().await, Some(Cause::FileChanged));
        kernel.get().commit_of_another();
        for _ in 0..2 {
            assert_eq!(causes.recv().await, Some(Cause::Tick));
        }
    });
    assert!(kernel.get().announcements.is_empty());
}
