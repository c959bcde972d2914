//! The servers, tested in-process through sockets, as clients see them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps says by its panic what was not as expected"
)]
#![expect(clippy::print_stdout, reason = "a test that cannot run says so")]

mod clients;
mod http;
mod lifecycle;
mod setup;
mod stream;
mod tls;
