//! Hearing of commits to the kernel's rules.

use std::future;
use std::io;
use std::time::Instant;

use tokio::io::unix::AsyncFd;
use tokio::time::sleep_until;
use tracing::warn;

use super::readable;
use crate::backend::{ChangeSource, Heard};

/// Tells when another program has committed rules.
#[derive(Debug, Default)]
pub(super) struct RulesWatch {
    /// `None` before the first pass, if nothing is to be heard, and once it has failed.
    changes: Option<AsyncFd<ChangeSource>>,
    heard: Heard,
}

impl RulesWatch {
    /// Listens to this source from now on.
    pub(super) fn listen(&mut self, changes: ChangeSource) -> io::Result<()> {
        self.changes = Some(readable(changes)?);
        Ok(())
    }

    pub(super) const fn is_listening(&self) -> bool {
        self.changes.is_some()
    }

    /// Completes once another program has committed rules, with what was heard of it; but not before `from`: until then
    /// it does not even listen. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self, from: Option<Instant>) -> Heard {
        if let Some(from) = from.filter(|from| *from > Instant::now()) {
            sleep_until(from.into()).await;
        }
        while !self.heard.is_something() {
            let Some(changes) = &mut self.changes else { return future::pending().await };
            if let Err(error) = hear(changes, &mut self.heard).await {
                warn!(
                    event = "rules_not_watched",
                    error,
                    "changes of the rules by others are not heard of until the next pass, which listens anew: {error}"
                );
                self.changes = None;
            }
        }
        std::mem::take(&mut self.heard)
    }

    /// What was heard since the last time, up to now.
    pub(super) fn take(&mut self) -> Heard {
        if let Some(changes) = &mut self.changes {
            // A failure is met again, and logged, by `changed`.
            let _ = changes.get_mut().listen(&mut self.heard);
        }
        std::mem::take(&mut self.heard)
    }
}

/// Waits until there may be something to hear, and hears it.
async fn hear(changes: &mut AsyncFd<ChangeSource>, heard: &mut Heard) -> Result<(), String> {
    if changes.get_ref().is_due() {
        return changes.get_mut().listen(heard).map(drop).map_err(|error| error.to_string());
    }
    let mut ready = changes.readable_mut().await.map_err(|error| error.to_string())?;
    if ready.get_inner_mut().listen(heard).map_err(|error| error.to_string())? {
        ready.clear_ready();
    }
    Ok(())
}
