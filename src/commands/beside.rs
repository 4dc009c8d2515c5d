//! A verb that is called beside a running agent: it says so, and goes by the agent's flags and file where none are given.

use std::borrow::Cow;
use std::ffi::OsString;

use tracing::{info, warn};

use crate::cli::{self, Beside, Cli, Verb};
use crate::net::Family;
use crate::netlink::{Connection, NetlinkFamily};
use crate::rules::TableId;
use crate::runtime::{Record, RuntimeDir};
use crate::text::Shown;

/// What is asked for, as it is meant beside the agent that runs in this network namespace, if one does.
pub(super) fn beside_agent<'a>(cli: &'a Cli, arguments: &[OsString]) -> Cow<'a, Cli> {
    let asks_for_the_node =
        matches!(cli.verb, Verb::Apply { .. } | Verb::Explain(_) | Verb::Cleanup { .. } | Verb::Status(_));
    if cli.sandbox || !asks_for_the_node {
        return Cow::Borrowed(cli);
    }
    match RuntimeDir::new(&cli.runtime_dir).running() {
        Ok(Some(record)) => Cow::Owned(with_flags_of(&record, cli, arguments)),
        Ok(None) => {
            tell_of_owners(cli);
            Cow::Borrowed(cli)
        }
        Err(doubtful) => {
            warn!(
                event = "agent_doubtful",
                doubt = %doubtful,
                "{doubtful}; nothing is taken from it: give the agent's flags to this verb as well"
            );
            Cow::Borrowed(cli)
        }
    }
}

fn with_flags_of(record: &Record, cli: &Cli, arguments: &[OsString]) -> Cli {
    let Record { pid, flags, config, .. } = record;
    // Who asks an agent how it is knows that one is there.
    let is_silent = matches!(cli.verb, Verb::Status(_));
    if let Verb::Cleanup { dry_run: false, .. } = cli.verb {
        warn!(
            event = "agent_found",
            pid, "an agent is running here (pid {pid}): it repairs its rules, so they come back; stop it first"
        );
    } else if !is_silent {
        let file = Shown(&**config);
        info!(event = "agent_found", pid, file = %file, "an agent is running here (pid {pid}), on {file}");
    }
    match cli::beside(flags.iter().map(OsString::from), arguments.iter().cloned()) {
        Ok(Beside { cli, taken }) => {
            if !taken.is_empty() && !is_silent {
                let flags = taken.join(" ");
                info!(event = "flags_taken", pid, flags, "taken from the running agent (pid {pid}): {flags}");
            }
            cli
        }
        Err(stop) => {
            warn!(
                event = "flags_not_taken",
                pid,
                error = %stop,
                "the flags of the running agent are not understood here, so none is taken from it: {stop}"
            );
            cli.clone()
        }
    }
}

/// Without a record, only the owner of a protected table tells of an agent. `apply` and `cleanup` report such a table
/// by themselves.
fn tell_of_owners(cli: &Cli) {
    let Verb::Explain(_) = cli.verb else { return };
    // Without the privilege to look, the verb does without.
    let Ok(mut connection) = Connection::open(NetlinkFamily::Netfilter) else { return };
    for table in Family::ALL.map(TableId::own) {
        let tables = connection.tables(table.family).unwrap_or_default();
        if tables.iter().any(|info| info.name == table.name.as_str() && info.owner.is_some()) {
            warn!(
                event = "table_owned",
                table = %table,
                "an agent (or another program) owns table {table}; its flags and its file are not known here, so that the \
                 answer is that of the flags and the file of this command"
            );
        }
    }
}
