//! What `explain` is asked about.

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

use crate::diagnostics::Code;

/// What is to be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Destination(IpAddr),
    Code(Code),
}

/// Neither an address nor a code; perhaps this code was meant.
#[derive(Debug, Error)]
#[error("expected an IP address, or a code such as E003{}", .0.map_or_else(String::new, |code| format!("; did you mean {} ({})?", code.id(), code.name())))]
pub(super) struct NoSubject(Option<Code>);

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, NoSubject> {
        let destination = text.parse().map(Self::Destination).ok();
        let subject = destination.or_else(|| text.parse().ok().map(Self::Code));
        subject.ok_or_else(|| NoSubject(Code::close_to(text)))
    }
}
