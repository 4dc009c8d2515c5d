//! A queue with one place between two threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue with one place: a new value takes the place of one that was not taken yet, or is merged with it.
#[derive(Debug)]
pub(super) struct Slot<T> {
    place: Mutex<Option<T>>,
    filled: Notify,
}

impl<T> Slot<T> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { place: Mutex::new(None), filled: Notify::new() }
    }

    /// Puts a value there, in place of what was not taken yet.
    #[cfg(test)]
    pub(super) fn put(&self, value: T) {
        self.merge(|_| value);
    }

    /// Puts a value there, made from what was not taken yet.
    pub(super) fn merge(&self, value: impl FnOnce(Option<T>) -> T) {
        let mut place = self.lock();
        *place = Some(value(place.take()));
        drop(place);
        self.filled.notify_one();
    }

    /// Whether something is there.
    pub(super) fn is_filled(&self) -> bool {
        self.lock().is_some()
    }

    /// Takes what is there, if anything is.
    pub(super) fn take(&self) -> Option<T> {
        self.lock().take()
    }

    /// Completes once something is there. For a single waiter; dropping the future loses nothing.
    pub(super) async fn filled(&self) {
        while !self.is_filled() {
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        // Nothing can panic while it is held.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_was_not_taken_is_replaced_or_added_to_and_nothing_is_missed() {
        let queue = Slot::new();
        assert!(timeout(Duration::ZERO, queue.filled()).await.is_err());
        queue.put(1);
        queue.put(2);
        queue.merge(|before| before.unwrap_or_default() + 10);
        // A waiter that gives up takes nothing away.
        drop(queue.filled());
        queue.filled().await;
        assert_eq!(queue.take(), Some(12));
        assert_eq!(queue.take(), None);
        assert!(timeout(Duration::ZERO, queue.filled()).await.is_err(), "it was taken");
        queue.put(3);
        queue.filled().await;
    }
}
