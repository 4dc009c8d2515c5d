//! The agent's passes without its process: the library's own, in a namespace, over a socket that stays open.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ip_masq_agent::agent::{ConfigFiles, Look, SteppedAgent};
use ip_masq_agent::backend::{Backends, Nftables, Protect};
use ip_masq_agent::config::{Context, SourcePaths};
use ip_masq_agent::last_good::LastGoodStore;
use ip_masq_agent::netlink::{Connection, NetlinkFamily};
use ip_masq_agent::policy::Flags;

use super::Bench;
use crate::agent::Backend;
use crate::namespace::Namespace;

/// An agent whose passes are made when they are asked for.
#[derive(Debug)]
pub(super) struct InProcess {
    agent: RefCell<(SteppedAgent, ConfigFiles)>,
    file: PathBuf,
}

impl InProcess {
    /// An agent that works in the namespace, whatever the thread that asks it to.
    pub(super) fn new(bench: &Bench, namespace: &Namespace, backend: Backend) -> Result<Self> {
        let file = bench.scratch.path().join("in-process.yaml");
        let connection = namespace.inside(|| Ok(Connection::open(NetlinkFamily::Netfilter)?))?;
        let backends = Backends::over(Nftables::over(connection));
        let (option, store) = (backend.option(), LastGoodStore::default());
        let agent =
            SteppedAgent::new(backends, option, Protect::Auto, Flags::default(), SourcePaths::one(&file), store);
        let config = ConfigFiles::new(SourcePaths::one(&file), Context::from(&Flags::default()));
        Ok(Self { agent: RefCell::new((agent, config)), file })
    }

    /// Writes its file, and times the pass that reads it and brings the rules in line.
    pub(super) fn pass(&self, text: &str) -> Result<Duration> {
        fs::write(&self.file, text)?;
        let (agent, config) = &mut *self.agent.borrow_mut();
        let start = Instant::now();
        let Look::News(news) = config.look(false) else { bail!("the file says what it said") };
        let report = agent.file_changed(news);
        let took = start.elapsed();
        match report.map(|report| report.rules.failure) {
            Some(None) => Ok(took),
            Some(Some(failure)) => bail!("{}", failure.text),
            None => bail!("no pass was made"),
        }
    }
}
