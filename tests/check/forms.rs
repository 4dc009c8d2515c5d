//! The forms for programs, held against the schemas of those who read them, and against each other.

use ip_masq_agent::diagnostics::{Form, Input, examine, render};
use serde_json::Value;

use crate::reports::{PLAIN, examined, files};
use crate::support::ran::Ran;
use crate::support::unpacked::python;

fn json_of(form: Form, path: &std::path::Path) -> Value {
    serde_json::from_str(&render(&examined(path), form, PLAIN)).unwrap()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap().try_into().unwrap()
}

#[test]
fn all_forms_tell_the_same_diagnostics_at_the_same_places() {
    for path in files() {
        let report = examined(&path);
        let json = json_of(Form::Json, &path);
        let places: Vec<String> = json["diagnostics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| match &found["line"] {
                Value::Null => format!("{} {}", found["code"].as_str().unwrap(), path.display()),
                line => format!("{} {}:{line}:{}", found["code"].as_str().unwrap(), path.display(), found["column"]),
            })
            .collect();
        let concise = render(&report, Form::Concise, PLAIN);
        let said: Vec<String> = concise
            .lines()
            .filter(|line| !line.starts_with("and "))
            .map(|line| {
                let (place, rest) = line.split_once(": ").unwrap();
                let code = rest.split_once('[').unwrap().1.split_once(']').unwrap().0;
                format!("{code} {place}")
            })
            .collect();
        assert_eq!(said, places, "{}", path.display());

        let sarif = json_of(Form::Sarif, &path);
        let results = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), places.len());
        for (result, found) in results.iter().zip(json["diagnostics"].as_array().unwrap()) {
            assert_eq!(result["ruleId"], found["code"]);
            let region = &result["locations"][0]["physicalLocation"]["region"];
            assert_eq!((&region["startLine"], &region["startColumn"]), (&found["line"], &found["column"]));
            let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][number(&result["ruleIndex"])];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        let github = render(&report, Form::Github, PLAIN);
        assert_eq!(github.lines().filter(|line| !line.starts_with("::notice")).count(), places.len());
    }
}

#[test]
fn the_part_that_is_shown_is_the_part_of_the_file_that_is_wrong() {
    let path = std::path::Path::new("testdata/diagnostics/manifest-list.json");
    let text = std::fs::read_to_string(path).unwrap();
    let json = json_of(Form::Json, path);
    let part = |found: &Value| text[number(&found["start"])..number(&found["end"])].to_owned();
    let parts: Vec<_> = json["diagnostics"].as_array().unwrap().iter().map(part).collect();
    assert_eq!(parts, ["\\\"10.1.2.3/16\\\"", "10.3.0.0/16", "resyncInterval: 60"]);
}

#[test]
fn githubs_commands_are_one_line_each_whatever_the_path_and_the_message_have() {
    let input = Input {
        name: "a,b:c%\nd.yaml".to_owned(),
        content: Ok(b"nonMasqueradeCIDRs: [\"50%\\n::error::x\"]".to_vec()),
    };
    let report = examine(vec![input], &ip_masq_agent::config::Context::default(), None);
    let text = render(&report, Form::Github, PLAIN);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with(
            "::error file=a%2Cb%3Ac%25\\nd.yaml,line=1,endLine=1,col=22,endColumn=39,title=E004 no-cidr::"
        ),
        "{text}"
    );
    assert!(text.contains("50%25"), "{text}");
}

#[test]
fn sarif_is_valid_by_its_schema() {
    let reports: Vec<Value> = files().iter().map(|path| json_of(Form::Sarif, path)).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reports.json");
    std::fs::write(&file, serde_json::to_string(&reports).unwrap()).unwrap();
    let mut validate = python();
    validate.args(["tests/check/validate.py", "testdata/sarif-schema-2.1.0.json"]).arg(&file);
    Ran::of(validate).ended_with(0);
}
