//! The agent.
pub mod clock;

pub mod cli;
pub mod config;
pub mod event;
pub mod hub;
pub mod kernel;
pub mod metrics;
pub mod respond;
pub mod serve;
pub mod sink;
pub mod state;
pub mod view;
