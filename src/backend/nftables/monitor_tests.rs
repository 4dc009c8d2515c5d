use std::collections::VecDeque;

use super::*;

/// The port of our own socket.
const OWN: u32 = 4711;

/// What the socket has queued.
struct Queue(VecDeque<io::Result<Vec<u8>>>);

impl Transport for Queue {
    fn send(&mut self, _: &[u8]) -> io::Result<()> {
        panic!("a monitor sends nothing")
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        *buffer = self.0.pop_front().unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        Ok(())
    }

    fn port(&self) -> u32 {
        0
    }
}

/// `NFT_MSG_NEWGEN` as the kernel announces it.
fn commit(port: u32, pid: u32, name: &[u8]) -> Vec<u8> {
    let mut attributes = [[0, 8, 0, 1, 0, 0, 0, 9], [0, 8, 0, 2, 0, 0, 0, 0]].concat();
    attributes[12..16].copy_from_slice(&pid.to_be_bytes());
    attributes.extend([0, u8::try_from(4 + name.len()).unwrap(), 0, 3]);
    attributes.extend(name);
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    // The lengths and types are in host order, unlike the values.
    for at in [0, 8, 16] {
        for field in [at, at + 2] {
            let value = u16::from_be_bytes([attributes[field], attributes[field + 1]]);
            attributes[field..field + 2].copy_from_slice(&value.to_ne_bytes());
        }
    }
    let mut message = Vec::new();
    message.extend(u32::try_from(20 + attributes.len()).unwrap().to_ne_bytes());
    message.extend(generation::NEW.bytes());
    message.extend([0; 6]);
    message.extend(port.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(attributes);
    message
}

fn heard(queue: Vec<io::Result<Vec<u8>>>) -> Heard {
    let mut heard = Heard::default();
    let mut monitor = Monitor::new(Queue(queue.into()), OWN);
    assert!(monitor.listen(&mut heard).unwrap());
    heard
}

fn names(heard: &Heard) -> Vec<String> {
    heard.processes.iter().map(ToString::to_string).collect()
}

#[test]
fn commits_of_others_are_heard_with_their_names_and_our_own_are_not() {
    let nothing = heard(vec![Ok(commit(OWN, 1, b"ip-masq-agent\0"))]);
    assert_eq!(nothing, Heard::default());
    assert!(!nothing.is_something());
    let others =
        heard(vec![Ok(commit(5, 77, b"kube-proxy\0")), Ok(commit(OWN, 1, b"x\0")), Ok(commit(6, 78, b"nft\0"))]);
    assert_eq!((others.commits, others.lost), (2, false));
    assert_eq!(names(&others), ["kube-proxy (pid 77)", "nft (pid 78)"]);
}

#[test]
fn of_many_processes_the_latest_are_remembered_and_each_name_once() {
    let queue = ["a\0", "b\0", "c\0", "a\0", "d\0", "e\0"];
    let many = heard(queue.iter().zip(1..).map(|(name, pid)| Ok(commit(5, pid, name.as_bytes()))).collect());
    assert_eq!(many.commits, 6);
    assert_eq!(names(&many), ["c (pid 3)", "a (pid 4)", "d (pid 5)", "e (pid 6)"]);
}

#[test]
fn a_process_cannot_write_into_the_log_by_its_name() {
    let odd = heard(vec![Ok(commit(5, 7, b"x\n\x1b[31m\xff\0"))]);
    assert_eq!(names(&odd), ["x\\n\\u{1b}[31m\u{fffd} (pid 7)"]);
}

#[test]
fn what_was_lost_or_cannot_be_read_still_counts_as_something() {
    let lost: [Vec<io::Result<Vec<u8>>>; 4] = [
        vec![Err(Errno::ENOBUFS.into())],
        vec![Ok(vec![1, 2, 3])],
        vec![Ok(commit(5, 7, b"nft\0")[..30].to_vec())],
        vec![Err(Errno::EINTR.into()), Err(Errno::ENOBUFS.into())],
    ];
    for queue in lost {
        let shown = format!("{queue:?}");
        let heard = heard(queue);
        assert!(heard.lost && heard.is_something(), "{shown}");
    }
    // An older kernel, which names no process.
    let mut anonymous = commit(5, 7, b"nft\0")[..28].to_vec();
    anonymous[..4].copy_from_slice(&28_u32.to_ne_bytes());
    let heard = heard(vec![Ok(anonymous)]);
    assert_eq!((heard.commits, heard.processes.len()), (1, 0));
}

#[test]
fn a_socket_that_fails_says_so_and_a_flood_is_taken_in_parts() {
    let mut heard = Heard::default();
    let mut failing = Monitor::new(Queue([Err(Errno::EBADF.into())].into()), OWN);
    assert!(matches!(failing.listen(&mut heard), Err(NetlinkError::Io(_))));
    let flood = (0..=AT_ONCE).map(|_| Ok(commit(5, 7, b"nft\0"))).collect();
    let mut flooded = Monitor::new(Queue(flood), OWN);
    assert!(!flooded.listen(&mut heard).unwrap());
    assert_eq!(heard.commits, AT_ONCE as u64);
    assert!(flooded.listen(&mut heard).unwrap());
    assert_eq!(heard.commits, AT_ONCE as u64 + 1);
}
