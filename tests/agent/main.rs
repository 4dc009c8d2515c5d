//! The agent as it runs on a node: what it does about its file, about others, and as a service.

#[cfg(test)]
mod beside;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod file;
#[cfg(test)]
mod file_system;
#[cfg(test)]
mod health;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod life;
#[cfg(test)]
mod long;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod obstacles;
#[cfg(test)]
mod output;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod service_manager;
#[cfg(test)]
mod source_ports;
#[cfg(test)]
mod start;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod watching;
