//! The expressions, each with its attributes as the kernel numbers them (`linux/netfilter/nf_tables.h`).

use crate::netlink::{Attribute, Attributes, Writer};

use super::Data;
use super::attribute::{Value, of_attributes};

of_attributes! {
    /// Loads `len` bytes at `offset` of a header into a register (`enum nft_payload_attributes`). A source register, which
    /// would make it write to the packet, is no field.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Payload {
        /// The register to load into.
        register: u32 = NFTA_PAYLOAD_DREG(1),
        /// The header from whose start `offset` counts.
        base: PayloadBase = NFTA_PAYLOAD_BASE(2),
        /// In bytes.
        offset: u32 = NFTA_PAYLOAD_OFFSET(3),
        /// In bytes.
        len: u32 = NFTA_PAYLOAD_LEN(4),
    }
}

/// A header of the packet (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadBase(pub u32);

impl PayloadBase {
    /// The IPv4 or IPv6 header.
    pub const NETWORK: Self = Self(1);
    /// The header of the transport protocol.
    pub const TRANSPORT: Self = Self(2);
}

impl Value for PayloadBase {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        self.0.emit(writer, kind);
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        Value::parse(attribute).map(Self)
    }
}

of_attributes! {
    /// Loads what `key` names, which is about the packet but not in its bytes, into a register (`enum nft_meta_attributes`).
    /// A source register, which would make it set what `key` names, is no field.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Meta {
        /// What to load (`enum nft_meta_keys`).
        key: u32 = NFTA_META_KEY(2),
        /// The register to load into.
        register: u32 = NFTA_META_DREG(1),
    }
}

impl Meta {
    /// The packet's mark, four bytes in host order (`NFT_META_MARK`).
    pub const MARK: u32 = 3;
    /// The name of the interface on which the packet leaves, 16 bytes, zeros behind the name (`NFT_META_OIFNAME`).
    pub const OUTPUT_INTERFACE: u32 = 7;
    /// The transport protocol's number, one byte (`NFT_META_L4PROTO`).
    pub const L4PROTO: u32 = 16;
}

of_attributes! {
    /// Loads what the routing table says of an address of the packet into a register (`enum nft_fib_attributes`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Fib {
        /// Of which address, and by which parts of the packet (`enum nft_fib_flags`).
        flags: u32 = NFTA_FIB_FLAGS(3),
        /// What is asked (`enum nft_fib_result`).
        result: u32 = NFTA_FIB_RESULT(2),
        /// The register to load into.
        register: u32 = NFTA_FIB_DREG(1),
    }
}

impl Fib {
    /// The type of the address, a number of four bytes in host order (`NFT_FIB_RESULT_ADDRTYPE`).
    pub const ADDRESS_TYPE: u32 = 3;
    /// Of the destination address (`NFTA_FIB_F_DADDR`).
    pub const DESTINATION: u32 = 2;
    /// The address type of this host's own addresses (`RTN_LOCAL`, `linux/rtnetlink.h`).
    pub const LOCAL: u32 = 2;
}

of_attributes! {
    /// Generates a number of four bytes, in host order, and loads it into a register (`enum nft_ng_attributes`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Numgen {
        /// The register to load into.
        register: u32 = NFTA_NG_DREG(1),
        /// How many numbers there are, the smallest being `offset`.
        modulus: u32 = NFTA_NG_MODULUS(2),
        /// How one number follows from another (`enum nft_ng_types`).
        kind: u32 = NFTA_NG_TYPE(3),
        /// Added to the number.
        offset: u32 = NFTA_NG_OFFSET(4) or 0,
    }
}

impl Numgen {
    /// At random (`NFT_NG_RANDOM`).
    pub const RANDOM: u32 = 1;
}

of_attributes! {
    /// Brings numbers from host order into network order, or back (`enum nft_byteorder_attributes`). Registers are compared
    /// byte by byte, so that only numbers in network order have a smaller and a greater.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Byteorder {
        /// The register to read.
        source: u32 = NFTA_BYTEORDER_SREG(1),
        /// The register to write.
        destination: u32 = NFTA_BYTEORDER_DREG(2),
        /// Which way (`enum nft_byteorder_ops`).
        op: u32 = NFTA_BYTEORDER_OP(3),
        /// How many bytes in all.
        len: u32 = NFTA_BYTEORDER_LEN(4),
        /// How many bytes a number has.
        size: u32 = NFTA_BYTEORDER_SIZE(5),
    }
}

