//! Uses of keys, as they are recorded.

use crate::codec;
use crate::context::EncryptionContext;
use crate::data_key::DataKeyUse;
use crate::ids::{AuditSequence, KeyId, RequestId, Revision, VersionNumber};
use crate::key::{Algorithm, Purpose};
use crate::names::{KeyName, PrincipalName};
use serde::{Deserialize, Serialize};

/// An operation that touches key material, or the HSM's random generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Operation {
    /// Encrypts a message.
    Encrypt,
    /// Decrypts a message.
    Decrypt,
    /// Makes a data key.
    GenerateDataKey,
    /// Decrypts and encrypts inside the node.
    ReEncrypt,
    /// Makes random bytes.
    GenerateRandom,
    /// Makes a message authentication code.
    GenerateMac,
    /// Verifies one.
    VerifyMac,
    /// Makes a signature.
    Sign,
    /// Verifies one.
    Verify,
    /// Opens a registered data key.
    DecryptDataKey,
    /// Gives material out, wrapped.
    ExportKey,
    /// Decrypts what was encrypted with the public key.
    AsymmetricDecrypt,
    /// Opens the secret that was encapsulated with the public key.
    Decapsulate,
    /// Agrees upon a secret with the owner of another key.
    DeriveSharedSecret,
    /// Makes a key pair for use outside.
    GenerateDataKeyPair,
}

impl Operation {
    /// The name in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::ReEncrypt => "ReEncrypt",
            Self::GenerateRandom => "GenerateRandom",
            Self::GenerateMac => "GenerateMac",
            Self::VerifyMac => "VerifyMac",
            Self::Sign => "Sign",
            Self::Verify => "Verify",
            Self::DecryptDataKey => "DecryptDataKey",
            Self::ExportKey => "ExportKey",
            Self::AsymmetricDecrypt => "AsymmetricDecrypt",
            Self::Decapsulate => "Decapsulate",
            Self::DeriveSharedSecret => "DeriveSharedSecret",
            Self::GenerateDataKeyPair => "GenerateDataKeyPair",
        }
    }

    /// What a key must be for; `None`: for anything, or it takes no key.
    pub fn purpose(self) -> Option<Purpose> {
        match self {
            Self::Encrypt
            | Self::Decrypt
            | Self::GenerateDataKey
            | Self::GenerateDataKeyPair
            | Self::ReEncrypt
            | Self::DecryptDataKey => Some(Purpose::Encrypt),
            Self::GenerateMac | Self::VerifyMac => Some(Purpose::Mac),
            Self::Sign | Self::Verify => Some(Purpose::Sign),
            Self::AsymmetricDecrypt | Self::Decapsulate => Some(Purpose::AsymmetricDecrypt),
            Self::DeriveSharedSecret => Some(Purpose::Agree),
            Self::GenerateRandom | Self::ExportKey => None,
        }
    }

    /// Whether a key of that algorithm is for it. What decrypts does not decapsulate, though both are of one purpose.
    pub fn takes(self, algorithm: Algorithm) -> bool {
        let decapsulates = algorithm == Algorithm::MlKem768;
        self.purpose() == Some(algorithm.purpose())
            && match self {
                Self::AsymmetricDecrypt => !decapsulates,
                Self::Decapsulate => decapsulates,
                Self::Encrypt
                | Self::Decrypt
                | Self::GenerateDataKey
                | Self::GenerateDataKeyPair
                | Self::ReEncrypt
                | Self::DecryptDataKey
                | Self::ExportKey
                | Self::GenerateRandom
                | Self::GenerateMac
                | Self::VerifyMac
                | Self::Sign
                | Self::Verify
                | Self::DeriveSharedSecret => true,
            }
    }
}

/// Whether an operation makes new protection or processes what is protected already (NIST SP
/// 800-57).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Encrypt, sign, wrap, MAC.
    Protect,
    /// Decrypt, verify, unwrap; agree, too: what the secret opens may be old, and the key alone does not tell.
    Process,
}

/// The key of a use, as the decision saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsedKey {
    /// As asked for, or as found in the ciphertext; the key's own if there is one.
    pub name: KeyName,
    /// `None` if there was no such key.
    pub id: Option<KeyId>,
    /// `None` if the decision came before a version was chosen.
    pub version: Option<VersionNumber>,
    /// Of the key; 0 if there was none.
    pub revision: Revision,
    /// The alias by which it was asked for; `name` is the key's own. A key's revision changes with its aliases, so that
    /// nothing more is compared (docs/adr/0012).
    pub alias: Option<KeyName>,
}

