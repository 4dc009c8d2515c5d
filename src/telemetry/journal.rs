//! systemd's journal: its native protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>), and the numbers by which it knows
//! messages.

use std::env;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::stat::fstat;
use tracing::Level;

use super::record::Record;
use super::room::when_writable;

/// Where it listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The variable by which a service knows that its output is a stream of the journal's (`systemd.exec(5)`).
const STREAM: &str = "JOURNAL_STREAM";

/// The name that `journalctl --identifier` selects by.
const IDENTIFIER: &str = env!("CARGO_PKG_NAME");

/// The message IDs: random numbers that stay the same for ever, by the events that have one. The catalog in
/// deploy/systemd/ip-masq-agent.catalog says what each means and what to do.
pub const MESSAGE_IDS: [(&str, &str); 12] = [
    ("config_in_force", "43b3e25a681e49b39333c05130eba35e"),
    ("config_not_saved", "342ca0099bdc41b995f31e118f6930ff"),
    ("config_unanswered", "378d4e5619e34a838472be6f2bae3a6d"),
    ("config_unusable", "6c814b7c3c134e09b9afbd6ae2e179c8"),
    ("conflict_ended", "9bcd4816d3674a058a25517729c74159"),
    ("conflict_started", "0170ec1353294a8482cda4d5b71aa9a1"),
    ("degraded", "01450d5cf43c418583cfc671307bf081"),
    ("failure_over", "3906644d24ca4bcc821c627ea5281b4e"),
    ("flows_not_deleted", "952090f94bda416990050cafcf029dde"),
    ("foreign_rules", "88477e3d274a4d8e87f447cca8eaf152"),
    ("rules_not_in_force", "6e2e22a104ed47a588c463f6c344b00f"),
    ("rules_repaired", "a9c86a7c797942aaabb604cc0aab6a63"),
];

/// Whether the process's stderr is the stream of the journal's that its service manager gave it.
pub(super) fn is_stderr() -> bool {
    let Some((stream, stderr)) = env::var(STREAM).ok().zip(fstat(io::stderr()).ok()) else { return false };
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

/// A level as syslog counts it (RFC 5424).
pub(super) const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A record in the native protocol. Its fields have their names in capitals.
pub(super) fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    put(&mut bytes, "PRIORITY", &priority(record.level).to_string());
    put(&mut bytes, "SYSLOG_IDENTIFIER", IDENTIFIER);
    put(&mut bytes, "MESSAGE", &record.message);
    if let Some(event) = &record.event {
        put(&mut bytes, "EVENT", event);
        if let Some((_, id)) = MESSAGE_IDS.iter().find(|(name, _)| name == event) {
            put(&mut bytes, "MESSAGE_ID", id);
        }
    }
    for (name, value) in &record.fields {
        put(&mut bytes, &name.to_uppercase(), &value.to_string());
    }
    bytes
}

/// A field. A value that would end its line goes with its length.
fn put(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    // Writing to memory never fails.
    let _ = bytes.write_all(value.as_bytes());
    bytes.push(b'\n');
}

/// The way to the journal. It is made anew for each record as long as that fails.
#[derive(Debug, Default)]
pub(super) struct Journal(Option<UnixDatagram>);

impl Journal {
    /// Sends a record, and waits for room no longer than that; for ever without a time. Returns whether it is sent.
    ///
    /// # Errors
    ///
    /// If the journal is not there, or does not take it: what is larger than a datagram may be it does not.
    pub(super) fn send(&mut self, record: &[u8], until: Option<Instant>) -> io::Result<bool> {
        loop {
            let (socket, is_new) = match self.0.take() {
                Some(socket) => (socket, false),
                None => (connect()?, true),
            };
            let sent = when_writable(socket.as_fd(), until, || socket.send(record).map_err(|error| errno(&error)));
            match sent {
                Ok(sent) => {
                    self.0 = Some(socket);
                    return Ok(sent.is_some());
                }
                // The journal may have made its socket anew.
                Err(Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::ENOTCONN | Errno::EPIPE) if !is_new => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::record::Value;
    use super::*;

    #[test]
    fn a_record_has_priority_message_and_its_fields_and_none_of_them_adds_another() {
        let mut record = Record::new(Level::WARN, "");
        record.message = "degraded".to_owned();
        record.event = Some("degraded".to_owned());
        record.fields = vec![
            ("file", Value::Text("/etc/a\nPRIORITY=0".to_owned())),
            ("ranges", Value::Unsigned(3)),
            ("policy_fingerprint", Value::Formatted("ab=c".to_owned())),
        ];
        let mut expected = b"PRIORITY=4\nSYSLOG_IDENTIFIER=ip-masq-agent\nMESSAGE=degraded\nEVENT=degraded\n".to_vec();
        expected.extend(b"MESSAGE_ID=01450d5cf43c418583cfc671307bf081\nFILE\n\x11\0\0\0\0\0\0\0/etc/a\nPRIORITY=0\n");
        expected.extend(b"RANGES=3\nPOLICY_FINGERPRINT=ab=c\n");
        assert_eq!(String::from_utf8(encode(&record)), String::from_utf8(expected));
    }

    #[test]
    fn each_message_id_is_explained_in_the_catalog_and_listed_in_the_documentation() {
        let read = |path| std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let (catalog, documentation) = (read("deploy/systemd/ip-masq-agent.catalog"), read("docs/operations.md"));
        let explained: BTreeSet<&str> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        assert_eq!(explained, MESSAGE_IDS.into_iter().map(|(_, id)| id).collect());
        for (name, id) in MESSAGE_IDS {
            assert!(documentation.contains(&format!("\n| `{name}` | `{id}` | ")), "{name}");
        }
    }

    #[test]
    fn each_message_id_is_a_number_of_128_bits_and_stands_for_one_event() {
        let (names, ids): (BTreeSet<_>, BTreeSet<_>) = MESSAGE_IDS.into_iter().unzip();
        assert_eq!((names.len(), ids.len()), (MESSAGE_IDS.len(), MESSAGE_IDS.len()));
        for id in ids {
            assert!(id.len() == 32 && id.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')), "{id}");
        }
    }
}
