//! Asking a running agent over its Unix socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

use super::SocketPath;
use crate::text::Shown;

/// An agent answers within a millisecond, as nothing that it does makes an answer wait.
const LONGEST: Duration = Duration::from_secs(3);
/// The bytes that an answer may have.
const LARGEST: usize = 16 << 20;

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
    #[error("no agent answers at {}: {source}", Shown(socket.path()))]
    Io {
        /// Where.
        socket: SocketPath,
        /// Why not.
        source: io::Error,
    },
    /// It took too long.
    #[error("the agent at {} has not answered for {LONGEST:?}", Shown(.0.path()))]
    Slow(SocketPath),
    /// What came is no answer of an agent.
    #[error("what answers at {} is no agent", Shown(.0.path()))]
    Strange(SocketPath),
}

/// Asks for one of the paths.
///
/// # Errors
///
/// [`ClientError`], if there is no answer.
pub fn ask(socket: &SocketPath, path: &str) -> Result<Asked, ClientError> {
    let answer = exchange(socket, path, Instant::now() + LONGEST).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Slow(socket.clone()),
        _ => ClientError::Io { socket: socket.clone(), source },
    })?;
    parse(&answer).ok_or_else(|| ClientError::Strange(socket.clone()))
}

fn exchange(socket: &SocketPath, path: &str, until: Instant) -> io::Result<Vec<u8>> {
    let left = || match until.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let connection = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
    // Where too many wait to be accepted, this fails at once.
    connection.connect_timeout(&SockAddr::unix(socket.path())?, left()?)?;
    let mut stream = UnixStream::from(connection);
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
