//! The modules of a crate, found as the compiler finds them.

use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta};

/// A module that is not only for tests.
pub(crate) struct Module {
    /// Its path from the crate's root, which is empty for the root itself.
    pub(crate) path: Vec<String>,
    /// The file that it stands in.
    pub(crate) file: PathBuf,
    /// What it holds.
    pub(crate) items: Vec<Item>,
}

/// The text of a source file, if there is such a file.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// The modules of the crate whose root this file is.
pub(crate) fn modules(root: &str, read: Read<'_>) -> Vec<Module> {
    let file = PathBuf::from(root);
    let directory = file.parent().unwrap().to_owned();
    let mut found = Vec::new();
    let items = parse(&file, read).unwrap_or_else(|| panic!("there is no {root}"));
    add(&mut found, Module { path: Vec::new(), file, items }, &directory, read);
    found
}

/// Whether this is compiled for tests only.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if attribute.path().is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        _ => false,
    })
}

/// `directory` is the one in which the files of the module's own modules are.
fn add(found: &mut Vec<Module>, module: Module, directory: &Path, read: Read<'_>) {
    let mut below = Vec::new();
    for item in &module.items {
        let Item::Mod(item) = item else { continue };
        if is_for_tests(&item.attrs) {
            continue;
        }
        let name = item.ident.to_string();
        let path: Vec<String> = module.path.iter().cloned().chain([name.clone()]).collect();
        if let Some((_, items)) = &item.content {
            below.push((Module { path, file: module.file.clone(), items: items.clone() }, directory.join(name)));
            continue;
        }
        let candidates = match named_file(item) {
            // From the directory of the file that names it (The Rust Reference, "The path attribute").
            Some(file) => [(module.file.parent().unwrap().join(&file), directory.to_owned()), Default::default()],
            None => [
                (directory.join(format!("{name}.rs")), directory.join(&name)),
                (directory.join(&name).join("mod.rs"), directory.join(&name)),
            ],
        };
        let (file, directory, items) = candidates
            .into_iter()
            .find_map(|(file, directory)| parse(&file, read).map(|items| (file, directory, items)))
            .unwrap_or_else(|| panic!("{}: no file for module {name}", module.file.display()));
        below.push((Module { path, file, items }, directory));
    }
    found.push(module);
    for (module, directory) in below {
        add(found, module, &directory, read);
    }
}

fn named_file(item: &ItemMod) -> Option<String> {
    item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(value) => match &value.lit {
                Lit::Str(file) => Some(file.value()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    })
}

fn parse(file: &Path, read: Read<'_>) -> Option<Vec<Item>> {
    let text = read(file)?;
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Some(parsed.items)
}
