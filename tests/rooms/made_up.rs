//! The check itself, on sources that are made up.

use std::path::Path;

use crate::architecture::rooms;
use crate::check::{Exception, check};

const ARCHITECTURE: &str = "Each room uses only those above it in this list.

```
net       values
edge::up  a room in a room
edge      the edge
agent     the loop
```
";

const ROOT: (&str, &str) = ("src/lib.rs", "pub mod agent; mod edge; mod net;");

/// What is found in these sources, in files that hold nothing else.
fn found(sources: &[(&str, &str)], exceptions: &[Exception]) -> Vec<String> {
    let rest = [ROOT, ("src/main.rs", ""), ("src/net.rs", ""), ("src/edge/mod.rs", "mod up;"), ("src/edge/up.rs", "")];
    let rest = rest.iter().chain(&[("src/agent.rs", "")]);
    let read = |path: &Path| {
        let file = sources.iter().chain(rest.clone()).find(|(file, _)| Path::new(file) == path);
        file.map(|(_, text)| (*text).to_owned())
    };
    check(&rooms(ARCHITECTURE).unwrap(), exceptions, &read)
}

#[test]
fn every_form_of_a_path_that_runs_back_up_is_found_with_its_file_line_and_rule() {
    for (file, text, line, uses) in [
        ("src/net.rs", "use crate::agent::Agent;", 1, "agent::Agent"),
        ("src/net.rs", "use crate::{\n    net,\n    agent::{self},\n};", 3, "agent"),
        ("src/net.rs", "use crate::agent as other;", 1, "agent"),
        ("src/net.rs", "use crate::agent::*;", 1, "agent::*"),
        ("src/net.rs", "pub(crate) use super::agent::Agent;", 1, "agent::Agent"),
        ("src/net.rs", "\nfn f() -> crate::agent::Agent { todo!() }", 2, "agent::Agent"),
        ("src/net.rs", "fn f() { let _: Vec<crate::agent::A> = vec![]; }", 1, "agent::A"),
        ("src/net.rs", "fn f() { crate::agent::go(); }", 1, "agent::go"),
        ("src/net.rs", "fn f() { use crate::agent::go; go() }", 1, "agent::go"),
        ("src/net.rs", "fn f(a: u8) {\n match a {\n crate::agent::A => {} _ => {} } }", 3, "agent::A"),
        ("src/net.rs", "fn f() { assert!(x, \"{}\",\n g(1, crate::agent::A)); }", 2, "agent::A"),
        ("src/net.rs", "impl crate::agent::A for B {}", 1, "agent::A"),
        ("src/net.rs", "mod inner { use super::super::agent::A; }", 1, "agent::A"),
        ("src/net.rs", "#[cfg(not(test))] use crate::agent::A;", 1, "agent::A"),
        ("src/edge/up.rs", "use super::Edge;", 1, "edge::Edge"),
        ("src/edge/up.rs", "use super::super::agent::A;", 1, "agent::A"),
        ("src/edge/up.rs", "use crate::edge::{up::Up, Edge};", 1, "edge::Edge"),
    ] {
        let rooms = if file == "src/net.rs" { "net" } else { "edge::up" };
        let below = if uses.starts_with("agent") { "agent" } else { "edge" };
        let expected = format!(
            "{file}:{line}: {rooms} uses crate::{uses}, but each room uses only those above it, and {below} stands below"
        );
        assert_eq!(found(&[(file, text)], &[]), [expected], "{text}");
    }
}

