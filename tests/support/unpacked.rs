//! What `tests/deploy/install-tools.sh`, which `make deps` calls, has put below the target directory.

use std::path::Path;
use std::process::Command;

use super::ran::command;

/// A command for a program by its path there; started in the repository.
pub(crate) fn program(path: &str) -> Command {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join(path);
    assert!(file.exists(), "{} is missing: `make deps` puts it there", file.display());
    let mut command = command(file);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// A command for Python with the packages of `tests/deploy/requirements.txt`; started in the repository.
pub(crate) fn python() -> Command {
    program("python/bin/python")
}
