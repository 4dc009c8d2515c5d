//! Which configuration is active after each look at the file.

use std::path::Path;

use super::*;
use crate::last_good::{LastKnownGood, StateDir};

const CONFIG: &str = "/etc/config/ip-masq-agent";
const SAVED: &[u8] = b"nonMasqueradeCIDRs: [10.2.0.0/16]\n";

fn flags() -> Flags {
    Flags { ipv6: true, ..Flags::default() }
}

/// What was saved before the start.
#[derive(Clone, Copy, Debug)]
enum Saved {
    Nothing,
    NoFile,
    File,
}

/// What a look finds.
#[derive(Clone, Copy, Debug)]
enum Look {
    Valid,
    Bad,
    Missing,
}
use Look::{Bad, Missing, Valid};

fn store(saved: Saved) -> LastGoodStore {
    let content = match saved {
        Saved::Nothing => None,
        Saved::NoFile => Some(None),
        Saved::File => Some(Some(SAVED.to_vec())),
    };
    let before = content.map(|content| LastKnownGood::new(SourceSet::one(CONFIG, content)));
    LastGoodStore::new(StateDir::new(Path::new("/nowhere")), before)
}

impl Look {
    fn file(self) -> ReadSources {
        let content = match self {
            Valid => Some(Vec::new()),
            Missing => None,
            Bad => return Err(ReadError::NotAFile { path: CONFIG.into(), kind: "a directory" }),
        };
        let config = Config::defaults(&Context::from(&flags()));
        Ok((Reading { config, warnings: Vec::new() }, SourceSet::one(CONFIG, content)))
    }
}

/// What is active after each of these looks, in turn; and whether what is said of a file that cannot be used has notes on
/// the time before the start.
fn looks(store: &mut LastGoodStore, looks: &[Look]) -> Vec<(String, Option<bool>)> {
    let mut active = None;
    looks
        .iter()
        .map(|look| {
            let (now, status) = choose(active.take(), look.file(), &flags(), store);
            let notes = if let FileStatus::Unusable { notes, .. } = status { Some(notes.is_some()) } else { None };
            (active.insert(now).name().to_owned(), notes)
        })
        .collect()
}

#[test]
fn what_is_active_follows_from_the_looks_at_the_file_and_from_what_was_saved() {
    let of_before = ("kernel_rules", Some(true));
    for (saved, steps, expected) in [
        (
            Saved::Nothing,
            &[Valid, Bad, Missing, Bad][..],
            &[("file", None), ("last_valid", Some(false)), ("no_file", None), ("last_valid", Some(false))][..],
        ),
        (Saved::Nothing, &[Bad, Missing], &[of_before, ("no_file", None)]),
        (Saved::NoFile, &[Missing, Bad, Valid], &[("no_file", None), ("last_valid", Some(false)), ("file", None)]),
        (
            Saved::File,
            &[Missing, Bad, Missing, Valid, Missing],
            &[of_before, of_before, of_before, ("file", None), ("no_file", None)],
        ),
    ] {
        let expected: Vec<_> = expected.iter().map(|(name, notes)| ((*name).to_owned(), *notes)).collect();
        assert_eq!(looks(&mut store(saved), steps), expected, "{saved:?}");
    }
}

#[test]
fn rules_that_stand_stay_for_each_family_and_the_others_follow_what_was_saved_or_the_defaults() {
    for (saved, words) in
        [(Saved::File, "the last valid configuration of before the start"), (Saved::Nothing, "the flags' defaults")]
    {
        let (active, _) = choose(None, Bad.file(), &flags(), &mut store(saved));
        assert_eq!(active.standing(), Family::ALL);
        assert!(active.is_kernel_rules_alone() && active.is_degraded());
        assert_eq!(active.to_string(), "the rules that stood in the kernel at the start");

        let active = active.settle(&[Family::Ipv4]);
        assert_eq!(active.standing(), [Family::Ipv4]);
        assert!(!active.is_kernel_rules_alone() && active.is_from_before_the_start());
        let mixed = format!("IPv4: the rules that stood in the kernel at the start; IPv6: {words}");
        assert_eq!(active.to_string(), mixed);
        assert_eq!(active.clone().settle(&Family::ALL), active, "a family that left does not come back");

        let active = active.settle(&[]);
        assert!(active.standing().is_empty() && active.is_from_before_the_start());
        assert_eq!(active.to_string(), words);
    }
}

#[test]
fn a_family_that_is_not_treated_is_not_left_as_it_stands() {
    let flags = Flags::default();
    let (active, _) = choose(None, Bad.file(), &flags, &mut store(Saved::Nothing));
    assert_eq!(active.standing(), [Family::Ipv4]);
}
