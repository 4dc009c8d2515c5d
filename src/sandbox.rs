//! `--sandbox`: a user and a network namespace of the process's own (`user_namespaces(7)`, `network_namespaces(7)`).
//!
//! Inside, the process is root over a network stack that no other process sees, and over nothing else: rules can be
//! applied to a real kernel without root and without any trace on the host. The loopback interface stays down, because
//! no packet is sent there; rules do not depend on it.

use std::fmt;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use thiserror::Error;

use crate::exit::Exit;

/// The namespaces that the process has entered. They live as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// A user and a network namespace: whatever the process does ends at their border.
    UserAndNetwork,
    /// A network namespace alone, because the system refused the other one to this privileged process. The process keeps
    /// its privileges over the rest of the host.
    NetworkOnly(Errno),
}

/// Why there is no sandbox. The messages end on what to change.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Neither an unprivileged nor a privileged way was open; the first error is that of the user namespace.
    #[error("cannot create the namespaces of --sandbox: {user}; {}", remedy(*.user))]
    Refused {
        /// Why there is no user namespace.
        user: Errno,
        /// Why there is no network namespace without it. `EPERM` for those who are not privileged.
        network: Errno,
    },
    /// The user namespace is there, but the process may not become root in it.
    #[error(
        "cannot write {file} to become root inside the user namespace of --sandbox: {source}; where AppArmor restricts \
         such namespaces, allow them with `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run as root"
    )]
    Identity {
        /// The file under `/proc/self`.
        file: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Enters the namespaces. What the process did before, such as open files and sockets, stays outside.
///
/// To be called before the process starts any thread: the kernel moves no process with several of them, and a thread
/// started later is inside.
///
/// # Errors
///
/// [`SandboxError`], if the system allows no such namespaces to this process. Nothing was entered then, except for
/// [`SandboxError::Identity`], behind which only the end of the process is sensible.
pub fn enter() -> Result<Entered, SandboxError> {
    // Inside the new namespace, and until the maps are written, these would be the overflow ids.
    let (user_id, group_id) = (geteuid(), getegid());
    let Err(user) = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) else {
        // In this order: without CAP_SETGID outside, a group map is accepted only once setgroups(2) is given up.
        write("/proc/self/setgroups", "deny")?;
        write("/proc/self/uid_map", &format!("0 {user_id} 1"))?;
        write("/proc/self/gid_map", &format!("0 {group_id} 1"))?;
        return Ok(Entered::UserAndNetwork);
    };
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => Ok(Entered::NetworkOnly(user)),
        Err(network) => Err(SandboxError::Refused { user, network }),
    }
}

/// One write(2), as the maps demand.
fn write(file: &'static str, text: &str) -> Result<(), SandboxError> {
    fs::write(file, text).map_err(|source| SandboxError::Identity { file, source })
}

impl SandboxError {
    /// The status with which the process ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        Exit::NotPermitted
    }
}

/// The likely cause of an error of unshare(2), and how to mend it.
fn remedy(user: Errno) -> &'static str {
    match user {
        Errno::EPERM | Errno::EACCES => {
            "this system forbids unprivileged user namespaces: allow them with `sysctl kernel.unprivileged_userns_clone=1` \
             (Debian) or `sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), in a container with a seccomp \
             profile that allows unshare(2), or run as root"
        }
        Errno::ENOSPC | Errno::EUSERS => {
            "this system allows no more namespaces: raise `sysctl user.max_user_namespaces` and `sysctl \
             user.max_net_namespaces` (0 forbids them), or run as root"
        }
        Errno::EINVAL | Errno::ENOSYS => {
            "this kernel has no user namespaces (CONFIG_USER_NS, CONFIG_NET_NS), or the process has several threads: run \
             as root on a kernel that has them"
        }
        _ => "see unshare(2) for what this error means, or run as root",
    }
}

impl fmt::Display for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserAndNetwork => f.write_str("in a user and network namespace of its own"),
            Self::NetworkOnly(refusal) => write!(
                f,
                "in a network namespace of its own, with the caller's privileges: a user namespace was refused ({refusal})"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting_that_forbids() {
        let message = |user| SandboxError::Refused { user, network: Errno::EPERM }.to_string();
        for (errno, settings) in [
            (Errno::EPERM, &["unprivileged_userns_clone", "apparmor_restrict_unprivileged_userns", "seccomp"][..]),
            (Errno::ENOSPC, &["user.max_user_namespaces", "user.max_net_namespaces"]),
            (Errno::EINVAL, &["CONFIG_USER_NS", "several threads"]),
            (Errno::ENOMEM, &["unshare(2)"]),
        ] {
            let message = message(errno);
            assert!(message.starts_with("cannot create the namespaces of --sandbox: E"), "{message}");
            assert!(settings.iter().all(|setting| message.contains(setting)), "{message}");
        }
    }
}
