//! The elements of a set, shared by all values that hold them.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::net::AddressRange;

/// Ranges of addresses: sorted, and without overlap. A hundred thousand of them can be in the desired rules, in the
/// plan and in the snapshot of the kernel at the same time, so a clone shares them instead of copying, and so does a part.
#[derive(Clone, Default, Eq)]
pub struct Elements {
    shared: Arc<Vec<AddressRange>>,
    /// Which of those that are shared; `None` for all.
    part: Option<Range<usize>>,
}

impl Elements {
    /// Mutable access. Other values that share the elements keep the old ones.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<AddressRange> {
        if self.part.is_some() {
            *self = self.to_vec().into();
        }
        Arc::make_mut(&mut self.shared)
    }

    /// Those at these places, as far as there are any.
    #[must_use]
    pub(crate) fn part(&self, Range { start, end }: Range<usize>) -> Self {
        let Range { start: first, end: behind } = self.places();
        let place = |place: usize| first.saturating_add(place).min(behind);
        let mut part = self.clone();
        part.set_places(place(start)..place(end));
        part
    }

    /// How many at the beginning are the same in both.
    #[must_use]
    pub(crate) fn same_as_in(&self, other: &Self) -> usize {
        if Arc::ptr_eq(&self.shared, &other.shared) && self.places().start == other.places().start {
            return self.len().min(other.len());
        }
        self.iter().zip(other).take_while(|(one, other)| one == other).count()
    }

    /// Takes those behind its own in, if both are parts of the same and one follows on the other, so that nothing has to be
    /// copied. Returns whether it did.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let (Range { start, end }, Range { start: next_start, end: next_end }) = (self.places(), next.places());
        let joins = Arc::ptr_eq(&self.shared, &next.shared) && end == next_start;
        if joins {
            self.set_places(start..next_end);
        }
        joins
    }

    fn set_places(&mut self, places: Range<usize>) {
        self.part = (places != (0..self.shared.len())).then_some(places);
    }

    fn places(&self) -> Range<usize> {
        self.part.clone().unwrap_or(0..self.shared.len())
    }
}

impl PartialEq for Elements {
    fn eq(&self, other: &Self) -> bool {
        let is_same = Arc::ptr_eq(&self.shared, &other.shared) && self.places() == other.places();
        is_same || **self == **other
    }
}

impl Deref for Elements {
    type Target = [AddressRange];

    fn deref(&self) -> &[AddressRange] {
        self.shared.get(self.places()).unwrap_or_default()
    }
}

impl fmt::Debug for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl From<Vec<AddressRange>> for Elements {
    fn from(elements: Vec<AddressRange>) -> Self {
        Self { shared: Arc::new(elements), part: None }
    }
}

impl<'a> IntoIterator for &'a Elements {
    type Item = &'a AddressRange;
    type IntoIter = std::slice::Iter<'a, AddressRange>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
