//! What the fix does with any answers of a kernel about flows. The flows come from a recording.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::*;
use crate::policy::Policy;
use crate::rules::tests::policy;

/// `IPCTNL_MSG_CT_GET` and `_DELETE` of `NFNL_SUBSYS_CTNETLINK`, and `RTM_GETADDR`.
const GET_FLOW: u16 = 0x0101;
const DELETE_FLOW: u16 = 0x0102;
const GET_ADDRESS: u16 = 22;

/// How the kernel answers each kind of request.
#[derive(Clone, Copy, Debug, Default)]
struct Kernel {
    /// 0 to list the flows; `ENOBUFS` loses messages in the middle.
    listing: i32,
    /// How often that goes on; then the flows are listed.
    times: usize,
    deleting: i32,
    /// So many deletions succeed before that.
    deletions_that_pass: usize,
    /// How often the flows are listed in one listing beyond the first time.
    more: usize,
    addresses: i32,
}

/// In place of an error of a deletion: the report is lost, once.
const LOST: i32 = -1;

#[derive(Debug)]
struct Wire {
    kernel: Rc<RefCell<Kernel>>,
    /// The families of the listings and the deletions that were sent.
    sent: Rc<RefCell<Vec<(u16, u8)>>>,
    /// The lengths of the datagrams that were sent.
    datagrams: Rc<RefCell<Vec<usize>>>,
    queue: VecDeque<Result<Vec<u8>, Errno>>,
}

impl Wire {
    /// One message of a datagram, answered as the kernel does: a deletion that succeeds only if an answer is wanted.
    fn work_on(&mut self, message: &[u8]) {
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let wants_acknowledgement = message[6] & 4 != 0;
        let sequence = &message[8..12];
        let family = message[16];
        self.sent.borrow_mut().push((kind, family));
        let mut kernel = self.kernel.borrow_mut();
        let errno = match kind {
            GET_ADDRESS => kernel.addresses,
            DELETE_FLOW if kernel.deletions_that_pass > 0 => {
                kernel.deletions_that_pass -= 1;
                0
            }
            DELETE_FLOW => kernel.deleting,
            _ if kernel.times == 0 => 0,
            _ => {
                kernel.times -= 1;
                kernel.listing
            }
        };
        if kind == DELETE_FLOW && errno == 0 && !wants_acknowledgement {
            return;
        }
        if kind == DELETE_FLOW && errno == LOST {
            kernel.deleting = 0;
            return self.queue.push_back(Err(Errno::ENOBUFS));
        }
        if kind == GET_FLOW && errno == 0 {
            for _ in 0..=kernel.more {
                self.queue.push_back(Ok(recorded(family, sequence)));
            }
        }
        if kind == GET_FLOW && errno == Errno::ENOBUFS as i32 {
            self.queue.push_back(Ok(recorded(family, sequence)));
            self.queue.push_back(Err(Errno::ENOBUFS));
            return;
        }
        // An acknowledgement ends as well as the end of a dump does.
        let header = [&36_u32.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &0x100_u16.to_ne_bytes(), sequence, &[0; 4]];
        self.queue.push_back(Ok([&header.concat()[..], &(-errno).to_ne_bytes(), &[0; 16]].concat()));
    }
}

impl Transport for Wire {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        self.datagrams.borrow_mut().push(datagram.len());
        let mut rest = datagram;
        while let Some(len) = rest.first_chunk::<4>() {
            let (message, behind) = rest.split_at(usize::try_from(u32::from_ne_bytes(*len)).unwrap());
            self.work_on(message);
            rest = behind;
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.queue.pop_front().ok_or(io::ErrorKind::WouldBlock)??;
        Ok(())
    }

    fn port(&self) -> u32 {
        1
    }
}

/// What the kernel once listed of a family, as the answer to another request.
fn recorded(family: u8, sequence: &[u8]) -> Vec<u8> {
    let text = include_str!("../../testdata/netlink/conntrack.received");
    let of_family = text.split("$ ").filter(|block| !block.is_empty()).nth(usize::from(family != 2)).unwrap();
    let (_, hex) = of_family.split_once('\n').unwrap();
    let (flows, _) = hex.split_once("\n\n").unwrap();
    let mut bytes: Vec<u8> = flows.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut at = 0;
    while at < bytes.len() {
        bytes[at + 8..at + 12].copy_from_slice(sequence);
        at += usize::try_from(u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())).unwrap();
    }
    bytes
}

