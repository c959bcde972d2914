//! The agent.
pub mod respond;
