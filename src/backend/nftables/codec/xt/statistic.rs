//! `-m statistic --mode random` (`struct xt_statistic_info`, `linux/netfilter/xt_statistic.h`).

use crate::backend::nftables::Unrecognised;
use crate::backend::nftables::codec::expression::Extension;
use crate::rules::Probability;

use super::parameters;

pub(in crate::backend::nftables::codec) const NAME: &str = "statistic";

const REVISION: u32 = 0;
/// `u16 mode; u16 flags;` then a union: in this mode `u32 probability`, else `u32 every, packet, count`. Behind it a
/// pointer of the kernel's own, aligned to 8 on every machine.
const LEN: usize = 24;
const MODE_RANDOM: u16 = 0;
const NO_FLAGS: u16 = 0;

pub(in crate::backend::nftables::codec) fn emit(probability: Probability) -> Extension {
    let mut info = Vec::with_capacity(LEN);
    info.extend(MODE_RANDOM.to_ne_bytes());
    info.extend(NO_FLAGS.to_ne_bytes());
    info.extend(probability.for_statistic().part().to_ne_bytes());
    // iptables also fills in the other member's `count`, as `every - packet`; the kernel reads neither.
    info.extend(0_u32.to_ne_bytes());
    info.extend(probability.for_statistic().part().to_ne_bytes());
    info.resize(LEN, 0);
    Extension { name: NAME.to_owned(), revision: REVISION, info }
}

pub(in crate::backend::nftables::codec) fn parse(extension: &Extension) -> Result<Probability, Unrecognised> {
    let unknown = || Unrecognised("has a statistic match other than a plain `--mode random --probability`".to_owned());
    let [m0, m1, f0, f1, p0, p1, p2, p3, ..] = parameters(extension, REVISION, LEN)? else {
        return Err(unknown());
    };
    let plain = u16::from_ne_bytes([*m0, *m1]) == MODE_RANDOM && u16::from_ne_bytes([*f0, *f1]) == NO_FLAGS;
    let probability = Probability::from_statistic(u32::from_ne_bytes([*p0, *p1, *p2, *p3]));
    probability.filter(|_| plain).ok_or_else(unknown)
}
