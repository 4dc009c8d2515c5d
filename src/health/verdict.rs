//! Whether the node is as it shall be, and why not.

use std::fmt;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{FileState, Health, NodeState, Pulse};
use crate::text::Visible;

/// What is asked of the system at the moment of the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// For how long the loop has been stuck, if it is.
    pub stuck: Option<Duration>,
    /// Whether the host's address is one of this network namespace; `None` if that is not known.
    pub is_on_host: Option<bool>,
}

/// Why the agent is not ready, or not live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What kind of reason it is.
    pub kind: Kind,
    /// The reason, in one line.
    pub text: String,
}

/// The kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No pass has ended so far.
    Starting,
    /// The configuration cannot be used.
    Invalid,
    /// The rules follow something else than what the file says.
    Degraded,
    /// The rules are not in force, or not known to be, because of what others did or have in the way.
    Missing,
    /// The rules are not in force, because the kernel refused them.
    Refused,
    /// Another program undoes the rules again and again.
    Contested,
    /// The agent's network namespace is not the host's.
    NotOnHost,
    /// The loop does not turn.
    Stuck,
}

impl Surroundings {
    /// As they are now.
    #[must_use]
    pub fn now(pulse: &Pulse, host: Option<IpAddr>) -> Self {
        Self { stuck: pulse.stuck_for(Instant::now()), is_on_host: host.and_then(is_here) }
    }
}

/// Whether an address is one of this network namespace. A socket cannot be bound to any other, unless
/// `net.ipv4.ip_nonlocal_bind` allows that.
fn is_here(address: IpAddr) -> Option<bool> {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => Some(true),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => Some(false),
        Err(_) => None,
    }
}

/// Why the policy of the file is not in force and read back; nothing if it is. A file that is not there means the defaults, as
/// upstream has it.
#[must_use]
pub fn ready(state: &NodeState, surroundings: Surroundings) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |kind, text: String| reasons.push(Reason { kind, text });
    let Some(policy) = &state.policy else {
        add(Kind::Starting, "no pass over the rules has ended so far".to_owned());
        reasons.extend(live(surroundings));
        return reasons;
    };
    // Of a file that is not there, nothing is wrong but that the rules follow something else.
    let is_missing = state.file.as_ref().is_some_and(|file| file.state == FileState::MISSING);
    for error in state.errors() {
        add(if is_missing { Kind::Degraded } else { Kind::Invalid }, error.to_owned());
    }
    if policy.is_degraded {
        let held = if state.failure.is_none() { "in force is" } else { "the rules shall follow" };
        add(Kind::Degraded, format!("{held} {}", policy.words));
    }
    if let Some(failure) = &state.failure {
        let text = if failure.is_of_reading {
            format!("{}; whether they are in force is not known", failure.text)
        } else {
            failure.text.clone()
        };
        add(if failure.is_refusal { Kind::Refused } else { Kind::Missing }, text);
    }
    if let Some(conflict) = &state.conflict {
        let by = if conflict.suspects.is_empty() {
            "the kernel did not say who does it".to_owned()
        } else {
            format!("before that committed: {}", conflict.suspects.join(", "))
        };
        add(Kind::Contested, format!("another program undoes them again and again, and repairs wait; {by}"));
    }
    if let (Some(host), Some(false)) = (state.setup.host, surroundings.is_on_host) {
        add(
            Kind::NotOnHost,
            format!(
                "{host} (HOST_IP) is no address of this network namespace, so that the rules are not the node's; set \
                 hostNetwork: true"
            ),
        );
    }
    reasons.extend(live(surroundings));
    reasons
}

/// Why the loop does not turn; nothing if it does.
#[must_use]
pub fn live(surroundings: Surroundings) -> Vec<Reason> {
    let text = |stuck: Duration| format!("the loop has not come to an end for {} s", stuck.as_secs());
    surroundings.stuck.map(|stuck| Reason { kind: Kind::Stuck, text: text(stuck) }).into_iter().collect()
}

impl NodeState {
    /// What is wrong with the files, a line each.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &str> {
        let diagnostics = self.file.iter().flat_map(|file| &file.diagnostics);
        diagnostics.filter(|diagnostic| diagnostic.is_error).map(|diagnostic| diagnostic.text.as_str())
    }
}

impl Health {
    /// As [`ready`], now.
    #[must_use]
    pub fn ready(&self) -> Vec<Reason> {
        let state = self.state();
        ready(&state, Surroundings::now(self.pulse(), state.setup.host))
    }

    /// As [`live`], now.
    #[must_use]
    pub fn live(&self) -> Vec<Reason> {
        live(Surroundings::now(self.pulse(), None))
    }
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Invalid => "policy invalid",
            Self::Degraded => "policy degraded",
            Self::Missing | Self::Refused => "rules not in force",
            Self::Contested => "rules contested",
            Self::NotOnHost => "not in the host's network",
            Self::Stuck => "stuck",
        }
    }
}

impl fmt::Display for Reason {
    /// In one line, whatever is in its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        write!(Visible(f), "{}: {}", self.kind.words(), self.text)
    }
}
