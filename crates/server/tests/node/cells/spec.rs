//! What docs/lifecycle.md, docs/algorithms.md and docs/guides/data-keys.md promise of each cell, written anew: nothing here
//! asks the code that it is held against.

use conclave_core::{Algorithm, KeyState, Operation, Protection, Purpose};
use std::fmt;
use tonic::Code;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holder {
    /// Of no role.
    Nobody,
    /// Of the role user.
    User,
    /// Of the roles user and use-compromised.
    UserOfCompromised,
}

impl Holder {
    pub(super) const ALL: [Self; 3] = [Self::Nobody, Self::User, Self::UserOfCompromised];

    pub(super) fn principal(self) -> &'static str {
        match self {
            Self::Nobody => "stranger",
            Self::User => "app",
            Self::UserOfCompromised => "migrator",
        }
    }
}

/// What a call ended with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Done,
    /// The code's name, and the stable reason.
    Refused(String, String),
}

impl Outcome {
    pub(super) fn refused(code: Code, reason: &str) -> Self {
        Self::Refused(format!("{code:?}"), reason.to_owned())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("yes"),
            Self::Refused(_, reason) => write!(f, "`{reason}`"),
        }
    }
}

/// One way to ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Encrypt,
    BatchEncrypt,
    Decrypt,
    BatchDecrypt,
    GenerateDataKey,
    RegisterDataKey,
    GenerateDataKeyPair,
    DecryptDataKey,
    ReEncryptFrom,
    ReEncryptTo,
    BatchReEncryptFrom,
    BatchReEncryptTo,
    GenerateMac,
    BatchGenerateMac,
    VerifyMac,
    BatchVerifyMac,
    Sign,
    BatchSign,
    Verify,
    BatchVerify,
    AsymmetricDecrypt,
    Decapsulate,
    DeriveSharedSecret,
}

/// How the version of a call is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The caller may name it; otherwise it is the primary one.
    Nameable,
    /// That which made what is given.
    Given,
    /// Always the primary one.
    Primary,
}

