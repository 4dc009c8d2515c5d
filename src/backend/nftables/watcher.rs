//! What watches for the commits of others, as the agent and the backend share it: the agent waits for it and takes what it
//! has to tell, and the backend tells it of its own commits.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};

use super::Generation;
use super::failure::doing;
use crate::backend::interface::{BackendError, ChangeSource, Heard, Listen};
use crate::netlink::NetlinkError;

/// Watches for the commits of others.
pub(super) trait Watcher: fmt::Debug {
    /// Called right before a commit of our own.
    fn before_commit(&mut self);

    /// Called right after it.
    fn after_commit(&mut self, own: OwnCommit, current: Current<'_>);

    /// As [`ChangeSource::listen`].
    fn listen(&mut self, heard: &mut Heard) -> Result<bool, NetlinkError>;

    /// As [`ChangeSource::is_due`].
    fn is_due(&self) -> bool;
}

/// Asks for the current generation; `None` if there is no answer. One short request.
pub(super) type Current<'a> = &'a mut dyn FnMut() -> Option<Generation>;

/// A commit of our own that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnCommit {
    /// The generation that it was sent for.
    pub(super) on: Generation,
    /// Whether the kernel said that it carried it out.
    pub(super) is_done: bool,
}

/// The backend's end.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched(Option<Weak<RefCell<dyn Watcher>>>);

/// The agent's end.
#[derive(Debug)]
struct Shared {
    watcher: Rc<RefCell<dyn Watcher>>,
    /// What the watcher reads, under a number of its own, so that it can be waited for while the watcher is lent.
    descriptor: OwnedFd,
}

impl OwnCommit {
    /// The generation that is current right after it if nobody else commits.
    pub(super) const fn leads_to(self) -> Generation {
        if self.is_done { self.on.next() } else { self.on }
    }
}

impl Watched {
    /// Both ends of a watcher.
    pub(super) fn share(watcher: impl Watcher + AsFd + 'static) -> io::Result<(Self, ChangeSource)> {
        let descriptor = watcher.as_fd().try_clone_to_owned()?;
        let watcher: Rc<RefCell<dyn Watcher>> = Rc::new(RefCell::new(watcher));
        let of_the_backend = Self(Some(Rc::downgrade(&watcher)));
        Ok((of_the_backend, ChangeSource::new(Shared { watcher, descriptor })))
    }

    /// Makes a commit of our own for this generation. `current` asks `by` for the generation.
    pub(super) fn around_commit<B, E>(
        &self,
        by: &mut B,
        on: Generation,
        commit: impl FnOnce(&mut B) -> Result<(), E>,
        current: impl Fn(&mut B) -> Option<Generation>,
    ) -> Result<(), E> {
        let Some(watcher) = self.0.as_ref().and_then(Weak::upgrade) else { return commit(by) };
        watcher.borrow_mut().before_commit();
        let result = commit(by);
        watcher.borrow_mut().after_commit(OwnCommit { on, is_done: result.is_ok() }, &mut || current(by));
        result
    }
}

impl Listen for Shared {
    fn listen(&mut self, heard: &mut Heard) -> Result<bool, BackendError> {
        self.watcher.borrow_mut().listen(heard).map_err(|error| doing("listen to changes of the rules", error))
    }

    fn is_due(&self) -> bool {
        self.watcher.borrow().is_due()
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
#[path = "watcher_tests.rs"]
mod tests;
