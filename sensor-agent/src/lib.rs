//! The agent.
pub mod event;
pub mod kernel;
