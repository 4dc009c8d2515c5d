//! The paths that a module uses, from the crate's root.

use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Field, ImplItem, Item, ItemMod, ItemUse, Macro, Stmt, TraitItem, UseTree, Variant, Visibility};

use crate::sources::{Module, is_for_tests};

/// A path that is used somewhere.
pub(crate) struct Used {
    /// Where it leads, from the crate's root.
    pub(crate) path: Vec<String>,
    /// As what it begins: `use crate::net` makes `net::Cidr` lead to where the import leads. Empty if it is written out.
    pub(crate) import: Vec<String>,
    /// The line of its file.
    pub(crate) line: usize,
}

/// All paths of a module that lead somewhere in the crate, which goes by `name` in other crates.
pub(crate) fn used(module: &Module, name: &str) -> Vec<Used> {
    let mut names = Names { module, name, imports: BTreeMap::new() };
    let mut imports = Imports(Vec::new());
    imports.visit_items(&module.items);
    for import in &imports.0 {
        if let Some(path) = names.resolve(&import.written) {
            names.imports.insert(import.alias.clone(), path);
        }
    }
    let mut found: Vec<Used> = Vec::new();
    for import in &imports.0 {
        // An import may begin with another one's name, but says as what itself only.
        found.extend(names.used(&import.written, import.span));
    }
    let mut paths = Paths(Vec::new());
    paths.visit_items(&module.items);
    found.extend(paths.0.iter().filter_map(|(written, span)| names.used(written, *span)));
    found
}

/// What the first name of a path can mean in a module.
struct Names<'a> {
    module: &'a Module,
    name: &'a str,
    imports: BTreeMap<String, Vec<String>>,
}

impl Names<'_> {
    fn used(&self, written: &[String], span: Span) -> Option<Used> {
        let import = match written {
            [first, _, ..] => self.imports.get(first).cloned().unwrap_or_default(),
            // A single name is that of an import, which was looked at, or no path.
            _ => return None,
        };
        Some(Used { path: self.resolve(written)?, import, line: span.start().line })
    }

    /// From the crate's root, if it leads into the crate.
    fn resolve(&self, written: &[String]) -> Option<Vec<String>> {
        let (first, mut rest) = written.split_first()?;
        let mut path = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.path.clone(),
            "super" => self.module.path.split_last()?.1.to_vec(),
            first if first == self.name => Vec::new(),
            first => match self.imports.get(first) {
                Some(import) => import.clone(),
                None if self.is_below(first) => [self.module.path.as_slice(), &[first.to_owned()]].concat(),
                None => return None,
            },
        };
        while let Some((_, others)) = rest.split_first().filter(|(next, _)| *next == "super") {
            path.pop()?;
            rest = others;
        }
        path.extend(rest.iter().cloned());
        Some(path)
    }

    fn is_below(&self, name: &str) -> bool {
        self.module.items.iter().any(|item| matches!(item, Item::Mod(item) if item.ident == name))
    }
}

/// One name that a `use` brings in.
struct Import {
    written: Vec<String>,
    alias: String,
    span: Span,
}

struct Imports(Vec<Import>);

impl Imports {
    fn add(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.add(&with(path.ident.to_string()), &path.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(before, tree)),
            UseTree::Glob(glob) => {
                let span = glob.star_token.spans[0];
                self.0.push(Import { written: with("*".to_owned()), alias: String::new(), span });
            }
            UseTree::Name(name) if name.ident == "self" => {
                let alias = before.last().cloned().unwrap_or_default();
                self.0.push(Import { written: before.to_vec(), alias, span: name.ident.span() });
            }
            UseTree::Name(name) => {
                let ident = name.ident.to_string();
                self.0.push(Import { written: with(ident.clone()), alias: ident, span: name.ident.span() });
            }
            UseTree::Rename(rename) => {
                let written = with(rename.ident.to_string());
                self.0.push(Import { written, alias: rename.rename.to_string(), span: rename.ident.span() });
            }
        }
    }
}

/// The paths outside of `use`.
struct Paths(Vec<(Vec<String>, Span)>);

impl Paths {
    /// What a macro is given may be anything, so names with two colons between them are taken for paths.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut written: Vec<String> = Vec::new();
        let mut begin = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if !written.is_empty() && colons == 2 => {
                    written.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.0.push((std::mem::take(&mut written), begin));
                    colons = 0;
                    match other {
                        TokenTree::Ident(name) => (begin, written) = (name.span(), vec![name.to_string()]),
                        TokenTree::Group(group) => self.add_tokens(group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.0.push((written, begin));
    }
}

/// A visitor that passes over what is for tests only, other modules, attributes, and who may see something.
macro_rules! passes_over_tests {
    ($visitor:ty { $($rest:item)* }) => {
        impl $visitor {
            fn visit_items(&mut self, items: &[Item]) {
                for item in items {
                    self.visit_item(item);
                }
            }
        }

        impl<'ast> Visit<'ast> for $visitor {
            fn visit_item(&mut self, item: &'ast Item) {
                if !is_for_tests(attributes(item)) {
                    visit::visit_item(self, item);
                }
            }

            fn visit_impl_item(&mut self, item: &'ast ImplItem) {
                let attributes = match item {
                    ImplItem::Const(item) => &item.attrs[..],
                    ImplItem::Fn(item) => &item.attrs,
                    ImplItem::Type(item) => &item.attrs,
                    ImplItem::Macro(item) => &item.attrs,
                    _ => &[],
                };
                if !is_for_tests(attributes) {
                    visit::visit_impl_item(self, item);
                }
            }

            fn visit_trait_item(&mut self, item: &'ast TraitItem) {
                let attributes = match item {
                    TraitItem::Const(item) => &item.attrs[..],
                    TraitItem::Fn(item) => &item.attrs,
                    TraitItem::Type(item) => &item.attrs,
                    TraitItem::Macro(item) => &item.attrs,
                    _ => &[],
                };
                if !is_for_tests(attributes) {
                    visit::visit_trait_item(self, item);
                }
            }

            fn visit_field(&mut self, field: &'ast Field) {
                if !is_for_tests(&field.attrs) {
                    visit::visit_field(self, field);
                }
            }

            fn visit_variant(&mut self, variant: &'ast Variant) {
                if !is_for_tests(&variant.attrs) {
                    visit::visit_variant(self, variant);
                }
            }

            fn visit_stmt(&mut self, statement: &'ast Stmt) {
                let attributes = match statement {
                    Stmt::Local(local) => &local.attrs[..],
                    Stmt::Macro(call) => &call.attrs,
                    _ => &[],
                };
                if !is_for_tests(attributes) {
                    visit::visit_stmt(self, statement);
                }
            }

            fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

            fn visit_attribute(&mut self, _: &'ast Attribute) {}

            fn visit_visibility(&mut self, _: &'ast Visibility) {}

            $($rest)*
        }
    };
}

passes_over_tests! {
    Imports {
        fn visit_item_use(&mut self, item: &'ast ItemUse) {
            self.add(&[], &item.tree);
        }
    }
}

passes_over_tests! {
    Paths {
        fn visit_item_use(&mut self, _: &'ast ItemUse) {}

        fn visit_path(&mut self, path: &'ast syn::Path) {
            let written = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            if let Some(first) = path.segments.first().filter(|_| path.leading_colon.is_none()) {
                self.0.push((written, first.ident.span()));
            }
            visit::visit_path(self, path);
        }

        fn visit_macro(&mut self, call: &'ast Macro) {
            self.visit_path(&call.path);
            self.add_tokens(call.tokens.clone());
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
