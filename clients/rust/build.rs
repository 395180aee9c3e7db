//! Compiles the protobuf API into client stubs.

const FILES: [&str; 4] = [
    "bbq/v1/message.proto",
    "bbq/v1/queue.proto",
    "bbq/v1/queue_service.proto",
    "bbq/v1/admin_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(FILES, ["../../proto"])?;
    tonic_prost_build::configure().build_server(false).bytes(".bbq.v1").compile_fds(descriptors)?;
    Ok(())
}
