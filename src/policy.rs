//! Configuration and flags to decisions.
