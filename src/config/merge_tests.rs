//! What several files say together.

use std::fmt::Write as _;

use super::*;

/// Files by their names and what they hold, and what is made of them: the ranges, the other values, each with the place of
/// what counts, and the warnings; or the errors.
type Case<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)], &'a str);

fn set(files: &[(&str, Option<&str>)]) -> SourceSet {
    let source = |(path, content): &(&str, Option<&str>)| Source {
        path: path.into(),
        content: content.map(|text| text.as_bytes().to_vec()),
    };
    SourceSet::new(files.iter().map(source).collect()).unwrap()
}

/// What the files come to, in lines.
fn told(files: &[(&str, Option<&str>)]) -> String {
    let sources = set(files);
    let paths = sources.paths();
    let Reading { config, warnings } = match understand(&sources, &Context::default()) {
        Ok(reading) => reading,
        Err(error) => return format!("{error}\n"),
    };
    let place = |location: Option<Location>| {
        location.map_or_else(|| "default".to_owned(), |location| paths.place(Some(location)))
    };
    let ranges = config.non_masquerade_cidrs.iter().map(|entry| format!("{} ({})", entry.cidr, place(entry.location)));
    let mut text = format!("ranges: {}\n", ranges.collect::<Vec<_>>().join(", "));
    let (v4, v6) = (config.masq_link_local, config.masq_link_local_ipv6);
    for (name, setting) in [("link-local", v4), ("link-local IPv6", v6)] {
        if setting.location.is_some() {
            writeln!(text, "{name}: {} ({})", setting.value, place(setting.location)).unwrap();
        }
    }
    if let Setting { value, location: Some(location) } = config.resync_interval {
        writeln!(text, "resync: {value} ({})", place(Some(location))).unwrap();
    }
    for warning in warnings {
        writeln!(text, "{}", warning.in_files(&paths)).unwrap();
    }
    text
}

#[test]
fn files_are_merged_as_the_order_of_their_names_promises() {
    let cases: &[Case<'_>] = &[
        (
            "lists are put together in the order of the files, in whichever format",
            &[
                ("/a", Some("nonMasqueradeCIDRs: [11.0.0.0/8, 10.0.0.0/8]")),
                ("/b", Some("masqLinkLocal: true")),
                ("/c", Some("{\n\"nonMasqueradeCIDRs\": [\"9.0.0.0/8\"]}")),
            ],
            "ranges: 11.0.0.0/8 (/a:1), 10.0.0.0/8 (/a:1), 9.0.0.0/8 (/c:2)\nlink-local: true (/b:1)\n",
        ),
        (
            "without a list in any file the default holds, and an empty list is one",
            &[("/a", Some("masqLinkLocal: true")), ("/b", Some("masqLinkLocalIPv6: true"))],
            "ranges: 10.0.0.0/8 (default), 172.16.0.0/12 (default), 192.168.0.0/16 (default)\n\
             link-local: true (/a:1)\nlink-local IPv6: true (/b:1)\n",
        ),
        (
            "a list that is empty or null takes nothing from another, but takes the place of the default",
            &[("/a", Some("nonMasqueradeCIDRs: []")), ("/b", Some("nonMasqueradeCIDRs:")), ("/c", Some(""))],
            "ranges: \n",
        ),
        (
            "an empty list in a later file removes nothing of an earlier one",
            &[("/a", Some("nonMasqueradeCIDRs: [10.0.0.0/8]")), ("/b", Some("nonMasqueradeCIDRs: []"))],
            "ranges: 10.0.0.0/8 (/a:1)\n",
        ),
        (
            "of a single value the last file counts, and null is none",
            &[
                ("/a", Some("masqLinkLocal: true\nresyncInterval: 5s")),
                ("/b", Some("\nmasqLinkLocal: false\nmasqLinkLocalIPv6: true")),
                ("/c", Some("resyncInterval: 7s\nmasqLinkLocalIPv6: null")),
            ],
            "ranges: 10.0.0.0/8 (default), 172.16.0.0/12 (default), 192.168.0.0/16 (default)\n\
             link-local: false (/b:2)\nlink-local IPv6: true (/b:3)\nresync: 7s (/c:1)\n\
             /b:2: masqLinkLocal stands on line 1 of /a too; this one counts; remove the other\n\
             /c:1: resyncInterval stands on line 2 of /a too; this one counts; remove the other\n",
        ),
        (
            "in one file the later list still takes the place of the earlier",
            &[
                ("/a", Some("nonMasqueradeCIDRs: [9.0.0.0/8]")),
                ("/b", Some("nonMasqueradeCIDRs: [10.0.0.0/8]\nnonmasqueradecidrs: [11.0.0.0/8]")),
            ],
            "ranges: 9.0.0.0/8 (/a:1), 11.0.0.0/8 (/b:2)\n\
             /b:2: the key \"nonmasqueradecidrs\" is read as nonMasqueradeCIDRs; spell it like that\n\
             /b:2: nonMasqueradeCIDRs stands on line 1 too; this one counts; remove the other\n",
        ),
        (
            "ranges are held against those of the other files",
            &[
                ("/a", Some("nonMasqueradeCIDRs:\n- 10.1.0.0/16\n- 11.0.0.0/8")),
                ("/b", Some("nonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8,\n 10.2.0.0/16]")),
            ],
            "ranges: 10.1.0.0/16 (/a:2), 11.0.0.0/8 (/a:3), 10.0.0.0/8 (/b:1), 11.0.0.0/8 (/b:1), 10.2.0.0/16 (/b:2)\n\
             /a:2: nonMasqueradeCIDRs: 10.1.0.0/16 changes nothing, because 10.0.0.0/8 on line 1 of /b covers it too; \
             remove it\n\
             /b:1: nonMasqueradeCIDRs: 11.0.0.0/8 stands on line 3 of /a already; remove it\n\
             /b:2: nonMasqueradeCIDRs: 10.2.0.0/16 changes nothing, because 10.0.0.0/8 on line 1 covers it; remove it\n",
        ),
        (
            "a file that is missing adds nothing, and is named",
            &[("/a", None), ("/b", Some("nonMasqueradeCIDRs: [10.0.0.0/8]\nx: 1"))],
            "ranges: 10.0.0.0/8 (/b:1)\n/a: no such file; what the other files say holds without it\n\
             /b:2: the key \"x\" is unknown and ignored\n",
        ),
        (
            "without any file the defaults hold, as without the only one",
            &[("/a", None), ("/b", None)],
            "ranges: 10.0.0.0/8 (default), 172.16.0.0/12 (default), 192.168.0.0/16 (default)\n",
        ),
        (
            "cidrLimit counts the ranges of all files, and the last one counts",
            &[
                ("/a", Some("cidrLimit: 9\nnonMasqueradeCIDRs: [10.0.0.0/8, 11.0.0.0/8]")),
                ("/b", Some("nonMasqueradeCIDRs: [12.0.0.0/8]")),
                ("/c", Some("cidrLimit: 2")),
            ],
            "/b:1: nonMasqueradeCIDRs: more ranges (3) than cidrLimit allows (2); remove some, or write `cidrLimit: 3`\n",
        ),
        (
            "an error in one file refuses all, and each error names its file",
            &[
                ("/a", Some("nonMasqueradeCIDRs: [10.0.0.0/8]")),
                ("/b", Some("nonMasqueradeCIDRs: [11.0.0.0/8,\n 11.1.0.0/8]")),
                ("/c", Some("masqLinkLocal: [")),
                ("/d", Some("cidrLimit: 0\nmasqLinkLocal: 7")),
            ],
            "/b:2: nonMasqueradeCIDRs[1]: \"11.1.0.0/8\" has host bits set behind its prefix; write 11.0.0.0/8 for \
             the range, or 11.1.0.0/32 for the one address\n\
             /c:1: not valid YAML: no value where one is expected\n\
             /d:2: masqLinkLocal: found the number 7, expected true or false\n",
        ),
    ];
    for (name, files, expected) in cases {
        assert_eq!(told(files), *expected, "{name}");
    }
}