/// A policy for both families by which all is masqueraded, now and not before.
fn everything() -> Policy {
    policy(&["192.168.0.0/16", "fd00::/8"], "")
}

fn fix(kernel: Kernel) -> (Result<Fixed, ConntrackError>, Vec<(u16, u8)>) {
    fix_unless(&AtomicBool::new(false), kernel)
}

fn fix_unless(interrupted: &AtomicBool, kernel: Kernel) -> (Result<Fixed, ConntrackError>, Vec<(u16, u8)>) {
    over(kernel, |conntrack| conntrack.fix(&Before::Unknown, &Decisions::of(&everything()), interrupted))
}

/// What comes of this over that kernel, and what was sent to it.
fn over<R>(kernel: Kernel, work: impl FnOnce(&mut Conntrack<Wire>) -> R) -> (R, Vec<(u16, u8)>) {
    let kernel = Rc::new(RefCell::new(kernel));
    let sent = Rc::new(RefCell::new(Vec::new()));
    let datagrams = Rc::new(RefCell::new(Vec::new()));
    let wire = || {
        let (kernel, sent, datagrams) = (Rc::clone(&kernel), Rc::clone(&sent), Rc::clone(&datagrams));
        Connection::new(Wire { kernel, sent, datagrams, queue: VecDeque::new() })
    };
    let mut conntrack = Conntrack { interfaces: wire(), listing: wire(), deleting: wire() };
    let result = work(&mut conntrack);
    // Those of a request for a hundred and a few flows are far shorter.
    assert!(datagrams.take().into_iter().all(|len| len < 32 * 1024));
    (result, sent.take())
}

/// Of the flows that were recorded, two of each family have kept their source.
const WHOLE: Fixed = Fixed { looked_at: 9, exempt: 0, masqueraded: 4, vanished: 0, in_doubt: 0, refused: 0 };

#[test]
fn every_flow_is_looked_at_once_and_those_that_do_not_fit_are_deleted_while_they_are_listed() {
    let (fixed, sent) = fix(Kernel::default());
    assert_eq!(fixed.unwrap(), WHOLE);
    let deletions = |family| [(DELETE_FLOW, family); 2];
    let expected = [&[(GET_ADDRESS, 0), (GET_FLOW, 2)][..], &deletions(2), &[(GET_FLOW, 10)], &deletions(10)].concat();
    assert_eq!(sent, expected);
}

#[test]
fn once_interrupted_it_deletes_nothing_more() {
    let (fixed, sent) = fix_unless(&AtomicBool::new(true), Kernel::default());
    assert!(matches!(fixed, Err(ConntrackError::Interrupted)), "{fixed:?}");
    assert_eq!(sent, [(GET_ADDRESS, 0), (GET_FLOW, 2)]);
}

#[test]
fn a_disturbed_listing_is_repeated_and_its_flows_are_not_counted_twice() {
    let (fixed, sent) = fix(Kernel { listing: Errno::ENOBUFS as i32, times: 3, ..Kernel::default() });
    // This kernel lists flows that were deleted, and deletes them again.
    assert_eq!(fixed.unwrap(), Fixed { masqueraded: WHOLE.masqueraded + 3 * 2, ..WHOLE });
    assert_eq!(sent.iter().filter(|(kind, _)| *kind == GET_FLOW).count(), 3 + 2);

    let (fixed, sent) = fix(Kernel { listing: Errno::ENOBUFS as i32, times: 100, ..Kernel::default() });
    let error = fixed.unwrap_err().to_string();
    assert!(error.starts_with("could not list the flows: what was asked for changed faster"), "{error}");
    assert_eq!(sent.iter().filter(|(kind, _)| *kind == GET_FLOW).count(), 8);
}

