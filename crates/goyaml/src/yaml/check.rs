//! What is valid YAML, and refused by go-yaml or by Go's JSON all the same.

use std::collections::BTreeSet;

use super::resolve::Scalar;
use crate::document::{Children, Content, Stored};
use crate::tree::Id;
use crate::{Document, Error, MAX_DEPTH, Problem};

/// A collection or alias that is walked through: what is left of it, and what it is itself.
struct Frame<'t> {
    id: Id,
    content: Content<'t>,
    rest: Children<'t>,
    role: Role,
    /// In a map: whether a key has been taken whose value comes next.
    in_pair: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Key,
    Value,
    /// The value of `<<`, or an entry of the list that is.
    Merged,
}

/// How much has been walked through, and how much of that for aliases.
#[derive(Default)]
struct Walk<'t> {
    stack: Vec<Frame<'t>>,
    all: u64,
    aliased: u64,
    /// The aliases that are open, of which each is a frame of its own.
    open_aliases: BTreeSet<Id>,
}

/// Walks through the document as go-yaml's decoder does, each alias as what it stands for, and stops at the first thing that it or
/// the printing as JSON refuses: broken tags, keys that are not text, infinity.
pub(super) fn check(document: &Document<'_>) -> Result<(), Error> {
    let Some(root) = document.root_id() else { return Ok(()) };
    // The document itself counts as one step.
    let mut walk = Walk { all: 1, ..Walk::default() };
    walk.enter(document, (root, document.stored(root)), Role::Value)?;
    while let Some(frame) = walk.stack.last_mut() {
        let (id, role) = (frame.id, frame.role);
        let Some(child) = frame.rest.next() else {
            walk.leave(id);
            continue;
        };
        match frame.content {
            Content::Map if !frame.in_pair && child.1.is_merge_key() => {
                let Some(value) = frame.rest.next() else { continue };
                match value.1.content {
                    Content::List => walk.push(document, value, Role::Merged)?,
                    _ => walk.merge(document, value)?,
                }
            }
            Content::Map => {
                let role = if frame.in_pair { Role::Value } else { Role::Key };
                frame.in_pair = !frame.in_pair;
                walk.enter(document, child, role)?;
            }
            Content::List if role == Role::Merged => walk.merge(document, child)?,
            Content::List => walk.enter(document, child, Role::Value)?,
            Content::Alias(_) | Content::Scalar(_) => walk.enter(document, child, role)?,
        }
    }
    Ok(())
}

