//! What the kernel makes of the flags `owner` and `persist` of a table (Linux 6.9 and later).

use ip_masq_agent::backend::nftables::{Action, Change};
use ip_masq_agent::net::Family;
use ip_masq_agent::netlink::{Connection, NetlinkError, NetlinkFamily, NetlinkSocket};
use ip_masq_agent::rules::Protection;
use nix::errno::Errno;

use crate::changes::batch;
use crate::kernel::{in_namespace, run};
use crate::own::{TABLE, create_own, create_table, own};
use crate::support::{DEADLINE, wait_until};

const FAMILY: Family = Family::Ipv4;

fn owner(kernel: &mut Connection<NetlinkSocket>) -> Option<u32> {
    let tables = kernel.tables(FAMILY).unwrap();
    assert_eq!(tables.len(), 1);
    assert_eq!((tables[0].name.as_str(), &tables[0].protection), (TABLE, &Ok(Protection::OwnerPersist)));
    tables[0].owner
}

fn adopt() -> Change {
    create_table(FAMILY, Protection::OwnerPersist)
}

fn chain(name: &str) -> Change {
    own(FAMILY, Action::CreateChain { chain: name.to_owned(), base: None })
}

#[track_caller]
fn refused(result: Result<(), NetlinkError>, expected: Errno) {
    match result {
        Err(
            NetlinkError::Rejected { change: Some(0), errno, .. }
            | NetlinkError::Unsupported { change: Some(0), errno, .. },
        ) => assert_eq!(errno, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_owned_table_is_changed_by_its_owner_alone_and_read_by_all() {
    in_namespace(|netns| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        kernel.commit(&batch(None, &create_own(FAMILY, Protection::OwnerPersist))).unwrap();
        let mut other = Connection::open(NetlinkFamily::Netfilter).unwrap();
        assert_eq!(owner(&mut other), Some(kernel.port()));
        assert_ne!(kernel.port(), other.port());
        for change in [chain("C"), adopt(), create_table(FAMILY, Protection::Off), own(FAMILY, Action::DeleteTable)] {
            refused(other.commit(&batch(None, &[change])), Errno::EPERM);
        }
        run(netns, "nft flush ruleset");
        assert_eq!(owner(&mut other), Some(kernel.port()), "a flush of everything passes it over");
        kernel.commit(&batch(None, &[chain("C")])).unwrap();
    });
}

#[test]
fn an_owner_that_adopts_its_table_again_changes_nothing() {
    in_namespace(|_| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        kernel.commit(&batch(None, &create_own(FAMILY, Protection::OwnerPersist))).unwrap();
        let generation = kernel.generation().unwrap();
        kernel.commit(&batch(None, &[adopt()])).unwrap();
        kernel.commit(&batch(None, &[create_table(FAMILY, Protection::Off)])).unwrap();
        assert_eq!(kernel.generation().unwrap(), generation);
        assert_eq!(owner(&mut kernel), Some(kernel.port()));
    });
}

#[test]
fn a_table_outlives_its_owner_unprotected_and_is_adopted_by_the_next_with_a_new_generation() {
    in_namespace(|_| {
        let mut first = Connection::open(NetlinkFamily::Netfilter).unwrap();
        first.commit(&batch(None, &create_own(FAMILY, Protection::OwnerPersist))).unwrap();
        let chains = first.chains(FAMILY).unwrap();
        let generation = first.generation().unwrap();
        drop(first);

        let mut second = Connection::open(NetlinkFamily::Netfilter).unwrap();
        // A program that another test starts just now holds every socket between its fork and its exec.
        wait_until(DEADLINE, "the owner is gone", || owner(&mut second).is_none());
        assert_eq!(second.generation().unwrap(), generation);
        assert_eq!(second.chains(FAMILY).unwrap(), chains);
        second.commit(&batch(None, &[adopt(), chain("C")])).unwrap();
        assert_eq!((owner(&mut second), second.generation().unwrap().0), (Some(second.port()), generation.0 + 1));
        refused(Connection::open(NetlinkFamily::Netfilter).unwrap().commit(&batch(None, &[chain("D")])), Errno::EPERM);

        drop(second);
        let mut third = Connection::open(NetlinkFamily::Netfilter).unwrap();
        wait_until(DEADLINE, "the owner is gone", || owner(&mut third).is_none());
        third.commit(&batch(None, &[chain("D")])).unwrap();
        assert_eq!(owner(&mut third), None, "without an owner, everybody may change it and owns nothing");
    });
}

#[test]
fn the_flags_of_a_table_change_only_with_the_table_which_one_transaction_can_replace() {
    in_namespace(|_| {
        let mut kernel = Connection::open(NetlinkFamily::Netfilter).unwrap();
        let replace = |protection| [vec![own(FAMILY, Action::DeleteTable)], create_own(FAMILY, protection)].concat();
        kernel.commit(&batch(None, &create_own(FAMILY, Protection::Off))).unwrap();
        refused(kernel.commit(&batch(None, &[adopt()])), Errno::EOPNOTSUPP);
        for _ in 0..2 {
            kernel.commit(&batch(None, &replace(Protection::OwnerPersist))).unwrap();
            assert_eq!(owner(&mut kernel), Some(kernel.port()));
        }
        kernel.commit(&batch(None, &replace(Protection::Off))).unwrap();
        assert_eq!(kernel.tables(FAMILY).unwrap()[0].protection, Ok(Protection::Off));
    });
}
