//! What is remembered is what the kernel has, or nothing.

use proptest::prelude::*;

use super::*;
use crate::backend::nftables::fake::{Kernel, Memory};
use crate::backend::nftables::tests::plans::standing;
use crate::backend::{Backend, ReconcileOptions, reconcile};
use crate::rules::tests::policy;
use crate::rules::{Layout, Protection, Ruleset, compile};

const LAYOUTS: [Layout; 3] =
    [Layout::IptablesNat, Layout::OwnTable(Protection::Off), Layout::OwnTable(Protection::OwnerPersist)];

fn here() -> Place {
    Place { boot: "1b4e28ba-2fa1-11d2-883f-0016d3cca427".to_owned(), namespace: 3 }
}

/// Rules with long lists of both families, of which some ranges are prefixes of several lengths, and more.
fn long(layout: Layout, more: &[&str]) -> Ruleset {
    let v4 = (0..LONG).map(|index| format!("10.{}.{}.0/24", index / 100, index % 100 * 2));
    let v6 = (0..LONG).map(|index| format!("fd00:{index:x}::/{}", 40 + index % 9));
    let ranges: Vec<String> = v4.chain(v6).chain(more.iter().map(|text| (*text).to_owned())).collect();
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
    compile(&policy(&ranges, ""), layout)
}

/// A kernel with these rules, and what the process that applied them remembers.
fn applied(want: &Ruleset) -> (Kernel, Vec<u8>) {
    let kernel = Kernel::from(Memory { place: Some(here()), ..Memory::default() });
    let mut backend = kernel.backend();
    reconcile(&mut backend, want, &ReconcileOptions::default()).unwrap();
    let memory = backend.remember().unwrap();
    // Who applies rules once does not own its tables any longer.
    kernel.get().state.tables.iter_mut().for_each(|table| table.owner = None);
    (kernel, memory)
}

/// What another process does that takes up a memory: how many lists of a set's elements or a chain's rules it asks for that
/// have a thousand entries, how many changes it makes, and what it remembers.
fn apply_after(kernel: &Kernel, memory: Option<&[u8]>, want: &Ruleset) -> (usize, usize, Option<Vec<u8>>) {
    let mut backend = kernel.backend();
    let before = kernel.get().long_listings;
    if let Some(memory) = memory {
        backend.recall(memory);
    }
    let outcome = reconcile(&mut backend, want, &ReconcileOptions::default()).unwrap();
    kernel.get().state.tables.iter_mut().for_each(|table| table.owner = None);
    let listings = kernel.get().long_listings - before;
    (listings, outcome.changes.len(), backend.remember())
}

fn is_in_force(kernel: &Kernel, want: &Ruleset) -> bool {
    apply_after(kernel, None, want).1 == 0
}

#[test]
fn who_recalls_what_was_committed_last_lists_nothing_long_to_find_that_nothing_is_to_be_done() {
    for layout in LAYOUTS {
        let want = long(layout, &[]);
        let (kernel, memory) = applied(&want);
        assert!(apply_after(&kernel, None, &want).0 > 0, "{layout}: there are long lists");
        let (listings, changes, remembered) = apply_after(&kernel, Some(&memory), &want);
        assert_eq!((listings, changes, remembered), (0, 0, None), "{layout}");
    }
}

#[test]
fn who_recalls_adds_and_removes_a_range_with_no_long_list_read_and_remembers_what_is_there_then() {
    for layout in LAYOUTS {
        let (few, more) = (long(layout, &[]), long(layout, &["172.16.0.0/24", "fe00::/40"]));
        let (kernel, mut memory) = applied(&few);
        for want in [&more, &few, &more] {
            let (listings, changes, remembered) = apply_after(&kernel, Some(&memory), want);
            assert_eq!((listings, changes > 0), (0, true), "{layout}");
            assert!(is_in_force(&kernel, want), "{layout}");
            memory = remembered.unwrap();
            assert_eq!(apply_after(&kernel, Some(&memory), want), (0, 0, None), "{layout}");
        }
    }
}

