//! Whatever goes wrong between the agent and the kernel, at whichever message: the old rules stand or the new ones, and the
//! next pass ends with the new ones.

#[expect(clippy::ptr_arg, reason = "all alterations have one signature, and some of them change the length")]
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod passes;
#[cfg(test)]
mod privilege;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod table;