#[test]
fn a_flow_in_doubt_is_not_deleted_but_counted_and_told_of_once_however_often_it_is_listed() {
    for times in [0, 3] {
        let mut fixed = Fixed { in_doubt: 7, ..Fixed::default() };
        let kernel = Kernel { listing: Errno::ENOBUFS as i32, times, ..Kernel::default() };
        let (done, sent) =
            over(kernel, |conntrack| conntrack.fix_family(Family::Ipv4, |_| Verdict::InDoubt, || Ok(()), &mut fixed));
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(sent, vec![(GET_FLOW, 2); times + 1], "nothing is deleted");
        assert!(fixed.looked_at > 0);
        assert_eq!(fixed, Fixed { looked_at: fixed.looked_at, in_doubt: 7 + fixed.looked_at, ..Fixed::default() });
        let told = fixed.to_string();
        assert!(told.contains(&format!("; {} more of which the destination is exempt now", fixed.in_doubt)), "{told}");
    }
    assert!(!WHOLE.to_string().contains("more of which"), "{WHOLE}");
}

#[test]
fn a_flow_that_is_gone_or_cannot_be_deleted_keeps_the_others_from_nothing() {
    let (fixed, _) = fix(Kernel { deleting: Errno::ENOENT as i32, ..Kernel::default() });
    assert_eq!(fixed.unwrap(), Fixed { masqueraded: 0, vanished: 4, ..WHOLE });
    let (fixed, _) = fix(Kernel { deleting: Errno::EBUSY as i32, ..Kernel::default() });
    let fixed = fixed.unwrap();
    assert_eq!(fixed, Fixed { masqueraded: 0, refused: 4, ..WHOLE });
    assert!(fixed.to_string().contains("4 more the kernel did not delete"), "{fixed}");
}

#[test]
fn of_flows_that_are_deleted_together_each_has_an_end_of_its_own() {
    for (deleting, masqueraded, vanished, refused) in
        [(Errno::ENOENT as i32, 1, 3, 0), (Errno::EBUSY as i32, 1, 0, 3), (LOST, 4, 0, 0)]
    {
        let (fixed, sent) = fix(Kernel { deleting, deletions_that_pass: 1, ..Kernel::default() });
        assert_eq!(fixed.unwrap(), Fixed { masqueraded, vanished, refused, ..WHOLE });
        // What became of them is not known, so all are deleted again, and the kernel of this test deletes them again.
        let again = if deleting == LOST { 2 } else { 0 };
        assert_eq!(sent.iter().filter(|(kind, _)| *kind == DELETE_FLOW).count(), 4 + again);
    }
}

#[test]
fn flows_are_deleted_in_parts_while_the_listing_goes_on_and_an_error_ends_it_within_a_part() {
    // 300 times what was recorded of IPv4, of which two are to be deleted.
    let kernel = Kernel { more: 299, ..Kernel::default() };
    let (fixed, sent) = fix(kernel);
    assert_eq!(fixed.unwrap().masqueraded, 300 * 4);
    assert_eq!(sent.iter().filter(|(kind, _)| *kind == DELETE_FLOW).count(), 300 * 4);
    let (fixed, sent) = fix(Kernel { deleting: Errno::EPERM as i32, deletions_that_pass: 200, ..kernel });
    assert!(matches!(fixed, Err(ConntrackError::Netlink { .. })), "{fixed:?}");
    let deletions = sent.iter().filter(|(kind, _)| *kind == DELETE_FLOW).count();
    // More than the one that fails: those behind it in the same call are tried, too.
    let bound = 202..=200 + DELETED_TOGETHER;
    assert!(bound.contains(&deletions), "{deletions} were tried, expected {bound:?}");
}

#[test]
fn what_the_kernel_lacks_or_forbids_is_said_with_the_remedy() {
    for (kernel, words) in [
        (
            Kernel { listing: Errno::EINVAL as i32, times: 1, ..Kernel::default() },
            &["no way to list and delete flows", "nf_conntrack_netlink", "--conntrack=keep"][..],
        ),
        (
            Kernel { listing: Errno::EOPNOTSUPP as i32, times: 1, ..Kernel::default() },
            &["no way to list and delete flows", "nf_conntrack_netlink"],
        ),
        (
            Kernel { listing: Errno::EPERM as i32, times: 1, ..Kernel::default() },
            &["could not list the flows", "CAP_NET_ADMIN"],
        ),
        (Kernel { deleting: Errno::EPERM as i32, ..Kernel::default() }, &["could not delete a flow", "CAP_NET_ADMIN"]),
        (Kernel { addresses: Errno::ENOMEM as i32, ..Kernel::default() }, &["could not list the node's own addresses"]),
    ] {
        let (fixed, _) = fix(kernel);
        let error = fixed.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{kernel:?}: {error}");
    }
}
