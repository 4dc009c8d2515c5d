//! What an agent can lose for a while, and what others can do beside its rules and its file.

/// One such thing. The first ones begin and end, the others only happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody reads the agent's log, and the pipe is full.
    LogReader,
    /// The file system of the state directory is frozen.
    StateDisk,
    /// The agent can start no thread and no process.
    Threads,
    /// The agent can have no more than [`MEMORY`] bytes.
    Memory,
    /// The service manager does not read what it is told, and its queue is full.
    ServiceManager,
    /// Another program switches a table off (`flags dormant`). In iptables' table only that program can undo it; in a
    /// table of its own the agent does.
    Dormant,
    /// The file becomes a sparse one of 10 GiB.
    HugeFile,
    /// Rules are added and removed by iptables-legacy, which nf_tables does not list.
    Legacy,
}

/// Four times what a debug build was seen to take, and far less than [`Trouble::HugeFile`].
pub(crate) const MEMORY: u64 = 64 << 20;

impl Trouble {
    pub(crate) const ALL: [Self; 8] = [
        Self::LogReader,
        Self::StateDisk,
        Self::Threads,
        Self::Memory,
        Self::ServiceManager,
        Self::Dormant,
        Self::HugeFile,
        Self::Legacy,
    ];

    /// What happens if nothing else is asked for: all of it.
    pub(crate) const DEFAULT: &[Self] = &Self::ALL;

    /// Its name in `CHAOS_TROUBLES`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LogReader => "log-reader",
            Self::StateDisk => "state-disk",
            Self::Threads => "threads",
            Self::Memory => "memory",
            Self::ServiceManager => "service-manager",
            Self::Dormant => "dormant",
            Self::HugeFile => "huge-file",
            Self::Legacy => "legacy",
        }
    }

    /// Those that `CHAOS_TROUBLES` names, separated by commas; `all` is all.
    pub(crate) fn chosen() -> Vec<Self> {
        let Ok(names) = std::env::var("CHAOS_TROUBLES") else { return Self::DEFAULT.to_vec() };
        if names == "all" {
            return Self::ALL.to_vec();
        }
        let trouble = |name: &str| {
            let known = Self::ALL.into_iter().find(|known| known.name() == name);
            known.unwrap_or_else(|| panic!("{name} is none of {:?}", Self::ALL.map(Self::name)))
        };
        names.split(',').filter(|name| !name.is_empty()).map(trouble).collect()
    }

    /// Whether it ends with the agent that it concerns.
    pub(crate) const fn ends_with_the_agent(self) -> bool {
        matches!(self, Self::LogReader | Self::Threads | Self::Memory)
    }
}