/// Why a use was refused or failed. Stable: programs depend on the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum UseRefusal {
    /// The caller lacks the role.
    PermissionDenied,
    /// No key of that name or id.
    KeyNotFound,
    /// The key has no such version.
    VersionNotFound,
    /// The state of the key or of the version forbids it.
    KeyState,
    /// The ciphertext does not open: changed, cut short, of another key or context.
    CiphertextInvalid,
    /// The wrapped material does not open: tampering.
    MaterialTampered,
    /// The ciphertext is of another key than the one named.
    KeyMismatch,
    /// The key or the version is compromised, and the caller may not use what is.
    KeyCompromised,
    /// The key is for something else.
    KeyPurpose,
    /// The message authentication code is not that of the message.
    MacInvalid,
    /// The signature is not that of the message or digest.
    SignatureInvalid,
    /// The cluster holds as many registered data keys as it may.
    LimitReached,
    /// The context is not that of the registered data key.
    ContextMismatch,
    /// The key may not leave the cluster.
    KeyNotExportable,
    /// The public key of another is none that the key can agree with.
    PublicKeyInvalid,
}

impl UseRefusal {
    /// The name in the audit log and in errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::KeyNotFound => "KEY_NOT_FOUND",
            Self::VersionNotFound => "VERSION_NOT_FOUND",
            Self::KeyState => "KEY_STATE",
            Self::CiphertextInvalid => "CIPHERTEXT_INVALID",
            Self::MaterialTampered => "MATERIAL_TAMPERED",
            Self::KeyMismatch => "KEY_MISMATCH",
            Self::KeyCompromised => "KEY_COMPROMISED",
            Self::KeyPurpose => "KEY_PURPOSE",
            Self::MacInvalid => "MAC_INVALID",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::LimitReached => "LIMIT_REACHED",
            Self::ContextMismatch => "CONTEXT_MISMATCH",
            Self::KeyNotExportable => "KEY_NOT_EXPORTABLE",
            Self::PublicKeyInvalid => "PUBLIC_KEY_INVALID",
        }
    }

    /// Whether the rules refused it, rather than that it could not be done.
    pub fn is_denial(self) -> bool {
        match self {
            Self::PermissionDenied
            | Self::KeyNotFound
            | Self::VersionNotFound
            | Self::KeyState
            | Self::KeyCompromised
            | Self::KeyPurpose
            | Self::KeyNotExportable => true,
            Self::CiphertextInvalid
            | Self::MaterialTampered
            | Self::KeyMismatch
            | Self::MacInvalid
            | Self::SignatureInvalid
            | Self::LimitReached
            | Self::ContextMismatch
            | Self::PublicKeyInvalid => false,
        }
    }
}

/// One use, as the node decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseRecord {
    /// Chosen by the client.
    pub request: RequestId,
    /// The client's attempt at it, from 0.
    pub attempt: u32,
    /// Who.
    pub principal: PrincipalName,
    /// From where.
    pub source: String,
    /// What.
    pub operation: Operation,
    /// With which key; `None` for random bytes.
    pub key: Option<UsedKey>,
    /// Of a re-encryption: under which key the result is.
    pub destination: Option<UsedKey>,
    /// The registered data key that it makes or takes.
    pub data_key: Option<Box<DataKeyUse>>,
    /// Of the ciphertext.
    pub context: EncryptionContext,
    /// Items of a batch, or equal refusals.
    pub count: u32,
    /// `None`: allowed.
    pub refusal: Option<UseRefusal>,
    /// Of the access rules, as the decision read them.
    pub access_revision: Revision,
}

/// Names a batch, so that one proposed twice counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchId {
    /// Drawn at each start of the node, and never the same again. Not necessarily ascending.
    pub incarnation: u64,
    /// Counted by the node from 0.
    pub sequence: u64,
}

/// Uses that one node commits together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseBatch {
    /// Never given twice by one node.
    pub id: BatchId,
    /// At most [`crate::limits::RECORDS_PER_BATCH_MAX`].
    pub records: Vec<UseRecord>,
}

impl UseBatch {
    /// Tells batches of one id apart.
    pub(crate) fn digest(&self) -> [u8; 16] {
        codec::digest(&self.records)
    }
}

/// What the log says of one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// What the decision read was current at the record's place in the log, and the record is in
    /// the audit log.
    Recorded(AuditSequence),
    /// Something changed meanwhile: decide again.
    Retry,
}
