//! A state over a kernel that a test has, stepped by hand.

use std::ops::Deref;

use super::Settings;
use crate::agent::event::{Effect, Event};
use crate::agent::file_thread::Answer;
use crate::agent::{FileNews, SteppedAgent};
use crate::config::SourcePaths;
use crate::last_good::{Save, SaveError};
use crate::policy::Flags;
use crate::report::{PassReport, Report, SaveReport};

/// What a pass said, and what is to be saved after it.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) report: PassReport,
    pub(super) save: Option<Save>,
}

pub(super) fn settings(path: &str, flags: Flags) -> Settings {
    Settings { paths: SourcePaths::one(path), flags, looks_at_flows: false, has_service_manager: false }
}

impl SteppedAgent {
    /// A pass because of what is new about the file, or else because the resync interval is over.
    pub(super) fn pass(&mut self, news: Option<FileNews>) -> Passed {
        let event = news.map_or(Event::Alarm, |news| Event::File(Answer { news: Some(news), reload: None }));
        if matches!(event, Event::Alarm) {
            self.now = self.state.tick;
        }
        let (mut report, mut save) = (None, None);
        for effect in self.happens(event) {
            match effect {
                Effect::Report(Report::Pass(pass)) => assert!(report.replace(*pass).is_none(), "one pass"),
                Effect::Save(this) => save = Some(this),
                _ => {}
            }
        }
        Passed { report: report.unwrap(), save }
    }

    /// What was to be saved last is saved, or is not.
    pub(super) fn saved(&mut self, is_saved: bool) {
        let result = if is_saved { Ok(true) } else { Err(SaveError::Failed("no room".to_owned())) };
        self.happens(Event::Save(SaveReport::Ended(result)));
    }
}

impl Deref for Passed {
    type Target = PassReport;

    fn deref(&self) -> &PassReport {
        &self.report
    }
}
