//! What the log says of the configuration file.

use tracing::field::display;
use tracing::{error, info, warn};

use super::super::PassReport;
use super::super::status::summary;
use crate::config::{ReadError, SourcePaths};
use crate::last_good::FileStatus;

/// Where the configuration comes from that was chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chosen {
    File,
    NoFile,
}

impl Chosen {
    pub(super) fn in_force(self, paths: &SourcePaths) -> String {
        match self {
            Self::File => format!("{paths} is valid and in force"),
            Self::NoFile => format!("{paths} does not exist: the flags' defaults are in force"),
        }
    }

    pub(super) fn not_in_force(self, paths: &SourcePaths) -> String {
        match self {
            Self::File => format!("{paths} is valid, but not in force"),
            Self::NoFile => format!("{paths} does not exist, and the flags' defaults are not in force"),
        }
    }

    pub(super) fn perhaps_in_force(self, paths: &SourcePaths) -> String {
        match self {
            Self::File => format!("{paths} is valid, but it is not known whether it is in force"),
            Self::NoFile => {
                format!("{paths} does not exist, and it is not known whether the flags' defaults are in force")
            }
        }
    }
}

/// Logs the status of the file. What was chosen is returned, because whether it is in force is logged later.
pub(super) fn file_status(status: &FileStatus, report: &PassReport, paths: &SourcePaths) -> Option<Chosen> {
    match status {
        FileStatus::Valid(warnings) => {
            for warning in warnings {
                let (file, line) = paths.file_and_line(warning.location());
                warn!(event = "config_warning", file, line, "{}", warning.in_files(paths));
            }
            Some(Chosen::File)
        }
        FileStatus::Missing => Some(Chosen::NoFile),
        FileStatus::Unusable { error, notes: None } => {
            let stays = if report.is_in_force() { "stays in force" } else { "is what the rules shall follow" };
            let then = format!(
                "; until that is mended, the last valid configuration {stays}: {}",
                summary(report.active.config())
            );
            unusable(error, &then, report, paths);
            None
        }
        FileStatus::Unusable { error, notes: Some(notes) } => {
            let then = format!("{notes}; there has been no valid configuration since the start");
            unusable(error, &then, report, paths);
            None
        }
    }
}

/// Everything that is wrong with a file is an event of its own, and the last of them says what is active.
fn unusable(error: &ReadError, then: &str, report: &PassReport, paths: &SourcePaths) {
    let (active, policy_fingerprint) = (report.active.name(), report.fingerprint.map(display));
    let mut problems = error.problems().into_iter().peekable();
    while let Some((location, problem)) = problems.next() {
        let (file, line) = paths.file_and_line(location);
        let then = if problems.peek().is_none() { then } else { "" };
        error!(event = "config_unusable", file, line, problem, active, then, policy_fingerprint, "{problem}{then}");
    }
}

/// Logs that the file was unchanged when the operator asked for it (SIGHUP). All else is logged as after any pass.
pub(super) fn unchanged(report: &PassReport, paths: &SourcePaths) {
    let (file, active) = (paths.to_string(), report.active.name());
    let is_in_force = report.is_in_force();
    if !is_in_force {
        info!(
            event = "config_unchanged",
            file,
            active,
            is_in_force,
            "{paths} is unchanged; the rules were looked at again, and are still not in force"
        );
    } else if report.active.is_degraded() {
        warn!(
            event = "config_unchanged",
            file,
            active,
            is_in_force,
            "{paths} is unchanged, and still cannot be used; the rules were looked at again; in force: {}",
            report.active
        );
    } else {
        info!(
            event = "config_unchanged",
            file, active, is_in_force, "{paths} is unchanged; the rules were looked at again"
        );
    }
}

/// Logs that the operator asked for the file to be read again, and nobody knows what it says.
pub(super) fn unanswered(paths: &SourcePaths) {
    let file = paths.to_string();
    warn!(
        event = "reload_unanswered",
        file,
        "{paths}: SIGHUP asks for it to be read again, and its file system does not answer; what was read last stays in force \
         until it does: see whether it hangs"
    );
}
