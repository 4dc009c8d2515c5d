//! Random files: none makes the parser panic or writes into a message what a terminal would interpret.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ip_masq_agent::config::{self, Context, SourceSet};
use ip_masq_agent::net::Cidr;
use proptest::prelude::*;

use super::odd::ODD;
use super::{DUAL, IPV4};

/// The texts of all files in `testdata/config`.
fn corpus() -> Vec<Vec<u8>> {
    let files =
        ["testdata/config/odd", "testdata/config/bad"].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), ipv6: bool) {
        let _ = config::parse(&bytes, &Context { ipv6, ..IPV4 });
    }

    #[test]
    fn no_change_to_a_file_makes_the_parser_panic(
        pick: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, prop::sample::select(&ODD[..]), any::<prop::sample::Index>()), 1..8),
    ) {
        let corpus = corpus();
        let mut bytes = corpus[pick.index(corpus.len())].clone();
        for (place, removed, inserted, other) in changes {
            let at = place.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            let other = &corpus[other.index(corpus.len())];
            let inserted = if removed == 3 { &other[..other.len().min(20)] } else { inserted.as_bytes() };
            bytes.splice(at..end, inserted.iter().copied());
        }
        let _ = config::parse(&bytes, &DUAL);
    }

    #[test]
    fn no_text_in_a_file_and_no_path_brings_a_hidden_character_into_a_message(
        text in prop_oneof![any::<String>(), "[\\PC\n\t\u{1b}\u{202e}\u{2028}\u{feff}\u{9b}%!*&:'\"-]{0,20}"],
        folder in prop::collection::vec(1_u8.., 1..20),
    ) {
        let json = serde_json::to_string(&text).unwrap();
        let folder = std::ffi::OsStr::from_bytes(&folder);
        let path = Path::new("/etc").join(folder);
        for file in [
            text.clone(),
            format!("# c\n{text}: 1\nnonMasqueradeCIDRs: {text}"),
            format!("resyncInterval: !{text} x"),
            format!("nonMasqueradeCIDRs: [{json}]"),
            format!("{json}: true\n{json}: false"),
            format!("resyncInterval: {json}"),
            format!("cidrLimit: {json}"),
            format!("a: &{text} b\nc: *{text}"),
            format!("{{{json}: {json}}}"),
            format!("{{\"resyncInterval\": {json}}}"),
            format!("{{\"masqLinkLocal\": {json}}}"),
            format!("{{\"a\": {text}}}"),
            format!("{{\"nonMasqueradeCIDRs\": [{json}]}}"),
        ] {
            let sources = SourceSet::one(&path, Some(file.as_bytes().to_vec()));
            let messages = match config::understand(&sources, &IPV4) {
                Ok(reading) => {
                    reading.warnings.iter().map(|warning| warning.in_files(&sources.paths())).collect()
                }
                Err(error) => vec![error.to_string()],
            };
            for message in messages {
                prop_assert!(!message.contains(ip_masq_agent::text::is_hidden), "{file:?}: {message:?}");
            }
        }
        let missing = config::read(&path, &IPV4).unwrap_err().to_string();
        prop_assert!(!missing.contains(ip_masq_agent::text::is_hidden), "{missing:?}");
    }

    #[test]
    fn json_and_the_same_in_yaml_give_the_same_configuration(
        hosts in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..10),
        limit in 10_u8..,
        link_local: bool,
        seconds in 1_u32..100_000,
        quoted: bool,
    ) {
        let cidrs: Vec<String> =
            hosts.iter().map(|(host, len)| Cidr::around(std::net::Ipv4Addr::from(*host).into(), *len).unwrap().to_string()).collect();
        let interval = config::Duration::from_secs(seconds).to_string();
        let json = serde_json::json!({
            "nonMasqueradeCIDRs": cidrs, "cidrLimit": limit, "masqLinkLocal": link_local, "resyncInterval": interval,
        });
        let quote = if quoted { "\"" } else { "" };
        let list: Vec<String> = cidrs.iter().map(|cidr| format!("\n- {quote}{cidr}{quote}")).collect();
        let list = if cidrs.is_empty() { " []".to_owned() } else { list.concat() };
        let yaml = format!("nonMasqueradeCIDRs:{list}\ncidrLimit: {limit}\nmasqLinkLocal: {link_local}\nresyncInterval: {interval}\n");
        let values = |text: &str| {
            let config = config::parse(text.as_bytes(), &IPV4).unwrap().config;
            let cidrs: Vec<Cidr> = config.non_masquerade_cidrs.iter().map(|entry| entry.cidr).collect();
            (cidrs, config.masq_link_local.value, config.masq_link_local_ipv6.value, config.resync_interval.value)
        };
        prop_assert_eq!(values(&json.to_string()), values(&yaml));
        // JSON after a byte order mark is YAML to upstream.
        prop_assert_eq!(values(&format!("\u{feff}{json:#}")), values(&yaml));
    }
}
