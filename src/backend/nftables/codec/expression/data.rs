//! What a register of 16 bytes holds.

use std::ops::Deref;

/// The most bytes that a register holds (`NFT_REG_SIZE`).
const LEN: usize = 16;

/// Up to 16 bytes, as they stand in the packet or in host order, whichever the expression is about. They are stored in place
/// and not on the heap, because a long chain has tens of thousands of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    len: u8,
    /// Zeros behind `len`.
    bytes: [u8; LEN],
}

impl Data {
    /// These bytes; `None` if no register holds so many.
    #[must_use]
    pub fn new(content: &[u8]) -> Option<Self> {
        let mut data = Self { len: u8::try_from(content.len()).ok()?, bytes: [0; LEN] };
        data.bytes.get_mut(..content.len())?.copy_from_slice(content);
        Some(data)
    }

    /// So many bytes, 16 at most, each of which `byte` gives for its index.
    #[must_use]
    pub fn from_fn(len: usize, byte: impl Fn(usize) -> u8) -> Self {
        let len = len.min(LEN);
        let bytes = std::array::from_fn(|index| if index < len { byte(index) } else { 0 });
        Self { len: u8::try_from(len).unwrap_or(u8::MAX), bytes }
    }
}

impl<const N: usize> From<[u8; N]> for Data {
    fn from(content: [u8; N]) -> Self {
        const { assert!(N <= LEN, "a register has no room for this") };
        Self::from_fn(N, |index| content.get(index).copied().unwrap_or_default())
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_up_to_sixteen_of_them() {
        for len in 0..=16 {
            let bytes: Vec<u8> = (1..=len).collect();
            let data = Data::new(&bytes).unwrap();
            assert_eq!(*data, bytes);
            assert_eq!(Data::from_fn(bytes.len(), |index| bytes[index]), data);
        }
        assert_eq!(Data::new(&[0; 17]), None);
        assert_eq!(*Data::from([1, 2]), [1, 2]);
        assert_ne!(Data::from([0; 4]), Data::from([0; 5]));
    }
}
