//! The command line: arguments in, one [`Cli`] out, every value of it valid.
//!
//! Upstream's flags are taken word for word, in Go's syntax; the verbs and the other flags are ours.

mod arguments;
mod beside;
mod go_flags;
#[cfg(test)]
mod in_front_tests;
mod klog;
mod odd;
mod stray;
mod subject;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt::Display;
use std::iter;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command, FromArgMatches};
use thiserror::Error;

use crate::backend::{BackendOption, Protect, WatchRules};
use crate::conntrack::ExistingFlows;
use crate::diagnostics::{Code, Fixes, Form};
use crate::exit::Exit;
use crate::health::Problem;
use crate::http::Listen;
use crate::last_good::WriterTask;
use crate::metrics::ScanInterval;
use crate::net::Family;
use crate::policy::{AddressType, Flags, Packet, Transport};
use crate::telemetry::{Colour, LogFormat, Verbosity};
use crate::text::visible;

use arguments::{Arguments, Request, Version};
pub use beside::{Beside, beside, lasting_flags};
use go_flags::Word;
pub use odd::Odd;
use subject::Subject;

/// What the arguments ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cli {
    /// Upstream's flags.
    pub flags: Flags,
    /// `--config`: the configuration file.
    pub config: PathBuf,
    /// `--backend`: the layout of the rules.
    pub backend: BackendOption,
    /// `--protect`: whether tables of our own are protected from other programs.
    pub protect: Protect,
    /// `--watch-rules`: how the agent notices that others changed the rules.
    pub watch_rules: WatchRules,
    /// `--state-dir`: where the last valid configuration is saved, if it is.
    pub state_dir: Option<PathBuf>,
    /// `--runtime-dir`: where a running agent leaves its record, and `apply` what it knew of the rules.
    pub runtime_dir: PathBuf,
    /// `--listen` and `--status-socket`: where the agent can be asked how the node is.
    pub listen: Listen,
    /// `--metrics-ranges`: whether metrics tell new flows by range, too.
    pub metrics_ranges: bool,
    /// `--snat-scan-interval`: how often metrics look for source ports in use.
    pub snat_scan_interval: ScanInterval,
    /// `--conntrack`: what is done about flows that began under another policy.
    pub conntrack: ExistingFlows,
    /// `--sandbox`: whether all is done in namespaces of the process's own.
    pub sandbox: bool,
    /// `--color`: whether colours are used.
    pub colour: Colour,
    /// `-v`: how much is logged.
    pub verbosity: Verbosity,
    /// `--log-format`: how, and where to.
    pub log_format: LogFormat,
    /// What is to be done.
    pub verb: Verb,
    /// What is odd about the arguments without being wrong, to be warned of.
    pub odd: Vec<Odd>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// The agent. This is what upstream's argument lists, which name no verb, ask for.
    Run,
    /// One pass, then the end.
    Apply {
        /// Whether the plan is printed instead of committed.
        dry_run: bool,
        /// Whether the rules are printed that are in force afterwards.
        print_rules: bool,
    },
    /// The rules of a configuration, printed.
    Render {
        /// How they are printed; `None` as the backend has it.
        format: Option<Format>,
    },
    /// All that is wrong and odd about configurations.
    Check(CheckFiles),
    /// What a code of a diagnostic means.
    ExplainCode(Code),
    /// What is done to a packet, and by which rule. Of the packet, the destination is known, and with `--local` its
    /// type.
    Explain(Packet),
    /// Takes the agent's rules out.
    Cleanup {
        /// Whether the plan is printed instead of committed.
        dry_run: bool,
        /// Whether the process then waits to be stopped.
        wait: bool,
    },
    /// Asks the running agent how the node is.
    Status(StatusQuestion),
    /// One write in the state directory, in a process of its own ([`Writer`](crate::last_good::Writer)).
    StateWriter(WriterTask),
}

/// Which files are examined, and what becomes of what is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFiles {
    /// The files, at least one; `-` for stdin.
    pub files: Vec<PathBuf>,
    /// Whether warnings count as errors do.
    pub is_strict: bool,
    /// How it is printed.
    pub form: Form,
    /// The key of the configuration in a `ConfigMap`.
    pub key: Option<String>,
    /// Which fixes are applied to the files, if any.
    pub fixes: Option<Fixes>,
}

/// How rules are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The native layout, as `nft -f` reads it
    Nft,
    /// As iptables-save prints the IPv4 rules
    Iptables,
    /// As ip6tables-save prints the IPv6 rules
    Ip6tables,
    /// The rules of both families, for programs
    Json,
}

