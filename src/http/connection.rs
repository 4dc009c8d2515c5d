//! Clients, none of whom is trusted.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::answer::answer;
use crate::metrics::Scraper;

/// So many clients are served at a time. With one more, the one that has been here longest has to go: who asks and listens is
/// served at once, and who has not been by then is slow, or means no good.
const MOST_CLIENTS: usize = 32;
/// A client that has not received its answer by then has to go.
const LONGEST: Duration = Duration::from_secs(10);
/// The bytes that the head of a request may have; the least that hyper takes.
const LARGEST_HEAD: usize = 8192;
/// The pause after a client could not be accepted, as when the process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// What clients come from.
pub(super) trait Clients {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next client. Dropping the future loses nothing.
    async fn next(&mut self) -> io::Result<Self::Stream>;
}

impl Clients for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&mut self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Clients for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&mut self) -> io::Result<Self::Stream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Serves clients for ever.
pub(super) async fn serve(clients: &mut impl Clients, scraper: &Arc<Scraper>) {
    let mut served: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        match clients.next().await {
            Ok(stream) => {
                served.retain(|client| !client.is_finished());
                if served.len() >= MOST_CLIENTS
                    && let Some(first) = served.pop_front()
                {
                    first.abort();
                    // Its descriptor is closed before the next one is opened.
                    let _ = first.await;
                }
                served.push_back(tokio::spawn(serve_one(stream, Arc::clone(scraper))));
            }
            Err(error) => {
                debug!(event = "client_not_accepted", %error, "a client could not be accepted: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one request, and closes the connection.
async fn serve_one(stream: impl AsyncRead + AsyncWrite + Unpin, scraper: Arc<Scraper>) {
    let service = service_fn(|request| {
        let answer = answer(request.method(), request.uri().path(), &scraper);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    // The time for the head is part of that for all.
    http.keep_alive(false).half_close(true).header_read_timeout(None).max_buf_size(LARGEST_HEAD);
    match timeout(LONGEST, http.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(event = "client_not_answered", %error, "a client was not answered: {error}"),
        Err(_) => {
            debug!(event = "client_not_answered", "a client was not answered: it took longer than {LONGEST:?}");
        }
    }
}
