//! YAML and JSON as Kubernetes' Go tools read them, with spans.
//!
//! Kubernetes' tools read their files through `sigs.k8s.io/yaml`: what starts with a brace is JSON to `encoding/json`, all else is
//! YAML 1.1 to go-yaml v2, which is turned to JSON and given to `encoding/json`. [`parse`] reads the same texts, refuses the same
//! ones, and understands the same by them; of each value it knows the [`Span`] in the text.
//!
//! ```
//! let document = goyaml::parse(b"ports: [80, 0x1bb]\nipv6: yes\n")?;
//! let Some(goyaml::Value::Map(map)) = document.root().map(|root| root.value()) else { unreachable!() };
//! for pair in map.pairs() {
//!     match pair.value.value() {
//!         goyaml::Value::List(ports) => {
//!             let ports: Vec<_> = ports.map(|port| port.span().of(document.text()).unwrap()).collect();
//!             assert_eq!(ports, ["80", "0x1bb"]);
//!         }
//!         goyaml::Value::Bool(ipv6) => assert!(ipv6 && pair.value.span().line == 2),
//!         _ => unreachable!(),
//!     }
//! }
//! # Ok::<(), goyaml::Error>(())
//! ```
//!
//! The data flows one way: `text` decodes bytes, `yaml` or `json` finds what is written there, `tree` stores that as `records`, and
//! [`Document`] gives it out as [`Node`]s. No input makes any of it panic, and no nesting needs a stack. The memory for a text is a
//! small multiple of its size, whatever it holds.

mod document;
mod error;
mod field;
mod json;
mod map;
mod records;
mod span;
mod text;
mod tree;
mod yaml;

pub use document::{Document, List, Node, Number, Value};
pub use error::{Error, Problem};
pub use field::{fold, names_field};
pub use map::{Effective, Map, Pair, Pairs};
pub use span::Span;

/// Lists and maps that may stand inside each other; the number of both of Go's readers.
pub const MAX_DEPTH: usize = 10_000;

/// The bytes that a text may have, so that all places in it, and all of what is made of it, can be counted with 32 bits.
pub const MAX_BYTES: usize = 256 << 20;

/// The text that the spans of [`parse`] refer to, also if that ends in an error: up to the first thing that is not text.
#[must_use]
pub fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    if text::is_json(bytes) { text::json(bytes).text } else { text::yaml(bytes).text }
}

/// Reads a text: JSON, if the first character is a brace, else the first document of YAML.
///
/// # Errors
///
/// When Go's readers refuse the text, or when it is larger than [`MAX_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Document<'_>, Error> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::new(Span::point(0, 1), Problem::Size));
    }
    if text::is_json(bytes) { json::read(text::json(bytes)) } else { yaml::read(text::yaml(bytes)) }
}
