//! The flags of a running agent, and those of a verb that is called beside it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, absolute};

use super::{Cli, CommandLine, Stop, arguments, understand};

/// The flags that decide what an agent does, and so what a verb beside it goes by.
const LASTING: [&[u8]; 12] = [
    b"--config",
    b"--masq-chain",
    b"--nomasq-all-reserved-ranges",
    b"--enable-ipv6",
    b"--random-fully",
    b"--to-ports",
    b"--backend",
    b"--protect",
    b"--state-dir",
    b"--conntrack",
    b"--status-socket",
    b"--listen",
];

/// Of these, those that say where an agent is asked. Who names one of them means that agent, and no other.
const PLACES: [&[u8]; 2] = [b"--status-socket", b"--listen"];

/// Of these, those that name a place.
const PATHS: [&[u8]; 3] = [b"--config", b"--state-dir", b"--status-socket"];

/// What is asked for beside a running agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// With the agent's flags, where none are given.
    pub cli: Cli,
    /// The agent's flags that count.
    pub taken: Vec<String>,
}

/// The flags among these arguments of an agent that decide what it does, as they are understood in any directory. None, if one
/// of them is no text.
#[must_use]
pub fn lasting_flags(args: impl IntoIterator<Item = OsString>) -> Vec<String> {
    let words = CommandLine::of(&arguments::command(), args).map(|words| words.words).unwrap_or_default();
    let flags: Option<Vec<String>> = lasting(&words).map(|word| from_the_root(word).into_string().ok()).collect();
    flags.unwrap_or_default()
}

/// What these arguments ask for beside an agent with these flags.
///
/// # Errors
///
/// [`Stop`], if the agent's flags make no sense here, as those of another version.
pub fn beside(
    agent: impl IntoIterator<Item = OsString>,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Beside, Stop> {
    let command = arguments::command();
    let own = CommandLine::of(&command, args)?;
    let given: Vec<&[u8]> = lasting(&own.words).map(|word| name(word)).collect();
    let agent: Vec<OsString> = agent.into_iter().collect();
    let names_agent = given.iter().any(|name| PLACES.contains(name));
    let is_given = |name| given.contains(&name) || names_agent && PLACES.contains(&name);
    let taken: Vec<&OsString> = lasting(&agent).filter(|word| !is_given(name(word))).collect();
    let words = taken.iter().copied().chain(&own.words).cloned().collect();
    let cli = understand(command, CommandLine { words, ..own })?;
    Ok(Beside { cli, taken: taken.iter().map(|word| word.to_string_lossy().into_owned()).collect() })
}

/// The lasting flags among the words, each once: the last one counts.
fn lasting(words: &[OsString]) -> impl Iterator<Item = &OsString> {
    let flags: Vec<&OsString> =
        words.iter().take_while(|word| *word != "--").filter(|word| LASTING.contains(&name(word))).collect();
    let last: Vec<&OsString> = flags
        .iter()
        .enumerate()
        .filter(|(at, word)| !flags.iter().skip(at + 1).any(|later| name(later) == name(word)))
        .map(|(_, word)| *word)
        .collect();
    last.into_iter()
}

fn name(word: &OsStr) -> &[u8] {
    word.as_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn from_the_root(word: &OsStr) -> OsString {
    let name = name(word);
    let Some(path) = word.as_bytes().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) else {
        return word.to_owned();
    };
    let path = Path::new(OsStr::from_bytes(path));
    match absolute(path) {
        Ok(path) if PATHS.contains(&name) => {
            let mut word = OsStr::from_bytes(name).to_owned();
            word.push("=");
            word.push(path);
            word
        }
        _ => word.to_owned(),
    }
}
