//! What is noticed of others, around commits of our own.

use std::cell::RefCell;
use std::process::Command;
use std::rc::Rc;

use super::super::contract_tests::in_a_network_namespace_of_its_own;
use super::super::fake::{Kernel, Memory};
use super::super::{Monitor, Nftables};
use super::*;
use crate::backend::{Backend, ReconcileOptions, WatchRules, reconcile};
use crate::netlink::{Connection, NetlinkFamily, NetlinkSocket, Transport};
use crate::rules::tests::policy;
use crate::rules::{Layout, Protection, Ruleset, compile};

const WAYS: [&str; 2] = ["notify", "poll=1h"];

fn rules(exempt: &[&str]) -> Ruleset {
    compile(&policy(exempt, ""), Layout::OwnTable(Protection::Off))
}

fn apply(backend: &mut impl Backend, exempt: &[&str]) {
    reconcile(backend, &rules(exempt), &ReconcileOptions::default()).unwrap();
}

/// What is to be told without waiting; nothing may be left behind it.
fn told(source: &mut ChangeSource) -> Heard {
    let mut heard = Heard::default();
    assert!(source.listen(&mut heard).unwrap());
    assert!(!source.is_due(), "it is told once");
    heard
}

#[test]
fn a_commit_of_another_right_after_ours_is_noticed_though_it_is_announced_to_nobody() {
    for how in WAYS {
        let kernel = Kernel::default();
        let mut ours = kernel.backend();
        let mut source = ours.watch(how.parse().unwrap()).unwrap().unwrap();
        kernel.get().after_commit = Some(|memory| {
            memory.after_commit = None;
            memory.commit_of_another();
        });
        apply(&mut ours, &["10.0.0.0/8"]);
        let heard = told(&mut source);
        assert!(heard.is_something() && heard.processes.is_empty(), "{how}: {heard:?}");
        apply(&mut ours, &["20.0.0.0/8"]);
        assert!(!source.is_due() && !told(&mut source).is_something(), "{how}: ours alone");
        kernel.get().commit_of_another();
        assert_eq!(told(&mut source).commits, 1, "{how}: heard as before");
    }
}

#[test]
fn a_commit_of_another_right_before_ours_is_noticed() {
    for how in WAYS {
        let kernel = Kernel::from(Memory { interference: vec![|_| {}], ..Memory::default() });
        let mut ours = kernel.backend();
        let mut source = ours.watch(how.parse().unwrap()).unwrap().unwrap();
        apply(&mut ours, &["10.0.0.0/8"]);
        assert!(source.is_due(), "{how}");
        assert!(told(&mut source).is_something(), "{how}");
    }
}

#[test]
fn what_was_announced_before_a_commit_of_ours_is_still_told_with_its_name() {
    let kernel = Kernel::default();
    let mut ours = kernel.backend();
    let mut source = ours.watch(WatchRules::Notify).unwrap().unwrap();
    kernel.get().commit_of_another();
    apply(&mut ours, &["10.0.0.0/8"]);
    let heard = told(&mut source);
    assert_eq!((heard.commits, heard.lost, heard.processes.len()), (1, false, 1), "{heard:?}");
}

#[test]
fn a_commit_whose_fate_is_not_known_counts_as_one_of_others() {
    for how in WAYS {
        let kernel = Kernel::default();
        let mut ours = kernel.backend();
        let mut source = ours.watch(how.parse().unwrap()).unwrap().unwrap();
        kernel.get().troubles = [(true, crate::backend::nftables::fake::Trouble::Lost)].into();
        apply(&mut ours, &["10.0.0.0/8"]);
        assert!(told(&mut source).is_something(), "{how}");
    }
}

