//! The elements of a set, shared by all values that hold them.

use std::ops::Deref;
use std::sync::Arc;

use crate::net::AddressRange;

/// Ranges of addresses: sorted, and without overlap. A hundred thousand of them can be in the desired rules, in the
/// plan and in the snapshot of the kernel at the same time, so a clone shares them instead of copying.
#[derive(Clone, Debug, Default, Eq)]
pub struct Elements(Arc<Vec<AddressRange>>);

impl Elements {
    /// Mutable access. Other values that share the elements keep the old ones.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<AddressRange> {
        Arc::make_mut(&mut self.0)
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Deref for Elements {
    type Target = [AddressRange];

    fn deref(&self) -> &[AddressRange] {
        &self.0
    }
}

impl From<Vec<AddressRange>> for Elements {
    fn from(elements: Vec<AddressRange>) -> Self {
        Self(Arc::new(elements))
    }
}

impl<'a> IntoIterator for &'a Elements {
    type Item = &'a AddressRange;
    type IntoIter = std::slice::Iter<'a, AddressRange>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
