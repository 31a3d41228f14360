//! What can go wrong, told so that the reader knows what to do. No variant carries a secret.

use conclave_core::{Generation, NameError, SetId};
use thiserror::Error;

/// Why a transformation is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CryptoError {
    /// Too short for what its format demands.
    #[error("the input was cut short: it has {have} bytes and needs at least {need}")]
    Truncated {
        /// Bytes given.
        have: usize,
        /// Bytes needed at least.
        need: usize,
    },
    /// The first byte is no format that this release knows.
    #[error(
        "format {0:#04x} is unknown: this was not made by Conclave, or by a newer release of it"
    )]
    UnknownFormat(u8),
    /// The suite is none that this release knows.
    #[error("suite {0} is unknown: the ciphertext is damaged, or was made by a newer release")]
    UnknownSuite(u8),
    /// Version 0, which no key has.
    #[error("the ciphertext names version 0, which no key has: it is damaged")]
    NoVersion,
    /// Authentication failed.
    #[error(
        "the ciphertext does not open: it was changed, or the key, the encryption context or the \
         additional data is not that which it was made with"
    )]
    DoesNotOpen,
    /// A message authentication code is that of another message, or of another key.
    #[error("the code is not that of this message under this key and version")]
    WrongMac,
    /// Wrapped material does not belong where it was found.
    #[error(
        "wrapped key material does not open in its place: it was tampered with or swapped; restore \
         this node from its peers"
    )]
    TamperedWrap,
    /// The rebuilt root key is not the one whose check value is known.
    #[error("the rebuilt root key does not match its check value: the shares are of another root")]
    WrongRoot,
    /// Larger than allowed.
    #[error("the {what} may have {max} bytes, this one has {actual}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit in bytes.
        max: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A stream's end is missing.
    #[error("the stream was cut short: its last chunk is missing; what was read is not all")]
    StreamTruncated,
    /// A stream has something after its end.
    #[error("the stream goes on after its last chunk: something was appended")]
    StreamTrailing,
    /// A chunk after the last one.
    #[error("the stream has ended and takes no further chunk")]
    StreamEnded,
    /// More chunks than one key may protect.
    #[error("a stream may have {max} chunks of 64 KiB: split the input")]
    StreamTooLong {
        /// The limit.
        max: u64,
    },
    /// A chunk that has not the length that its place demands.
    #[error(
        "a chunk of {actual} bytes does not fit here: all but the last have {chunk}, the last has \
         1 to {chunk}, or 0 if it is the only one"
    )]
    ChunkLength {
        /// Bytes of plaintext in a full chunk.
        chunk: usize,
        /// Bytes of plaintext given.
        actual: usize,
    },
    /// Not the name of an audit log.
    #[error(
        "an audit log's origin has 1 to 255 bytes and neither white space, control characters nor \
         '+'"
    )]
    Origin,
    /// Not a verifier key.
    #[error("a verifier key has the form NAME+HASH+BASE64 and holds an Ed25519 key; this has not")]
    VerifierKey,
    /// Not a checkpoint.
    #[error("this is no signed checkpoint: {wanted}")]
    Checkpoint {
        /// What the grammar demands where it is broken.
        wanted: &'static str,
    },
    /// No good signature.
    #[error("the checkpoint carries no valid signature of '{origin}': do not trust it")]
    CheckpointSignature {
        /// Whose signature was looked for.
        origin: String,
    },
    /// Random bytes that are no private key of the curve: zero, or not below its order.
    #[error("these random bytes are no private key of the curve: draw others")]
    DrawAgain,
    /// A seed of another length than the kind of key takes.
    #[error("a key of kind {kind} is made from {expected} random bytes, and {actual} were given")]
    SeedLength {
        /// The kind of key.
        kind: &'static str,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A way of generation that the kind of key has not.
    #[error(
        "a key of kind {kind} is not generated in this way: RSA draws for itself, others take a seed"
    )]
    Generation {
        /// The kind of key.
        kind: &'static str,
    },
    /// Stored private material that is no key of its kind.
    #[error("the stored private key is no {kind} key: it is damaged, or of another kind")]
    PrivateKey {
        /// The kind that was expected.
        kind: &'static str,
    },
    /// Not a public key of a kind that is supported.
    #[error(
        "this is no public key that is supported: give a SubjectPublicKeyInfo in DER of Ed25519, \
         X25519, P-256 or P-384 (point uncompressed), RSA, ML-DSA-65 or ML-KEM-768"
    )]
    PublicKey,
    /// An RSA key that is too short, too long, or unusual.
    #[error(
        "an RSA key has a modulus of 2048, 3072 or 4096 bits and the public exponent 65537; this \
         one has not: generate another"
    )]
    RsaParameters,
    /// The bytes of a public key mean nothing, or nothing safe.
    #[error(
        "the public key is no valid {kind} key: its point is not on the curve or has a low order, \
         or a number is out of range; ask its owner for it again"
    )]
    PublicValue {
        /// The kind of key.
        kind: &'static str,
    },
    /// A key of another kind than the operation takes.
    #[error("a key of kind {expected} is needed here, and this one is of kind {actual}")]
    OtherKind {
        /// The kind needed.
        expected: &'static str,
        /// The kind given.
        actual: &'static str,
    },
    /// No JSON Web Key is defined.
    #[error("no JSON Web Key is defined for {kind}: take the public key as DER or PEM")]
    NoJwk {
        /// The kind of key.
        kind: &'static str,
    },
    /// A signature scheme that belongs to another kind of key.
    #[error("a key of kind {kind} does not sign by {scheme}: name a scheme of the key's kind")]
    OtherScheme {
        /// The kind of key.
        kind: &'static str,
        /// The scheme asked for.
        scheme: &'static str,
    },
    /// A digest, for a scheme that hashes for itself.
    #[error("{kind} signs messages and no digests: give the message itself")]
    NoDigest {
        /// The kind of key.
        kind: &'static str,
    },
    /// A digest of another length than its hash has.
    #[error("a {hash} digest has {expected} bytes, this one has {actual}")]
    DigestLength {
        /// The hash.
        hash: &'static str,
        /// Its length in bytes.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A signature is that of another message, or of another key.
    #[error("the signature is not that of this message under this key")]
    WrongSignature,
    /// An ECDSA signature that breaks its encoding.
    #[error("this is no ECDSA signature of the curve in {form}")]
    SignatureForm {
        /// The encoding expected.
        form: &'static str,
    },
    /// A ciphertext of another length than the key makes.
    #[error("a ciphertext under a key of kind {kind} has {expected} bytes, this one has {actual}")]
    CiphertextLength {
        /// The kind of key.
        kind: &'static str,
        /// Bytes that it must have.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// A wrapped key that another one wrapped, or that was changed.
    #[error(
        "the wrapped key does not open: it was changed, or wrapped under another key or by another \
         mechanism than is asked for here"
    )]
    WrappedKey,
    /// The library failed where only a lack of memory or randomness lets it.
    #[error(
        "the cryptographic library failed to {operation}: try again; if it repeats, this machine \
         lacks memory or randomness"
    )]
    Library {
        /// What was to be done.
        operation: &'static str,
    },
    /// A share is refused.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A share file breaks its grammar.
    #[error("line {line} of the share file is wrong: {wanted}")]
    ShareFile {
        /// From 1.
        line: usize,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A share file names a custodian that cannot exist.
    #[error("the share file names an impossible custodian: {0}")]
    Custodian(#[from] NameError),
    /// Not a recipient that is supported.
    #[error(
        "this is no X25519 age recipient: give the public key of an identity, which begins with \
         'age1' and is printed by age-keygen; plugin and SSH recipients are not supported"
    )]
    AgeRecipient,
    /// Not an identity that is supported.
    #[error(
        "line {line} of the identity file is no X25519 age identity ('AGE-SECRET-KEY-1…'); plugin, \
         SSH and passphrase-protected identities are not supported"
    )]
    AgeIdentity {
        /// From 1.
        line: usize,
    },
    /// An identity file without an identity.
    #[error(
        "the identity file holds no identity: it needs a line that begins with 'AGE-SECRET-KEY-1'"
    )]
    AgeIdentityMissing,
    /// Encrypted to somebody else.
    #[error(
        "the file is encrypted to another recipient: use the identity of the one it was made for"
    )]
    AgeOtherRecipient,
    /// Not an age file, or a damaged one.
    #[error("this is no age file, or a damaged one: take another copy of it")]
    AgeDamaged,
}

