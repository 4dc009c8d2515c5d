//! Rulesets and plans as text: pure functions, one for each reader.

mod iptables;
mod json;
mod nft;
mod plan;

pub use iptables::{iptables_rule, iptables_save};
pub use json::json;
pub use nft::{nft, nft_rule};
pub use plan::{change_line, plan_lines};
