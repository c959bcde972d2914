//! The agent.

pub mod config;
pub mod hub;
pub mod metrics;
pub mod serve;
pub mod sink;
