//! The thread that waits for the file system: it watches the configuration files, reads them, and understands them.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tracing::{info, warn};

use super::Event;
use super::complaint::Complaint;
use super::config_files::{ConfigFiles, FileNews, Look};
use super::file_watch::{Change, FileWatch};
use super::latest::Latest;
use crate::config::{ReadError, SourcePaths};

/// The end of the loop with the thread: the loop asks for a look, and is told what is new, whoever asked.
#[derive(Debug)]
pub(super) struct FileThread {
    paths: SourcePaths,
    asked: Arc<Latest<Ask>>,
    answers: Arc<Latest<Answer>>,
    news: Option<FileNews>,
    unanswered: Complaint,
}

/// What a look came to. News take the place of what was not fetched yet, which may be other news.
#[derive(Debug)]
enum Answer {
    /// The operator wanted it, and the files say what they said.
    Unchanged,
    News(FileNews),
}

/// Why the loop wants the files looked at. The later ones count for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    /// The resync interval is over.
    Resync,
    /// The operator wants it, and is told if nothing is new.
    Reload,
}

impl FileThread {
    /// Starts the thread, which looks at the files at once. To be called once signals are blocked.
    pub(super) fn start(files: ConfigFiles) -> io::Result<Self> {
        let (asked, answers) = (Arc::new(Latest::new()), Arc::new(Latest::new()));
        let this = Self {
            paths: files.paths().clone(),
            asked: Arc::clone(&asked),
            answers: Arc::clone(&answers),
            news: None,
            unanswered: Complaint::default(),
        };
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = thread::Builder::new().name("file".to_owned());
        thread.spawn(move || runtime.block_on(serve(files, &asked, &answers)))?;
        Ok(this)
    }

    /// Wants the files looked at; does not wait. Tells if the thread has not begun with what it was asked before.
    pub(super) fn ask(&mut self, ask: Ask) {
        let files = &self.paths;
        if self.asked.is_filled() {
            if self.unanswered.is_new("") {
                warn!(
                    "{files}: its file system has not answered since the last resync; changes of the file are not seen until \
                     it does, and what was read last stays in force: see whether it hangs"
                );
            }
        } else if self.unanswered.ends() {
            info!("{files}: its file system answers again");
        }
        self.asked.merge(|before| before.map_or(ask, |before| before.max(ask)));
    }

    /// Completes once there is something new, or nothing new that was wanted. Losing the future loses nothing.
    pub(super) async fn answered(&mut self) -> Event {
        loop {
            self.answers.filled().await;
            match self.answers.take() {
                Some(Answer::News(news)) => {
                    self.news = Some(news);
                    return Event::ConfigChanged;
                }
                Some(Answer::Unchanged) => return Event::ConfigUnchanged,
                None => {}
            }
        }
    }

    /// What is new since the last time; of several things the last.
    pub(super) fn take(&mut self) -> Option<FileNews> {
        self.news.take()
    }

    /// The first look takes too long: that is news too, and the look will be, whenever it is done.
    pub(super) fn give_up_waiting(&mut self, after: Duration) {
        self.news = Some(Err(ReadError::Unanswered { sources: self.paths.clone(), after }));
    }
}

/// The thread's life: it ends with the process.
async fn serve(mut files: ConfigFiles, asked: &Latest<Ask>, answers: &Latest<Answer>) {
    let mut watch = FileWatch::new(files.paths().clone());
    let mut change = Change::Happened;
    loop {
        // Watched first, read after: what happens in between is another change.
        let ask = asked.take();
        watch.refresh();
        let look = files.look(change == Change::Gone);
        watch.looked(&look);
        match look {
            Look::News(news) => answers.put(Answer::News(news)),
            Look::Same if ask == Some(Ask::Reload) => answers.merge(|before| before.unwrap_or(Answer::Unchanged)),
            Look::Same | Look::Away => {}
        }
        change = tokio::select! {
            biased;
            () = asked.filled() => Change::Happened,
            change = watch.changed() => change,
        };
    }
}
