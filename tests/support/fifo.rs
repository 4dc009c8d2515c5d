//! A pipe with a name, of which each end can be opened again and in its own way.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::netns::Netns;

pub(crate) struct Fifo {
    path: PathBuf,
}

impl Fifo {
    pub(crate) fn new(netns: &Netns, name: &str) -> Self {
        let path = netns.scratch().join(name);
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        Self { path }
    }

    /// An end to read from, which does not wait.
    pub(crate) fn reader(&self) -> Reader {
        let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&self.path);
        Reader { file: open.unwrap(), text: String::new() }
    }

    /// An end to write to, while there is a reader.
    pub(crate) fn writer(&self, flags: OFlag) -> File {
        OpenOptions::new().write(true).custom_flags(flags.bits()).open(&self.path).unwrap()
    }

    /// Leaves no room in it.
    pub(crate) fn fill(&self) {
        let mut writer = self.writer(OFlag::O_NONBLOCK);
        while writer.write(&[b'.'; 4096]).is_ok() {}
    }
}

pub(crate) struct Reader {
    file: File,
    text: String,
}

impl Reader {
    /// Everything that was read so far, once what is there now was read too.
    pub(crate) fn read(&mut self) -> &str {
        let mut bytes = vec![0; 1 << 16];
        loop {
            match self.file.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) => self.text.push_str(&String::from_utf8_lossy(&bytes[..read])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        &self.text
    }
}
