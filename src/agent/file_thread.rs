//! The thread that waits for the file system: it watches the configuration files, reads them, and understands them.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tracing::{info, warn};

use super::config_files::{ConfigFiles, FileNews, Look};
use super::file_watch::{Change, FileWatch};
use super::slot::Slot;
use crate::config::SourcePaths;
use crate::report::LogOnce;

/// The loop's connection with the thread: the loop asks for a look at the files, and receives what is new, whether it
/// asked or not.
#[derive(Debug)]
pub(super) struct FileThread {
    paths: SourcePaths,
    asked: Arc<Slot<Ask>>,
    answers: Arc<Slot<Answer>>,
    unanswered: LogOnce,
}

/// The result of a look.
#[derive(Debug)]
pub(super) struct Answer {
    /// What is new; `None` if the operator asked, and the files are unchanged.
    pub(super) news: Option<FileNews>,
    /// The last of the operator's requests that this answers.
    pub(super) reload: Option<u64>,
}

/// Why the loop wants the files looked at. A later variant takes the place of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    /// The resync interval is over.
    Resync,
    /// The operator wants it, and an answer also if nothing is new. Requests are numbered.
    Reload(u64),
}

impl Ask {
    const fn reload(self) -> Option<u64> {
        match self {
            Self::Resync => None,
            Self::Reload(number) => Some(number),
        }
    }
}

impl Answer {
    /// News that were not fetched yet stay news, but for later ones.
    fn after(self, before: Option<Self>) -> Self {
        let Some(before) = before else { return self };
        Self { news: self.news.or(before.news), reload: self.reload.max(before.reload) }
    }
}

impl FileThread {
    /// Starts the thread, which looks at the files at once. To be called once signals are blocked.
    pub(super) fn start(files: ConfigFiles) -> io::Result<Self> {
        let (asked, answers) = (Arc::new(Slot::new()), Arc::new(Slot::new()));
        let this = Self {
            paths: files.paths().clone(),
            asked: Arc::clone(&asked),
            answers: Arc::clone(&answers),
            unanswered: LogOnce::new(),
        };
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let thread = thread::Builder::new().name("file".to_owned());
        thread.spawn(move || runtime.block_on(serve(files, &asked, &answers)))?;
        Ok(this)
    }

    /// Asks for a look at the files; does not wait. Warns if the thread has not begun with the previous one.
    pub(super) fn ask(&mut self, ask: Ask) {
        let files = &self.paths;
        if self.asked.is_filled() {
            if self.unanswered.is_new("") {
                warn!(
                    event = "config_unanswered",
                    file = %files,
                    "{files}: its file system has not answered since the last resync; changes of the file are not seen until \
                     it does, and what was read last stays in force: see whether it hangs"
                );
            }
        } else if self.unanswered.ends() {
            info!(event = "config_answered", file = %files, "{files}: its file system answers again");
        }
        self.asked.merge(|before| before.map_or(ask, |before| before.max(ask)));
    }

    /// Completes with the next answer. Dropping the future loses nothing.
    pub(super) async fn answered(&mut self) -> Answer {
        loop {
            self.answers.filled().await;
            if let Some(answer) = self.answers.take() {
                return answer;
            }
        }
    }
}