#[test]
fn what_does_not_fit_is_of_no_effect_and_all_is_read() {
    type Damage = fn(&mut Memory);
    let cases: [(Damage, Misfit); 6] = [
        (|kernel| kernel.place.as_mut().unwrap().boot.push('0'), Misfit::Boot),
        (|kernel| kernel.place.as_mut().unwrap().namespace += 1, Misfit::Namespace),
        (Memory::changed, Misfit::Generation),
        (|kernel| kernel.state.generation = Generation(u32::MAX), Misfit::Generation),
        (|kernel| kernel.state.generation.0 += 65_536, Misfit::Generation),
        (|kernel| kernel.state.generation.0 -= 1, Misfit::Generation),
    ];
    for layout in LAYOUTS {
        let want = long(layout, &[]);
        for (damage, misfit) in &cases {
            let (kernel, memory) = applied(&want);
            damage(&mut kernel.get());
            // The same generation, place or boot can be somebody else's, with other rules.
            exchange_an_entry(&mut kernel.get().state);
            let place = kernel.get().place.clone().unwrap();
            let generation = kernel.get().state.generation;
            assert_eq!(decode(&memory, &place, generation).map(drop), Err(misfit.clone()), "{layout}");
            let (listings, changes, _) = apply_after(&kernel, Some(&memory), &want);
            assert!(listings > 0 && changes > 0, "{layout} {misfit}");
            assert!(is_in_force(&kernel, &want), "{layout} {misfit}");
        }
        let (kernel, memory) = applied(&want);
        kernel.get().place = None;
        assert!(apply_after(&kernel, Some(&memory), &want).0 > 0, "a kernel without cookies");
    }
}

/// Another entry takes the place of one of ours, in each long list, so that lengths stay the same.
fn exchange_an_entry(state: &mut Observed) {
    for table in &mut state.tables {
        for set in &mut table.sets {
            let Some(last) = set.elements.to_mut().last_mut() else { continue };
            *last = AddressRange::single(last.next().unwrap());
        }
        for chain in table.chains.iter_mut().filter(|chain| chain.rules.len() >= LONG) {
            chain.rules[0].rule = chain.rules[1].rule.clone();
        }
    }
}

#[test]
fn a_commit_of_another_between_the_look_and_ours_is_found_and_its_change_is_undone() {
    for layout in LAYOUTS {
        let (few, more) = (long(layout, &[]), long(layout, &["172.16.0.0/24"]));
        let (kernel, memory) = applied(&few);
        kernel.get().interference = vec![|kernel| exchange_an_entry(&mut kernel.state)];
        let (listings, ..) = apply_after(&kernel, Some(&memory), &more);
        assert!(listings > 0, "{layout}");
        assert!(is_in_force(&kernel, &more), "{layout}");
    }
}

#[test]
fn a_commit_of_another_while_the_rest_is_read_makes_what_was_recalled_an_assumption() {
    for layout in LAYOUTS {
        let want = long(layout, &[]);
        let (kernel, memory) = applied(&want);
        kernel.get().while_listing = Some(|kernel| {
            exchange_an_entry(&mut kernel.state);
            kernel.changed();
        });
        let (listings, changes, _) = apply_after(&kernel, Some(&memory), &want);
        assert!(listings > 0 && changes > 0, "{layout}: {listings} {changes}");
        assert!(is_in_force(&kernel, &want), "{layout}");
    }
}

#[test]
fn short_lists_and_what_was_assumed_are_not_remembered() {
    let kernel = Kernel::from(Memory { place: Some(here()), ..Memory::default() });
    for layout in LAYOUTS {
        let mut backend = kernel.backend();
        assert_eq!(backend.remember(), None, "nothing was read");
        let want = compile(&policy(&["10.0.0.0/8", "fd00::/8"], ""), layout);
        reconcile(&mut backend, &want, &ReconcileOptions::default()).unwrap();
        assert_eq!(backend.remember(), None, "{layout}");
        kernel.get().state.tables.clear();
    }
    let observed = standing(&long(LAYOUTS[1], &[]));
    assert!(encode(&observed, &here()).is_some());
    for is_partly_assumed in [true, false] {
        let cache = Cache::of(Observed { is_partly_assumed, ..observed.clone() });
        assert_eq!(cache.read_in_full().is_some(), !is_partly_assumed);
    }
}

