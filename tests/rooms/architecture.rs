//! The list of rooms in ARCHITECTURE.md.

/// What stands before the list.
const RULE: &str = "Each room uses only those above it in this list";

/// The rooms in their order, each as a path of modules.
pub(crate) fn rooms(architecture: &str) -> Result<Vec<Vec<String>>, String> {
    let (_, list) = architecture.split_once(RULE).ok_or(format!("ARCHITECTURE.md does not say: {RULE}"))?;
    let list = list.split("```").nth(1).ok_or("no list follows the rule in ARCHITECTURE.md")?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.map(|name| name.split("::").map(str::to_owned).collect()).collect())
}