#[test]
fn of_more_errors_than_are_told_all_files_are_counted_and_of_each_warning_the_first_files_are_named() {
    let wrong = "nonMasqueradeCIDRs:\n".to_owned() + &"- x\n".repeat(15);
    let text = told(&[("/a", Some(&wrong)), ("/b", Some(&wrong)), ("/c", Some("top"))]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines.last()), (21, Some(&"/a, /b, /c: and 11 more errors")), "{text}");
    assert!(lines[14].starts_with("/a:16: ") && lines[15].starts_with("/b:2: "), "{text}");

    let odd = (0..8).map(|number| format!("odd{number}: 1\n")).collect::<Vec<_>>().concat();
    let text = told(&[("/a", Some(&odd)), ("/b", Some(&odd))]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines.last()), (12, Some(&"/a, /b: and 6 more unknown keys")), "{text}");
    assert!(lines[8].starts_with("/a:8: ") && lines[9].starts_with("/b:1: "), "{text}");
}

#[test]
fn in_one_line_only_several_files_are_named() {
    let one_line = |files: &[(&str, Option<&str>)]| {
        let sources = set(files);
        merge(&sources, Context::default()).unwrap_err().in_one_line(&sources.paths())
    };
    let bad = ("/b", Some("cidrLimit: x\nmasqLinkLocal: 7"));
    let (limit, local) = ("cidrLimit: found the text \"x\"", "masqLinkLocal: found the number 7");
    let one = one_line(&[bad]);
    assert!(one.starts_with(&format!("line 1: {limit}")) && one.contains(&format!("; line 2: {local}")), "{one}");
    let two = one_line(&[("/a", Some("")), bad]);
    assert!(two.starts_with(&format!("/b:1: {limit}")) && two.contains(&format!("; /b:2: {local}")), "{two}");
}

#[test]
fn one_file_is_the_set_of_one() {
    for text in ["", "nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8]\nx: 1", "cidrLimit: 0", "masqLinkLocal: [", "7"] {
        let alone = parse(text.as_bytes(), &Context::default());
        assert_eq!(merge(&SourceSet::one("/a", Some(text.into())), Context::default()), alone, "{text:?}");
    }
    let absent = understand(&SourceSet::one("/a", None), &Context::default()).unwrap();
    assert_eq!((absent.config, absent.warnings), (Config::defaults(&Context::default()), Vec::new()));
}
