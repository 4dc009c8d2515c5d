//! Asking an agent over `--listen`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::netns::Netns;

/// Where the agents of the tests listen.
pub(crate) const ADDRESS: &str = "127.0.0.1:10297";
/// Answers come at once; a failing test waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the agent in a namespace.
pub(crate) fn connect(netns: &Netns) -> TcpStream {
    let address: SocketAddr = ADDRESS.parse().unwrap();
    let stream = netns.inside(|| TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The answer to a request, head and body.
pub(crate) fn asked(netns: &Netns, request: &str) -> String {
    let mut stream = connect(netns);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The answer to a request for this path, head and body.
pub(crate) fn get(netns: &Netns, path: &str) -> String {
    asked(netns, &format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n"))
}
