use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::super::fake::Kernel;
use crate::backend::interface::{Backend, ChangeSource, Heard, WatchRules};

fn watched(kernel: &Kernel, how: &str) -> ChangeSource {
    kernel.backend().watch(how.parse::<WatchRules>().unwrap()).unwrap().unwrap()
}

/// Whether its file descriptor becomes readable before this time is over.
fn becomes_readable(source: &ChangeSource, within: PollTimeout) -> bool {
    assert!(source.as_raw_fd() >= 0);
    poll(&mut [PollFd::new(std::os::fd::AsFd::as_fd(source), PollFlags::POLLIN)], within).unwrap() == 1
}

#[test]
fn it_is_due_each_time_the_interval_is_over_and_then_tells_how_many_others_committed() {
    let kernel = Kernel::default();
    let began = Instant::now();
    let mut source = watched(&kernel, "poll=10ms");
    for commits in [0, 1, 3] {
        for _ in 0..commits {
            kernel.get().commit_of_another();
        }
        assert!(becomes_readable(&source, PollTimeout::NONE));
        let mut heard = Heard::default();
        assert!(source.listen(&mut heard).unwrap());
        assert_eq!(heard, Heard { commits, ..Heard::default() }, "a name cannot be asked for");
    }
    assert!(began.elapsed().as_millis() >= 30, "{:?}", began.elapsed());
}

#[test]
fn what_was_counted_once_is_not_counted_again_nor_what_was_before() {
    let kernel = Kernel::default();
    kernel.get().commit_of_another();
    let mut source = watched(&kernel, "poll=1h");
    assert!(!becomes_readable(&source, PollTimeout::ZERO));
    for commits in [0, 2, 0] {
        for _ in 0..commits {
            kernel.get().commit_of_another();
        }
        let mut heard = Heard::default();
        // It can be asked before the interval is over.
        assert!(source.listen(&mut heard).unwrap());
        assert_eq!(heard.commits, commits);
    }
    assert!(kernel.get().announcements.is_empty(), "nothing is to be announced to it");
}

#[test]
fn without_an_answer_it_has_failed() {
    let kernel = Kernel::default();
    let mut source = watched(&kernel, "poll=1h");
    kernel.get().ignores_questions = true;
    let error = source.listen(&mut Heard::default()).unwrap_err();
    assert!(error.to_string().starts_with("could not listen to changes of the rules: "), "{error}");
}