#[test]
fn a_room_in_a_room_is_found_behind_the_name_of_an_import() {
    let architecture =
        ARCHITECTURE.replace("edge::up  a room in a room\nedge      the edge", "edge  e\nagent  a\nedge::up  u");
    let architecture = architecture.replacen("agent     the loop\n", "", 1);
    let read = |path: &Path| {
        let text = match path.to_str().unwrap() {
            "src/lib.rs" => ROOT.1,
            "src/edge/mod.rs" => "pub mod up;",
            "src/agent.rs" => "use crate::edge;\nfn f() { edge::up::go(); edge::go() }",
            "src/main.rs" | "src/net.rs" | "src/edge/up.rs" => "",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let expected = "src/agent.rs:2: agent uses crate::edge::up::go, but each room uses only those above it, and edge::up stands below";
    assert_eq!(check(&rooms(&architecture).unwrap(), &[], &read), [expected]);
}

#[test]
fn what_keeps_to_the_order_or_is_no_use_of_a_room_is_not_found() {
    for (file, text) in [
        ("src/agent.rs", "use crate::{edge::{Edge, up::Up}, net::Cidr}; use super::edge; fn f() { edge::up::go() }"),
        ("src/edge/mod.rs", "mod up; pub use up::Up; use self::up::Other; use crate::net::Cidr;"),
        ("src/net.rs", "/// See [`crate::agent`].\n//! [`crate::agent::Agent`]\nstruct Cidr;"),
        ("src/net.rs", "// use crate::agent::Agent;\nconst A: &str = \"crate::agent\";"),
        ("src/net.rs", "use std::agent::Agent; use other::agent; fn f(agent: u8) { agent.go(); ::agent::go() }"),
        ("src/net.rs", "#[cfg(test)] use crate::agent::A;"),
        ("src/net.rs", "#[cfg(test)] mod tests { use crate::agent::A; }"),
        ("src/net.rs", "#[cfg(test)] mod nowhere;"),
        ("src/net.rs", "struct S; impl S { #[cfg(test)] fn f() { crate::agent::go() } }"),
        ("src/net.rs", "struct S { pub(in crate::agent) field: u8, pub(super) other: u8 }"),
        ("src/net.rs", "mod inner { use super::Cidr; use crate::net; }"),
        ("src/main.rs", "use ip_masq_agent::agent::Agent; fn main() { ip_masq_agent::edge::up::go() }"),
    ] {
        let text = text.replace("//! [", "/// [");
        assert_eq!(found(&[(file, &text)], &[]), [""; 0], "{file}: {text}");
    }
}

#[test]
fn what_is_in_no_room_is_found() {
    for (file, text, expected) in [
        ("src/net.rs", "use crate::VERSION;", "src/net.rs:1: net uses crate::VERSION, which is in no room"),
        ("src/net.rs", "use super::*;", "src/net.rs:1: net uses crate::*, which is in no room"),
        (
            "src/main.rs",
            "fn main() { ip_masq_agent::VERSION; }",
            "src/main.rs:1: the program uses ip_masq_agent::VERSION, which is in no room",
        ),
    ] {
        assert_eq!(found(&[(file, text)], &[]), [expected]);
    }
}

#[test]
fn the_list_has_every_module_of_the_crates_root_once_and_no_other() {
    let with_one_more = [("src/lib.rs", "mod agent; mod edge; mod net; mod new;"), ("src/new.rs", "")];
    assert_eq!(found(&with_one_more, &[]), ["the list does not have new"]);
    let with_one_less = [("src/lib.rs", "mod edge; mod net;")];
    assert_eq!(found(&with_one_less, &[]), ["the list has agent, but there is no such module"]);
    let without_the_inner = [("src/edge/mod.rs", "")];
    assert_eq!(found(&without_the_inner, &[]), ["the list has edge::up, but there is no such module"]);
    let twice = rooms(&ARCHITECTURE.replace("agent ", "net \nagent ")).unwrap();
    let read = |path: &Path| (path.to_str() == Some("src/lib.rs")).then(String::new).or(Some(String::new()));
    assert!(check(&twice, &[], &read).contains(&"the list has net twice".to_owned()));
}

#[test]
fn an_exception_allows_what_it_names_and_no_more_and_is_a_failure_when_nothing_needs_it() {
    let exceptions = [Exception { room: "net", uses: "agent::Agent", why: "not moved yet" }];
    assert_eq!(found(&[("src/net.rs", "use crate::agent::Agent;")], &exceptions), [""; 0]);
    let others = found(&[("src/net.rs", "use crate::agent::{Agent, Other};")], &exceptions);
    assert_eq!(others.len(), 1, "{others:?}");
    let unneeded = ["nothing needs the exception any more that net uses crate::agent::Agent (not moved yet)"];
    assert_eq!(found(&[], &exceptions), unneeded);
}

#[test]
fn a_list_that_is_not_there_is_an_error() {
    assert!(rooms("no rule").is_err());
    assert!(rooms("Each room uses only those above it in this list, but there is none.").is_err());
}
