//! Writing to the journal, or lines to stderr. Both may be slow, full or gone: what the journal does not take goes to stderr,
//! and lines that are lost there are counted, and reported once writing works again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd;

use super::formatter::Formatter;
use super::journal::Journal;
use super::log_queue::{Entry, Line};
use super::room::when_writable;

/// A pipe that can be written at all takes so many bytes without waiting (`PIPE_BUF`, `pipe(7)`).
const AT_ONCE: usize = 4096;

/// Where lines are written, and what is left to be written.
#[derive(Debug)]
pub(super) struct Output {
    sink: Sink,
    journal: Journal,
    pieces: VecDeque<Piece>,
    /// So many lines are missing, and no notice says so yet.
    lost: u64,
    /// Why the last of them is missing, if writing failed.
    why: Option<Errno>,
    /// Whether what was written last ends in the middle of a line.
    is_cut: bool,
    /// The bytes that were written since the start.
    written: u64,
    formatter: Formatter,
}

/// What is written as one, and how many lines are missing if it cannot be.
#[derive(Debug)]
struct Piece {
    entry: Entry,
    /// The bytes of its line that stderr has taken.
    written: usize,
    worth: u64,
}

impl Output {
    /// What is missing is told in this format.
    pub(super) fn new(sink: Sink, formatter: Formatter) -> Self {
        let journal = Journal::default();
        Self { sink, journal, pieces: VecDeque::new(), lost: 0, why: None, is_cut: false, written: 0, formatter }
    }

    /// Takes a line, which [`Output::flush`] writes; and before it how many are missing.
    pub(super) fn load(&mut self, line: Line) {
        let lost = std::mem::take(&mut self.lost) + line.lost_before;
        let end_of_cut: &[u8] = if std::mem::take(&mut self.is_cut) { b"\n" } else { b"" };
        if lost > 0 {
            let message = self.loss(lost);
            let mut entry = self.formatter.notice(&message, lost);
            entry.text.splice(0..0, end_of_cut.iter().copied());
            self.pieces.push_back(Piece { entry, written: 0, worth: lost });
        }
        if line.entry != Entry::default() {
            self.pieces.push_back(Piece { entry: line.entry, written: 0, worth: 1 });
        }
    }

    /// Writes what was taken, and waits for room no longer than that; for ever without a time. Returns whether all of
    /// it is written, or given up because it cannot be.
    pub(super) fn flush(&mut self, until: Option<Instant>) -> bool {
        while let Some(piece) = self.pieces.front_mut() {
            if !piece.entry.journal.is_empty() {
                match self.journal.send(&piece.entry.journal, until) {
                    Ok(false) => return false,
                    Ok(true) => {
                        self.written += piece.entry.journal.len() as u64;
                        self.pieces.pop_front();
                    }
                    Err(_) => piece.entry.journal = Vec::new(),
                }
                continue;
            }
            let left = piece.entry.text.get(piece.written..).unwrap_or_default();
            let chunk = left.get(..AT_ONCE).unwrap_or(left);
            match self.sink.write(chunk, until) {
                Ok(None) => return false,
                Ok(Some(written)) => {
                    self.written += written as u64;
                    piece.written += written;
                    if piece.written == piece.entry.text.len() {
                        self.pieces.pop_front();
                    }
                }
                Err(error) => {
                    self.is_cut |= piece.written > 0;
                    self.lost += piece.worth;
                    self.why = Some(error);
                    self.pieces.pop_front();
                }
            }
        }
        true
    }

    /// How much was written since the start, to see whether the reader reads.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    fn loss(&mut self, lost: u64) -> String {
        let lines = if lost == 1 { "1 log line was".to_owned() } else { format!("{lost} log lines were") };
        match self.why.take() {
            Some(error) => format!("{lines} lost: stderr could not be written ({})", error.desc()),
            None => format!("{lines} lost: {} was full, because nobody read it", self.formatter.destination()),
        }
    }
}

/// Stderr, opened so that writing does not block, where that is possible.
#[derive(Debug)]
pub(super) struct Sink {
    stderr: io::Stderr,
    own: Option<File>,
}

