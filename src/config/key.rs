//! The keys of the configuration file.

use std::fmt;

use goyaml::{fold, names_field};

use crate::text::distance;

/// A key of the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `nonMasqueradeCIDRs`, a list of ranges.
    NonMasqueradeCidrs,
    /// `cidrLimit`, the most entries that the list may have.
    CidrLimit,
    /// `masqLinkLocal`, a truth value.
    MasqLinkLocal,
    /// `masqLinkLocalIPv6`, a truth value.
    MasqLinkLocalIpv6,
    /// `resyncInterval`, a duration.
    ResyncInterval,
}

impl Key {
    /// All keys.
    pub const ALL: [Self; 5] =
        [Self::NonMasqueradeCidrs, Self::CidrLimit, Self::MasqLinkLocal, Self::MasqLinkLocalIpv6, Self::ResyncInterval];

    /// The key as upstream spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonMasqueradeCidrs => "nonMasqueradeCIDRs",
            Self::CidrLimit => "cidrLimit",
            Self::MasqLinkLocal => "masqLinkLocal",
            Self::MasqLinkLocalIpv6 => "masqLinkLocalIPv6",
            Self::ResyncInterval => "resyncInterval",
        }
    }

    /// The key that Go's `encoding/json` takes `name` for: case does not matter.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| names_field(name, key.name()))
    }

    /// The key that the author of `name` may have meant: at most two letters away.
    pub(crate) fn close_to(name: &str) -> Option<Self> {
        let name: Vec<char> = fold(name).take(MAX_NAME).collect();
        let distance = |key: &Self| distance(&name, &fold(key.name()).collect::<Vec<_>>());
        Self::ALL.into_iter().min_by_key(distance).filter(|key| distance(key) <= 2)
    }
}

/// A name longer than this is not close to any key.
const MAX_NAME: usize = 32;

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_any_case_and_never_in_part() {
        let cases = [
            ("nonMasqueradeCIDRs", Some(Key::NonMasqueradeCidrs)),
            ("NONMASQUERADECIDRS", Some(Key::NonMasqueradeCidrs)),
            ("cidrlimit", Some(Key::CidrLimit)),
            ("masqLin\u{212a}Local", Some(Key::MasqLinkLocal)),
            ("ma\u{17f}qLinkLocalIPv6", Some(Key::MasqLinkLocalIpv6)),
            ("resyncInterval ", None),
            ("masqLinkLocalIPv", None),
            ("", None),
        ];
        for (name, key) in cases {
            assert_eq!(Key::named(name), key, "{name:?}");
        }
    }

    #[test]
    fn only_a_name_at_most_two_letters_away_is_close() {
        let cases = [
            ("nonMasqueradeCIDR", Some(Key::NonMasqueradeCidrs)),
            ("nonMasqeuradeCIDRs", Some(Key::NonMasqueradeCidrs)),
            ("resyncIntervall", Some(Key::ResyncInterval)),
            ("masqLinkLocalIPv4", Some(Key::MasqLinkLocalIpv6)),
            ("cidr_limit", Some(Key::CidrLimit)),
            ("limit", None),
            ("", None),
            ("x", None),
        ];
        for (name, key) in cases {
            assert_eq!(Key::close_to(name), key, "{name:?}");
        }
    }
}
