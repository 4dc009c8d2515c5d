//! Where values are, in every way to write them.

// Helpers of tests may panic as the tests themselves may: it is a failed test with a line number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use goyaml::{Document, Node, Span, Value};

/// The lines and texts of all nodes, in the order of the text; each after what it is in.
fn written(document: &Document<'_>) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut open: Vec<Node<'_>> = document.root().into_iter().collect();
    while let Some(node) = open.pop() {
        let span = node.written();
        found.push((span.line, span.of(document.text()).unwrap().to_owned()));
        let inside: Vec<Node<'_>> = match node.value() {
            _ if node.span() != span => Vec::new(),
            Value::List(list) => list.collect(),
            Value::Map(map) => map.pairs().flat_map(|pair| [pair.key, pair.value]).collect(),
            _ => Vec::new(),
        };
        open.extend(inside.into_iter().rev());
    }
    found
}

fn check(text: &str, expected: &[(u32, &str)]) {
    let document = goyaml::parse(text.as_bytes()).unwrap();
    let expected: Vec<_> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
    assert_eq!(written(&document), expected, "{text:?}");
}

/// A text, and of each node in it the line and what is written there.
type Case<'a> = (&'a str, &'a [(u32, &'a str)]);

#[test]
fn a_scalar_is_what_is_written_for_it_with_its_quotes() {
    let cases: &[Case<'_>] = &[
        ("plain", &[(1, "plain")]),
        ("\n  two words # not this\n", &[(2, "two words")]),
        ("over\n two\n\n lines  \n", &[(1, "over\n two\n\n lines")]),
        ("'single'", &[(1, "'single'")]),
        ("'it''s' # one", &[(1, "'it''s'")]),
        ("\"double\"", &[(1, "\"double\"")]),
        ("\"\\u00e9\\n\"", &[(1, "\"\\u00e9\\n\"")]),
        ("\"over\n  two\"\n", &[(1, "\"over\n  two\"")]),
        ("''", &[(1, "''")]),
        ("''''", &[(1, "''''")]),
        ("|\n  literal\n  block\n", &[(1, "|\n  literal\n  block\n")]),
        (">-\n  folded\n\n", &[(1, ">-\n  folded\n")]),
        ("|+ # with all\n  lines\n\n\n", &[(1, "|+ # with all\n  lines\n\n\n")]),
        ("|\n  without a line break", &[(1, "|\n  without a line break")]),
        ("--- |\n a\n...\n", &[(1, "|\n a\n")]),
        ("", &[]),
        ("---\n# nothing\n", &[(1, "")]),
        ("~", &[(1, "~")]),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn a_block_reaches_from_its_first_dash_or_key_to_the_end_of_its_last_entry() {
    let cases: &[Case<'_>] = &[
        ("- a\n- b\n# end\n", &[(1, "- a\n- b"), (1, "a"), (2, "b")]),
        (
            "k:\n- a\n-\n- - b\nl: c  \n\n",
            &[
                (1, "k:\n- a\n-\n- - b\nl: c"),
                (1, "k"),
                (2, "- a\n-\n- - b"),
                (2, "a"),
                (3, ""),
                (4, "- b"),
                (4, "b"),
                (5, "l"),
                (5, "c"),
            ],
        ),
        ("k:\n  - a\n  # no\nl:\n", &[(1, "k:\n  - a\n  # no\nl:"), (1, "k"), (2, "- a"), (2, "a"), (4, "l"), (4, "")]),
        ("? a\n\n: b\n", &[(1, "? a\n\n: b"), (1, "a"), (3, "b")]),
        ("? a\n\n? b\n", &[(1, "? a\n\n? b"), (1, "a"), (1, ""), (3, "b"), (3, "")]),
        ("a: |\n b\n\nc: d\n", &[(1, "a: |\n b\n\nc: d"), (1, "a"), (1, "|\n b\n"), (4, "c"), (4, "d")]),
        ("- k: 1\n  l: 2\n", &[(1, "- k: 1\n  l: 2"), (1, "k: 1\n  l: 2"), (1, "k"), (1, "1"), (2, "l"), (2, "2")]),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn a_flow_collection_reaches_from_bracket_to_bracket_in_yaml_and_in_json() {
    let cases: &[Case<'_>] = &[
        ("[a, 'b' ,\n c ]\n", &[(1, "[a, 'b' ,\n c ]"), (1, "a"), (1, "'b'"), (2, "c")]),
        ("- {a: 1, b}\n", &[(1, "- {a: 1, b}"), (1, "{a: 1, b}"), (1, "a"), (1, "1"), (1, "b"), (1, "")]),
        ("- {a:\n , b: }", &[(1, "- {a:\n , b: }"), (1, "{a:\n , b: }"), (1, "a"), (1, ""), (2, "b"), (2, "")]),
        ("[a: b , c]", &[(1, "[a: b , c]"), (1, "a: b"), (1, "a"), (1, "b"), (1, "c")]),
        ("[? a : b]", &[(1, "[? a : b]"), (1, "? a : b"), (1, "a"), (1, "b")]),
        ("- []\n- {}", &[(1, "- []\n- {}"), (1, "[]"), (2, "{}")]),
        (
            "{\"a\" : [1, -2e3 ,\ntrue,null,\r\n\"\\\"b\\\\\"]\n,\"\":{ }}\n",
            &[
                (1, "{\"a\" : [1, -2e3 ,\ntrue,null,\r\n\"\\\"b\\\\\"]\n,\"\":{ }}"),
                (1, "\"a\""),
                (1, "[1, -2e3 ,\ntrue,null,\r\n\"\\\"b\\\\\"]"),
                (1, "1"),
                (1, "-2e3"),
                (2, "true"),
                (2, "null"),
                (3, "\"\\\"b\\\\\""),
                (4, "\"\""),
                (4, "{ }"),
            ],
        ),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

#[test]
fn anchors_and_tags_are_no_part_of_a_value_unless_nothing_else_is_written() {
    let cases: &[Case<'_>] = &[
        (
            "- !!str 1\n- &a  !x b\n- !!map\n  c: d\n",
            &[(1, "- !!str 1\n- &a  !x b\n- !!map\n  c: d"), (1, "1"), (2, "b"), (4, "c: d"), (4, "c"), (4, "d")],
        ),
        ("- &a !!null\n- *a\n", &[(1, "- &a !!null\n- *a"), (1, "&a !!null"), (2, "*a")]),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
    let document = goyaml::parse(b"- &a [1]\n- *a\n").unwrap();
    let Some(Value::List(mut list)) = document.root().map(|root| root.value()) else { panic!() };
    let (anchored, alias) = (list.next().unwrap(), list.next().unwrap());
    assert_eq!(alias.span(), anchored.span(), "what an alias stands for is where that is written");
    assert_eq!(alias.written(), Span { start: 11, end: 13, line: 2 });
    assert!(anchored.has_alias() && !alias.has_alias());
}

#[test]
fn places_are_counted_in_bytes_over_many_byte_characters_tabs_and_all_line_breaks() {
    let cases: &[Case<'_>] = &[
        ("é: 日本\nö: '😀'\n", &[(1, "é: 日本\nö: '😀'"), (1, "é"), (1, "日本"), (2, "ö"), (2, "'😀'")]),
        (
            "- é\r\n- \"ö\r\n  ü\"\r\n-\r\n",
            &[(1, "- é\r\n- \"ö\r\n  ü\"\r\n-"), (1, "é"), (2, "\"ö\r\n  ü\""), (4, "")],
        ),
        (
            "a:\tb\t# c\nd:\t[\te,\n\tf\t]\n",
            &[
                (1, "a:\tb\t# c\nd:\t[\te,\n\tf\t]"),
                (1, "a"),
                (1, "b"),
                (2, "d"),
                (2, "[\te,\n\tf\t]"),
                (2, "e"),
                (3, "f"),
            ],
        ),
        (
            "- a\r- b\u{85}- c\u{2028}- d\u{2029}- e",
            &[(1, "- a\r- b\u{85}- c\u{2028}- d\u{2029}- e"), (1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")],
        ),
        ("{\"é\":\n\"日\\u672c\"}", &[(1, "{\"é\":\n\"日\\u672c\"}"), (1, "\"é\""), (2, "\"日\\u672c\"")]),
    ];
    for (text, expected) in cases {
        check(text, expected);
    }
}

/// A name after many-byte characters, in each encoding: of UTF-8, places are places in the file.
#[test]
fn places_are_those_of_the_file_in_utf_8_and_of_the_decoded_text_in_utf_16() {
    let text = "# é\nö: [日, '😀']\n";
    let units = |text: &str| -> Vec<u16> { text.encode_utf16().collect() };
    let little: Vec<u8> = units(&format!("\u{feff}{text}")).into_iter().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = units(&format!("\u{feff}{text}")).into_iter().flat_map(u16::to_be_bytes).collect();
    let marked = format!("\u{feff}{text}");
    let twice = format!("\u{feff}{marked}");
    for (bytes, marks) in [(text.as_bytes(), 0), (marked.as_bytes(), 3), (twice.as_bytes(), 6), (&little, 0), (&big, 0)]
    {
        let document = goyaml::parse(bytes).unwrap();
        let expected = ["ö: [日, '😀']", "ö", "[日, '😀']", "日", "'😀'"].map(|text| (2, text.to_owned()));
        assert_eq!(written(&document), expected, "{bytes:?}");
        assert_eq!(document.root().unwrap().span(), Span { start: marks + 5, end: marks + 22, line: 2 });
        assert_eq!(document.text().len(), marks as usize + text.len());
    }
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let cases: [(&str, u32, &str, &str); 9] = [
        ("é: [a\n", 2, "", ""),
        ("a: 'b\nc: d\n", 1, "'b\nc: d\n", ""),
        ("é: *nobody\n", 1, "*nobody", ""),
        ("a: b\n?: !x!y z\n", 2, "!x!y", " z\n"),
        ("a: !!int é\n", 1, "é", "\n"),
        ("- .inf", 1, ".inf", ""),
        ("{\"é\": 1,\n \"a\": nul}", 2, "", "}"),
        ("{\"é\": x}", 1, "", "x}"),
        ("é\n\u{1}\n", 2, "", ""),
    ];
    for (text, line, wrong, behind) in cases {
        let error = goyaml::parse(text.as_bytes()).unwrap_err();
        let found = error.span.of(text).map(|wrong| (error.span.line, wrong.to_owned()));
        assert_eq!(found, Some((line, wrong.to_owned())), "{text:?}: {error}");
        assert!(text[error.span.end as usize..].starts_with(behind), "{text:?}: {error}");
    }
}

#[test]
fn what_is_behind_the_first_document_is_shown_by_its_first_word() {
    let cases = [
        ("a: b\n---\nc: d\n", Some((2, "---"))),
        ("a: é\n...\nc: d\n", Some((3, "c"))),
        ("[a] é\n", Some((1, "é"))),
        ("[a]\n...\n", None),
        ("{\"a\": 1}\n", None),
    ];
    for (text, expected) in cases {
        let document = goyaml::parse(text.as_bytes()).unwrap();
        let found = document.further_documents().map(|span| (span.line, span.of(text).unwrap()));
        assert_eq!(found.map(|(line, word)| (line, &word[..word.len().min(3)])), expected, "{text:?}");
    }
}