#[test]
fn a_memory_that_ends_early_or_has_one_wrong_bit_is_none() {
    for layout in LAYOUTS {
        let observed = standing(&long(layout, &[]));
        let memory = encode(&observed, &here()).unwrap();
        let is_none = |memory: &[u8]| decode(memory, &here(), observed.generation).is_err();
        assert!(!is_none(&memory));
        // The checksum covers a part as it covers the whole, so that not each of a hundred thousand has to be computed.
        let near = (0..200).chain((200..memory.len()).step_by(997)).chain(memory.len() - 60..memory.len());
        for at in near {
            assert!(is_none(&memory[..at]), "{layout}: {at} bytes");
            let mut flipped = memory.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(is_none(&flipped), "{layout}: bit {} of byte {at}", at % 8);
        }
        let other = String::from_utf8(memory.clone()).unwrap().replacen("rules 1 ", "rules 2 ", 1);
        assert_eq!(decode(other.as_bytes(), &here(), observed.generation).map(drop), Err(Misfit::Version));
        assert!(is_none(&[&memory[..], b"\n"].concat()), "something behind it");
    }
}

/// As [`encode`] frames it, whatever it holds.
fn framed(lists: &str, generation: Generation) -> Vec<u8> {
    let Place { boot, namespace } = here();
    let head = serde_json::to_string(&Head { boot, namespace, generation: generation.0 }).unwrap();
    let body = format!("{head}\n{lists}\n");
    format!("{MAGIC}{VERSION} {:08x} {}\n{body}", crc32fast::hash(body.as_bytes()), body.len()).into_bytes()
}

#[test]
fn lists_that_the_agent_would_not_have_written_are_refused_whatever_the_checksum_says() {
    let set = |is_ipv6, ranges| {
        format!(r#"{{"sets":[{{"is_ipv6":{is_ipv6},"name":"exempt","ranges":"{ranges}"}}],"chains":[]}}"#)
    };
    let chain =
        |rules| format!(r#"{{"sets":[],"chains":[{{"is_ipv6":false,"name":"C","uses":1,"rules":[{rules}]}}]}}"#);
    let most = u128::MAX;
    for (lists, is_taken) in [
        (set(false, "0 "), true),
        (set(false, "167772160+255 0+255 "), true),
        (set(false, "4294967295 "), true),
        (set(false, "4294967296 "), false),
        (set(false, "4294967295 0 "), false),
        (set(false, "4294967295+1 "), false),
        (set(true, &format!("{most} ")), true),
        (set(true, &format!("{most} 0 ")), false),
        (set(true, &format!("1+{most} ")), false),
        (set(false, "-1 "), false),
        (set(false, "1  2 "), false),
        (set(false, "one "), false),
        (chain(""), true),
        (chain(r#"[1,0,0,""]"#), false),
        (chain(r#"[1,1,0,""]"#), false),
        (chain(r#"[1,0,1,""]"#), false),
        (chain(&format!(r#"[1,{0},{0},""]"#, usize::MAX)), false),
        (chain(r#"[1,0,0,"0"]"#), false),
        (chain(r#"[1,0,0,"+f"]"#), false),
        (chain(r#"[1,0,0,"zz"]"#), false),
        (chain(r#"[1,0,0,"é"]"#), false),
        ("[]".to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(decode(&framed(&lists, Generation(7)), &here(), Generation(7)).is_ok(), is_taken, "{lists}");
    }
}

proptest! {
    #[test]
    fn whatever_it_holds_it_is_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400), lists in ".{0,200}") {
        let _ = decode(&bytes, &here(), Generation(7));
        let _ = decode(&framed(&lists, Generation(7)), &here(), Generation(7));
    }

    #[test]
    fn all_ranges_of_both_families_are_recalled_as_they_were(
        firsts in prop::collection::btree_set(any::<u128>(), 1..60), is_ipv6: bool, size in 0_u128..3,
    ) {
        let bits = |first: u128| if is_ipv6 { first } else { first & u128::from(u32::MAX) };
        let family = family(is_ipv6);
        let range = |first: u128| {
            let last = address(family, bits(first).checked_add(size)?)?;
            AddressRange::new(address(family, bits(first))?, last)
        };
        let mut ranges: Vec<AddressRange> = firsts.into_iter().filter_map(range).collect();
        ranges.sort();
        ranges.dedup_by(|later, earlier| later.overlaps(earlier));
        prop_assume!(!ranges.is_empty());
        let written = written_set("exempt", &ranges.clone().into()).unwrap();
        prop_assert_eq!(read_set(family, &written.ranges), Some(ranges));
    }
}
