//! For whom the log is, and in which format.

/// For whom the lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// For those who look at the log of a running agent, later or by a program: time, level, message.
    Log,
    /// For the person or the build who has called a verb, as compilers write: `error: FILE:LINE: …`.
    #[default]
    Words,
}

/// `--log-format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// journal if stderr is systemd's journal, else text
    #[default]
    Auto,
    /// Lines for people
    Text,
    /// An object a line, for programs
    Json,
    /// Fields, sent to systemd's journal
    Journal,
}
