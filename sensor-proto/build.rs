//! Compiles the `.proto` files with protox, so that no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = [
        "proto/sensor/v1/detections.proto",
        "proto/sensor/v1/agent.proto",
        "proto/sensor/v1/inventory.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .btree_map(".")
        .compile_fds(descriptors)?;
    // Apart from ours: reflection tells of what the agent serves, and that it does not serve.
    let cri = protox::compile(["proto/cri/runtime.proto"], ["proto"])?;
    tonic_prost_build::configure().btree_map(".").compile_fds(cri)?;
    Ok(())
}
