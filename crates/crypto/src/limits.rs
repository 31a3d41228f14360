//! Every bound of this crate, in one place.

/// Bytes of a message that is signed or verified; of a longer one, the digest is.
pub const SIGNED_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an asymmetric key version's private material: an RSA-4096 key in PKCS#8 has some 2,400.
pub const PRIVATE_MATERIAL_BYTES_MAX: usize = 4_000;
/// Plaintext bytes of one message; larger input goes by [`crate::stream`].
pub const PLAINTEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of additional authenticated data of one message.
pub const AAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the wrapped data key in a stream's header.
pub const WRAPPED_DATA_KEY_BYTES_MAX: usize = 4 * 1024;
/// Chunks of one stream: 16 TiB of plaintext, well inside AES-GCM's bound for one key.
pub const STREAM_CHUNKS_MAX: u64 = 1 << 28;
/// Bytes of a share file, in clear and encrypted.
pub const SHARE_FILE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an identity file.
pub const IDENTITY_FILE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a signed checkpoint with the signatures of its witnesses.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an audit log's origin.
pub const ORIGIN_BYTES_MAX: usize = 255;
