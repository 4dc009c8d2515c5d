//! Hearing of commits to the kernel's rules.

use std::future;
use std::io;
use std::time::Instant;

use tokio::io::unix::AsyncFd;
use tokio::time::sleep_until;
use tracing::warn;

use super::readable;
use crate::backend::nftables::{Heard, Monitor};
use crate::netlink::{NetlinkError, NetlinkSocket};

/// Tells when somebody else has committed rules.
#[derive(Debug)]
pub(super) struct RulesWatch {
    /// `None` once it has failed.
    monitor: Option<AsyncFd<Monitor<NetlinkSocket>>>,
    heard: Heard,
}

impl RulesWatch {
    /// Without a monitor nothing is ever heard.
    pub(super) fn new(monitor: Option<Monitor<NetlinkSocket>>) -> io::Result<Self> {
        Ok(Self { monitor: monitor.map(readable).transpose()?, heard: Heard::default() })
    }

    /// Completes once somebody else has committed rules, with what was heard of it; but not before `from`: until then it does
    /// not even listen. Losing the future loses nothing.
    pub(super) async fn changed(&mut self, from: Option<Instant>) -> Heard {
        if let Some(from) = from.filter(|from| *from > Instant::now()) {
            sleep_until(from.into()).await;
        }
        while !self.heard.is_something() {
            let Some(monitor) = &mut self.monitor else { return future::pending().await };
            let heard = match monitor.readable_mut().await {
                Ok(mut ready) => match ready.get_inner_mut().listen(&mut self.heard) {
                    Ok(true) => {
                        ready.clear_ready();
                        Ok(())
                    }
                    Ok(false) => Ok(()),
                    Err(error) => Err(error),
                },
                Err(error) => Err(NetlinkError::Io(error)),
            };
            if let Err(error) = heard {
                warn!("changes of the rules by others are noticed at the resync interval only from now on: {error}");
                self.monitor = None;
            }
        }
        std::mem::take(&mut self.heard)
    }

    /// What was heard since the last time, up to now.
    pub(super) fn take(&mut self) -> Heard {
        if let Some(monitor) = &mut self.monitor {
            // A failure is met again, and told, by who waits.
            let _ = monitor.get_mut().listen(&mut self.heard);
        }
        std::mem::take(&mut self.heard)
    }
}
