//! `-m addrtype ! --dst-type LOCAL` (`struct xt_addrtype_info_v1`, `linux/netfilter/xt_addrtype.h`).

use crate::backend::nftables::Unrecognised;
use crate::backend::nftables::codec::expression::Extension;

use super::parameters;

pub(in crate::backend::nftables::codec) const NAME: &str = "addrtype";

const REVISION: u32 = 1;
/// `u16 source; u16 dest; u32 flags`: sets of route types, and what to do with them.
const LEN: usize = 8;
/// `XT_ADDRTYPE_LOCAL`: bit `RTN_LOCAL` of linux/rtnetlink.h.
const TYPE_LOCAL: u16 = 1 << 2;
/// `XT_ADDRTYPE_INVERT_DEST`.
const FLAG_INVERT_DEST: u32 = 2;

/// The destination is no address of this host.
pub(in crate::backend::nftables::codec) fn destination_not_local() -> Extension {
    Extension { name: NAME.to_owned(), revision: REVISION, info: not_local().to_vec() }
}

/// `Ok` if it says [`destination_not_local`].
pub(in crate::backend::nftables::codec) fn parse(extension: &Extension) -> Result<(), Unrecognised> {
    if parameters(extension, REVISION, LEN)? == not_local() {
        return Ok(());
    }
    Err(Unrecognised("tests address types other than `! --dst-type LOCAL`".to_owned()))
}

fn not_local() -> [u8; LEN] {
    let [s0, s1] = 0_u16.to_ne_bytes();
    let [d0, d1] = TYPE_LOCAL.to_ne_bytes();
    let [f0, f1, f2, f3] = FLAG_INVERT_DEST.to_ne_bytes();
    [s0, s1, d0, d1, f0, f1, f2, f3]
}
