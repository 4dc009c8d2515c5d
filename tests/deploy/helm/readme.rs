//! The tables of values in the chart's README, made of values.yaml and its schema, so that they stay true.

use std::fs;

use serde_json::Value;

use super::{CHART, JUDGED, assert_stands, object, path, text};

/// What begins the comment of a value.
const COMMENT: &str = "# -- ";

/// A value of values.yaml with what is said of it.
struct Row {
    path: Vec<String>,
    comment: String,
}

/// The values with a comment, and those of them that have none of their own, nor above them, nor below.
fn rows(yaml: &str) -> (Vec<Row>, Vec<String>) {
    let (mut rows, mut bare) = (Vec::<Row>::new(), Vec::new());
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in yaml.lines() {
        let content = line.trim_start();
        if let Some(begun) = content.strip_prefix(COMMENT) {
            comment = Some(begun.to_owned());
        } else if let Some(more) = content.strip_prefix("# ") {
            comment = comment.map(|begun| format!("{begun} {more}"));
        } else if let Some((key, _)) = content.split_once(':').filter(|(key, _)| !key.starts_with('-')) {
            let indentation = line.len() - content.len();
            above.retain(|(of, _)| *of < indentation);
            above.push((indentation, key.to_owned()));
            let path: Vec<String> = above.iter().map(|(_, key)| key.clone()).collect();
            match comment.take() {
                Some(comment) => rows.push(Row { path, comment }),
                None if !rows.iter().any(|row| path.starts_with(&row.path)) => bare.push(path.join(".")),
                None => {}
            }
        }
    }
    bare.retain(|path| !rows.iter().any(|row| row.path.join(".").starts_with(&format!("{path}."))));
    (rows, bare)
}

/// The README with `table` between the two lines that mark the place of it.
fn with_table(readme: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: made by a test -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("README.md has no {begin}"));
    let (_, behind) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md has no {end}"));
    format!("{before}{begin}\n{table}\n{end}{behind}")
}

/// The properties of a part of the schema.
fn described(part: &str) -> String {
    let properties = JUDGED["schema"].pointer(part).unwrap_or_else(|| panic!("no {part}"));
    let rows =
        object(properties).iter().map(|(name, schema)| format!("| `{name}` | {} |\n", text(&schema["description"])));
    format!("| key | meaning |\n|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_readme_has_each_value_with_its_default_and_meaning() {
    let (rows, bare) = rows(&fs::read_to_string(path(CHART).join("values.yaml")).unwrap());
    assert!(bare.is_empty(), "values.yaml says nothing of {bare:?}");
    let rows = rows.iter().map(|Row { path, comment }| {
        let default = path.iter().fold(&JUDGED["defaults"], |value: &Value, key| &value[key]);
        format!("| `{}` | `{default}` | {} |\n", path.join("."), comment.replace('|', "\\|"))
    });
    let values = format!("| value | default | meaning |\n|---|---|---|\n{}", rows.collect::<String>());
    let readme = format!("{CHART}/README.md");
    let mut text = fs::read_to_string(path(&readme)).unwrap();
    for (name, table) in [
        ("values", values),
        ("config", described("/definitions/config/properties")),
        ("flags", described("/properties/flags/properties")),
        ("rings", described("/properties/rings/items/properties")),
    ] {
        text = with_table(&text, name, &table);
    }
    assert_stands(&readme, &text);
}

#[test]
fn a_value_without_a_comment_is_found_wherever_it_stands() {
    let yaml =
        "# -- of a\na: 1\nb:\n  # -- of c,\n  # more\n  c: 1\n  d: 2\n# -- of e\ne:\n  f: 1\n\n# no value\ng: 1\n";
    let (rows, bare) = rows(yaml);
    let found: Vec<(String, &str)> = rows.iter().map(|row| (row.path.join("."), row.comment.as_str())).collect();
    assert_eq!(found, [("a".into(), "of a"), ("b.c".into(), "of c, more"), ("e".into(), "of e")]);
    assert_eq!(bare, ["b.d", "g"]);
}
