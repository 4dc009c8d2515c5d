//! Lists that are nearly always of one element.

use std::ops::Deref;

/// A list. A single element needs no memory of its own, of which there are a hundred thousand: conditions of decisions,
/// matches of rules.
#[derive(Clone, Debug)]
pub(crate) enum Few<T> {
    None,
    One(T),
    Many(Box<[T]>),
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut list: Vec<T>) -> Self {
        if list.len() > 1 {
            return Self::Many(list.into());
        }
        list.pop().map_or(Self::None, Self::One)
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut elements = elements.into_iter();
        let Some(first) = elements.next() else { return Self::None };
        let Some(second) = elements.next() else { return Self::One(first) };
        Self::Many([first, second].into_iter().chain(elements).collect())
    }
}