/// What the thread does, until the process ends.
async fn serve(mut files: ConfigFiles, asked: &Slot<Ask>, answers: &Slot<Answer>) {
    let mut watch = FileWatch::new(files.paths().clone());
    let mut change = Change::Happened;
    let mut ask = None;
    loop {
        // Watched first, read after: what happens in between is another change.
        ask = ask.max(asked.take());
        watch.refresh();
        let read = files.read();
        if watch.is_whole() {
            let look = files.compare(read, change == Change::Gone);
            watch.looked(&look);
            let is_away = matches!(look, Look::Away);
            let reload = ask.and_then(Ask::reload);
            let news = match look {
                Look::News(news) => Some(news),
                Look::Same | Look::Away => None,
            };
            // While a file is away the operator's request waits, until it has come back or counts as gone.
            if !is_away {
                if news.is_some() || reload.is_some() {
                    answers.merge(|before| Answer { news, reload }.after(before));
                }
                ask = None;
            }
        }
        change = tokio::select! {
            biased;
            () = asked.filled() => Change::Happened,
            change = watch.changed() => change,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;
    use crate::config::{Context, Source, SourceSet};

    /// Two files that are served, and the thread's ends of the queues.
    struct Served {
        scratch: TempDir,
        asked: Arc<Slot<Ask>>,
        answers: Arc<Slot<Answer>>,
    }

    impl Served {
        /// Begins in this thread, so that whatever a test does without awaiting anything is one burst.
        async fn start() -> Self {
            let scratch = tempfile::tempdir().unwrap();
            let (asked, answers) = (Arc::new(Slot::new()), Arc::new(Slot::new()));
            let this = Self { scratch, asked, answers };
            this.write(0, "nonMasqueradeCIDRs: [10.1.0.0/16]\n");
            this.write(1, "nonMasqueradeCIDRs: [10.2.0.0/16]\n");
            let source = |number| Source { path: this.path(number), content: None };
            let files =
                ConfigFiles::new(SourceSet::new([0, 1].map(source).into()).unwrap().paths(), Context::default());
            let (asked, answers) = (Arc::clone(&this.asked), Arc::clone(&this.answers));
            tokio::task::spawn_local(async move { serve(files, &asked, &answers).await });
            this.tells([Some(34), Some(34)]).await;
            this
        }

        fn path(&self, number: usize) -> PathBuf {
            self.scratch.path().join(format!("{number}.yaml"))
        }

        fn write(&self, number: usize, text: &str) {
            fs::write(self.path(number), text).unwrap();
        }

        /// The next news are that the files hold so many bytes, and there are no others behind them.
        async fn tells(&self, lengths: [Option<usize>; 2]) {
            timeout(Duration::from_secs(10), self.answers.filled()).await.expect("news in time");
            let Some(Answer { news: Some(Ok(content)), .. }) = self.answers.take() else { panic!("no valid files") };
            let found: Vec<_> = content.sources.iter().map(|source| source.content.as_ref().map(Vec::len)).collect();
            assert_eq!(found, lengths);
            self.is_silent().await;
        }

        /// Nothing is told for longer than a burst can take, and longer than a file may be away.
        async fn is_silent(&self) {
            assert!(timeout(Duration::from_millis(800), self.answers.filled()).await.is_err(), "further news");
        }
    }

    /// Runs a check beside the files' server, in one thread.
    fn beside_the_server(check: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, check);
    }

    #[test]
    fn a_change_of_one_of_two_files_and_one_of_both_in_a_burst_are_each_told_once_with_what_both_hold() {
        beside_the_server(async {
            let served = Served::start().await;
            served.write(1, "# changed\n");
            served.tells([Some(34), Some(10)]).await;
            served.write(0, "# changed too\n");
            fs::rename(served.path(0), served.path(1)).unwrap();
            served.write(0, "# and back\n");
            served.tells([Some(11), Some(14)]).await;
            served.write(0, "# and back\n");
            served.is_silent().await;
            served.asked.put(Ask::Reload(1));
            served.answers.filled().await;
            assert!(matches!(served.answers.take(), Some(Answer { news: None, reload: Some(1) })));
        });
    }

    #[test]
    fn a_file_that_is_half_written_is_no_news_though_the_operator_asks_and_the_whole_one_answers() {
        beside_the_server(async {
            let served = Served::start().await;
            let mut writer = fs::File::create(served.path(1)).unwrap();
            for part in ["# half", " and whole"] {
                writer.write_all(part.as_bytes()).unwrap();
                served.asked.put(Ask::Reload(1));
                while served.asked.is_filled() {
                    tokio::task::yield_now().await;
                }
                assert!(!served.answers.is_filled(), "news of a part");
            }
            drop(writer);
            served.tells([Some(34), Some(16)]).await;
        });
    }

    #[test]
    fn each_request_of_the_operator_is_answered_be_it_after_the_file_has_come_back_or_with_news_of_before() {
        beside_the_server(async {
            let served = Served::start().await;
            let answered = async |number, is_news| {
                timeout(Duration::from_secs(10), served.answers.filled()).await.expect("an answer in time");
                let answer = served.answers.take().unwrap();
                assert_eq!((answer.news.is_some(), answer.reload), (is_news, Some(number)));
            };
            let away = served.path(2);
            for (number, comes_back) in [(1, true), (2, false)] {
                fs::rename(served.path(0), &away).unwrap();
                served.asked.put(Ask::Reload(number));
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert!(!served.answers.is_filled(), "the file may come back");
                if comes_back {
                    fs::rename(&away, served.path(0)).unwrap();
                }
                answered(number, !comes_back).await;
            }
            // News that nobody has fetched yet, and then the answer that nothing is new.
            served.write(1, "# changed\n");
            timeout(Duration::from_secs(10), served.answers.filled()).await.expect("news in time");
            served.asked.put(Ask::Reload(3));
            while served.asked.is_filled() {
                tokio::task::yield_now().await;
            }
            answered(3, true).await;
        });
    }

    #[test]
    fn a_file_of_two_that_goes_and_comes_back_is_no_news_and_one_that_stays_away_is() {
        beside_the_server(async {
            let served = Served::start().await;
            fs::remove_file(served.path(0)).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            served.write(0, "nonMasqueradeCIDRs: [10.1.0.0/16]\n");
            served.is_silent().await;
            fs::remove_file(served.path(0)).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            served.write(1, "# changed meanwhile\n");
            served.tells([None, Some(20)]).await;
            served.write(1, "# changed, and not waited for the other\n");
            served.tells([None, Some(40)]).await;
        });
    }
}
