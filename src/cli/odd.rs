//! What is odd about arguments that are valid.

use std::ffi::OsString;
use std::fmt;

use crate::net::{PortRange, PortRanges};
use crate::text::Quoted;

/// Something odd about valid arguments, displayed as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Odd {
    /// A word that is neither a flag nor a verb, and all behind it, are ignored, as upstream does.
    Ignored(Vec<String>),
    /// `--to-ports` has port 0.
    PortZero,
    /// Two ranges of `--to-ports` share a port.
    Overlap(PortRange, PortRange),
}

pub(super) fn find(ignored: &[OsString], to_ports: &PortRanges) -> Vec<Odd> {
    let words: Vec<String> = ignored.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let ignored = (!words.is_empty()).then_some(Odd::Ignored(words));
    let zero = to_ports.contains(0).then_some(Odd::PortZero);
    let overlap = to_ports.overlap().map(|(one, other)| Odd::Overlap(one, other));
    [ignored, zero, overlap].into_iter().flatten().collect()
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored(words) => {
                let words: Vec<String> = words.iter().map(|word| Quoted(word).to_string()).collect();
                write!(
                    f,
                    "these arguments are ignored, because the first of them is neither a flag nor a verb: {}; remove what is \
                     not needed, and put flags in front of it",
                    words.join(" ")
                )
            }
            Self::PortZero => f.write_str(
                "--to-ports has port 0: flows that get it are sent from that port, and hardly anybody answers; begin at 1",
            ),
            Self::Overlap(one, other) => write!(
                f,
                "--to-ports: {one} and {other} overlap, so that ports in both are drawn more often; write each port once"
            ),
        }
    }
}
