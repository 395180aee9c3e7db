//! Compiles `proto/` into server stubs and the descriptor set that reflection serves.
//!
//! Where a message is only passed through, the server keeps it encoded: in the stubs, and only there, the fields
//! named by `OPAQUE` are bytes. On the wire an embedded message and bytes are the same.

use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;

const FILES: [&str; 4] = [
    "bbq/v1/message.proto",
    "bbq/v1/queue.proto",
    "bbq/v1/queue_service.proto",
    "bbq/v1/admin_service.proto",
];

/// (message, field) pairs that the server passes through without rebuilding them.
const OPAQUE: [(&str, &str); 3] =
    [("PublishRequest", "messages"), ("Delivery", "message"), ("PeekedMessage", "message")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["proto"])?;
    fs::write(out.join("bbq.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::service::codec::Bounded")
        .bytes(".bbq.v1")
        .btree_map(".bbq.v1.Message.attributes")
        .compile_fds(opaque(descriptors))?;
    Ok(())
}

fn opaque(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    let messages = descriptors.file.iter_mut().flat_map(|file| &mut file.message_type);
    for message in messages {
        let name = message.name().to_owned();
        for field in &mut message.field {
            if OPAQUE.contains(&(name.as_str(), field.name())) {
                field.set_type(Type::Bytes);
                field.type_name = None;
            }
        }
    }
    descriptors
}
