//! What an `apply` knew of the rules when it ended, for the next one. What it says and whether it is still true is the
//! backend's to tell; here it is bytes.

use std::fmt::Display;
use std::io::{self, Read as _};
use std::time::Duration;

use nix::fcntl::OFlag;
use tracing::{debug, info};

use super::{RuntimeDir, open_in};
use crate::last_good::{REMEMBERED, StateDir, Writer, WriterTask};

/// The bytes that are read at most. A million ranges take four million of them in sets and thirty in iptables' rules.
const LARGEST: u64 = 256 << 20;
/// How long the end of `apply` waits for the process that writes them where they may be on a disk, which may hang.
const WRITING: Duration = Duration::from_secs(2);

impl RuntimeDir {
    /// What was remembered last; `None` if there is nothing, or nothing that can be trusted.
    #[must_use]
    pub fn remembered(&self) -> Option<Vec<u8>> {
        let tell = |error: &io::Error| {
            let path = self.path.display();
            debug!(event = "nothing_remembered", error = %error, "nothing is remembered of the rules in {path}: {error}");
        };
        self.read_remembered().inspect_err(tell).ok()
    }

    fn read_remembered(&self) -> io::Result<Vec<u8>> {
        let file = open_in(&self.open_dir()?, REMEMBERED, OFlag::O_RDONLY)?;
        if let Some(why) = self.doubt(&file)? {
            return Err(io::Error::other(why));
        }
        let len = file.metadata()?.len();
        if len > LARGEST {
            return Err(io::Error::other(format!("{len} bytes; expected {LARGEST} at most")));
        }
        let mut bytes = Vec::new();
        let _ = bytes.try_reserve_exact(usize::try_from(len).unwrap_or(0).saturating_add(1));
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Leaves this for the next one. If that fails, the next one reads all rules, which is right as well.
    pub fn remember(&self, memory: &[u8]) {
        if memory.len() as u64 > LARGEST {
            let bytes = memory.len();
            return debug!(event = "rules_not_remembered", bytes, "{bytes} bytes are too many to be remembered");
        }
        let dir = StateDir::new(&self.path);
        match dir.remember_at_once(memory) {
            Ok(true) => {}
            Ok(false) => {
                Writer::run(&dir, WriterTask::Remember, Some(memory), WRITING)
                    .map_or_else(|error| not_kept(&error), drop);
            }
            Err(error) => not_kept(&error),
        }
    }
}

fn not_kept(error: &dyn Display) {
    info!(
        event = "rules_not_remembered",
        error = %error,
        "the next apply has to read all rules, as what is known of them is not kept: {error} (look at --runtime-dir)"
    );
}
