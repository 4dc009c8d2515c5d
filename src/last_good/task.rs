//! What a writer process is to do, and what it answers.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::directory::LARGEST;
use super::{Flaw, StateDir, format};

/// What is to be done in a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterTask {
    /// The state file is to hold what comes by stdin.
    Save,
    /// The state file is to have another name.
    SetAside(Flaw),
    /// What comes by stdin is to be in the directory of running agents, for the next one-shot verb.
    Remember,
}

/// The result of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterAnswer {
    /// The state file holds it: with whether anything was written, as it may have held it already.
    Saved(bool),
    /// The state file has this name now.
    Aside(PathBuf),
    /// It could not be done, for this reason.
    Failed(String),
}

impl WriterTask {
    /// Does the task, however long the disk takes. `input` is what comes by stdin.
    pub fn perform(self, dir: &StateDir, input: impl Read) -> WriterAnswer {
        match self {
            Self::Save => match save(dir, input) {
                Ok(written) => WriterAnswer::Saved(written),
                Err(why) => WriterAnswer::Failed(why),
            },
            Self::Remember => match remember(dir, input) {
                Ok(()) => WriterAnswer::Saved(true),
                Err(why) => WriterAnswer::Failed(why),
            },
            Self::SetAside(flaw) => {
                dir.set_aside(flaw).map_or_else(|error| WriterAnswer::Failed(error.to_string()), WriterAnswer::Aside)
            }
        }
    }
}

fn save(dir: &StateDir, input: impl Read) -> Result<bool, String> {
    let mut bytes = Vec::new();
    let read = input.take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|error| format!("could not read what is to be saved: {error}"))?;
    // A call by hand is not to spoil what is saved.
    format::decode(&bytes).map_err(|error| format!("what is to be saved {error}"))?;
    dir.write(&bytes).map_err(|error| error.to_string())
}

fn remember(dir: &StateDir, mut input: impl Read) -> Result<(), String> {
    let mut bytes = Vec::new();
    let read = input.read_to_end(&mut bytes);
    read.map_err(|error| format!("could not read what is to be remembered: {error}"))?;
    dir.remember(&bytes).map_err(|error| error.to_string())
}

impl WriterAnswer {
    /// As the writer process prints it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Saved(true) => b"written".to_vec(),
            Self::Saved(false) => b"unchanged".to_vec(),
            Self::Aside(path) => [b"aside ", path.as_os_str().as_bytes()].concat(),
            Self::Failed(why) => [b"failed ", why.as_bytes()].concat(),
        }
    }

    /// What a writer process printed; `None` if that is no answer, or only the beginning of one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            b"written" => Some(Self::Saved(true)),
            b"unchanged" => Some(Self::Saved(false)),
            _ => {
                let failed =
                    || Some(Self::Failed(String::from_utf8_lossy(bytes.strip_prefix(b"failed ")?).into_owned()));
                let aside = || Some(Self::Aside(OsStr::from_bytes(bytes.strip_prefix(b"aside ")?).into()));
                failed().or_else(aside)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SourceSet;
    use crate::last_good::LastKnownGood;

    #[test]
    fn every_answer_is_read_as_it_was_printed() {
        let path = PathBuf::from(OsStr::from_bytes(b"/a b/\xff\n"));
        for answer in [
            WriterAnswer::Saved(true),
            WriterAnswer::Saved(false),
            WriterAnswer::Aside(path),
            WriterAnswer::Failed("could not write /x: no room".to_owned()),
        ] {
            assert_eq!(WriterAnswer::from_bytes(&answer.to_bytes()), Some(answer));
        }
        for bytes in [&b""[..], b"writ", b"failed", b"nonsense"] {
            assert_eq!(WriterAnswer::from_bytes(bytes), None);
        }
    }

    #[test]
    fn what_is_no_state_is_not_saved() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = StateDir::new(&scratch.path().join("state"));
        let bytes =
            format::encode(&LastKnownGood::new(SourceSet::one("/config", Some(b"masqLinkLocal: true\n".to_vec()))));
        for spoilt in [&b""[..], b"masqLinkLocal: true\n", &bytes[..bytes.len() - 1]] {
            let answer = WriterTask::Save.perform(&dir, spoilt);
            assert!(
                matches!(&answer, WriterAnswer::Failed(why) if why.starts_with("what is to be saved is damaged: ")),
                "{answer:?}"
            );
        }
        assert!(!dir.path().exists());
        assert_eq!(WriterTask::Save.perform(&dir, &bytes[..]), WriterAnswer::Saved(true));
        assert_eq!(WriterTask::Save.perform(&dir, &bytes[..]), WriterAnswer::Saved(false));
    }
}