#[test]
fn where_it_cannot_be_listened_again_that_is_told_once_and_what_was_missed_before_it() {
    let kernel = Kernel::default();
    let mut ours = kernel.backend();
    let mut source = ours.watch(WatchRules::Notify).unwrap().unwrap();
    kernel.get().after_commit = Some(|memory| {
        memory.after_commit = None;
        memory.refuses_listeners = 1;
        memory.commit_of_another();
    });
    apply(&mut ours, &["10.0.0.0/8"]);
    assert!(source.is_due());
    let mut heard = Heard::default();
    let error = source.listen(&mut heard).unwrap_err();
    assert!(error.to_string().starts_with("could not listen to changes of the rules: "), "{error}");
    assert!(heard.lost && !source.is_due());
    drop(source);
    apply(&mut ours, &["20.0.0.0/8"]);
    let mut source = ours.watch(WatchRules::Notify).unwrap().unwrap();
    kernel.get().commit_of_another();
    assert_eq!(told(&mut source).commits, 1, "it is listened anew");
}

#[test]
fn a_commit_of_ours_is_announced_to_everybody_else_who_listens() {
    let kernel = Kernel::default();
    let (mut ours, mut other) = (kernel.backend(), kernel.backend());
    let [mut own, mut theirs] = [&mut ours, &mut other].map(|of| of.watch(WatchRules::Notify).unwrap().unwrap());
    apply(&mut ours, &["10.0.0.0/8"]);
    assert!(!told(&mut own).is_something());
    assert_eq!(told(&mut theirs).commits, 1);
}

/// What somebody does right before, or right after, the kernel works on the next transaction.
type Interference = Rc<RefCell<Option<(When, Box<dyn FnMut()>)>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

/// A socket between whose leaving and joining the group somebody else acts.
struct Interfered {
    socket: NetlinkSocket,
    interference: Interference,
}

impl Interfered {
    fn act(&self, at: When) {
        let is_due = self.interference.borrow().as_ref().is_some_and(|(when, _)| *when == at);
        if let Some((_, mut act)) = is_due.then(|| self.interference.take()).flatten() {
            act();
        }
    }
}

impl Transport for Interfered {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        const BATCH_BEGIN: u16 = 0x10;
        let is_transaction = datagram.get(4..6) == Some(&BATCH_BEGIN.to_ne_bytes()[..]);
        if is_transaction {
            self.act(When::Before);
        }
        self.socket.send(datagram)?;
        if is_transaction {
            self.act(When::After);
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.socket.receive(buffer)
    }

    fn port(&self) -> u32 {
        self.socket.port()
    }
}

fn nft(command: &str) {
    #[expect(clippy::disallowed_methods, reason = "somebody else is another program")]
    let status = Command::new("nft").args(command.split(' ')).status().expect("nft is installed");
    assert!(status.success(), "{command}");
}

#[test]
fn the_real_kernel_hides_no_commit_of_another_behind_ours() {
    let name = concat!(module_path!(), "::the_real_kernel_hides_no_commit_of_another_behind_ours");
    in_a_network_namespace_of_its_own(name, || {
        for when in [When::Before, When::After] {
            let interference = Interference::default();
            let socket = NetlinkSocket::open(NetlinkFamily::Netfilter).unwrap();
            let connection = Connection::new(Interfered { socket, interference: Rc::clone(&interference) });
            let mut ours = Nftables {
                begin_to_watch: |connection, _| Ok(Some(Watched::share(Monitor::open(connection.port())?).unwrap())),
                ..Nftables::over(connection)
            };
            let mut source = ours.watch(WatchRules::Notify).unwrap().unwrap();
            *interference.borrow_mut() = Some((when, Box::new(|| nft("add table inet theirs"))));
            apply(&mut ours, &["10.0.0.0/8", "fd00::/8"]);
            assert!(interference.borrow().is_none(), "{when:?}: somebody acted");
            assert!(source.is_due(), "{when:?}");
            let heard = told(&mut source);
            assert!(heard.lost && heard.commits == 0, "{when:?}: {heard:?}");
            apply(&mut ours, &["20.0.0.0/8"]);
            assert!(!told(&mut source).is_something(), "{when:?}: ours alone");
            nft("delete table inet theirs");
            let heard = told(&mut source);
            assert_eq!((heard.commits, heard.lost), (1, false), "{when:?}: {heard:?}");
            assert_eq!(heard.processes[0].name, "nft", "{when:?}");
            reconcile(&mut ours, &Ruleset::nothing("X".parse().unwrap()), &ReconcileOptions::default()).unwrap();
        }
    });
}
