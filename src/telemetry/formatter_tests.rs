use proptest::prelude::*;
use serde_json::json;

use super::super::logging::tests::written;
use super::*;

const PLAIN: Stderr = Stderr { is_journal: false, has_colour: false };
const JOURNAL: Stderr = Stderr { is_journal: true, has_colour: false };

const FORMATS: [LogFormat; 4] = [LogFormat::Auto, LogFormat::Text, LogFormat::Json, LogFormat::Journal];

fn repaired() {
    tracing::warn!(event = "rules_repaired", families = 2, by = "a (pid 7)", share = 0.5, is_new = true, "all is well");
}

/// The lines of events in text, behind time and level.
fn text_of(events: impl FnOnce()) -> Vec<String> {
    let text = written("0", LogFormat::Text, Style::Log, PLAIN, events);
    text.lines().map(|line| line.split_once("INFO ").unwrap().1.to_owned()).collect()
}

#[test]
fn time_and_level_are_left_to_a_service_manager_that_writes_them() {
    for format in [LogFormat::Auto, LogFormat::Text, LogFormat::Journal] {
        for style in [Style::Log, Style::Words] {
            assert_eq!(written("0", format, style, JOURNAL, repaired), "<4>all is well\n");
        }
        let line = written("0", format, Style::Log, PLAIN, repaired);
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, " WARN all is well\n");
        assert!(time.len() == "2026-11-22T03:20:16.000001Z".len() && time.ends_with('Z'), "{time}");
        assert_eq!(written("0", format, Style::Words, PLAIN, repaired), "warning: all is well\n");
    }
}

#[test]
fn json_has_an_object_a_line_with_the_same_keys_for_everybody() {
    for (style, stderr) in [(Style::Log, PLAIN), (Style::Words, JOURNAL)] {
        let line = written("0", LogFormat::Json, style, stderr, repaired);
        let mut object: serde_json::Value = serde_json::from_str(&line).unwrap();
        let time = object.as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        let fields = json!({"families": 2, "by": "a (pid 7)", "share": 0.5, "is_new": true});
        let expected = json!({"level": "warn", "event": "rules_repaired", "message": "all is well", "fields": fields});
        assert_eq!(object, expected);
        assert!(line.contains(r#""fields":{"families":2,"by":"a (pid 7)","share":0.5,"is_new":true}}"#), "{line}");
    }
}

#[test]
fn records_go_to_the_journal_where_stderr_is_its_stream_or_it_is_asked_for() {
    for format in FORMATS {
        for (stderr, is_stream) in [(PLAIN, false), (JOURNAL, true)] {
            let expected = format == LogFormat::Journal || format == LogFormat::Auto && is_stream;
            let entry = Formatter::new(format, Style::Log, stderr, false).notice("12 lines were lost", 12);
            assert_eq!(!entry.journal.is_empty(), expected, "{format:?} {is_stream}");
            assert!(!entry.text.is_empty());
        }
    }
}

#[test]
fn a_loss_is_told_in_each_format_as_an_event_of_its_own() {
    let notice = |format| Formatter::new(format, Style::Log, PLAIN, false).notice("12 lines were lost", 12);
    let object: serde_json::Value = serde_json::from_slice(&notice(LogFormat::Json).text).unwrap();
    assert_eq!((&object["event"], &object["fields"]), (&json!("log_lines_lost"), &json!({"lost": 12})));
    let journal = String::from_utf8(notice(LogFormat::Journal).journal).unwrap();
    assert!(journal.contains("\nEVENT=log_lines_lost\n") && journal.ends_with("\nLOST=12\n"), "{journal}");
    assert!(notice(LogFormat::Text).text.ends_with(b" WARN 12 lines were lost\n"));
}

#[test]
fn a_message_cannot_forge_a_line() {
    let message = "10.0.0.0/8\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2K";
    let shown = r#"10.0.0.0/8\n2026-01-01T00:00:00Z  INFO all is well\u{1b}[2K value="x" shown=x"#;
    let value = "x";
    assert_eq!(text_of(|| tracing::info!(value, shown = %value, "{message}")), [shown]);
}

#[test]
fn an_event_with_a_name_shows_its_sentence_alone_as_that_is_made_from_its_fields() {
    let lines = text_of(|| {
        tracing::info!(event = "rules_changed", changes = 3, "3 changes were made");
        tracing::info!(changes = 3, "3 changes were made");
        tracing::info!(changes = 3, more = 4);
    });
    assert_eq!(lines, ["3 changes were made", "3 changes were made changes=3", "changes=3 more=4"]);
}

proptest! {
    #[test]
    fn whatever_an_event_holds_is_one_line_without_hidden_characters_and_json_gives_it_back(
        message: String,
        value: String,
    ) {
        for format in FORMATS {
            for (style, stderr) in [(Style::Log, PLAIN), (Style::Words, PLAIN), (Style::Log, JOURNAL)] {
                let events = || tracing::info!(value, shown = %value, "{message}");
                let text = written("0", format, style, stderr, events);
                let line = text.strip_suffix('\n').unwrap();
                prop_assert!(!line.contains(is_hidden), "{line:?}");
                if format == LogFormat::Json {
                    let object: serde_json::Value = serde_json::from_str(line).unwrap();
                    prop_assert_eq!(&object["fields"], &json!({"value": value, "shown": value}));
                }
            }
        }
    }
}
