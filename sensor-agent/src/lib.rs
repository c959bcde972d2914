//! The agent.

pub mod hub;
pub mod metrics;
pub mod sink;