impl Call {
    /// The title of its column.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Encrypt => "Encrypt",
            Self::BatchEncrypt => "BatchEncrypt",
            Self::Decrypt => "Decrypt",
            Self::BatchDecrypt => "BatchDecrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::RegisterDataKey => "GenerateDataKey, registered",
            Self::GenerateDataKeyPair => "GenerateDataKeyPair",
            Self::DecryptDataKey => "DecryptDataKey",
            Self::ReEncryptFrom => "ReEncrypt from it",
            Self::ReEncryptTo => "ReEncrypt to it",
            Self::BatchReEncryptFrom => "BatchReEncrypt from it",
            Self::BatchReEncryptTo => "BatchReEncrypt to it",
            Self::GenerateMac => "GenerateMac",
            Self::BatchGenerateMac => "BatchGenerateMac",
            Self::VerifyMac => "VerifyMac",
            Self::BatchVerifyMac => "BatchVerifyMac",
            Self::Sign => "Sign",
            Self::BatchSign => "BatchSign",
            Self::Verify => "Verify",
            Self::BatchVerify => "BatchVerify",
            Self::AsymmetricDecrypt => "AsymmetricDecrypt",
            Self::Decapsulate => "Decapsulate",
            Self::DeriveSharedSecret => "DeriveSharedSecret",
        }
    }

    pub(super) fn purpose(self) -> Purpose {
        match self {
            Self::Encrypt
            | Self::BatchEncrypt
            | Self::Decrypt
            | Self::BatchDecrypt
            | Self::GenerateDataKey
            | Self::RegisterDataKey
            | Self::GenerateDataKeyPair
            | Self::DecryptDataKey
            | Self::ReEncryptFrom
            | Self::ReEncryptTo
            | Self::BatchReEncryptFrom
            | Self::BatchReEncryptTo => Purpose::Encrypt,
            Self::GenerateMac | Self::BatchGenerateMac | Self::VerifyMac | Self::BatchVerifyMac => {
                Purpose::Mac
            }
            Self::Sign | Self::BatchSign | Self::Verify | Self::BatchVerify => Purpose::Sign,
            Self::AsymmetricDecrypt | Self::Decapsulate => Purpose::AsymmetricDecrypt,
            Self::DeriveSharedSecret => Purpose::Agree,
        }
    }

    /// Whether a key of that algorithm is for it. ML-KEM opens secrets and no messages, RSA-OAEP the other way round.
    pub(super) fn takes(self, algorithm: Algorithm) -> bool {
        let opens_secrets = algorithm == Algorithm::MlKem768;
        row_of(algorithm).0 == self.purpose()
            && !(self == Self::AsymmetricDecrypt && opens_secrets)
            && (self != Self::Decapsulate || opens_secrets)
    }

    pub(super) fn version(self) -> Version {
        match self {
            Self::Encrypt
            | Self::BatchEncrypt
            | Self::GenerateMac
            | Self::BatchGenerateMac
            | Self::VerifyMac
            | Self::BatchVerifyMac
            | Self::Sign
            | Self::BatchSign
            | Self::Verify
            | Self::BatchVerify
            | Self::AsymmetricDecrypt
            | Self::Decapsulate
            | Self::DeriveSharedSecret => Version::Nameable,
            Self::Decrypt
            | Self::BatchDecrypt
            | Self::DecryptDataKey
            | Self::ReEncryptFrom
            | Self::BatchReEncryptFrom => Version::Given,
            Self::GenerateDataKey
            | Self::RegisterDataKey
            | Self::GenerateDataKeyPair
            | Self::ReEncryptTo
            | Self::BatchReEncryptTo => Version::Primary,
        }
    }

    /// New protection, as opposed to processing.
    fn protects(self) -> bool {
        match self {
            Self::Encrypt
            | Self::BatchEncrypt
            | Self::GenerateDataKey
            | Self::RegisterDataKey
            | Self::GenerateDataKeyPair
            | Self::ReEncryptTo
            | Self::BatchReEncryptTo
            | Self::GenerateMac
            | Self::BatchGenerateMac
            | Self::Sign
            | Self::BatchSign => true,
            Self::Decrypt
            | Self::BatchDecrypt
            | Self::DecryptDataKey
            | Self::ReEncryptFrom
            | Self::BatchReEncryptFrom
            | Self::VerifyMac
            | Self::BatchVerifyMac
            | Self::Verify
            | Self::BatchVerify
            | Self::AsymmetricDecrypt
            | Self::Decapsulate
            | Self::DeriveSharedSecret => false,
        }
    }

    /// All of them, in the order of their operations.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let mut operation = next_operation(None);
        while let Some(it) = operation {
            all.extend_from_slice(calls_of(it));
            operation = next_operation(operation);
        }
        all
    }
}

fn calls_of(operation: Operation) -> &'static [Call] {
    match operation {
        Operation::Encrypt => &[Call::Encrypt, Call::BatchEncrypt],
        Operation::Decrypt => &[Call::Decrypt, Call::BatchDecrypt],
        Operation::GenerateDataKey => &[Call::GenerateDataKey, Call::RegisterDataKey],
        Operation::GenerateDataKeyPair => &[Call::GenerateDataKeyPair],
        Operation::DecryptDataKey => &[Call::DecryptDataKey],
        Operation::ReEncrypt => &[
            Call::ReEncryptFrom,
            Call::ReEncryptTo,
            Call::BatchReEncryptFrom,
            Call::BatchReEncryptTo,
        ],
        // The one takes no key, the other is an admin's and of any purpose: `imports.rs` tries it.
        Operation::GenerateRandom | Operation::ExportKey => &[],
        Operation::GenerateMac => &[Call::GenerateMac, Call::BatchGenerateMac],
        Operation::VerifyMac => &[Call::VerifyMac, Call::BatchVerifyMac],
        Operation::Sign => &[Call::Sign, Call::BatchSign],
        Operation::Verify => &[Call::Verify, Call::BatchVerify],
        Operation::AsymmetricDecrypt => &[Call::AsymmetricDecrypt],
        Operation::Decapsulate => &[Call::Decapsulate],
        Operation::DeriveSharedSecret => &[Call::DeriveSharedSecret],
    }
}

