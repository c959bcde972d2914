//! The agent.

pub mod cli;
pub mod config;
pub mod hub;
pub mod metrics;
pub mod serve;
pub mod sink;
