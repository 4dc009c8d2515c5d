//! Telling the service manager's watchdog that the loop turns (`sd_watchdog_enabled(3)`).
//!
//! A pass over a long list takes longer than a watchdog may wait, and nothing of the loop can be asked meanwhile. So a thread of
//! its own looks at the loop's [`Pulse`], which nothing but the loop itself moves, and says that all is well for as long as
//! `/livez` would.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::Pulse;
use crate::report::ManagerAddress;

/// Shorter intervals are taken for this one, so that none keeps a processor busy.
const SHORTEST: Duration = Duration::from_millis(100);

/// The thread does next to nothing.
const STACK_BYTES: usize = 64 * 1024;

/// The service manager's watchdog.
#[derive(Debug)]
pub struct Watchdog {
    /// It ends the agent if it hears nothing for so long.
    interval: Duration,
    address: ManagerAddress,
    socket: Option<UnixDatagram>,
}

impl Watchdog {
    /// The one of the service manager that listens there, if the environment asks this process for signs of life
    /// (`WATCHDOG_USEC`, `WATCHDOG_PID`).
    #[must_use]
    pub fn from_environment(address: Option<&ManagerAddress>) -> Option<Self> {
        let interval = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())?;
        Some(Self { interval: interval.max(SHORTEST), address: address?.clone(), socket: None })
    }

    /// Has a thread tell it of the loop with this pulse, twice in each interval.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    #[expect(clippy::disallowed_methods, reason = "nothing is waited for but the next sign of life")]
    pub fn start(mut self, pulse: Arc<Pulse>) -> io::Result<()> {
        let thread = thread::Builder::new().name("watchdog".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            loop {
                self.tell(&pulse, Instant::now());
                thread::sleep(self.interval / 2);
            }
        })?;
        Ok(())
    }

    /// Tells it that the loop turns, if it does, and waits for room no longer than until it is told the next time. A failure is not
    /// reported: the next sign of life may get through.
    fn tell(&mut self, pulse: &Pulse, now: Instant) {
        if pulse.stuck_for(now).is_some() {
            return;
        }
        // A socket that was made anew under the same name has to be connected to anew.
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = self.connect().ok();
            }
            let Some(socket) = &self.socket else { return };
            match socket.send(NotifyState::Watchdog.to_string().as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.socket = None,
                _ => return,
            }
        }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = self.address.connect_blocking()?;
        socket.set_write_timeout(Some(self.interval / 4))?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(listener: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 64];
        let len = listener.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    #[test]
    fn it_is_told_while_the_loop_turns_or_makes_a_long_pass_and_not_once_it_is_stuck() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let address = ManagerAddress::parse(path.as_os_str()).unwrap();
        let mut watchdog = Watchdog { interval: SHORTEST, address, socket: None };
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let pulse = Pulse::new(began);
        watchdog.tell(&pulse, began);
        for _ in 0..2 {
            let _ = std::fs::remove_file(&path);
            let listener = UnixDatagram::bind(&path).unwrap();
            listener.set_nonblocking(true).unwrap();
            let mut beats = |seconds| {
                watchdog.tell(&pulse, at(seconds));
                told(&listener)
            };
            let well = Some("WATCHDOG=1".to_owned());
            pulse.wakes(at(0));
            assert_eq!((beats(0), beats(60), beats(61)), (well.clone(), well.clone(), None));
            pulse.sets_alarm(at(100));
            pulse.waits(at(2));
            assert_eq!((beats(160), beats(161)), (well.clone(), None), "it slept through its alarm");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_is_waited_for_no_longer_than_until_the_next_sign_of_life() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let _listener = UnixDatagram::bind(&path).unwrap();
        let address = ManagerAddress::parse(path.as_os_str()).unwrap();
        let mut watchdog = Watchdog { interval: SHORTEST, address, socket: None };
        let pulse = Pulse::default();
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        while longest < SHORTEST / 8 {
            let asked = Instant::now();
            watchdog.tell(&pulse, asked);
            longest = longest.max(asked.elapsed());
            assert!(began.elapsed() < Duration::from_secs(20), "the socket is never full");
        }
        assert!(longest < Duration::from_secs(5), "{longest:?}");
    }
}
