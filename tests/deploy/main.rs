//! What stands in `deploy/`, held against the tools that read it on a node or in a cluster, and against the agent.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod deb;
#[cfg(test)]
mod helm;
#[cfg(test)]
mod image;
#[cfg(test)]
mod kustomize;
#[cfg(test)]
mod node_problem_detector;
#[cfg(test)]
#[path = "../config/odd.rs"]
mod odd;
#[cfg(test)]
mod promql;
#[cfg(test)]
mod seccomp;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod swap;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod tools;
