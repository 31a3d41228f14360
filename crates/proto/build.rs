//! Generates the messages and services of `/proto`.

use prost::Message as _;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const FILES: [&str; 9] = [
    "conclave/v1/access.proto",
    "conclave/v1/audit.proto",
    "conclave/v1/cluster.proto",
    "conclave/v1/consistency.proto",
    "conclave/v1/crypto.proto",
    "conclave/v1/custody.proto",
    "conclave/v1/key.proto",
    "conclave/peer/v1/peer.proto",
    "conclave/store/v1/audit.proto",
];

/// Messages that hold secrets: what they show of themselves is written by hand, in `src/redacted.rs`.
const SECRET: [&str; 19] = [
    ".conclave.v1.AsymmetricDecryptResponse",
    ".conclave.v1.BatchEncryptRequest.Item",
    ".conclave.v1.BatchGenerateMacRequest.Item",
    ".conclave.v1.BatchSignRequest.Item",
    ".conclave.v1.BatchVerifyRequest.Item",
    ".conclave.v1.BatchVerifyMacRequest.Item",
    ".conclave.v1.DecapsulateResponse",
    ".conclave.v1.DecryptDataKeyResponse",
    ".conclave.v1.DecryptResponse",
    ".conclave.v1.DeriveSharedSecretResponse",
    ".conclave.v1.EncryptRequest",
    ".conclave.v1.GenerateDataKeyPairResponse",
    ".conclave.v1.GenerateDataKeyResponse",
    ".conclave.v1.GenerateMacRequest",
    ".conclave.v1.GenerateRandomResponse",
    ".conclave.v1.SignRequest",
    ".conclave.v1.SubmitShareRequest",
    ".conclave.v1.VerifyMacRequest",
    ".conclave.v1.VerifyRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let set = protox::compile(FILES, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, set.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".conclave.peer.v1")
        .btree_map(".")
        .skip_debug(SECRET)
        .compile_fds(set)?;
    println!("cargo:rerun-if-changed={}", root.display());
    Ok(())
}
