//! The mark of a packet: a number of 32 bits by which programs of a node tell each other about it.

use std::fmt;

/// A mark. It is stored as bytes, because conditions are: a number in its place would make each of them larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark([u8; 4]);

/// Some of the bits of a mark, and what they are: at least one bit, and not all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MarkBits {
    value: Mark,
    mask: Mark,
}

impl Mark {
    /// The mark with these bits.
    #[must_use]
    pub const fn new(bits: u32) -> Self {
        Self(bits.to_be_bytes())
    }

    /// Its bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        u32::from_be_bytes(self.0)
    }
}

impl MarkBits {
    /// The bits of `mask` are those of `value`. `None` if the mask has no bit or all of them, or the value has others.
    #[must_use]
    pub const fn new(value: u32, mask: u32) -> Option<Self> {
        if mask == 0 || mask == u32::MAX || value & !mask != 0 {
            return None;
        }
        Some(Self { value: Mark::new(value), mask: Mark::new(mask) })
    }

    /// What the bits are.
    #[must_use]
    pub const fn value(self) -> Mark {
        self.value
    }

    /// Which bits.
    #[must_use]
    pub const fn mask(self) -> Mark {
        self.mask
    }

    /// Whether a mark has these bits.
    #[must_use]
    pub const fn are_of(self, mark: Mark) -> bool {
        mark.bits() & self.mask.bits() == self.value.bits()
    }
}

impl fmt::Display for Mark {
    /// As iptables prints it: `0x4000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.bits())
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for MarkBits {
    /// As iptables prints it: value, slash, mask.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.value, self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_some_of_a_mark_and_have_a_value_of_their_own() {
        for (value, mask) in [(0, 0), (1, 0), (1, 2), (0x4001, 0x4000), (0, u32::MAX), (7, u32::MAX)] {
            assert_eq!(MarkBits::new(value, mask), None, "{value:#x}/{mask:#x}");
        }
        let bits = MarkBits::new(0x4000, 0xc000).unwrap();
        assert_eq!(bits.to_string(), "0x4000/0xc000");
        for (mark, is_met) in [(0x4000, true), (0x4001, true), (0xffff_7fff, true), (0xc000, false), (0, false)] {
            assert_eq!(bits.are_of(Mark::new(mark)), is_met, "{mark:#x}");
        }
        assert_eq!((Mark::new(0).to_string(), Mark::new(0xabc).bits()), ("0x0".to_owned(), 0xabc));
    }
}