/// In the order of the document. Whoever adds an operation is led here by the compiler.
fn next_operation(after: Option<Operation>) -> Option<Operation> {
    match after {
        None => Some(Operation::Encrypt),
        Some(Operation::Encrypt) => Some(Operation::Decrypt),
        Some(Operation::Decrypt) => Some(Operation::GenerateDataKey),
        Some(Operation::GenerateDataKey) => Some(Operation::GenerateDataKeyPair),
        Some(Operation::GenerateDataKeyPair) => Some(Operation::DecryptDataKey),
        Some(Operation::DecryptDataKey) => Some(Operation::ReEncrypt),
        Some(Operation::ReEncrypt) => Some(Operation::GenerateMac),
        Some(Operation::GenerateMac) => Some(Operation::VerifyMac),
        Some(Operation::VerifyMac) => Some(Operation::Sign),
        Some(Operation::Sign) => Some(Operation::Verify),
        Some(Operation::Verify) => Some(Operation::AsymmetricDecrypt),
        Some(Operation::AsymmetricDecrypt) => Some(Operation::Decapsulate),
        Some(Operation::Decapsulate) => Some(Operation::DeriveSharedSecret),
        Some(Operation::DeriveSharedSecret) => Some(Operation::GenerateRandom),
        Some(Operation::GenerateRandom) => Some(Operation::ExportKey),
        Some(Operation::ExportKey) => None,
    }
}

/// Whether keys of protection HSM may have an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InHsm {
    Yes,
    /// If the HSM has it: the in-process one of this test does, or does not.
    IfItHas(bool),
    Never,
}

/// The row of docs/algorithms.md.
pub(super) fn row_of(algorithm: Algorithm) -> (Purpose, InHsm) {
    match algorithm {
        Algorithm::Aes256Gcm => (Purpose::Encrypt, InHsm::Yes),
        Algorithm::ChaCha20Poly1305 => (Purpose::Encrypt, InHsm::Never),
        Algorithm::HmacSha256 => (Purpose::Mac, InHsm::Yes),
        Algorithm::HmacSha384 | Algorithm::HmacSha512 => (Purpose::Mac, InHsm::IfItHas(true)),
        Algorithm::Ed25519 => (Purpose::Sign, InHsm::IfItHas(true)),
        Algorithm::EcdsaP256
        | Algorithm::EcdsaP384
        | Algorithm::Rsa2048
        | Algorithm::Rsa3072
        | Algorithm::Rsa4096 => (Purpose::Sign, InHsm::IfItHas(false)),
        Algorithm::MlDsa65 => (Purpose::Sign, InHsm::Never),
        Algorithm::RsaOaep2048
        | Algorithm::RsaOaep3072
        | Algorithm::RsaOaep4096
        | Algorithm::RsaOaep2048Sha1
        | Algorithm::RsaOaep3072Sha1
        | Algorithm::RsaOaep4096Sha1 => (Purpose::AsymmetricDecrypt, InHsm::IfItHas(false)),
        Algorithm::MlKem768 => (Purpose::AsymmetricDecrypt, InHsm::Never),
        Algorithm::X25519 => (Purpose::Agree, InHsm::Never),
        Algorithm::EcdhP256 => (Purpose::Agree, InHsm::IfItHas(false)),
    }
}

