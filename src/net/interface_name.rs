//! The name of a network interface that the kernel accepts, and that iptables and nft read as they write it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The name of an interface, or the start of the names of several: at most 15 bytes. It is stored in place, as conditions are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    /// Zeros behind the name.
    bytes: [u8; Self::MAX_LEN],
}

/// Why a text cannot name an interface.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InterfaceNameError {
    /// The empty text.
    #[error("the name of an interface cannot be empty; expected a name such as eth0")]
    Empty,
    /// `IFNAMSIZ`, the NUL at the end included, is 16 (`linux/if.h`).
    #[error("{0:?} is too long for the name of an interface; expected at most {max} bytes", max = InterfaceName::MAX_LEN)]
    TooLong(String),
    /// What the kernel refuses (`dev_valid_name`), what ends or escapes a quoted text, what stands for several interfaces
    /// (`+` to iptables, `*` to nft), and what a terminal does not show.
    #[error("{0:?} has {1:?}, which the name of an interface cannot have here; expected a name such as eth0")]
    Character(String, char),
    /// `.` and `..`, which the kernel refuses; and names that iptables reads as an option, or as its `!`.
    #[error("{0:?} cannot name an interface: the kernel or iptables reads it as something else")]
    Reserved(String),
}

impl InterfaceName {
    /// The most bytes that a name has.
    pub const MAX_LEN: usize = 15;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // All of its bytes are ASCII.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The bytes of the name, without a NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        const READ_OTHERWISE: [char; 6] = ['/', ':', '"', '\\', '+', '*'];
        let is_bad = |character: &char| !character.is_ascii_graphic() || READ_OTHERWISE.contains(character);
        if text.is_empty() {
            return Err(InterfaceNameError::Empty);
        }
        if let Some(character) = text.chars().find(is_bad) {
            return Err(InterfaceNameError::Character(text.to_owned(), character));
        }
        if matches!(text, "." | "..") || text.starts_with(['-', '!']) {
            return Err(InterfaceNameError::Reserved(text.to_owned()));
        }
        let mut bytes = [0; Self::MAX_LEN];
        let name = bytes.get_mut(..text.len()).ok_or_else(|| InterfaceNameError::TooLong(text.to_owned()))?;
        name.copy_from_slice(text.as_bytes());
        Ok(Self { bytes })
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_iptables_and_nft_read_alike_is_a_name_and_nothing_else_is() {
        let character = |text: &str, character| InterfaceNameError::Character(text.to_owned(), character);
        let reserved = |text: &str| InterfaceNameError::Reserved(text.to_owned());
        for text in ["a", "eth0", "enp0s31f6", "br-0123456789ab", "eth0.100", "cali_x@~", "...", "x!"] {
            assert_eq!(text.parse::<InterfaceName>().map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for (text, error) in [
            ("", InterfaceNameError::Empty),
            ("br-0123456789abc", InterfaceNameError::TooLong("br-0123456789abc".to_owned())),
            ("veth+", character("veth+", '+')),
            ("veth*", character("veth*", '*')),
            ("a b", character("a b", ' ')),
            ("a/b", character("a/b", '/')),
            ("eth0:1", character("eth0:1", ':')),
            ("a\"", character("a\"", '"')),
            ("a\\", character("a\\", '\\')),
            ("a\0", character("a\0", '\0')),
            ("ß", character("ß", 'ß')),
            (".", reserved(".")),
            ("..", reserved("..")),
            ("-o", reserved("-o")),
            ("!", reserved("!")),
        ] {
            assert_eq!(text.parse::<InterfaceName>(), Err(error), "{text:?}");
        }
    }
}
