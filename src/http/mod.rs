//! What the agent answers over HTTP (`--listen`, `--status-socket`): `/livez`, `/readyz`, `/metrics` and `/status`.
//!
//! All of it runs on a thread of its own, so that neither a long pass delays an answer nor a slow or hostile client a pass.

mod answer;
mod client;
mod connection;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tracing::{error, info};

use crate::metrics::Scraper;
use crate::report::LogOnce;
use crate::text::Shown;

pub use client::{Asked, ClientError, Place, ask};
pub use socket::{SocketPath, SocketPathError};

use connection::serve;
use socket::SocketId;

/// The pause after the first attempt to listen that failed, which doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Where is listened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// `--listen`
    pub address: Option<SocketAddr>,
    /// `--status-socket`
    pub socket: Option<SocketPath>,
}

impl Listen {
    /// Whether anybody shall be answered.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        self.address.is_some() || self.socket.is_some()
    }

    /// Where an agent that listens there is asked: at the socket, if it has both.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        let socket = self.socket.clone().map(Place::Socket);
        socket.or_else(|| self.address.map(Place::Address))
    }

    /// Starts the thread that answers for as long as the process lives. Where it cannot listen it says so, and tries again after
    /// a pause that doubles up to a minute: the rules matter more than who may ask about them. To be called once signals are
    /// blocked.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn start(self, scraper: Scraper) -> io::Result<Listening> {
        let listening = Listening { socket: self.socket.clone(), made: Arc::default() };
        let made = Arc::clone(&listening.made);
        let scraper = Arc::new(scraper);
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = thread::Builder::new().name("http".to_owned());
        thread.spawn(move || runtime.block_on(self.answer(&scraper, &made)))?;
        Ok(listening)
    }

    async fn answer(self, scraper: &Arc<Scraper>, made: &OnceLock<SocketId>) {
        let over_tcp = async {
            let Some(address) = self.address else { return };
            let bind = || listen_at(address);
            let mut listener = listening(&address.to_string(), "--listen", bind).await;
            serve(&mut listener, scraper).await;
        };
        let over_socket = async {
            let Some(socket) = &self.socket else { return };
            let mut listener = listening(&Shown(socket.path()).to_string(), "--status-socket", || {
                let (listener, id) = socket.listen()?;
                let _ = made.set(id);
                Ok(listener)
            })
            .await;
            serve(&mut listener, scraper).await;
        };
        tokio::join!(over_tcp, over_socket);
    }
}

/// What the agent answers at until it ends.
#[derive(Debug)]
pub struct Listening {
    socket: Option<SocketPath>,
    /// The socket that was made, once it was.
    made: Arc<OnceLock<SocketId>>,
}

impl Listening {
    /// Removes the socket, unless another has taken its place.
    pub fn end(self) {
        if let (Some(socket), Some(made)) = (&self.socket, self.made.get()) {
            socket.remove(*made);
        }
    }
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Listens as soon as that is possible.
async fn listening<L>(at: &str, flag: &str, listen: impl Fn() -> io::Result<L>) -> L {
    let (mut pause, mut failed) = (FIRST_PAUSE, LogOnce::new());
    loop {
        match listen() {
            Ok(listener) => {
                failed.ends();
                info!(event = "listening", at, "answering /livez, /readyz, /metrics and /status at {at}");
                return listener;
            }
            Err(error) => {
                let error = error.to_string();
                if failed.is_new(&error) {
                    error!(
                        event = "not_listening",
                        at,
                        error,
                        "nobody can ask for the status at {at} ({flag}): {error}; the rules are kept all the same, and it is \
                         tried again, at the latest after a minute"
                    );
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
