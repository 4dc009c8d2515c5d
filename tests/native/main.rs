//! The native layout in a real kernel: tables of our own, with the ranges in sets.

#[cfg(test)]
mod deltas;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod listings;
#[cfg(test)]
mod many;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod names;
#[cfg(test)]
mod obstacles;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod outgrown;
#[cfg(test)]
mod protection;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
