//! Whether a state file could have been written by a user who has no right to decide on the rules.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use thiserror::Error;

use crate::text::Shown;

/// Others could have put a state file there, or changed it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Its owner can change it at will.
    #[error(
        "{} belongs to user {owner}, but is trusted only if it belongs to root or to the agent's user ({}); `chown` it, or \
         keep the state in another directory",
        Shown(&**.path),
        geteuid()
    )]
    Owner {
        /// The directory or the file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Its group, or everybody, can change it.
    #[error(
        "{} can be written by others than its owner (mode {mode:04o}), and is not trusted; `chmod go-w` it",
        Shown(&**.path)
    )]
    Mode {
        /// The directory or the file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Whose directory, and whose files in it, are believed: root's, those of this process's user, and, if that is root, those
/// of the user to whom root gave the directory, as a service manager does for the user of a service.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    us: u32,
    given_to: Option<u32>,
}

impl Owners {
    /// Those of the directory at this path. It need not be there.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        let us = geteuid();
        let given_to =
            || fs::metadata(directory).ok().filter(|_| is_in_root_s_hands(directory)).map(|found| found.uid());
        Self { us: us.as_raw(), given_to: us.is_root().then(given_to).flatten() }
    }

    /// Whether this user is one of them.
    #[must_use]
    pub fn include(&self, owner: u32) -> bool {
        owner == 0 || owner == self.us || Some(owner) == self.given_to
    }
}

/// Whether only root could have put a directory at this path.
fn is_in_root_s_hands(directory: &Path) -> bool {
    let is_roots = |above: &Path| {
        fs::metadata(above).is_ok_and(|found| found.uid() == 0 && found.mode() & WRITABLE_BY_OTHERS.bits() == 0)
    };
    fs::canonicalize(directory).is_ok_and(|found| found.ancestors().skip(1).all(is_roots))
}

const WRITABLE_BY_OTHERS: Mode = Mode::S_IWGRP.union(Mode::S_IWOTH);

/// Gives a file at this path to the owner of its directory, if this is root: the user of a service, whose directory it is, has to
/// read what root writes there. Where root may not give files away, it can still read them itself.
pub fn hand_over(file: &File, path: &Path) {
    if geteuid().is_root()
        && let Some(Ok(directory)) = path.parent().map(fs::metadata)
        && directory.uid() != 0
    {
        let _ = fchown(file, Some(directory.uid()), Some(directory.gid()));
    }
}

/// Checks the directory, and the file in it. What is not there is no reason to distrust: whatever was put there since is not
/// looked at either.
pub(super) fn check(directory: &Path, file: &Path) -> Result<(), TrustError> {
    let owners = Owners::of(directory);
    let is_ours = |path: &Path, owner: u32| is_ours(owners, path, owner);
    if let Ok(found) = fs::metadata(directory) {
        is_ours(directory, found.uid())?;
        // Where only owners may rename and delete, others cannot take a file's place.
        if found.mode() & Mode::S_ISVTX.bits() == 0 {
            is_ours_to_write(directory, &found)?;
        }
    }
    if let Ok(found) = fs::symlink_metadata(file) {
        is_ours(file, found.uid())?;
    }
    if let Ok(found) = fs::metadata(file) {
        is_ours(file, found.uid())?;
        is_ours_to_write(file, &found)?;
    }
    Ok(())
}

fn is_ours(owners: Owners, path: &Path, owner: u32) -> Result<(), TrustError> {
    if owners.include(owner) {
        return Ok(());
    }
    Err(TrustError::Owner { path: path.to_owned(), owner })
}

fn is_ours_to_write(path: &Path, found: &Metadata) -> Result<(), TrustError> {
    if found.mode() & WRITABLE_BY_OTHERS.bits() == 0 {
        return Ok(());
    }
    Err(TrustError::Mode { path: path.to_owned(), mode: found.mode() & 0o7777 })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A directory and a file with these permissions.
    fn node(directory_mode: u32, file_mode: Option<u32>) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("state");
        let file = directory.join("file");
        fs::create_dir(&directory).unwrap();
        if let Some(mode) = file_mode {
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(&directory, Permissions::from_mode(directory_mode)).unwrap();
        (scratch, directory, file)
    }

    #[test]
    fn what_others_may_write_is_not_trusted_and_the_message_says_how_to_mend_it() {
        for (directory_mode, file_mode, distrusted) in [
            (0o700, Some(0o600), None),
            (0o755, Some(0o644), None),
            (0o1777, Some(0o600), None),
            (0o700, None, None),
            (0o777, Some(0o600), Some("state")),
            (0o775, None, Some("state")),
            (0o700, Some(0o660), Some("state/file")),
            (0o1777, Some(0o602), Some("state/file")),
        ] {
            let (scratch, directory, file) = node(directory_mode, file_mode);
            let checked = check(&directory, &file).map_err(|distrust| distrust.to_string());
            let case = format!("{directory_mode:o} {file_mode:?}");
            match distrusted {
                None => assert_eq!(checked, Ok(()), "{case}"),
                Some(name) => {
                    let message = checked.unwrap_err();
                    let path = scratch.path().join(name);
                    assert!(message.starts_with(&format!("{} can be written by others", path.display())), "{message}");
                    assert!(message.contains("`chmod go-w` it"), "{message}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_there_is_no_reason_to_distrust() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("state");
        assert_eq!(check(&directory, &directory.join("file")), Ok(()));
    }

    #[test]
    fn what_belongs_to_another_user_is_not_trusted() {
        let path = Path::new("/state");
        let owners = Owners::of(path);
        for owner in [0, geteuid().as_raw()] {
            assert_eq!(is_ours(owners, path, owner), Ok(()));
        }
        let message = is_ours(owners, path, 65_534).unwrap_err().to_string();
        assert!(message.starts_with("/state belongs to user 65534, but is trusted only if"), "{message}");
    }
}