/// In the order of the document. Whoever adds an algorithm is led here by the compiler.
fn next_algorithm(after: Option<Algorithm>) -> Option<Algorithm> {
    match after {
        None => Some(Algorithm::Aes256Gcm),
        Some(Algorithm::Aes256Gcm) => Some(Algorithm::ChaCha20Poly1305),
        Some(Algorithm::ChaCha20Poly1305) => Some(Algorithm::HmacSha256),
        Some(Algorithm::HmacSha256) => Some(Algorithm::HmacSha384),
        Some(Algorithm::HmacSha384) => Some(Algorithm::HmacSha512),
        Some(Algorithm::HmacSha512) => Some(Algorithm::Ed25519),
        Some(Algorithm::Ed25519) => Some(Algorithm::EcdsaP256),
        Some(Algorithm::EcdsaP256) => Some(Algorithm::EcdsaP384),
        Some(Algorithm::EcdsaP384) => Some(Algorithm::Rsa2048),
        Some(Algorithm::Rsa2048) => Some(Algorithm::Rsa3072),
        Some(Algorithm::Rsa3072) => Some(Algorithm::Rsa4096),
        Some(Algorithm::Rsa4096) => Some(Algorithm::MlDsa65),
        Some(Algorithm::MlDsa65) => Some(Algorithm::RsaOaep2048),
        Some(Algorithm::RsaOaep2048) => Some(Algorithm::RsaOaep3072),
        Some(Algorithm::RsaOaep3072) => Some(Algorithm::RsaOaep4096),
        Some(Algorithm::RsaOaep4096) => Some(Algorithm::RsaOaep2048Sha1),
        Some(Algorithm::RsaOaep2048Sha1) => Some(Algorithm::RsaOaep3072Sha1),
        Some(Algorithm::RsaOaep3072Sha1) => Some(Algorithm::RsaOaep4096Sha1),
        Some(Algorithm::RsaOaep4096Sha1) => Some(Algorithm::MlKem768),
        Some(Algorithm::MlKem768) => Some(Algorithm::X25519),
        Some(Algorithm::X25519) => Some(Algorithm::EcdhP256),
        Some(Algorithm::EcdhP256) => None,
    }
}

pub(super) fn algorithms() -> Vec<Algorithm> {
    let mut all = Vec::new();
    while let Some(next) = next_algorithm(all.last().copied()) {
        all.push(next);
    }
    all
}

/// What becomes of the creation of a key.
pub(super) fn creation(algorithm: Algorithm, protection: Protection) -> Outcome {
    let (_, in_hsm) = row_of(algorithm);
    match (protection, in_hsm) {
        (Protection::Software, _) | (Protection::Hsm, InHsm::Yes | InHsm::IfItHas(true)) => {
            Outcome::Done
        }
        (Protection::Hsm, InHsm::IfItHas(false) | InHsm::Never) => {
            Outcome::refused(Code::FailedPrecondition, "HSM_NOT_OFFERED")
        }
    }
}

#[derive(Clone, Copy)]
enum May {
    Yes,
    No,
    /// With the role use-compromised.
    IfHeld,
}

/// The row of docs/lifecycle.md: new protection, and processing.
#[expect(clippy::match_same_arms, reason = "a row each, as in the document")]
fn rule(state: KeyState) -> (May, May) {
    match state {
        KeyState::PreActive => (May::No, May::No),
        KeyState::Active => (May::Yes, May::Yes),
        KeyState::Suspended => (May::No, May::Yes),
        KeyState::Deactivated => (May::No, May::No),
        KeyState::Compromised => (May::No, May::IfHeld),
        KeyState::DestroyScheduled => (May::No, May::No),
        KeyState::Destroyed => (May::No, May::No),
    }
}

/// What becomes of a call on a key of `algorithm`: the caller is looked at first, then what the key is for, the key's state,
/// and the version's.
pub(super) fn expected(
    call: Call,
    algorithm: Algorithm,
    (key, version): (KeyState, KeyState),
    holder: Holder,
) -> Outcome {
    if holder == Holder::Nobody {
        return Outcome::refused(Code::PermissionDenied, "PERMISSION_DENIED");
    }
    if !call.takes(algorithm) {
        return Outcome::refused(Code::FailedPrecondition, "KEY_PURPOSE");
    }
    for state in [key, version] {
        let (new, processing) = rule(state);
        let may = if call.protects() { new } else { processing };
        match (may, holder) {
            (May::Yes, _) | (May::IfHeld, Holder::UserOfCompromised) => {}
            (May::IfHeld, Holder::User | Holder::Nobody) => {
                return Outcome::refused(Code::PermissionDenied, "KEY_COMPROMISED");
            }
            (May::No, _) => return Outcome::refused(Code::FailedPrecondition, "KEY_STATE"),
        }
    }
    Outcome::Done
}
