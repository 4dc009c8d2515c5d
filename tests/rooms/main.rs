//! What holds for all sources: the order of the rooms, which is written once, in ARCHITECTURE.md, and that each event of the
//! log has a name.
//!
//! For the order, looked at are all paths of `src/`: `use` trees and paths in the code, macros' arguments included. Not looked at are
//! comments, and code under `#[cfg(test)]`, which may use whatever there is in the crate.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod check;
#[cfg(test)]
mod events;
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

#[test]
fn each_event_of_the_log_has_a_name() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &std::path::Path| std::fs::read_to_string(root.join(path)).ok();
    let modules = ["src/lib.rs", "src/main.rs"].into_iter().flat_map(|crate_root| sources::modules(crate_root, &read));
    let files: std::collections::BTreeSet<_> = modules.map(|module| module.file).collect();
    assert!(files.len() > 100, "only {} files were found", files.len());
    let nameless = |file: &std::path::PathBuf| {
        let lines = events::nameless(&read(file).unwrap()).into_iter();
        lines.map(|line| format!("{}:{line}: an event of the log without `event = \"…\"`", file.display())).collect()
    };
    let wrong: Vec<String> = files.iter().flat_map(|file| -> Vec<String> { nameless(file) }).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
