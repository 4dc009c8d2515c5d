//! What can go wrong between us and the kernel, told apart by what a caller can do about it.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

use super::message::Report;
use super::wire::Malformed;

/// Why the kernel did not do, or did not answer, what was asked.
///
/// A batch is committed as a whole or not at all, so that after an error nothing was changed. Only if the answer is
/// missing ([`NetlinkError::Io`], [`NetlinkError::Malformed`], [`NetlinkError::NoAnswer`], [`NetlinkError::Endless`])
/// it may have been.
#[derive(Debug, Error)]
pub enum NetlinkError {
    /// The socket itself failed.
    #[error("the netlink socket failed: {0}; try again")]
    Io(#[source] io::Error),
    /// `EPERM` or `EACCES`.
    #[error(
        "the kernel does not permit it; run as root or with CAP_NET_ADMIN in the user namespace that owns this \
         network namespace"
    )]
    Denied,
    /// The kernel lacks the protocol, or something that a change needs.
    #[error("this kernel cannot do it{}: {}{}", at(*change), .errno.desc(), quoted(text.as_ref()))]
    Unsupported {
        /// The change that needs it; `None` if the protocol as a whole is missing.
        change: Option<usize>,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own words.
        text: Option<String>,
    },
    /// `ERESTART`: another process committed since the generation that the batch was built on (`nfnetlink_rcv_batch`).
    #[error("what the change was planned from was changed by somebody else meanwhile; read it again and plan anew")]
    StaleGeneration,
    /// The kernel refused a change, or a request.
    #[error("the kernel refused the request{}: {}{}; nothing was changed", at(*change), .errno.desc(), quoted(text.as_ref()))]
    Rejected {
        /// The first change that was refused, counted from 0 in the order in which they were added to the batch; `None` if
        /// it was the batch as a whole, or a request that changes nothing.
        change: Option<usize>,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's own words (its extended acknowledgement).
        text: Option<String>,
    },
    /// `EMSGSIZE`: the batch does not fit into the socket's send buffer.
    #[error(
        "a transaction of {bytes} bytes is more than this process may send at once; give it CAP_NET_ADMIN outside of \
         any user namespace, or raise the sysctl net.core.wmem_max to at least {bytes}"
    )]
    TooLarge {
        /// The length of the batch in bytes.
        bytes: usize,
    },
    /// A name or a list is longer than the 64 KiB that one netlink attribute can hold.
    #[error("change {change} does not fit into a netlink message: one of its parts is longer than 65,531 bytes")]
    Unrepresentable {
        /// The change, counted from 0.
        change: usize,
    },
    /// The kernel, or another sender, sent bytes that are not netlink messages.
    #[error("the kernel's answer cannot be read: {0}; this is a bug here or there")]
    Malformed(&'static str),
    /// The kernel did not say whether it did it. After a batch: read again to find out.
    #[error("the kernel gave no answer; read again what there is before anything is sent")]
    NoAnswer,
    /// The answer did not end.
    #[error("the kernel's answer had not come to its end after {datagrams} datagrams; this is a bug here or there")]
    Endless {
        /// How many were received.
        datagrams: u32,
    },
    /// Every attempt to read was overtaken by changes, or lost messages.
    #[error("what was asked for changed faster than it could be read, {tries} times in a row; try again later")]
    Interrupted {
        /// How many attempts were made.
        tries: u32,
    },
}

impl NetlinkError {
    /// Whether trying the same again may succeed without any change from outside.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Io(_)
            | Self::StaleGeneration
            | Self::Malformed(_)
            | Self::NoAnswer
            | Self::Endless { .. }
            | Self::Interrupted { .. } => true,
            // A signal, or a shortage of memory or of buffer space: the kernel's state at that moment, not the request,
            // is the reason.
            Self::Rejected { errno, .. } => matches!(
                errno,
                Errno::EINTR
                    | Errno::EAGAIN
                    | Errno::ENOBUFS
                    | Errno::ENOMEM
                    | Errno::ENOSPC
                    | Errno::ENFILE
                    | Errno::EMFILE
                    | Errno::EBUSY
            ),
            Self::Denied | Self::Unsupported { .. } | Self::TooLarge { .. } | Self::Unrepresentable { .. } => false,
        }
    }

    /// The error for a report of the kernel.
    pub(super) fn from_report(errno: Errno, report: &Report<'_>, change: Option<usize>) -> Self {
        let text = report.text();
        match errno {
            // If the error names a change, what is protected is the object of that change, such as another process's
            // table.
            Errno::EPERM | Errno::EACCES if change.is_none() => Self::Denied,
            Errno::ERESTART => Self::StaleGeneration,
            errno @ (Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::ENOSYS) => {
                Self::Unsupported { change, errno, text }
            }
            errno => Self::Rejected { change, errno, text },
        }
    }

    /// The error for a failed system call on the socket, with `bytes` being sent.
    pub(crate) fn from_io(error: io::Error, bytes: usize) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMSGSIZE) => Self::TooLarge { bytes },
            Some(Errno::EPERM | Errno::EACCES) => Self::Denied,
            Some(errno @ (Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT)) => {
                Self::Unsupported { change: None, errno, text: None }
            }
            _ => Self::Io(error),
        }
    }
}

impl From<Malformed> for NetlinkError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

fn at(change: Option<usize>) -> String {
    change.map(|index| format!(" at change {index}")).unwrap_or_default()
}

fn quoted(text: Option<&String>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}
