//! How things appear in messages: texts from outside, numbers with their nouns, and what a misspelt word may have meant.

mod counted;
mod message;
mod shown;
mod spelling;

pub use counted::counted;
pub use message::Message;
pub(crate) use shown::{Bare, Quoted, excerpt};
pub use shown::{Shown, Visible, is_hidden, visible};
pub(crate) use spelling::distance;
