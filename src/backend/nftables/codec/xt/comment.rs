//! `-m comment`: a text that listings show (`struct xt_comment_info`, `linux/netfilter/xt_comment.h`).

use crate::backend::nftables::Unrecognised;
use crate::backend::nftables::codec::expression::Extension;

use super::parameters;

pub(in crate::backend::nftables::codec) const NAME: &str = "comment";

const REVISION: u32 = 0;
/// `XT_MAX_COMMENT_LEN`, the NUL at the end included.
const LEN: usize = 256;

/// A comment; what does not fit into 255 bytes is cut off at a character's end.
pub(in crate::backend::nftables::codec) fn emit(text: &str) -> Extension {
    let mut info = Vec::with_capacity(LEN);
    let mut buffer = [0; 4];
    for character in text.chars() {
        let bytes = character.encode_utf8(&mut buffer).as_bytes();
        if info.len() + bytes.len() >= LEN {
            break;
        }
        info.extend_from_slice(bytes);
    }
    info.resize(LEN, 0);
    Extension { name: NAME.to_owned(), revision: REVISION, info }
}

pub(in crate::backend::nftables::codec) fn parse(extension: &Extension) -> Result<String, Unrecognised> {
    let info = parameters(extension, REVISION, LEN)?;
    let text = info.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(text.to_vec()).map_err(|_| Unrecognised("has a comment that is not UTF-8".to_owned()))
}