impl Sink {
    /// The process's stderr. A pipe is opened anew for non-blocking writes, because others who write to it as well can fill
    /// it after it was seen to have room. Its own flags stay as they are: others share them.
    pub(super) fn stderr() -> Self {
        let stderr = io::stderr();
        let is_pipe =
            fstat(&stderr).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO);
        let open = || OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open("/proc/self/fd/2");
        let own = is_pipe.then(open).and_then(Result::ok);
        Self { stderr, own }
    }

    /// A file of a test's own.
    #[cfg(test)]
    pub(super) fn of(file: File) -> Self {
        Self { stderr: io::stderr(), own: Some(file) }
    }

    /// The bytes that were written of these; `None` if there was no room in time.
    fn write(&self, bytes: &[u8], until: Option<Instant>) -> Result<Option<usize>, Errno> {
        when_writable(self.as_fd(), until, || match unistd::write(self.as_fd(), bytes) {
            // A device that takes nothing takes nothing later either.
            Ok(0) if !bytes.is_empty() => Err(Errno::EIO),
            written => written,
        })
    }
}

impl AsFd for Sink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_ref().map_or_else(|| self.stderr.as_fd(), AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use super::super::formatter::Stderr;
    use super::super::style::{LogFormat, Style};
    use super::*;

    fn output(to: impl Into<OwnedFd>) -> Output {
        let words = Formatter::new(LogFormat::Text, Style::Words, Stderr::default(), false);
        Output::new(Sink::of(File::from(to.into())), words)
    }

    fn line(text: &str) -> Line {
        Line { lost_before: 0, entry: Entry::text(text.as_bytes()) }
    }

    #[test]
    fn what_has_no_room_waits_and_is_written_whole_when_there_is() {
        for non_blocking in [false, true] {
            let (mut reader, writer) = io::pipe().unwrap();
            if non_blocking {
                nix::fcntl::fcntl(&writer, nix::fcntl::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
            }
            let mut output = output(writer);
            let text = format!("{}\n", "x".repeat(99_999));
            output.load(line(&text));
            output.load(line("second\n"));
            assert!(!output.flush(Some(Instant::now())), "a pipe takes 65,536 bytes");
            let mut read = vec![0; 60_000];
            reader.read_exact(&mut read).unwrap();
            assert!(output.flush(Some(Instant::now() + Duration::from_secs(10))));
            drop(output);
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), text + "second\n");
        }
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_told_with_the_reason_once_it_works_again() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (gone, writer) = io::pipe().unwrap();
        drop(gone);
        for (broken, why) in [(full.into(), "No space left on device"), (OwnedFd::from(writer), "Broken pipe")] {
            let mut output = output(broken);
            for _ in 0..2 {
                output.load(line("lost\n"));
                assert!(output.flush(None), "given up");
            }
            let (mut reader, writer) = io::pipe().unwrap();
            output.sink.own = Some(File::from(OwnedFd::from(writer)));
            for text in ["one\n", "two\n"] {
                output.load(line(text));
                assert!(output.flush(None));
            }
            drop(output);
            let mut read = String::new();
            reader.read_to_string(&mut read).unwrap();
            assert_eq!(
                read,
                format!("warning: 2 log lines were lost: stderr could not be written ({why})\none\ntwo\n")
            );
        }
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut output = output(writer);
        output.load(line(&"x".repeat(AT_ONCE * 100)));
        assert!(!output.flush(Some(Instant::now())));
        let (mut later, writer) = io::pipe().unwrap();
        let broken = OpenOptions::new().write(true).open("/dev/full").unwrap();
        output.sink.own = Some(broken);
        assert!(output.flush(None));
        output.sink.own = Some(File::from(OwnedFd::from(writer)));
        output.load(line("next\n"));
        assert!(output.flush(None));
        drop(output);
        let mut read = String::new();
        later.read_to_string(&mut read).unwrap();
        assert_eq!(
            read,
            "\nwarning: 1 log line was lost: stderr could not be written (No space left on device)\nnext\n"
        );
        reader.read_to_string(&mut read).unwrap();
    }
}
