//! The rule: each room uses only those above it in the list.

use std::collections::BTreeSet;

use crate::paths::used;
use crate::sources::{Module, Read, modules};

/// What one room may use of another against the order.
pub(crate) struct Exception {
    /// The room that uses it.
    pub(crate) room: &'static str,
    /// What it uses: a path from the crate's root, with all below it.
    pub(crate) uses: &'static str,
    /// Why.
    pub(crate) why: &'static str,
}

const LIBRARY: &str = "src/lib.rs";
const BINARY: &str = "src/main.rs";
/// The library, as the binary names it.
const NAME: &str = "ip_masq_agent";

/// The violations of the rule in a crate, and the mistakes in the list itself.
pub(crate) fn check(rooms: &[Vec<String>], exceptions: &[Exception], read: Read<'_>) -> Vec<String> {
    let library = modules(LIBRARY, read);
    let mut wrong = about_the_list(rooms, &library);
    let mut needed = BTreeSet::new();
    for module in &library {
        // The crate's root only names the rooms.
        let Some(own) = room(rooms, &module.path) else { continue };
        for (line, path) in used_elsewhere(rooms, module) {
            let place =
                format!("{}:{line}: {} uses crate::{}", module.file.display(), rooms[own].join("::"), path.join("::"));
            let Some(other) = room(rooms, &path) else {
                wrong.push(format!("{place}, which is in no room"));
                continue;
            };
            if other <= own {
                continue;
            }
            let exception = exceptions.iter().position(|exception| {
                let uses: Vec<String> = exception.uses.split("::").map(str::to_owned).collect();
                exception.room == rooms[own].join("::") && path.starts_with(&uses)
            });
            if let Some(exception) = exception {
                needed.insert(exception);
            } else {
                let other = rooms[other].join("::");
                wrong.push(format!("{place}, but each room uses only those above it, and {other} stands below"));
            }
        }
    }
    for module in modules(BINARY, read) {
        for (line, path) in used_elsewhere(rooms, &module) {
            if room(rooms, &path).is_none() {
                let place = format!("{}:{line}", module.file.display());
                wrong.push(format!("{place}: the program uses {NAME}::{}, which is in no room", path.join("::")));
            }
        }
    }
    for (index, Exception { room, uses, why }) in exceptions.iter().enumerate() {
        if !needed.contains(&index) {
            wrong.push(format!("nothing needs the exception any more that {room} uses crate::{uses} ({why})"));
        }
    }
    wrong
}

/// The lines and the paths that a module uses, each place once.
fn used_elsewhere(rooms: &[Vec<String>], module: &Module) -> BTreeSet<(usize, Vec<String>)> {
    let used = used(module, NAME).into_iter();
    // What leads to the same room as the import that it begins with was looked at with the import.
    let new = used.filter(|used| used.import.is_empty() || room(rooms, &used.import) != room(rooms, &used.path));
    new.map(|used| (used.line, used.path)).collect()
}

/// The position of the room that a path leads into.
fn room(rooms: &[Vec<String>], path: &[String]) -> Option<usize> {
    let around = rooms.iter().enumerate().filter(|(_, room)| path.starts_with(room));
    around.max_by_key(|(_, room)| room.len()).map(|(position, _)| position)
}

fn about_the_list(rooms: &[Vec<String>], library: &[Module]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (position, room) in rooms.iter().enumerate() {
        if rooms.iter().take(position).any(|earlier| earlier == room) {
            wrong.push(format!("the list has {} twice", room.join("::")));
        }
        if !library.iter().any(|module| module.path == *room) {
            wrong.push(format!("the list has {}, but there is no such module", room.join("::")));
        }
    }
    for module in library.iter().filter(|module| module.path.len() == 1 && !rooms.contains(&module.path)) {
        wrong.push(format!("the list does not have {}", module.path.join("::")));
    }
    wrong
}
