//! What can be wrong or odd, each with a code that does not change, and an explanation.

use std::str::FromStr;

use crate::text::distance;

/// Whether a configuration can be used in spite of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot be used.
    Error,
    /// It can be used, and is hardly what was meant.
    Warning,
}

impl Severity {
    /// As it stands in front of a message.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What is known of a code.
struct Entry {
    id: &'static str,
    name: &'static str,
    explanation: &'static str,
    /// A file with it, and the same file mended; none where the file is not the reason.
    example: Option<(&'static str, &'static str)>,
}

/// The kinds of diagnostics, and the table of what is known of each.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident $id:literal $name:literal $example:expr, $explanation:literal;)*) => {
        /// A kind of diagnostic. Codes are part of the interface: none changes its meaning, and none is used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }

        impl Code {
            /// All codes, in their order.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            const fn entry(self) -> Entry {
                match self {
                    $(Self::$code => Entry {
                        id: $id, name: $name, explanation: $explanation, example: $example,
                    },)*
                }
            }
        }
    };
}

codes! {
    /// The file is no text, no YAML and no JSON.
    Syntax "E001" "syntax"
    Some(("nonMasqueradeCIDRs: [10.0.0.0/8\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "The file is neither YAML nor JSON, or one that upstream's readers refuse: a bracket or a quote is not closed, a line is
indented by a tab, a word with a colon in it is not quoted. A file that begins with a brace is read as JSON.";

    /// The file is a list, or a single value.
    NoMapping "E002" "no-mapping"
    Some(("- 10.0.0.0/8\n", "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n")),
    "The file has to hold keys and their values, not a list or a single value.";

    /// A range has bits set behind its prefix.
    HostBits "E003" "cidr-host-bits"
    Some(("nonMasqueradeCIDRs: [10.1.2.3/8]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "10.1.2.3/8 names one address and the length of a network's prefix. As a range it could mean the network 10.0.0.0/8 or the
one address 10.1.2.3/32, and between the two lie 16 million addresses. Upstream refuses it too.";

    /// An entry is no range.
    NoCidr "E004" "no-cidr"
    Some(("nonMasqueradeCIDRs: [10.0.0.0-10.0.0.255]\n", "nonMasqueradeCIDRs: [10.0.0.0/24]\n")),
    "An entry of nonMasqueradeCIDRs has to be a range in CIDR notation: an address, a slash and the length of the prefix, such as
10.0.0.0/8 or fd00::/8. Names, and ranges from one address to another, are none.";

    /// An address without a prefix length.
    NoPrefixLength "E005" "cidr-without-length"
    Some(("nonMasqueradeCIDRs: [10.1.2.3]\n", "nonMasqueradeCIDRs: [10.1.2.3/32]\n")),
    "An address alone is no range. For one address write the length of the whole address: /32 for IPv4, /128 for IPv6.";

    /// A prefix longer than an address.
    PrefixLength "E006" "cidr-length"
    Some(("nonMasqueradeCIDRs: [10.0.0.0/33]\n", "nonMasqueradeCIDRs: [10.0.0.0/32]\n")),
    "A prefix cannot be longer than an address, which has 32 bits in IPv4 and 128 in IPv6.";

    /// A prefix length such as `08`.
    LeadingZeros "E007" "cidr-leading-zeros"
    Some(("nonMasqueradeCIDRs: [10.0.0.0/08]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "Some programs read a number that begins with a zero as octal. Go reads 10.0.0.0/08, iptables refuses it; so upstream takes
the file, and then fails to write the rules.";

    /// An IPv4-mapped IPv6 range.
    Ipv4Mapped "E008" "cidr-ipv4-mapped"
    Some(("nonMasqueradeCIDRs: ['::ffff:10.0.0.0/104']\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "::ffff:a.b.c.d is how programs write an IPv4 address where they expect an IPv6 one. No packet carries it, so no rule for it
would ever match.";

    /// An IPv6 range while IPv6 is off.
    Ipv6Off "E009" "ipv6-off"
    Some(("nonMasqueradeCIDRs: ['fd00::/8']\n", "nonMasqueradeCIDRs: []\n")),
    "Without --enable-ipv6 the agent writes no rules for IPv6, so an IPv6 range would have no effect. Upstream refuses such a
file too. Give the agent the flag, and this verb as well.";

    /// A value of the wrong type.
    WrongType "E010" "wrong-type"
    Some(("masqLinkLocal: 'true'\n", "masqLinkLocal: true\n")),
    "Each key has a type: nonMasqueradeCIDRs is a list of texts, masqLinkLocal and masqLinkLocalIPv6 are true or false,
cidrLimit is a whole number, resyncInterval is a text such as 60s. In YAML quotes make a text of everything.";

    /// An entry of the list that is null.
    NullEntry "E011" "null-entry"
    Some(("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n-\n", "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n")),
    "A dash with nothing behind it is an entry without a value, often left over from a template. It is no range, and upstream
refuses it.";

    /// More ranges than `cidrLimit`.
    TooManyRanges "E012" "too-many-ranges"
    Some(("cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n",
        "cidrLimit: 2\nnonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n")),
    "cidrLimit, which is 64 if not given, keeps a list from growing by accident: in iptables' table each new flow is compared
with one range after the other. Raise it if the list is meant to be that long.";

    /// A text that is no duration.
    NoDuration "E013" "no-duration"
    Some(("resyncInterval: 1 minute\n", "resyncInterval: 1m\n")),
    "A duration is written as Go writes it: numbers with units, such as 60s, 5m or 1h30m. The units are ns, us, ms, s, m and h.";

    /// The file cannot be read.
    Unreadable "E014" "unreadable-file"
    None,
    "The file is not there, may not be read, is larger than 64 MiB, or is no file but a directory, a device or a socket. The
agent itself takes a file that is not there for an empty one, as upstream does; a file that is to be checked has to be there.";

    /// A manifest has no configuration in it.
    NoConfiguration "E015" "no-configuration"
    Some(("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ip-masq-agent}\ndata: {cfg: ''}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ip-masq-agent}\ndata: {config: ''}\n")),
    "A Kubernetes manifest was given, and no ConfigMap in it has the key that the agent's file is made of. It is `config`, for
Azure's agent `ip-masq-agent`; another one is named by --key.";

    /// A range that stands twice.
    DuplicateRange "W001" "duplicate-range"
    Some(("nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "The same range stands in the list more than once. Only the first can ever decide about a packet.";

    /// A range within an earlier one.
    ShadowedRange "W002" "shadowed-range"
    Some(("nonMasqueradeCIDRs: [10.0.0.0/8, 10.1.0.0/16]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "A range lies within one that stands before it. Both keep the source address, so this one changes nothing. Where it was meant
as an exception that is masqueraded: there are no exceptions; list the parts around it instead.";

    /// A range within a later one.
    CoveredRange "W003" "covered-range"
    Some(("nonMasqueradeCIDRs: [10.1.0.0/16, 10.0.0.0/8]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "A range lies within one that stands behind it. Both keep the source address, so this one changes nothing.";

    /// An unknown key.
    UnknownKey "W004" "unknown-key"
    Some(("nonMasqueradeCIDR: [10.0.0.0/8]\n", "nonMasqueradeCIDRs: [10.0.0.0/8]\n")),
    "The key is none of nonMasqueradeCIDRs, cidrLimit, masqLinkLocal, masqLinkLocalIPv6 and resyncInterval, so it is ignored, as
upstream ignores it. A misspelt nonMasqueradeCIDRs means that the defaults hold.";

    /// A key in another case.
    KeyCase "W005" "key-case"
    Some(("masqlinklocal: true\n", "masqLinkLocal: true\n")),
    "Go's reader takes no notice of upper and lower case in keys; other programs that read the file will.";

    /// A key that stands twice.
    DoubledKey "W006" "doubled-key"
    Some(("masqLinkLocal: false\nmasqLinkLocal: true\n", "masqLinkLocal: true\n")),
    "Of a key that stands twice only one value counts, mostly the later one. Where several files are merged, the last file that
has the key counts.";

    /// Something behind the first document.
    SecondDocument "W007" "second-document"
    Some(("masqLinkLocal: true\n---\nresyncInterval: 5m\n", "masqLinkLocal: true\nresyncInterval: 5m\n")),
    "Only the first YAML document of a file is read, as by upstream. What follows `---` has no effect.";

    /// A resync interval that is too short.
    ShortInterval "W008" "short-interval"
    Some(("resyncInterval: 1ms\n", "resyncInterval: 1m\n")),
    "What others change is repaired at once, not at the next resync, so a short interval only costs processor time. Below a tenth
of a second it is not followed.";

    /// One of several files is not there.
    MissingFile "W009" "missing-file"
    None,
    "One of several files is not there. What the others say holds without it.";
}

impl Code {
    /// The code, such as `E003`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.entry().id
    }

    /// The name, such as `cidr-host-bits`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// What it means, why it matters, and what to do; several lines.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        self.entry().explanation
    }

    /// A file that has it, and the same file mended.
    #[must_use]
    pub const fn example(self) -> Option<(&'static str, &'static str)> {
        self.entry().example
    }

    /// Errors have codes that begin with E.
    #[must_use]
    pub fn severity(self) -> Severity {
        if self.id().starts_with('E') { Severity::Error } else { Severity::Warning }
    }

    /// The code or name that is closest to the text.
    pub(crate) fn close_to(text: &str) -> Option<Self> {
        let letters = |text: &str| text.to_ascii_lowercase().chars().take(32).collect::<Vec<_>>();
        let (text, far) = (letters(text), 3);
        let distance = |code: &Self| distance(&text, &letters(code.id())).min(distance(&text, &letters(code.name())));
        Self::ALL.iter().copied().min_by_key(distance).filter(|code| distance(code) <= far)
    }
}

impl FromStr for Code {
    type Err = ();

    /// By its code or its name, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_named = |code: &&Self| text.eq_ignore_ascii_case(code.id()) || text.eq_ignore_ascii_case(code.name());
        Self::ALL.iter().find(is_named).copied().ok_or(())
    }
}
