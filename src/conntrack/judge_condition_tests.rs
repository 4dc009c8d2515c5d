//! Flows under policies that have conditions on more than destinations.

use proptest::prelude::*;

use super::*;
use crate::net::{Mark, Protocol};
use crate::policy::tests::{any_packet, any_policy, deciding, interface, keep, known_in_part, masquerade};
use crate::policy::{AddressField, Condition};

#[test]
fn a_flow_is_judged_by_all_that_conntrack_tells_of_its_first_packet_and_left_alone_if_that_is_not_enough() {
    for family in Family::ALL {
        let cast = cast(family);
        let [pod, world, other] = [cast.pod, cast.world, cast.other].map(single);
        let source = Condition::address(AddressField::Source, pod);
        let destination = Condition::address(AddressField::Destination, world);
        let tcp = Condition::protocol(Protocol::Tcp);
        let mark = Condition::mark(Mark::new(1));
        let interface = Condition::output_interface(interface("eth0"));
        let (kept, masqueraded) = (plain(cast.pod, cast.world), masqueraded(&cast));
        for (what, decisions, of_kept, of_masqueraded) in [
            ("this source keeps it", vec![keep(&[source]), masquerade(&[])], Fits, EXEMPT),
            ("this source, to there", vec![keep(&[source, destination]), masquerade(&[])], Fits, EXEMPT),
            (
                "this source, to elsewhere",
                vec![keep(&[source, Condition::address(AddressField::Destination, other)]), masquerade(&[])],
                MASQUERADED,
                Fits,
            ),
            (
                "only others are masqueraded",
                vec![masquerade(&[Condition::address(AddressField::Source, other)])],
                Fits,
                EXEMPT,
            ),
            ("only this source is", vec![masquerade(&[source])], MASQUERADED, Fits),
            ("that is said before the list", vec![masquerade(&[source]), keep(&[destination])], MASQUERADED, Fits),
            ("the list is before it", vec![keep(&[destination]), masquerade(&[source])], Fits, EXEMPT),
            ("a protocol keeps it, and nobody tells which it is", vec![keep(&[tcp]), masquerade(&[])], Fits, Fits),
            ("a protocol is masqueraded", vec![masquerade(&[tcp])], Fits, Fits),
            ("a mark keeps it, and nobody tells what it was", vec![keep(&[mark]), masquerade(&[])], Fits, Fits),
            ("an interface is masqueraded, likewise", vec![masquerade(&[interface])], Fits, Fits),
            ("one is, or would keep its source otherwise", vec![keep(&[tcp]), keep(&[source])], Fits, EXEMPT),
        ] {
            let now = Decisions::of(&deciding(decisions));
            let judge = |flow| verdict(flow, &Before::Unknown, &now, &node(&cast));
            assert_eq!((judge(&kept), judge(&masqueraded)), (of_kept, of_masqueraded), "{family}: {what}");
        }
    }
}

#[test]
fn what_may_have_become_of_a_flow_before_is_judged_by_its_source_as_well() {
    let cast = cast(Family::Ipv4);
    let source = Condition::address(AddressField::Source, single(cast.pod));
    let before = Before::OneOf(vec![Decisions::of(&deciding(vec![keep(&[source]), masquerade(&[])]))]);
    let now = |decision| Decisions::of(&deciding(vec![decision]));
    let judge = |flow: &Flow, now: &Decisions| verdict(flow, &before, now, &node(&cast));
    let elsewhere = source_nat(plain(cast.elsewhere, cast.world), cast.node, 40_000);
    assert_eq!(judge(&plain(cast.pod, cast.world), &now(masquerade(&[]))), MASQUERADED);
    assert_eq!(judge(&plain(cast.elsewhere, cast.world), &now(masquerade(&[]))), Fits);
    assert_eq!(judge(&masqueraded(&cast), &now(keep(&[]))), Fits);
    assert_eq!(judge(&elsewhere, &now(keep(&[]))), EXEMPT);
}

proptest! {
    #[test]
    fn what_is_said_of_a_packet_is_what_the_policy_says(policy in any_policy(), whole in any_packet(), known in any::<[bool; 8]>()) {
        let packet = known_in_part(&whole, known);
        let expected = |packet: &Packet| match evaluate(&policy, packet) {
            Answer::Kept(_) | Answer::NotConcerned => Some(Effect::Kept),
            Answer::Masqueraded(_) => Some(Effect::Masqueraded),
            Answer::DependsOn(_) => None,
        };
        let decisions = Decisions::of(&policy);
        prop_assert_eq!(decisions.effect(&whole), expected(&whole));
        let of_part = decisions.effect(&packet);
        prop_assert!(of_part.is_none() || of_part == expected(&whole));
    }
}
