//! YAML and JSON: no text makes the reader panic, and what it says of places is true.

#![no_main]

use goyaml::{Document, Node, Span, Value};
use libfuzzer_sys::fuzz_target;

/// More nodes are not looked at, as merged maps can be many times what is written.
const MOST_NODES: usize = 50_000;

fuzz_target!(|input: &[u8]| {
    let document = match goyaml::parse(input) {
        Ok(document) => document,
        Err(error) => {
            assert!(error.span.line > 0 && !error.to_string().is_empty(), "{error:?}");
            return;
        }
    };
    let is_json = input.trim_ascii_start().starts_with(b"{");
    let lines = Lines::of(document.text(), is_json);
    if let Some(span) = document.further_documents() {
        lines.check(&document, span);
    }
    let mut open: Vec<(Span, Node<'_>)> = document.root().map(|root| (root.span(), root)).into_iter().collect();
    let mut looked_at = 0;
    while let Some((around, node)) = open.pop() {
        looked_at += 1;
        if looked_at > MOST_NODES {
            return;
        }
        let written = node.written();
        lines.check(&document, written);
        assert!(around.start <= written.start && written.end <= around.end, "{written:?} is not in {around:?}");
        if node.span() != written {
            // What it stands for is looked at where that is written.
            continue;
        }
        match node.value() {
            Value::List(list) => open.extend(list.map(|entry| (written, entry))),
            Value::Map(map) => {
                for pair in map.pairs().take(MOST_NODES) {
                    lines.check(&document, pair.span());
                    let around = if pair.merged { whole(&document) } else { written };
                    open.extend([(around, pair.key), (around, pair.value)]);
                }
            }
            value => again(&document, written, &value, is_json),
        }
    }
});

fn whole(document: &Document<'_>) -> Span {
    Span { start: 0, end: u32::try_from(document.text().len()).expect("it is short"), line: 1 }
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str, is_json: bool) -> Self {
        let is_break = |&(place, character): &(usize, char)| match character {
            '\n' => true,
            '\r' => !is_json && !text[place + 1..].starts_with('\n'),
            '\u{85}' | '\u{2028}' | '\u{2029}' => !is_json,
            _ => false,
        };
        let after = text.char_indices().filter(is_break).map(|(place, character)| place + character.len_utf8());
        Self(after.collect())
    }

    /// A span is a part of the text, and its line is that of its start.
    fn check(&self, document: &Document<'_>, span: Span) {
        assert!(span.start <= span.end && span.of(document.text()).is_some(), "{span:?}");
        let line = 1 + self.0.partition_point(|start| *start <= span.start as usize);
        assert_eq!(span.line as usize, line, "{span:?}");
    }
}

/// What is written for a scalar means the same if it is read again without what is around it, in one of the places in which it
/// can have stood. Which of them it was decides what its first and last characters mean: `---` at the start of a line begins a
/// document, `{` at the start of a text JSON, and `:` at the end of a line ends a key.
fn again(document: &Document<'_>, span: Span, value: &Value<'_>, is_json: bool) {
    let written = span.of(document.text()).expect("it is a part of the text");
    // A tag says something that the scalar does not, as does the indentation of what is around a block with one of its own. A byte
    // order mark means something only at the start.
    let is_indented =
        written.starts_with(['|', '>']) && written.lines().next().is_some_and(|line| line.contains(char::is_numeric));
    if !is_json && document.text().contains('!') || is_indented || written.starts_with('\u{feff}') {
        return;
    }
    let places: &[(&str, &str)] = if is_json {
        &[("{\"\":", "}")]
    } else {
        &[
            ("", ""),
            (" ", ""),
            ("- ", ""),
            ("[", "]"),
            ("? ", ""),
            ("", ": x"),
            (" ", ": x"),
            ("- ", ": x"),
            ("[", ": x]"),
        ]
    };
    let means_the_same = |&(before, after): &(&str, &str)| {
        let text = format!("{before}{written}{after}");
        goyaml::parse(text.as_bytes()).is_ok_and(|document| is_same(&innermost(&document, is_json), value))
    };
    assert!(places.iter().any(means_the_same), "{written:?} means {value:?}");
}

/// The scalar in lists and in keys, or in the values of JSON.
fn innermost<'a>(document: &'a Document<'a>, is_json: bool) -> Value<'a> {
    let mut value = document.root().map_or(Value::Null, |root| root.value());
    loop {
        let inner = match value {
            Value::List(mut list) => list.next(),
            Value::Map(map) => map.pairs().next().map(|pair| if is_json { pair.value } else { pair.key }),
            scalar => return scalar,
        };
        let Some(inner) = inner else { return Value::Null };
        value = inner.value();
    }
}

fn is_same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Number(left), Value::Number(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => left == right,
        _ => false,
    }
}
