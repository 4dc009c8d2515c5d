//! What a line of the log looks like.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{self, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, time::SystemTime};
use tracing_subscriber::registry::LookupSpan;

/// For whom the lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// For those who look at the log of a running agent, later or by a program: time, level, message.
    Log,
    /// For the person or the build who has called a verb, as compilers write: `error: FILE:LINE: …`.
    #[default]
    Words,
}

/// A line for each event.
pub(super) struct Lines {
    style: Style,
    /// With time and level. At the debug level, the module is named.
    log: Format<format::Full, SystemTime>,
}

impl Lines {
    pub(super) fn new(style: Style, names_the_module: bool) -> Self {
        Self { style, log: tracing_subscriber::fmt::format().with_target(names_the_module) }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.style == Style::Log {
            return self.log.format_event(context, to, event);
        }
        to.write_str(match *event.metadata().level() {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            Level::INFO => "",
            Level::DEBUG => "debug: ",
            Level::TRACE => "trace: ",
        })?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}
