//! The parameters of the xtables extensions that our rules use, as the kernel's C structs lay them out.
//!
//! Parsing is strict: parameters that say anything beyond what our types can say are [`Unrecognised`].

pub(super) mod addrtype;
pub(super) mod comment;
pub(super) mod masquerade;
pub(super) mod statistic;

use crate::backend::nftables::Unrecognised;

use super::expression::Extension;

/// The parameters of `extension` if it has this revision, and `len` bytes with nothing but padding behind them.
fn parameters(extension: &Extension, revision: u32, len: usize) -> Result<&[u8], Unrecognised> {
    let unknown = || {
        Unrecognised(format!(
            "has the xtables extension {} in revision {} with {} bytes of parameters",
            extension.name,
            extension.revision,
            extension.info.len()
        ))
    };
    if extension.revision != revision {
        return Err(unknown());
    }
    let (parameters, padding) = extension.info.split_at_checked(len).ok_or_else(unknown)?;
    // XT_ALIGN: the kernel rounds up to a multiple of 8 in dumps.
    let is_padding = padding.len() < 8 && padding.iter().all(|byte| *byte == 0);
    if is_padding { Ok(parameters) } else { Err(unknown()) }
}
