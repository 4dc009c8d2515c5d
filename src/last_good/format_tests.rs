use std::fs;

use proptest::prelude::*;

use super::*;
use crate::config::Context;

const CONFIG: &[u8] = b"nonMasqueradeCIDRs: [10.0.0.0/8]\n";

fn good(files: &[(&str, Option<&[u8]>)]) -> LastKnownGood {
    let source =
        |(path, content): &(&str, Option<&[u8]>)| Source { path: path.into(), content: content.map(<[u8]>::to_vec) };
    LastKnownGood::new(SourceSet::new(files.iter().map(source).collect()).unwrap())
}

fn one(content: Option<&[u8]>) -> LastKnownGood {
    good(&[("/etc/config/ip-masq-agent", content)])
}

/// Sets of one file and of several.
fn sets() -> [LastKnownGood; 5] {
    [
        one(None),
        one(Some(CONFIG)),
        one(Some(b"\n\n\0\xff")),
        good(&[("/a", Some(CONFIG)), ("/b", None), ("/c", Some(b"")), ("/d", Some(b"path: /e\nlength: 3\n"))]),
        good(&[("/a", None), ("/b", None)]),
    ]
}

/// The bytes of format 1, as the version of the agent that wrote it left them, and what they hold.
fn of_format_1() -> Vec<(Vec<u8>, LastKnownGood)> {
    let list = &b"nonMasqueradeCIDRs: [10.91.0.0/16, \"fd91::/16\"]\nresyncInterval: 1h\n"[..];
    let odd = PathBuf::from(OsString::from_vec(b"/etc/a %\n\xff b".to_vec()));
    let odd = SourceSet::one(odd, Some(b"\xef\xbb\xbfmasqLinkLocal: true\r\n# no end of line".to_vec()));
    [
        ("file", one(Some(list))),
        ("empty-file", one(Some(b""))),
        ("no-file", one(None)),
        ("odd-path", LastKnownGood::new(odd)),
    ]
    .map(|(name, good)| (fs::read(format!("testdata/state/format-1-{name}")).unwrap(), good))
    .into()
}

#[test]
fn a_person_can_read_it_and_the_configuration_is_its_end() {
    let bytes = encode(&good(&[("/etc/config/ip-masq-agent", Some(CONFIG)), ("/etc/config/more", None)]));
    assert_eq!(
        str::from_utf8(&bytes).unwrap(),
        "ip-masq-agent last-known-good 2\npath: /etc/config/ip-masq-agent\nlength: 33\npath: /etc/config/more\n\
         length: none\ncrc32: 10cc6e7f\n\nnonMasqueradeCIDRs: [10.0.0.0/8]\n"
    );
    let documentation = include_str!("format.rs");
    let example: String = str::from_utf8(&bytes)
        .unwrap()
        .lines()
        .map(|line| format!("//! {line}"))
        .fold(String::new(), |text, line| text + line.trim_end() + "\n");
    assert!(documentation.contains(&example), "the example of the documentation is another:\n{example}");
}

#[test]
fn what_the_version_before_has_saved_is_read_as_it_was_meant_and_written_anew_as_the_format_of_now() {
    for (bytes, good) in of_format_1() {
        assert!(bytes.starts_with(b"ip-masq-agent last-known-good 1\n"));
        assert_eq!(decode(&bytes), Ok(good.clone()));
        let anew = encode(&good);
        assert!(anew.starts_with(b"ip-masq-agent last-known-good 2\n"));
        assert_eq!(decode(&anew), Ok(good.clone()));
        assert!(good.config(&Context { ipv6: true, ..Context::default() }).is_ok());
    }
}

#[test]
fn no_file_and_an_empty_file_are_two_things() {
    for content in [None, Some(&b""[..])] {
        assert_eq!(decode(&encode(&one(content))), Ok(one(content)));
    }
    assert_ne!(encode(&one(None)), encode(&one(Some(b""))));
}

#[test]
fn the_same_bytes_in_other_files_or_in_another_order_are_another_state() {
    let [a, b] = [("/a", Some(&b"x: 1\n"[..])), ("/b", Some(&b"y: 2\n"[..]))];
    let states = [
        good(&[a, b]),
        good(&[b, a]),
        good(&[("/a", Some(b"x: 1\ny: 2\n")), ("/b", Some(b""))]),
        good(&[("/a", Some(b"x: 1\ny: 2\n")), ("/b", None)]),
        good(&[("/a", Some(b"x: 1\ny: 2\n"))]),
    ];
    for (index, state) in states.iter().enumerate() {
        assert_eq!(decode(&encode(state)).as_ref(), Ok(state));
        assert!(states.iter().skip(index + 1).all(|other| encode(other) != encode(state)), "{state:?}");
    }
}

