//! Is the whole tree something that upstream would read, and not too much of it?

use std::collections::BTreeSet;

use super::resolve::Scalar;
use super::tree::{Children, Content, Id, Tree};
use crate::config::error::MAX_DEPTH;
use crate::config::{ConfigError, Problem};

/// A collection or alias that is walked through: what is left of it, and what it is itself.
struct Frame<'t> {
    id: Id,
    rest: Children<'t>,
    role: Role,
    /// In a mapping: has a key been taken whose value comes next?
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

/// Walks through the tree as upstream's decoder does, each alias as what it stands for, and stops at the first thing
/// that upstream refuses, in keys that nobody knows too: broken tags, keys that are no text, infinity.
pub(super) fn check(tree: &Tree<'_>) -> Result<(), ConfigError> {
    let Some(root) = tree.root() else { return Ok(()) };
    // The document itself counts as one step.
    let mut walk = Walk { all: 1, ..Walk::default() };
    walk.enter(tree, root, Role::Value)?;
    while let Some(frame) = walk.stack.last_mut() {
        let (id, role) = (frame.id, frame.role);
        let Some(child) = frame.rest.next() else {
            walk.leave(id);
            continue;
        };
        match tree.node(id).content {
            Content::Mapping { .. } if !frame.in_pair && tree.node(child).is_merge_key() => {
                let Some(value) = frame.rest.next() else { continue };
                match tree.node(value).content {
                    Content::Sequence { .. } => walk.push(tree, value, Role::Merged)?,
                    _ => walk.merge(tree, value)?,
                }
            }
            Content::Mapping { .. } => {
                let role = if frame.in_pair { Role::Value } else { Role::Key };
                frame.in_pair = !frame.in_pair;
                walk.enter(tree, child, role)?;
            }
            Content::Sequence { .. } if role == Role::Merged => walk.merge(tree, child)?,
            Content::Sequence { .. } => walk.enter(tree, child, Role::Value)?,
            Content::Alias(_) | Content::Scalar(_) => walk.enter(tree, child, role)?,
        }
    }
    Ok(())
}

impl<'t> Walk<'t> {
    /// One step of upstream's decoder.
    fn enter(&mut self, tree: &'t Tree<'_>, id: Id, role: Role) -> Result<(), ConfigError> {
        let node = tree.node(id);
        self.all += 1;
        self.aliased += u64::from(!self.open_aliases.is_empty());
        if self.aliased > 100 && self.all > 1000 && is_excessive(self.aliased, self.all) {
            return Err(ConfigError::at(node.line, Problem::Aliasing));
        }
        let refuse = |what: &str| Err(ConfigError::at(node.line, Problem::Yaml(what.to_owned())));
        match node.content {
            Content::Scalar(_) => match (role, node.scalar()?) {
                (Role::Key, Some(Scalar::Null)) => refuse("an empty key; write a name before the colon"),
                (Role::Key, Some(Scalar::Uint(_))) => refuse("a key that is too large a number; put it into quotes"),
                (Role::Value, Some(Scalar::Float(value))) if !value.is_finite() => {
                    refuse("a number that is infinite or none at all; put it into quotes to mean the text")
                }
                _ => Ok(()),
            },
            Content::Sequence { .. } | Content::Mapping { .. } if role == Role::Key => {
                refuse("a list or a mapping as a key; put a value with brackets or braces into quotes")
            }
            Content::Alias(_) => {
                if !self.open_aliases.insert(id) {
                    return Err(ConfigError::at(node.line, Problem::Recursion));
                }
                self.push(tree, id, role)
            }
            Content::Sequence { .. } | Content::Mapping { .. } => {
                // Only the list itself of `<<: [*a, *b]` is merged, never a list behind an alias in it.
                self.push(tree, id, if role == Role::Merged { Role::Value } else { role })
            }
        }
    }

    /// One mapping that is merged into another.
    fn merge(&mut self, tree: &'t Tree<'_>, id: Id) -> Result<(), ConfigError> {
        if !matches!(tree.node(tree.target(id)).content, Content::Mapping { .. }) {
            let what = "a merge key (<<) whose value is neither a mapping nor a list of mappings";
            return Err(ConfigError::at(tree.node(id).line, Problem::Yaml(what.to_owned())));
        }
        self.enter(tree, id, Role::Merged)
    }

    fn push(&mut self, tree: &'t Tree<'_>, id: Id, role: Role) -> Result<(), ConfigError> {
        // Aliases have frames too, but are no level of what they stand for.
        if self.stack.len().saturating_sub(self.open_aliases.len()) >= MAX_DEPTH {
            return Err(ConfigError::new(None, Problem::Depth));
        }
        self.stack.push(Frame { id, rest: tree.children(id), role, in_pair: false });
        Ok(())
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