impl<'t> Walk<'t> {
    /// One step of go-yaml's decoder.
    fn enter(&mut self, document: &'t Document<'_>, (id, node): (Id, Stored<'t>), role: Role) -> Result<(), Error> {
        self.all += 1;
        self.aliased += u64::from(!self.open_aliases.is_empty());
        if self.aliased > 100 && self.all > 1000 && is_excessive(self.aliased, self.all) {
            return Err(Error::new(node.span, Problem::Aliasing));
        }
        let refuse = |what: &str| Err(Error::yaml(node.span, what));
        match node.content {
            Content::Scalar(_) => match (role, document.scalar(&node)?) {
                (Role::Key, Some(Scalar::Null)) => refuse("an empty key; write a name before the colon"),
                (Role::Key, Some(Scalar::Uint(_))) => refuse("a key that is too large a number; put it into quotes"),
                (Role::Value, Some(Scalar::Float(value))) if !value.is_finite() => {
                    refuse("a number that is infinite or none at all; put it into quotes to mean the text")
                }
                _ => Ok(()),
            },
            Content::List | Content::Map if role == Role::Key => {
                refuse("a list or a mapping as a key; put a value with brackets or braces into quotes")
            }
            Content::Alias(_) => {
                if !self.open_aliases.insert(id) {
                    return Err(Error::new(node.span, Problem::Recursion));
                }
                self.push(document, (id, node), role)
            }
            // Without aliases nothing is counted, so that there is nothing to find out of a list of nothing but harmless scalars.
            Content::List if role == Role::Value && node.plain && !document.tree.has_aliases => self.fits(&node),
            Content::List | Content::Map => {
                // Only the list itself of `<<: [*a, *b]` is merged, never a list reached through an alias in it.
                self.push(document, (id, node), if role == Role::Merged { Role::Value } else { role })
            }
        }
    }

    /// One map that is merged into another.
    fn merge(&mut self, document: &'t Document<'_>, (id, node): (Id, Stored<'t>)) -> Result<(), Error> {
        if !matches!(document.stored(document.target(id)).content, Content::Map) {
            let what = "a merge key (<<) whose value is neither a mapping nor a list of mappings";
            return Err(Error::yaml(node.span, what));
        }
        self.enter(document, (id, node), Role::Merged)
    }

    fn push(&mut self, document: &'t Document<'_>, (id, node): (Id, Stored<'t>), role: Role) -> Result<(), Error> {
        self.fits(&node)?;
        self.stack.push(Frame { id, content: node.content, rest: document.children(id), role, in_pair: false });
        Ok(())
    }

    /// Whether there may be one more level.
    fn fits(&self, node: &Stored<'_>) -> Result<(), Error> {
        // Aliases have frames too, but are no level of what they stand for.
        let depth = self.stack.len().saturating_sub(self.open_aliases.len());
        if depth < MAX_DEPTH { Ok(()) } else { Err(Error::new(node.span, Problem::Depth)) }
    }

    fn leave(&mut self, id: Id) {
        self.stack.pop();
        self.open_aliases.remove(&id);
    }
}

/// go-yaml's measure against alias bombs: of up to 400,000 steps 99 % may be for aliases, of 4,000,000 and more 10 %,
/// and in between the share falls evenly.
#[allow(clippy::cast_precision_loss)]
fn is_excessive(aliased: u64, all: u64) -> bool {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    let (aliased, all) = (aliased as f64, all as f64);
    let share = ((all - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
    aliased / all > 0.99 - 0.89 * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Format;
    use crate::yaml::first;
    use proptest::prelude::*;

    /// What the texts are made of, with `;` between them.
    const PIECES: &str = "- a\n;- .inf\n;- '.inf'\n;- -.inf\n;- !!int a\n;- !!str .nan\n;- .5\n;- [a, b]\n;- [a, .nan]\n;- {a: [b, .inf]}\n;\
                          - - .inf\n;-\n; - a\n;k: [a]\n;? [a]\n;{[a]: b}\n;<<: [a]\n;<<: [{a: b}, {}]\n";

    proptest! {
        /// What is said of a list of harmless scalars at once is what each of them says.
        #[test]
        fn a_list_that_is_not_walked_through_has_nothing_to_be_refused(
            pieces in prop::collection::vec(prop::sample::select(PIECES.split(';').collect::<Vec<_>>()), 0..6)
        ) {
            let text = pieces.concat();
            if let Ok(read) = first(&text, 0) {
                let mut document = Document { text: text.as_str().into(), tree: read.tree, format: Format::Yaml, rest: None };
                let quickly = check(&document);
                // With aliases every list is walked through.
                document.tree.has_aliases = true;
                prop_assert_eq!(quickly, check(&document));
            }
        }
    }

    #[test]
    fn only_a_list_of_scalars_that_are_valid_anywhere_is_not_walked_through() {
        for (text, is_plain) in [
            ("- a\n- '.inf'\n- 10.0.0.0/8\n-\n", true),
            ("[a, \"b\"]", true),
            ("[]", true),
            ("- a\n- .5\n", false),
            ("- -1\n", false),
            ("- !!str a\n", false),
            ("- [a]\n", false),
            ("- {}\n", false),
            ("- &a b\n- *a\n", false),
        ] {
            let read = first(text, 0).unwrap();
            let document = Document { text: text.into(), tree: read.tree, format: Format::Yaml, rest: None };
            assert_eq!(document.stored(document.root_id().unwrap()).plain, is_plain, "{text:?}");
        }
    }
}
