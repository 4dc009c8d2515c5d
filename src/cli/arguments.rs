//! The arguments as clap reads them. Comments on fields here are the words of `--help`.

use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Arg, ArgAction, Args, Command, CommandFactory, Parser, Subcommand};

use super::go_flags::{self, NotBool};
use super::{Check, Format, StatusFormat, Subject, klog};
use crate::backend::{BackendOption, Protect, WatchRules};
use crate::conntrack::ExistingFlows;
use crate::diagnostics::Form;
use crate::exit::Exit;
use crate::health::Problem;
use crate::http::SocketPath;
use crate::last_good::{Flaw, VERB};
use crate::metrics::ScanInterval;
use crate::net::{ChainName, PortRanges, Protocol};
use crate::policy::Flags;
use crate::runtime;
use crate::telemetry::{Colour, LogFormat, Verbosity};

const ABOUT: &str = "\
Decides on every node which outbound traffic is masqueraded, and keeps exactly that in the kernel.
A drop-in for kubernetes-sigs/ip-masq-agent: its flags and its configuration file mean the same here.";

const KLOG_NOTE: &str =
    "klog's other flags (--logtostderr, --stderrthreshold, --vmodule, …) are accepted and have no effect.";

/// Everything that can be asked for in one call.
#[derive(Debug, Parser)]
#[command(
    name = env!("CARGO_PKG_NAME"),
    about = ABOUT,
    args_override_self = true,
    max_term_width = 80,
    disable_help_flag = true,
    disable_help_subcommand = true,
    subcommand_help_heading = "Verbs",
    subcommand_value_name = "VERB"
)]
pub(super) struct Arguments {
    // Their order is that of the help.
    #[command(flatten)]
    pub(super) global: Global,
    #[command(flatten)]
    pub(super) upstream: Upstream,
    #[command(flatten)]
    pub(super) klog: Klog,
    #[command(subcommand)]
    pub(super) request: Option<Request>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Upstream's flags (one dash or two)")]
pub(super) struct Upstream {
    /// Name of the chain that is the agent's own
    #[arg(long, global = true, value_name = "NAME", default_value_t)]
    masq_chain: ChainName,
    /// Keep the source also towards the other reserved IPv4 ranges, if the file lists no ranges
    #[arg(long, global = true)]
    nomasq_all_reserved_ranges: bool,
    /// Masquerade IPv6 too
    #[arg(long, global = true)]
    enable_ipv6: bool,
    /// Choose source ports at random; on unless =false
    #[arg(long, global = true, default_value = "true")]
    random_fully: bool,
    /// Masquerade behind these ports only, such as 1024-29999,32768-65535; tcp, udp and sctp
    #[arg(long, global = true, value_name = "RANGES", default_value = "", hide_default_value = true)]
    to_ports: PortRanges,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Upstream's flags (one dash or two)")]
pub(super) struct Klog {
    /// How much to log: 0 to 3 normal, 4 and 5 for debugging, 6 and above everything
    #[arg(short = 'v', long = "v", global = true, value_name = "N", default_value = "0")]
    pub(super) verbosity: Verbosity,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Flags")]
pub(super) struct Global {
    /// The configuration file, YAML or JSON; - for stdin, and pipes too, but not for run
    #[arg(long, global = true, value_name = "PATH", default_value = "/etc/config/ip-masq-agent")]
    pub(super) config: PathBuf,
    /// In which layout the rules are kept: upstream's rules in iptables' nat table, or tables of the agent's own with sets
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(super) backend: BackendOption,
    /// Keep other programs from changing the agent's own tables (Linux 6.9); on means --backend nft, too
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) protect: Protect,
    /// How run notices that others changed the rules: by the kernel's announcements (notify), by asking at an interval
    /// (poll=1s), which leaves others' commits as quick as they are, or at the resync interval only (off)
    #[arg(long, global = true, default_value_t, value_name = "HOW")]
    pub(super) watch_rules: WatchRules,
    /// Keep the last valid configuration here, for a start with a broken file or none; off if not given
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Where a running agent leaves a record, by which verbs beside it take its flags and its file, and apply what it knew
    #[arg(long, global = true, value_name = "DIR", default_value = runtime::DEFAULT)]
    pub(super) runtime_dir: PathBuf,
    /// Answer /livez, /readyz, /metrics and /status over HTTP here, such as 127.0.0.1:10297; off if not given
    #[arg(long, global = true, value_name = "ADDR", value_parser = socket_address)]
    pub(super) listen: Option<SocketAddr>,
    /// Answer the same over this Unix socket, at which the verb status asks, or else at --listen; off if not given
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) status_socket: Option<SocketPath>,
    /// Have metrics count new flows by range too, of the first 128 ranges; with --backend nft-compat only
    #[arg(long, global = true)]
    pub(super) metrics_ranges: bool,
    /// Have metrics show how many source ports masqueraded flows use; all flows are looked at this long after the last time,
    /// with a tenth of a processor; 0 for never
    #[arg(long, global = true, default_value_t, value_name = "DURATION")]
    pub(super) snat_scan_interval: ScanInterval,
    /// What becomes of flows that began before the policy changed (a TCP connection that begins anew is reset)
    #[arg(long, global = true, value_enum, default_value_t, value_name = "HOW")]
    pub(super) conntrack: ExistingFlows,
    /// How to log, and where to: lines on stderr, or fields for systemd's journal
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
    /// When to use colours; without this on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: Colour,
    /// Work in a user and network namespace of its own: no root needed, nothing on the host touched
    #[arg(long, global = true)]
    pub(super) sandbox: bool,
    /// Print the version and end; =raw prints the number alone
    #[arg(
        long, global = true, value_name = "raw|BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(super) version: Option<Version>,
    /// Print this help and end
    #[arg(short, long, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Request {
    /// The agent: applies the rules and keeps them so until it is stopped (this is done if no verb is given)
    Run,
    /// Apply the rules once, then end
    Apply {
        /// Print what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Print the rules that are in force afterwards
        #[arg(long)]
        print_rules: bool,
    },
    /// Print the rules of a configuration; needs no privileges
    Render {
        /// How to print them; if not given, nft for --backend=nft, else iptables
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// Say all that is wrong and odd about configuration files, or manifests with one; needs no privileges
    Check {
        /// The files; - for stdin; if none is given, that of --config
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
        /// How to print what was found
        #[arg(long, value_enum, default_value_t)]
        format: Form,
        /// The key of the configuration in a manifest, if it is another than config
        #[arg(long, value_name = "NAME")]
        key: Option<String>,
        /// Change the files: remove ranges that others cover and keys that do not count, and spell keys as they are
        #[arg(long)]
        fix: bool,
        /// With --fix: also what decides what was meant, such as a range with host bits
        #[arg(long, requires = "fix")]
        unsafe_fixes: bool,
    },
    /// Say whether a packet is masqueraded, by which rule, from which line of the file; needs no privileges
    Explain {
        /// The address to which the packet goes; or a code, such as E003, of which to say more
        #[arg(value_name = "DESTINATION|CODE")]
        subject: Subject,
        /// tcp, udp or sctp, to which --to-ports applies
        #[arg(long)]
        protocol: Option<Protocol>,
        /// The destination is an address of the node; without this, the addresses of this machine are taken for the node's
        #[arg(long)]
        local: bool,
    },
    /// Do one write in the state directory; the agent calls itself by this
    #[command(hide = true, name = VERB)]
    StateWriter {
        /// Rename the state file instead, with this word
        #[arg(long, value_enum)]
        set_aside: Option<Flaw>,
        /// Write what is remembered of the rules instead
        #[arg(long, conflicts_with = "set_aside")]
        remember: bool,
    },
    /// Take the agent's rules out, and nothing else
    Cleanup {
        /// Print what would change, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Then wait for SIGTERM or SIGINT, for a DaemonSet, which starts a container that ends again and again
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
    },
    /// Ask the running agent how the node is (it needs --status-socket or --listen)
    Status {
        /// Say only whether it is so, in one line, and end with 0 or 1
        #[arg(long, value_enum, value_name = "WHAT")]
        check: Option<Check>,
        /// Say only whether this is why the node is not ready, in one line, and end with 1 if it is, and with 0 if it is not, or
        /// no agent answers
        #[arg(long, value_enum, value_name = "PROBLEM", conflicts_with = "check")]
        reason: Option<Problem>,
        /// How to print it
        #[arg(long, value_enum, default_value_t)]
        format: StatusFormat,
    },
    /// Print this help, or that of a verb
    Help {
        /// The verb
        verb: Option<String>,
    },
    /// Print the version
    Version,
}

/// The value of `--version`: Kubernetes' `verflag` takes `raw` and Go's booleans.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    No,
    Line,
    Raw,
}

/// The command with every flag, in Go's syntax.
pub(super) fn command() -> Command {
    let statuses = Exit::ALL.map(|exit| format!("  {}  {}\n", exit.code(), exit.meaning())).concat();
    let notes = format!("{KLOG_NOTE}\n\nExit status:\n{statuses}");
    let ignored = |name| Arg::new(name).long(name).global(true).hide(true);
    let switches = klog::SWITCHES.map(|name| ignored(name).action(ArgAction::SetTrue));
    let values = klog::VALUES.map(|(name, check)| ignored(name).value_parser(check));
    let command = Arguments::command().args(switches).args(values).after_help(notes);
    go_flags::with_go_booleans(command)
}

/// An address and its port, an IPv4 address also in the brackets that an IPv6 address needs: a manifest writes
/// `[$(HOST_IP)]:10297` and does not know of which family that will be. Go's servers read both, too.
fn socket_address(text: &str) -> Result<SocketAddr, AddrParseError> {
    text.parse().or_else(|error| {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
        let (address, port) = bracketed.ok_or(error)?;
        format!("{address}:{port}").parse().map(SocketAddr::V4)
    })
}

impl From<Upstream> for Flags {
    fn from(upstream: Upstream) -> Self {
        Self {
            chain: upstream.masq_chain,
            all_reserved_ranges: upstream.nomasq_all_reserved_ranges,
            ipv6: upstream.enable_ipv6,
            random_fully: upstream.random_fully,
            to_ports: upstream.to_ports,
        }
    }
}

impl FromStr for Version {
    type Err = NotBool;

    fn from_str(text: &str) -> Result<Self, NotBool> {
        Ok(match text {
            "raw" => Self::Raw,
            text if go_flags::parse_bool(text)? => Self::Line,
            _ => Self::No,
        })
    }
}
