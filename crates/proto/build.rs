//! Generates the messages and services of `/proto`.

use prost::Message as _;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const FILES: [&str; 8] = [
    "conclave/v1/access.proto",
    "conclave/v1/audit.proto",
    "conclave/v1/cluster.proto",
    "conclave/v1/crypto.proto",
    "conclave/v1/custody.proto",
    "conclave/v1/key.proto",
    "conclave/peer/v1/peer.proto",
    "conclave/store/v1/audit.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let set = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, set.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".conclave.peer.v1")
        .btree_map(".")
        .compile_fds(set)?;
    println!("cargo:rerun-if-changed={}", root.display());
    Ok(())
}
