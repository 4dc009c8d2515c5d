//! Requests that are repeated until their answer is whole.

use super::{Budget, Connection, End, Request, TRIES, Transport};
use crate::netlink::{Attributes, Malformed, NetlinkError};

/// The result of one attempt to read.
enum Attempt<I> {
    Complete(Vec<I>),
    /// It is complete, but others committed in the meantime.
    Overtaken(Vec<I>),
    Interrupted,
}

impl<T: Transport> Connection<T> {
    /// Sends a request until its answer is whole, at most [`TRIES`] times. A request that only reads can be repeated after any
    /// failure.
    pub(crate) fn read<I>(
        &mut self,
        request: &Request<'_>,
        parse: impl Fn(Attributes<'_>) -> Result<Option<I>, Malformed>,
    ) -> Result<Vec<I>, NetlinkError> {
        self.read_with_headers(request, |payload| parse(Attributes::behind(&request.family, payload)?))
    }

    /// The same, where `parse` is also given the header of the protocol, which tells what a request about everything does not.
    pub(crate) fn read_with_headers<I>(
        &mut self,
        request: &Request<'_>,
        parse: impl Fn(&[u8]) -> Result<Option<I>, Malformed>,
    ) -> Result<Vec<I>, NetlinkError> {
        self.read_until(request, parse, |_, _| false)
    }

    /// The same for a list that can be so long that there is always a foreign commit in the meantime, even if it is
    /// about something else: two equal answers in a row count as whole. The kernel gives a list in parts, and for each
    /// part skips as many entries as it has given already. What others do elsewhere moves no entry of the list. What
    /// they do to the list itself can make the kernel leave out or repeat entries in one answer, but then the next
    /// answer differs.
    pub(crate) fn read_long<I>(
        &mut self,
        request: &Request<'_>,
        parse: impl Fn(Attributes<'_>) -> Result<Option<I>, Malformed>,
        is_same: impl Fn(&I, &I) -> bool,
    ) -> Result<Vec<I>, NetlinkError> {
        let are_same = |one: &[I], other: &[I]| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        };
        self.read_until(request, |payload| parse(Attributes::behind(&request.family, payload)?), are_same)
    }

    /// Sends a request until its answer is whole, or the same as the one before.
    fn read_until<I>(
        &mut self,
        request: &Request<'_>,
        parse: impl Fn(&[u8]) -> Result<Option<I>, Malformed>,
        are_same: impl Fn(&[I], &[I]) -> bool,
    ) -> Result<Vec<I>, NetlinkError> {
        let mut previous: Option<Vec<I>> = None;
        let mut failure = NetlinkError::Interrupted { tries: TRIES };
        for _ in 0..TRIES {
            failure = match self.attempt(request, &parse) {
                Ok(Attempt::Complete(items)) => return Ok(items),
                Ok(Attempt::Overtaken(items))
                    if previous.as_ref().is_some_and(|previous| are_same(previous, &items)) =>
                {
                    return Ok(items);
                }
                Ok(Attempt::Overtaken(items)) => {
                    previous = Some(items);
                    NetlinkError::Interrupted { tries: TRIES }
                }
                Ok(Attempt::Interrupted) => NetlinkError::Interrupted { tries: TRIES },
                Err(error @ NetlinkError::Endless { .. }) => return Err(error),
                Err(error) if error.is_transient() => error,
                Err(error) => return Err(error),
            };
        }
        Err(failure)
    }

    fn attempt<I>(
        &mut self,
        request: &Request<'_>,
        parse: impl Fn(&[u8]) -> Result<Option<I>, Malformed>,
    ) -> Result<Attempt<I>, NetlinkError> {
        let mut items = Vec::new();
        let end = self.exchange_within(Budget::STORED, request, |payload| {
            items.extend(parse(payload)?);
            Ok::<_, NetlinkError>(())
        })?;
        Ok(match end {
            End::Whole => Attempt::Complete(items),
            End::Missing => Attempt::Complete(Vec::new()),
            End::Overtaken => Attempt::Overtaken(items),
            End::Interrupted => Attempt::Interrupted,
        })
    }
}
