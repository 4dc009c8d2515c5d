//! Rules as text: pure functions, one for each reader.

mod iptables;
mod json;
mod nft;

pub use iptables::{iptables_rule, iptables_save};
pub use json::json;
pub use nft::{nft, nft_rule};
