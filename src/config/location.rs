//! Where something stands in the files of a configuration.

use std::num::NonZeroU16;

pub use goyaml::Span;

/// The place of a file in the list of those that a configuration is made of.
///
/// It counts from 1 inside, so that an optional location takes no more memory than one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(NonZeroU16);

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file.
    pub file: SourceId,
    /// The part of its text, as [`Span`] counts it.
    pub span: Span,
}

impl SourceId {
    /// The only file, or the first of several.
    pub const ONLY: Self = Self(NonZeroU16::MIN);

    /// The file at that place of the list, counted from 0.
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(NonZeroU16::MIN.saturating_add(index))
    }

    /// Its place in the list, counted from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Location {
    /// The line on which the part starts, counted from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.span.line
    }

    /// What sorts by file and line: on the same line, nothing comes before anything else.
    pub(super) const fn order(&self) -> (SourceId, u32) {
        (self.file, self.span.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Context, Entry, parse};

    #[test]
    fn a_range_with_its_location_takes_36_bytes() {
        assert_eq!(size_of::<Option<Location>>(), 16);
        assert_eq!(size_of::<Entry>(), 36);
    }

    #[test]
    fn a_source_is_found_by_the_index_that_it_was_made_of() {
        assert_eq!(SourceId::new(0), SourceId::ONLY);
        for index in [0, 1, 255] {
            assert_eq!(SourceId::new(index).index(), usize::from(index));
        }
    }

    /// The line and the text of a location.
    fn shown(text: &str, location: Option<Location>) -> Option<(u32, &str)> {
        let Location { file, span } = location?;
        assert_eq!(file, SourceId::ONLY);
        Some((span.line, span.of(text)?))
    }

    #[test]
    fn each_range_and_setting_is_located_with_its_key_in_yaml_and_json() {
        let yaml = "# é\nmasqLinkLocal:  yes # ö\nnonMasqueradeCIDRs:\n- &a '10.0.0.0/8'\n-  11.0.0.0/8  # x\nresyncInterval: >-\n  5s\nx: *a\n";
        let reading = parse(yaml.as_bytes(), &Context::default()).unwrap().config;
        let ranges: Vec<_> =
            reading.non_masquerade_cidrs.iter().filter_map(|entry| shown(yaml, entry.location)).collect();
        assert_eq!(ranges, [(4, "'10.0.0.0/8'"), (5, "11.0.0.0/8")]);
        assert_eq!(shown(yaml, reading.masq_link_local.location), Some((2, "masqLinkLocal:  yes")));
        assert_eq!(shown(yaml, reading.resync_interval.location), Some((6, "resyncInterval: >-\n  5s\n")));
        assert_eq!(reading.masq_link_local_ipv6.location, None);

        let json =
            "{\"é\": 1,\r\n \"masqLinkLocal\": true, \"nonMasqueradeCIDRs\" : [\"10.0.0.0/8\",\n\"11.0.0.0\\/8\"]}";
        let reading = parse(json.as_bytes(), &Context::default()).unwrap().config;
        let ranges: Vec<_> =
            reading.non_masquerade_cidrs.iter().filter_map(|entry| shown(json, entry.location)).collect();
        assert_eq!(ranges, [(2, "\"10.0.0.0/8\""), (3, "\"11.0.0.0\\/8\"")]);
        assert_eq!(shown(json, reading.masq_link_local.location), Some((2, "\"masqLinkLocal\": true")));
    }

    #[test]
    fn each_error_and_warning_is_located_at_what_it_is_about() {
        let wrong = [
            ("é: 1\nmasqLinkLocal: 3 # x\n", 2, "masqLinkLocal: 3"),
            ("nonMasqueradeCIDRs: [10.0.0.0/8, 'x' ]\n", 1, "'x'"),
            ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- {a: b}\n", 3, "{a: b}"),
            ("nonMasqueradeCIDRs:\n- fd00::/8\n", 2, "fd00::/8"),
            ("cidrLimit: 0\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", 2, "nonMasqueradeCIDRs: [10.0.0.0/8]"),
            ("resyncInterval: soon\n", 1, "resyncInterval: soon"),
            ("# é\n- a\n", 2, "- a"),
            ("a: *b\n", 1, "*b"),
            ("{\"a\":\n x}", 2, ""),
        ];
        for (text, line, part) in wrong {
            let errors = parse(text.as_bytes(), &Context::default()).unwrap_err();
            let found: Vec<_> = errors.iter().map(|error| shown(text, error.location)).collect();
            assert_eq!(found, [Some((line, part))], "{text:?}");
        }
        let odd = [
            ("é: 1\n", 1, "é"),
            ("MASQLINKLOCAL: true\n", 1, "MASQLINKLOCAL: true"),
            ("masqLinkLocal: false\nmasqLinkLocal: true\n", 2, "masqLinkLocal: true"),
            ("nonMasqueradeCIDRs: [10.0.0.0/8,\n '10.1.0.0/16']\n", 2, "'10.1.0.0/16'"),
            ("---\n---\n", 2, "---"),
            ("resyncInterval: 1ms\n", 1, "resyncInterval: 1ms"),
        ];
        for (text, line, part) in odd {
            let warnings = parse(text.as_bytes(), &Context::default()).unwrap().warnings;
            let found: Vec<_> = warnings.iter().map(|warning| shown(text, warning.location())).collect();
            assert_eq!(found, [Some((line, part))], "{text:?}");
        }
    }
}