impl Byteorder {
    /// From host order to network order (`NFT_BYTEORDER_HTON`).
    pub const TO_NETWORK: u32 = 1;
}

/// `destination = (source & mask) ^ xor` (`enum nft_bitwise_attributes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitwise {
    /// The register to read.
    pub source: u32,
    /// The register to write.
    pub destination: u32,
    /// The bits that stay; its length is the length of the operation.
    pub mask: Data,
    /// The bits to invert afterwards, as long as `mask`.
    pub xor: Data,
}

const NFTA_BITWISE_SREG: u16 = 1;
const NFTA_BITWISE_DREG: u16 = 2;
const NFTA_BITWISE_LEN: u16 = 3;
const NFTA_BITWISE_MASK: u16 = 4;
const NFTA_BITWISE_XOR: u16 = 5;
const NFTA_BITWISE_OP: u16 = 6;
/// The operation of [`Bitwise`] (`NFT_BITWISE_MASK_XOR`). Kernels since 5.6 dump it, iptables does not write it.
const MASK_XOR: u32 = 0;

impl Bitwise {
    pub(super) fn emit(&self, writer: &mut Writer) {
        writer.be32(NFTA_BITWISE_SREG, self.source);
        writer.be32(NFTA_BITWISE_DREG, self.destination);
        writer.be32(NFTA_BITWISE_LEN, u32::try_from(self.mask.len()).unwrap_or(u32::MAX));
        self.mask.emit(writer, NFTA_BITWISE_MASK);
        self.xor.emit(writer, NFTA_BITWISE_XOR);
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut source, mut destination, mut len, mut mask, mut xor) = (None, None, None, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            match attribute.kind {
                NFTA_BITWISE_SREG => source = Some(attribute.be32().ok()?),
                NFTA_BITWISE_DREG => destination = Some(attribute.be32().ok()?),
                NFTA_BITWISE_LEN => len = Some(attribute.be32().ok()?),
                NFTA_BITWISE_MASK => mask = Some(Data::parse(&attribute)?),
                NFTA_BITWISE_XOR => xor = Some(Data::parse(&attribute)?),
                NFTA_BITWISE_OP if attribute.be32() == Ok(MASK_XOR) => {}
                // Shifts, and operations between two registers.
                _ => return None,
            }
        }
        let (mask, xor) = (mask?, xor?);
        let fits = usize::try_from(len?) == Ok(mask.len()) && mask.len() == xor.len();
        fits.then_some(Self { source: source?, destination: destination?, mask, xor })
    }
}

of_attributes! {
    /// Compares as many bytes of a register as the value has; unless it holds, the rule does not match
    /// (`enum nft_cmp_attributes`).
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Cmp {
        /// The register.
        register: u32 = NFTA_CMP_SREG(1),
        /// The comparison.
        op: CmpOp = NFTA_CMP_OP(2),
        /// What it is compared with, as it stands in the packet.
        value: Data = NFTA_CMP_DATA(3),
    }
}

/// A comparison (`enum nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CmpOp(pub u32);

impl CmpOp {
    /// The register holds the value.
    pub const EQUAL: Self = Self(0);
    /// The register holds something else.
    pub const NOT_EQUAL: Self = Self(1);
    /// The register holds something smaller, as bytes in their order.
    pub const LESS: Self = Self(2);
    /// The register holds the value or something smaller.
    pub const AT_MOST: Self = Self(3);
    /// The register holds the value or something greater.
    pub const AT_LEAST: Self = Self(5);
}

impl Value for CmpOp {
    fn emit(&self, writer: &mut Writer, kind: u16) {
        self.0.emit(writer, kind);
    }

    fn parse(attribute: &Attribute<'_>) -> Option<Self> {
        Value::parse(attribute).map(Self)
    }
}