#[test]
fn a_change_of_any_byte_and_the_loss_of_any_part_are_found() {
    let of_now = sets().map(|good| encode(&good));
    for bytes in of_now.into_iter().chain(of_format_1().into_iter().map(|(bytes, _)| bytes)) {
        for at in 0..bytes.len() {
            for flip in 1..=255 {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                assert!(decode(&damaged).is_err_and(|error| is_said(&error)), "byte {at} ^ {flip:#x}: {damaged:?}");
            }
            assert!(decode(&bytes[..at]).is_err_and(|error| is_said(&error)), "cut off at {at}");
            for end in at + 1..bytes.len() {
                let without = [&bytes[..at], &bytes[end..]].concat();
                assert!(decode(&without).is_err(), "without bytes {at} to {end}: {without:?}");
            }
        }
        let longer = [&bytes[..], b"\n"].concat();
        assert_eq!(decode(&longer), Err(FormatError::Corrupt("its content is not as long as its header says")));
    }
}

/// Whether the error fits a damaged file. A damaged version may look like another version.
fn is_said(error: &FormatError) -> bool {
    match error {
        FormatError::Foreign(version) => version.parse::<u32>().is_ok_and(|version| version != 1 && version != 2),
        FormatError::Corrupt(why) => why.starts_with("it") || why.starts_with("a line") || why.starts_with("no "),
    }
}

#[test]
fn another_version_is_told_from_damage() {
    let two = good(&[("/a", Some(CONFIG)), ("/b", None)]);
    for (good, version, expected) in [
        (&one(Some(CONFIG)), "3", FormatError::Foreign("3".to_owned())),
        (&one(Some(CONFIG)), "11", FormatError::Foreign("11".to_owned())),
        (&one(Some(CONFIG)), "", FormatError::Corrupt("its version is no number")),
        (&one(Some(CONFIG)), "x", FormatError::Corrupt("its version is no number")),
        (&one(Some(CONFIG)), "1", FormatError::Corrupt("its checksum does not fit its content")),
        (&two, "1", FormatError::Corrupt("it holds more files than its version allows")),
    ] {
        let text = String::from_utf8(encode(good)).unwrap();
        let other = text.replacen("good 2\n", &format!("good {version}\n"), 1);
        assert_eq!(decode(other.as_bytes()), Err(expected), "{version}");
    }
    assert_eq!(decode(b"anything"), Err(FormatError::Corrupt("its first line is not the agent's")));
    assert_eq!(decode(b""), Err(FormatError::Corrupt("its first line is not the agent's")));
    let without = format!("{MAGIC}{VERSION}\ncrc32: 00000000\n\n");
    assert_eq!(decode(without.as_bytes()), Err(FormatError::Corrupt("a line is missing in its header")));
}

#[test]
fn as_many_of_the_longest_paths_as_a_set_may_have_fit_the_bound_of_the_header_and_one_more_is_refused() {
    let path = PathBuf::from(OsString::from_vec([vec![b'/'], vec![b'\xff'; 4_095]].concat()));
    let most =
        LastKnownGood::new(SourceSet::new(vec![Source { path, content: Some(Vec::new()) }; SourceSet::MOST]).unwrap());
    let bytes = encode(&most);
    assert!((bytes.len() as u64) < LONGEST_HEADER, "{}", bytes.len());
    assert_eq!(decode(&bytes), Ok(most));
    let more = String::from_utf8(bytes).unwrap().replacen("crc32: ", "path: /a\nlength: none\ncrc32: ", 1);
    assert_eq!(decode(more.as_bytes()), Err(FormatError::Corrupt("it holds more files than its version allows")));
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back(files in prop::collection::vec(
        (prop::collection::vec(1..=255_u8, 0..40), prop::option::of(any::<Vec<u8>>())), 1..5,
    )) {
        let source = |(path, content): (Vec<u8>, Option<Vec<u8>>)| Source {
            path: OsString::from_vec([vec![b'/'], path].concat()).into(),
            content,
        };
        let good = LastKnownGood { sources: SourceSet::new(files.into_iter().map(source).collect()).unwrap() };
        prop_assert_eq!(decode(&encode(&good)), Ok(good));
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in any::<Vec<u8>>(), version in "[12]", header in "(path|length|crc32): [%a-f0-9]{0,12}\n{1,2}", lines in 0..5_usize,
    ) {
        let _ = decode(&bytes);
        let _ = decode(&[format!("{MAGIC}{version}\n{}", header.repeat(lines)).as_bytes(), &bytes].concat());
    }
}