/// What a running agent is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusQuestion {
    /// How the node is, and in which format it is printed.
    All(StatusFormat),
    /// Whether this is so, told by the exit status.
    Check(Check),
    /// Whether this, and nothing worse, is the reason why the node is not ready, told by the exit status.
    Problem(Problem),
}

/// What a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Check {
    /// Whether the agent works
    Live,
    /// Whether the policy of the configuration file is in force
    Ready,
}

/// How the status is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum StatusFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// Why there is nothing to do: the arguments ask for a text, or make no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stop {
    /// Help or the version was asked for. The text goes to stdout.
    #[error("{0}")]
    Answer(String),
    /// The arguments make no sense. The text says why and goes to stderr.
    #[error("{0}")]
    Usage(String),
    /// The same of `--to-ports`, on a command line without a verb, as upstream's are: it has a status of its own there.
    #[error("{0}")]
    Ports(String),
}

impl Stop {
    /// The status with which the process ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Answer(_) => Exit::Done,
            Self::Usage(_) => Exit::Usage,
            Self::Ports(_) => Exit::Differs,
        }
    }
}

/// Reads the process's arguments, the program's own name first.
///
/// Of a repeated flag the last one counts, as in Go, wherever it stands; but `--config`, which is not upstream's, may be
/// given once.
///
/// # Errors
///
/// [`Stop`], if there is nothing to do but to print a text and to end.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, Stop> {
    let command = arguments::command();
    let words = CommandLine::of(&command, args)?;
    understand(command, words)
}

/// A command line, taken apart.
struct CommandLine {
    /// Each flag with its value behind `=`.
    words: Vec<OsString>,
    /// What stands behind them and does not count.
    ignored: Vec<OsString>,
    /// Whether there is a verb among the words, so that this is no command line of upstream's.
    names_verb: bool,
}

impl CommandLine {
    /// The arguments, of which the first is the program's name.
    fn of(command: &Command, args: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let mut args: Vec<OsString> = args.into_iter().skip(1).collect();
        let ignored = stray::cut_off(command, &mut args);
        let names_verb = go_flags::words_of(command, &args).iter().any(|(_, word)| matches!(word, Word::Other));
        let words =
            go_flags::normalise(command, args).map_err(|detached| refusal(ErrorKind::InvalidValue, detached))?;
        check(&words)?;
        Ok(Self { words, ignored, names_verb })
    }
}

/// What the words ask for.
fn understand(command: Command, words: CommandLine) -> Result<Cli, Stop> {
    let CommandLine { words, ignored, names_verb } = words;
    let mut matches =
        matches(command, &words).map_err(|error| if names_verb { error.into() } else { as_upstream(error) })?;
    let arguments = Arguments::from_arg_matches_mut(&mut matches)?;
    let version = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n");
    match arguments.global.version {
        Some(Version::Line) => return Err(Stop::Answer(version.to_owned())),
        Some(Version::Raw) => return Err(Stop::Answer(concat!(env!("CARGO_PKG_VERSION"), "\n").to_owned())),
        Some(Version::No) | None => {}
    }
    if arguments.global.backend == BackendOption::NftCompat && arguments.global.protect == Protect::On {
        let message = "--protect=on needs tables of the agent's own, and --backend=nft-compat keeps the rules in iptables' \
                       table, which cannot be protected as others have to change it; use --backend=nft or auto, or \
                       --protect=auto";
        return Err(refusal(ErrorKind::ArgumentConflict, message));
    }
    let verb = match arguments.request.unwrap_or(Request::Run) {
        Request::Run => Verb::Run,
        Request::Apply { dry_run, print_rules } => Verb::Apply { dry_run, print_rules },
        Request::Render { format } => Verb::Render { format },
        Request::Cleanup { dry_run, wait } => Verb::Cleanup { dry_run, wait },
        Request::Status { check, reason, format } => Verb::Status(match (check, reason) {
            (_, Some(problem)) => StatusQuestion::Problem(problem),
            (Some(check), None) => StatusQuestion::Check(check),
            (None, None) => StatusQuestion::All(format),
        }),
        Request::StateWriter { set_aside, remember } => {
            let task = if remember { WriterTask::Remember } else { WriterTask::Save };
            Verb::StateWriter(set_aside.map_or(task, WriterTask::SetAside))
        }
        Request::Check { files, strict, format, key, fix, unsafe_fixes } => {
            let files = if files.is_empty() { vec![arguments.global.config.clone()] } else { files };
            let kind = if unsafe_fixes { Fixes::All } else { Fixes::Safe };
            Verb::Check(CheckFiles { files, is_strict: strict, form: format, key, fixes: fix.then_some(kind) })
        }
        Request::Explain { subject: Subject::Code(code), .. } => Verb::ExplainCode(code),
        Request::Explain { subject: Subject::Destination(destination), protocol, local } => {
            let protocol = Some(protocol.map_or(Transport::Other, Transport::WithPorts));
            let destination_type = local.then_some(AddressType::Local);
            Verb::Explain(Packet { protocol, destination_type, ..Packet::to(destination) })
        }
        Request::Help { verb } => {
            let words = verb.into_iter().chain(["--help".to_owned()]).map(Into::into).collect();
            return understand(arguments::command(), CommandLine { words, ignored, names_verb });
        }
        Request::Version => return Err(Stop::Answer(version.to_owned())),
    };
    let flags: Flags = arguments.upstream.into();
    if let Some(Err(error)) = flags.ipv6.then(|| flags.chain.check_for(Family::Ipv6)) {
        return Err(refusal(ErrorKind::ArgumentConflict, format!("--masq-chain: {error}")));
    }
    Ok(Cli {
        odd: odd::find(&ignored, &flags.to_ports),
        flags,
        config: arguments.global.config,
        backend: arguments.global.backend,
        protect: arguments.global.protect,
        watch_rules: arguments.global.watch_rules,
        state_dir: arguments.global.state_dir,
        runtime_dir: arguments.global.runtime_dir,
        listen: Listen { address: arguments.global.listen, socket: arguments.global.status_socket },
        metrics_ranges: arguments.global.metrics_ranges,
        snat_scan_interval: arguments.global.snat_scan_interval,
        conntrack: arguments.global.conntrack,
        sandbox: arguments.global.sandbox,
        colour: arguments.global.color,
        verbosity: arguments.klog.verbosity,
        log_format: arguments.global.log_format,
        verb,
    })
}

