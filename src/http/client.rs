//! Asking a running agent, over its Unix socket or its address.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use super::SocketPath;
use crate::text::Shown;

/// An agent answers within a millisecond, as nothing that it does makes an answer wait.
const LONGEST: Duration = Duration::from_secs(3);
/// The bytes that an answer may have.
const LARGEST: usize = 16 << 20;

/// Where an agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `--status-socket`
    Socket(SocketPath),
    /// `--listen`
    Address(SocketAddr),
}

/// What an agent answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whether the answer is yes (status 200).
    pub is_good: bool,
    /// The text.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody is there, or the connection failed.
    #[error("no agent answers at {place}: {source}")]
    Io {
        /// Where.
        place: Place,
        /// Why not.
        source: io::Error,
    },
    /// It took too long.
    #[error("the agent at {0} has not answered for {LONGEST:?}")]
    Slow(Place),
    /// What came is no answer of an agent.
    #[error("what answers at {0} is no agent")]
    Strange(Place),
}

/// Asks for one of the paths.
///
/// # Errors
///
/// [`ClientError`], if there is no answer.
pub fn ask(place: &Place, path: &str) -> Result<Asked, ClientError> {
    let answer = exchange(place, path, Instant::now() + LONGEST).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Slow(place.clone()),
        _ => ClientError::Io { place: place.clone(), source },
    })?;
    parse(&answer).ok_or_else(|| ClientError::Strange(place.clone()))
}

fn exchange(place: &Place, path: &str, until: Instant) -> io::Result<Vec<u8>> {
    let left = || match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let (domain, address) = match place {
        Place::Socket(socket) => (Domain::UNIX, SockAddr::unix(socket.path())?),
        Place::Address(address) => (Domain::for_address(*address), SockAddr::from(*address)),
    };
    let mut stream = Socket::new(domain, Type::STREAM.cloexec(), None)?;
    // Where too many wait to be accepted at a Unix socket, this fails at once.
    stream.connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let (mut answer, mut part) = (Vec::new(), [0; 8192]);
    while answer.len() < LARGEST {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => answer.extend_from_slice(part.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => Shown(socket.path()).fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// An answer as [`super::answer`] gives it: the server names its length, and sends it in one piece.
fn parse(answer: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut status = head.lines().next()?.split(' ');
    let (version, code) = (status.next()?, status.next()?);
    let is_good = match code {
        _ if version != "HTTP/1.1" => return None,
        "200" => true,
        "503" => false,
        _ => return None,
    };
    Some(Asked { is_good, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_of_an_agent_is_none() {
        let good = |body: &str| Some(Asked { is_good: true, body: body.to_owned() });
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nlive\n", good("live\n")),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nno\n", Some(Asked { is_good: false, body: "no\n".to_owned() })),
            ("HTTP/1.1 404 Not Found\r\n\r\nno\n", None),
            ("HTTP/2 200 OK\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("220 mail.example.org ESMTP\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(parse(answer.as_bytes()), expected, "{answer}");
        }
    }
}
