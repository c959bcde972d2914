//! sensor's gRPC interface: the `.proto` files under `proto/` and the code made from them.
//!
//! `sensor.v1` is what users build on; a change here only ever adds. [`cri`] is another's interface, of which the agent is
//! a client.

/// The messages and services of `sensor.v1`.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; the .proto files carry the documentation"
    )]
    tonic::include_proto!("sensor.v1");
}

/// The encoded `FileDescriptorSet` of every service here, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The part of Kubernetes' Container Runtime Interface that is used here.
pub mod cri {
    #![allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated; the .proto file carries the documentation"
    )]
    tonic::include_proto!("runtime.v1");
}
