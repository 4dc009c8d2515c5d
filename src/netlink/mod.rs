//! The nf_tables netlink codec.
