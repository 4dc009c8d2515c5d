//! When output is coloured.

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Also in a file or a pipe
    Always,
    /// Not at all
    Never,
}

impl Colour {
    /// Whether colours are used for output that goes to a terminal, or that does not. By default `NO_COLOR`
    /// (<https://no-color.org>) switches them off, if it is set to anything.
    #[must_use]
    pub fn is_on(self, is_terminal: bool) -> bool {
        let is_unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Auto => is_terminal && !is_unwanted(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}
