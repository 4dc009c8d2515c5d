//! What the process tells its caller by its exit status.

use std::process::ExitCode;

/// The exit statuses. They are part of the interface: scripts and CI jobs read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done, or there was nothing to do.
    Done = 0,
    /// The answer of a comparison: the two sides differ. The answer of a check: it is not so. Without a verb: `--to-ports` makes no sense, which upstream too
    /// ends with.
    Differs = 1,
    /// The arguments make no sense. Nothing was touched. Go's `flag` package, and so upstream, ends with the same.
    Usage = 2,
    /// The configuration file is not valid. Nothing was touched.
    Configuration = 3,
    /// The kernel refused, or it has no way to carry the rules; or stdout took no text, where that was all that was asked for.
    Kernel = 4,
    /// The process lacks a privilege that the verb needs.
    NotPermitted = 5,
    /// No running agent answers.
    NoAgent = 6,
}

impl Exit {
    /// All statuses, in ascending order.
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Differs, Self::Usage, Self::Configuration, Self::Kernel, Self::NotPermitted, Self::NoAgent];

    /// The number that the caller sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The meaning in the words of `--help`.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Differs => "differs, not live or not ready; without a verb: --to-ports makes no sense",
            Self::Usage => "wrong usage",
            Self::Configuration => "invalid configuration",
            Self::Kernel => "the kernel refused, no backend works, or stdout is full",
            Self::NotPermitted => "not permitted",
            Self::NoAgent => "no running agent answers",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_scripts_rely_on_do_not_move() {
        let documented = [
            (0, "done"),
            (1, "differs, not live or not ready; without a verb: --to-ports makes no sense"),
            (2, "wrong usage"),
            (3, "invalid configuration"),
            (4, "the kernel refused, no backend works, or stdout is full"),
            (5, "not permitted"),
            (6, "no running agent answers"),
        ];
        assert_eq!(Exit::ALL.map(|exit| (exit.code(), exit.meaning())), documented);
    }
}