of_attributes! {
    /// Compares as many bytes of a register as each of the values has with both of them (`enum nft_range_attributes`).
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Range {
        /// The register.
        register: u32 = NFTA_RANGE_SREG(1),
        /// Whether it has to be in the range (0) or outside (`enum nft_range_ops`).
        op: CmpOp = NFTA_RANGE_OP(2),
        /// The smallest value in the range, as it stands in the packet.
        first: Data = NFTA_RANGE_FROM_DATA(3),
        /// The greatest.
        last: Data = NFTA_RANGE_TO_DATA(4),
    }
}

of_attributes! {
    /// Looks up what a register holds; unless the set has it, the rule does not match (`enum nft_lookup_attributes`). A
    /// destination register, which would make it look up in a map, is no field.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Lookup {
        /// The register.
        register: u32 = NFTA_LOOKUP_SREG(2),
        /// The set's name. A set that the same transaction creates is found by it, too.
        set: String = NFTA_LOOKUP_SET(1),
        /// The rule matches unless the set has it (`NFT_LOOKUP_F_INV`).
        inverted: bool = NFTA_LOOKUP_FLAGS(5) or false,
        // Names the set within a transaction, beside its name. Never dumped.
        _ = NFTA_LOOKUP_SET_ID(4),
    }
}

of_attributes! {
    /// Counts packets and bytes (`enum nft_counter_attributes`). What is not said starts from 0.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Counter {
        /// Bytes so far, headers of the network layer included.
        bytes: u64 = NFTA_COUNTER_BYTES(1) or 0,
        /// Packets so far.
        packets: u64 = NFTA_COUNTER_PACKETS(2) or 0,
        _ = NFTA_COUNTER_PAD(3),
    }
}

of_attributes! {
    /// A match or target of xtables with its parameters (`enum nft_match_attributes`, `enum nft_target_attributes`,
    /// `linux/netfilter/nf_tables_compat.h`). The two have the same attributes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Extension {
        /// The name, as in `iptables -m` or `iptables -j`.
        name: String = NFTA_EXTENSION_NAME(1),
        /// The revision of the parameters' layout.
        revision: u32 = NFTA_EXTENSION_REV(2),
        /// The parameters: a C struct of the kernel, in host order. Dumps pad it with zeros to a multiple of 8.
        info: Vec<u8> = NFTA_EXTENSION_INFO(3),
    }
}

/// Masquerades: the source becomes the address of the interface on which the packet leaves (`enum nft_masq_attributes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masq {
    /// `NF_NAT_RANGE_*` (`linux/netfilter/nf_nat.h`).
    pub flags: u32,
    /// The registers that hold the first and the last port, two bytes in network order each. For one port they are the
    /// same. They count only with [`Masq::PORTS`].
    pub ports: Option<(u32, u32)>,
}

const NFTA_MASQ_FLAGS: u16 = 1;
const NFTA_MASQ_REG_PROTO_MIN: u16 = 2;
const NFTA_MASQ_REG_PROTO_MAX: u16 = 3;

impl Masq {
    /// `NF_NAT_RANGE_PROTO_SPECIFIED`: the ports count.
    pub const PORTS: u32 = 0x2;
    /// `NF_NAT_RANGE_PROTO_RANDOM_FULLY`.
    pub const RANDOM_FULLY: u32 = 0x10;

    pub(super) fn emit(&self, writer: &mut Writer) {
        if self.flags != 0 {
            writer.be32(NFTA_MASQ_FLAGS, self.flags);
        }
        if let Some((first, last)) = self.ports {
            writer.be32(NFTA_MASQ_REG_PROTO_MIN, first);
            // As nft writes one port; the kernel dumps both.
            if first != last {
                writer.be32(NFTA_MASQ_REG_PROTO_MAX, last);
            }
        }
    }

    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        let (mut flags, mut first, mut last) = (0, None, None);
        for attribute in attributes {
            let attribute = attribute.ok()?;
            let number = attribute.be32().ok()?;
            match attribute.kind {
                NFTA_MASQ_FLAGS => flags = number,
                NFTA_MASQ_REG_PROTO_MIN => first = Some(number),
                NFTA_MASQ_REG_PROTO_MAX => last = Some(number),
                _ => return None,
            }
        }
        let ports = match (first, last) {
            (Some(first), last) => Some((first, last.unwrap_or(first))),
            (None, None) => None,
            (None, Some(_)) => return None,
        };
        Some(Self { flags, ports })
    }
}
