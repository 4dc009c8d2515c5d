//! The order of the rooms is written once, in ARCHITECTURE.md, and the sources keep to it.
//!
//! Looked at are all paths of `src/`: `use` trees and paths in the code, macros' arguments included. Not looked at are
//! comments, and code under `#[cfg(test)]`, which may use whatever there is in the crate.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod check;
#[cfg(test)]
mod made_up;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod sources;

#[cfg(test)]
use check::{Exception, check};

/// What does not keep to the order yet, and why. An exception that nothing needs any more is a failure too.
#[cfg(test)]
const EXCEPTIONS: &[Exception] = &[];

#[test]
fn each_room_uses_only_those_above_it() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let rooms = architecture::rooms(&architecture).unwrap();
    let wrong = check(&rooms, EXCEPTIONS, &|path| std::fs::read_to_string(root.join(path)).ok());
    assert!(wrong.is_empty(), "{}\n\nThe list of rooms is in ARCHITECTURE.md.", wrong.join("\n"));
}
