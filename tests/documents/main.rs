//! The documents are true where a program can tell.

#[cfg(test)]
mod claims;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod links;
#[cfg(test)]
mod markdown;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