/// Why shares are refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ShareError {
    /// A share of another length.
    #[error("a share has 113 bytes, this one has {actual}")]
    Length {
        /// Bytes given.
        actual: usize,
    },
    /// A share whose x is 0, which would dictate the root key.
    #[error("a share with x = 0 is forged: it would dictate the root key")]
    Forged,
    /// A share that the set cannot have.
    #[error("the share has number {x}, and the set has only {count}")]
    Beyond {
        /// The share's.
        x: u8,
        /// Shares of the set.
        count: u8,
    },
    /// The same share twice.
    #[error("share {x} was given twice")]
    Duplicate {
        /// The share's.
        x: u8,
    },
    /// Not enough.
    #[error("{have} shares were given, and {need} are needed")]
    TooFew {
        /// Shares given.
        have: usize,
        /// The threshold.
        need: u8,
    },
    /// No such scheme.
    #[error(
        "a threshold of {threshold} out of {count} is impossible: 2 <= threshold <= count <= 255"
    )]
    Threshold {
        /// As given.
        threshold: u8,
        /// As given.
        count: u8,
    },
    /// They do not belong together, or one was changed.
    #[error("the shares do not rebuild a root key: one was changed or is of another set")]
    DoNotCombine,
    /// They belong together, but to another set than is asked for.
    #[error(
        "the shares are of set {found_set} (generation {found_generation}), and wanted is set \
         {wanted_set} (generation {wanted_generation})"
    )]
    OtherSet {
        /// In the shares.
        found_set: SetId,
        /// In the shares.
        found_generation: Generation,
        /// Asked for.
        wanted_set: SetId,
        /// Asked for.
        wanted_generation: Generation,
    },
    /// They belong to the set, but its threshold or count is not that which is known.
    #[error(
        "the shares say {found_threshold} of {found_count}, and known is {wanted_threshold} of \
         {wanted_count}"
    )]
    OtherThreshold {
        /// In the shares.
        found_threshold: u8,
        /// In the shares.
        found_count: u8,
        /// Asked for.
        wanted_threshold: u8,
        /// Asked for.
        wanted_count: u8,
    },
    /// The rebuilt secret has another layout: a newer release split it.
    #[error(
        "the shares hold a secret of a layout that this release does not know: use a newer one"
    )]
    Layout,
}
