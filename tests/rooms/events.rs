//! The events of the log in the sources, and whether each has a name.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The macros of `tracing` that make an event.
const MACROS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "event"];

/// The lines of this source file at which an event of the log is made that does not begin with `event = "name"`. What is
/// compiled for tests only is left out.
pub(crate) fn nameless(text: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    find(text.parse().unwrap(), &mut lines);
    lines
}

fn find(tokens: TokenStream, lines: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        if let [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(arguments), ..] = &tokens[at - 1..]
            && MACROS.iter().any(|one| name == one)
            && mark.as_char() == '!'
            && !is_named(arguments.stream())
        {
            lines.push(name.span().start().line);
        }
        if is_for_tests(token) {
            // To the end of what the attribute is about.
            let is_end = |token: &TokenTree| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Punct(mark) => mark.as_char() == ';',
                _ => false,
            };
            at = tokens.iter().skip(at).position(is_end).map_or(tokens.len(), |end| at + end + 1);
        } else if let TokenTree::Group(group) = token {
            find(group.stream(), lines);
        }
    }
}

/// Whether the arguments begin with a name in small letters and digits.
fn is_named(arguments: TokenStream) -> bool {
    let text: Vec<String> = arguments.into_iter().take(3).map(|token| token.to_string()).collect();
    let [field, equals, name] = text.as_slice() else { return false };
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'));
    field == "event"
        && equals == "="
        && name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).is_some_and(is_name)
}

/// Whether this is the inside of `#[cfg(test)]`.
fn is_for_tests(token: &TokenTree) -> bool {
    token.to_string().replace(' ', "").starts_with("[cfg(test")
}

#[test]
fn an_event_without_a_name_is_found_wherever_it_is_made_but_in_tests() {
    let text = r#"
        fn f() {
            warn!("one");
            tracing::info!(changes, "two");
            let _ = result.inspect_err(|error| debug!(event = name, "three"));
            select! { () = a => error!(event = "Four", "four"), }
            info!(event = "named", "five");
            println!("six");
            trace!();
        }
        #[cfg(test)]
        mod tests { fn g() { info!("eight"); } }
        fn h() { warn!("nine") }
    "#;
    assert_eq!(nameless(text), [3, 4, 5, 6, 9, 13]);
}
