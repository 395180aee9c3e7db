//! Compiles the protobuf API into client stubs, and into the server stubs that the tests' server is made of.

use std::{env, fs, path::PathBuf};

const FILES: [&str; 4] = [
    "bbq/v1/message.proto",
    "bbq/v1/queue.proto",
    "bbq/v1/queue_service.proto",
    "bbq/v1/admin_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(FILES, ["../../proto"])?;
    tonic_prost_build::configure().build_server(false).bytes(".bbq.v1").compile_fds(descriptors.clone())?;

    let server = PathBuf::from(env::var("OUT_DIR")?).join("server");
    fs::create_dir_all(&server)?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".bbq.v1", "::bbq_client::proto")
        .out_dir(server)
        .compile_fds(descriptors)?;
    Ok(())
}