/// The words as clap understands them.
///
/// To clap a flag that stands on either side of the verb is *global*: it copies each of them to every verb, and looks for the
/// values in all of them, which took most of the time of a verb's start. With these flags in front there is nothing to copy.
/// What is not understood so, which help is part of, clap tells of the words as they stand.
fn matches(command: Command, words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let name = OsString::from(command.get_name());
    let as_they_stand = |_| arguments::command().try_get_matches_from(iter::once(&name).chain(words));
    flags_in_front(command, words).or_else(as_they_stand)
}

fn flags_in_front(command: Command, words: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let name = OsString::from(command.get_name());
    let words = go_flags::in_front(&command, words);
    command.mut_args(|flag| flag.global(false)).try_get_matches_from(iter::once(&name).chain(words))
}

/// A refusal in clap's form.
fn refusal(kind: ErrorKind, message: impl Display) -> Stop {
    arguments::command().error(kind, message).into()
}

/// Refuses what clap would take in another sense than was meant, or would not explain.
fn check(words: &[OsString]) -> Result<(), Stop> {
    let flags = || words.iter().take_while(|word| *word != "--").map(|word| word.as_bytes());
    if flags().any(|word| word == b"--c" || word.starts_with(b"--c=")) {
        let message = "there is no flag -c; the configuration file is given as --config=PATH";
        return Err(refusal(ErrorKind::UnknownArgument, message));
    }
    let files: Vec<_> =
        flags().filter_map(|word| word.strip_prefix(b"--config=")).map(String::from_utf8_lossy).collect();
    if let [first, second, ..] = files.as_slice() {
        let message =
            format!("--config is given more than once: {first:?} and {second:?}; there is one configuration file");
        return Err(refusal(ErrorKind::ArgumentConflict, message));
    }
    Ok(())
}

/// A wrong `--to-ports` ends upstream with a status other than that of wrong flags (`klog.Exitf`).
fn as_upstream(error: clap::Error) -> Stop {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let of_ports = error.kind() == ErrorKind::ValueValidation && argument.starts_with("--to-ports ");
    match Stop::from(error) {
        Stop::Usage(text) if of_ports => Stop::Ports(text),
        stop => stop,
    }
}

impl From<clap::Error> for Stop {
    /// Hidden characters of the arguments are shown escaped.
    fn from(mut error: clap::Error) -> Self {
        let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
        for (kind, value) in context {
            match value {
                ContextValue::String(text) => error.insert(kind, ContextValue::String(visible(&text))),
                ContextValue::Strings(all) => {
                    error.insert(kind, ContextValue::Strings(all.iter().map(|text| visible(text)).collect()))
                }
                _ => None,
            };
        }
        let lines: Vec<String> = error.render().to_string().split('\n').map(visible).collect();
        let text = lines.join("\n");
        if error.use_stderr() { Self::Usage(text) } else { Self::Answer(text) }
    }
}
