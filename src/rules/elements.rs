//! The elements of a set, shared by all who hold them.

use std::ops::Deref;
use std::sync::Arc;

use crate::net::AddressRange;

/// Ranges of addresses: sorted, and no two of them share one. A hundred thousand of them are in the rules that shall be, in
/// the plan and in what is known of the kernel at once, so that a copy is only another name for them.
#[derive(Clone, Debug, Default, Eq)]
pub struct Elements(Arc<Vec<AddressRange>>);

impl Elements {
    /// To change them. Whoever else holds them keeps what there was.
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
