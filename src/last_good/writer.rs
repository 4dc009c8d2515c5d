//! A process that writes to the state directory.
//!
//! A thread that waits for a frozen disk cannot be ended, and keeps its whole process from ending, SIGKILL or not; and
//! with the process the sockets that own tables. So whatever writes there is a process of its own: this program, by a
//! verb that `--help` does not list. It is started for one task, and left behind if the agent ends before it does.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use thiserror::Error;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use super::{StateDir, WriterAnswer, WriterTask};
use crate::text::Shown;

/// The verb by which this program becomes a writer.
pub const VERB: &str = "state-writer";

/// No answer is longer: a path, and words around it.
const LONGEST_ANSWER: usize = 16 * 1024;

/// The first pause before it is looked again whether a process that has closed everything has ended. Each further one is
/// twice as long, up to a second.
const FIRST_LOOK: Duration = Duration::from_millis(1);

/// Why a task was not done, as far as that is known.
#[derive(Debug, Error)]
pub enum SaveError {
    /// There is no process to do it.
    #[error(
        "could not start a process that writes to {}: {source}; it needs /proc, memory and room in the limits of processes \
         and open files", Shown(.dir.path())
    )]
    NotStarted {
        /// Where it would have written.
        dir: StateDir,
        /// What the system answered.
        source: io::Error,
    },
    /// The process says why.
    #[error("{0}")]
    Failed(String),
    /// The process has ended and did not say why.
    #[error("the process that writes to {} ended without an answer ({status})", Shown(.dir.path()))]
    Silent {
        /// Where it wrote.
        dir: StateDir,
        /// How it ended.
        status: ExitStatus,
    },
    /// The process is still at it.
    #[error(
        "the disk of {} has not answered for {} s; the process {process} waits for it and goes on then",
        Shown(.dir.path()),
        .waited.as_secs()
    )]
    Slow {
        /// Where it writes.
        dir: StateDir,
        /// The time since it was started.
        waited: Duration,
        /// Its id.
        process: u32,
    },
}

/// `MFD_NOEXEC_SEAL` of `linux/memfd.h`.
const MFD_NOEXEC_SEAL: u32 = 0x8;

/// Processes whose [`Writer`] was dropped, until they have ended.
static LEFT_BEHIND: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A process that does one task. It goes on when the value is dropped.
#[derive(Debug)]
pub struct Writer {
    dir: StateDir,
    /// `None` once it has ended.
    child: Option<Child>,
    answer: Vec<u8>,
    /// `None` once everything was read.
    pipe: Option<Receiver>,
}

impl Writer {
    /// Starts one. To be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`SaveError::NotStarted`]
    pub fn start(dir: &StateDir, task: WriterTask, content: Option<&[u8]>) -> Result<Self, SaveError> {
        Self::spawn(dir, task, content).map_err(|source| SaveError::NotStarted { dir: dir.clone(), source })
    }

    /// Reaps those of the processes left behind that have ended since.
    pub fn reap() {
        let mut left = LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }

    fn spawn(dir: &StateDir, task: WriterTask, content: Option<&[u8]>) -> io::Result<Self> {
        let stdin =
            content.map_or_else(|| Ok(Stdio::null()), |content| Ok::<_, io::Error>(in_memory(content)?.into()))?;
        let (reader, writer) = io::pipe()?;
        let pipe = Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let mut command = this_program();
        command.arg(VERB).arg("--state-dir").arg(dir.path());
        match task {
            WriterTask::Save => {}
            WriterTask::SetAside(flaw) => _ = command.arg("--set-aside").arg(flaw.to_string()),
            WriterTask::Remember => _ = command.arg("--remember"),
        }
        let child = command.stdin(stdin).stdout(writer).stderr(Stdio::null()).spawn()?;
        Ok(Self { dir: dir.clone(), child: Some(child), answer: Vec::new(), pipe: Some(pipe) })
    }

    /// Its id.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Waits for its answer and its end. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`SaveError`]
    pub async fn answer(&mut self) -> Result<WriterAnswer, SaveError> {
        let status = self.end().await.map_err(|source| SaveError::NotStarted { dir: self.dir.clone(), source })?;
        match WriterAnswer::from_bytes(&self.answer) {
            Some(WriterAnswer::Failed(why)) => Err(SaveError::Failed(why)),
            Some(answer) if status.success() => Ok(answer),
            _ => Err(SaveError::Silent { dir: self.dir.clone(), status }),
        }
    }

    /// Starts one and waits for its answer, but no longer than `most`. Not to be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`SaveError`]; [`SaveError::Slow`] if the time is over.
    pub fn run(
        dir: &StateDir,
        task: WriterTask,
        content: Option<&[u8]>,
        most: Duration,
    ) -> Result<WriterAnswer, SaveError> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|source| SaveError::NotStarted { dir: dir.clone(), source })?;
        runtime.block_on(async {
            let mut writer = Self::start(dir, task, content)?;
            let answer = timeout(most, writer.answer()).await;
            answer.unwrap_or_else(|_| Err(writer.slow(most)))
        })
    }

    /// The error if it has not answered for so long.
    #[must_use]
    pub fn slow(&self, waited: Duration) -> SaveError {
        SaveError::Slow { dir: self.dir.clone(), waited, process: self.process() }
    }

    /// Kills it. If it waits for the disk, it ends when the disk answers; what it has not written stays as it was.
    pub fn abandon(&mut self) {
        let _ = self.child.as_mut().map(Child::kill);
    }

    /// Reads until it has ended.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        while let Some(pipe) = &self.pipe {
            pipe.readable().await?;
            let mut bytes = [0; 1024];
            match pipe.try_read(&mut bytes) {
                Ok(0) => self.pipe = None,
                Ok(read) if self.answer.len() + read <= LONGEST_ANSWER => {
                    self.answer.extend(bytes.get(..read).unwrap_or_default());
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        // Almost always it has ended by now. A blocking wait would wait for the disk if the process was killed while it
        // waits for that.
        let mut pause = FIRST_LOOK;
        loop {
            let child = self.child.as_mut().ok_or(io::ErrorKind::NotFound)?;
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(status);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            LEFT_BEHIND.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
    }
}

/// This program, even if its file was replaced or removed, with nothing of this process: no environment, no current
/// directory that could not be unmounted, no part in what a terminal sends to this process.
#[expect(
    clippy::disallowed_methods,
    reason = "the one program that the agent executes is itself, because only another process can be left behind at a disk that hangs"
)]
fn this_program() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(env!("CARGO_PKG_NAME")).env_clear().current_dir("/").process_group(0);
    command
}

/// A file's content as a file in memory: it needs no reader who keeps up, as a pipe would.
fn in_memory(content: &[u8]) -> io::Result<File> {
    // Systems that allow no other want it marked as no program; kernels before 6.3 do not know the mark.
    let create = |flags| memfd_create("state", MFdFlags::MFD_CLOEXEC | flags);
    let file = create(MFdFlags::from_bits_retain(MFD_NOEXEC_SEAL)).or_else(|_| create(MFdFlags::empty()))?;
    let mut file = File::from(file);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// Does a task in this process, whose stdin and stdout are what [`Writer`] made them.
///
/// # Errors
///
/// If the answer cannot be written to stdout.
pub fn serve(dir: &StateDir, task: WriterTask) -> io::Result<()> {
    let answer = task.perform(dir, io::stdin().lock());
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer.to_bytes())?;
    stdout.flush()
}
