//! One error of each kind that a call can end with. A new kind does not compile until it has its place here, behind another.

use conclave_core::outcome::{ActionName, LimitedThing, Malformation};
use conclave_core::{
    Algorithm, DataKeyId, Denial, Generation, ImportJobId, KeyName, KeyState, KeyringName, NodeId,
    Operation, Protection, Purpose, Refusal, TimeMs, Transition, VersionNumber,
};
use conclave_crypto::CryptoError;
use conclave_env::HsmError;
use conclave_server::{PageTokenError, ServiceError, ShareProblem};
use std::iter::successors;

const VERSION: VersionNumber = VersionNumber(2);
const NODE: NodeId = NodeId(2);
const DAY_MS: u64 = 86_400_000;

fn name(text: &str) -> KeyName {
    KeyName::new(text).expect("it is one")
}

fn key() -> KeyName {
    name("payments/card-pan")
}

fn alias() -> KeyName {
    name("payments/current")
}

fn keyring() -> String {
    "payments".to_owned()
}

fn custodian() -> String {
    "custodian-1".to_owned()
}

fn what() -> String {
    format!("version {VERSION} of key {}", key())
}

/// One of each kind.
pub(crate) fn all() -> Vec<ServiceError> {
    let rule = "8 KiB of pairs are allowed";
    let first = ServiceError::invalid("context", rule);
    let own = successors(Some(first), after);
    let denials = successors(
        Some(Denial::Permission { keyring: keyring() }),
        after_denial,
    );
    let created = Refusal::PermissionDenied(ActionName::CreateKey);
    let refusals = successors(Some(created), after_refusal);
    let first = ShareProblem::OtherCluster {
        custodian: custodian(),
    };
    let shares = successors(Some(first), after_share);
    own.chain(denials.map(ServiceError::Denied))
        .chain(refusals.map(ServiceError::Refused))
        .chain(shares.map(ServiceError::Share))
        .collect()
}

/// Those of services, but for what they pass on.
fn after(it: &ServiceError) -> Option<ServiceError> {
    use ServiceError as It;
    let (key, version) = (key().to_string(), VERSION.0);
    let why = "no leader is known".to_owned();
    let data_key = DataKeyId([0x8f; 16]);
    Some(match it {
        It::Invalid { .. } => It::PageToken(PageTokenError::OtherList),
        It::PageToken(_) => It::Forbidden {
            action: "read the audit log",
            takes: "admin or operator on '*'",
        },
        It::Forbidden { .. } => It::Ciphertext(CryptoError::DoesNotOpen),
        It::Ciphertext(_) => It::MacInvalid { key, version },
        It::MacInvalid { .. } => It::SignatureInvalid { key, version },
        It::SignatureInvalid { .. } => It::DoesNotOpen { key, version },
        It::DoesNotOpen { .. } => It::PublicKeyInvalid(CryptoError::PublicKey),
        It::PublicKeyInvalid(_) => It::KeyMismatch {
            named: "payments/other".to_owned(),
            actual: key,
        },
        It::KeyMismatch { .. } => It::UnknownKeyId,
        It::UnknownKeyId => It::WrappedKeyInvalid {
            algorithm: Algorithm::Aes256Gcm.as_str(),
            takes: "32 bytes",
        },
        It::WrappedKeyInvalid { .. } => It::UnknownDataKey(data_key),
        It::UnknownDataKey(_) => It::ContextMismatch(data_key),
        It::ContextMismatch(_) => It::DataKeysFull,
        It::DataKeysFull => It::Tampered { key, version },
        It::Tampered { .. } => It::Sealed {
            node: NODE,
            reason: "start".to_owned(),
        },
        It::Sealed { .. } => It::NotSealed { node: NODE },
        It::NotSealed { .. } => It::NoCustody,
        It::NoCustody => It::NoQuorum { why },
        It::NoQuorum { .. } => It::Unknown { why },
        It::Unknown { .. } => It::Storage {
            fault: "no space is left: free some".to_owned(),
        },
        It::Storage { .. } => It::Hsm(HsmError::Lost {
            detail: "DeviceRemoved".to_owned(),
        }),
        It::Hsm(_) => It::Deadline { why },
        It::Deadline { .. } => It::Overloaded {
            what: "4096 calls under way",
        },
        It::Overloaded { .. } => It::Contended,
        It::Contended => It::NotOffered {
            hsm: "SoftHSM, token conclave-2".to_owned(),
            algorithm: Algorithm::Ed25519.as_str(),
        },
        It::NotOffered { .. } => It::MethodNotOffered {
            hsm: "SoftHSM, token conclave-2".to_owned(),
            method: "RSA-OAEP-3072-SHA-256-AES-256",
            instead: "it has RSA-OAEP-3072-SHA-1-AES-256".to_owned(),
        },
        It::MethodNotOffered { hsm, .. } => It::LabelNotOffered { hsm: hsm.clone() },
        It::LabelNotOffered { hsm } => It::NotImported {
            hsm: hsm.clone(),
            algorithm: Algorithm::Ed25519.as_str(),
        },
        It::NotImported { .. } => It::NotDestroyed(format!("key {key}")),
        It::NotDestroyed(_) => It::Stopping,
        It::Stopping => It::Outdated,
        It::Outdated | It::Denied(_) | It::Refused(_) | It::Share(_) => return None,
    })
}

fn after_denial(it: &Denial) -> Option<Denial> {
    use Denial as It;
    let (name, keyring) = (key(), keyring());
    Some(match it {
        It::Permission { .. } => It::KeyNotFound(name),
        It::KeyNotFound(_) => It::VersionNotFound {
            name,
            version: VERSION,
        },
        It::VersionNotFound { .. } => It::State {
            what: what(),
            state: KeyState::Deactivated,
            operation: "decrypt",
        },
        It::State { .. } => It::Purpose {
            name,
            algorithm: Algorithm::Aes256Gcm,
            operation: Operation::Sign,
        },
        It::Purpose { .. } => It::NoPublicKey {
            name,
            algorithm: Algorithm::Aes256Gcm,
        },
        It::NoPublicKey { .. } => It::NotExportable(name),
        It::NotExportable(_) => It::Export { keyring },
        It::Export { .. } => It::Compromised {
            what: what(),
            keyring,
        },
        It::Compromised { .. } => return None,
    })
}

fn after_refusal(it: &Refusal) -> Option<Refusal> {
    use Refusal as It;
    let (name, alias, what) = (key(), alias(), what());
    let id = ImportJobId([0x8f; 16]);
    Some(match it {
        It::PermissionDenied(_) => It::NotFormed,
        It::NotFormed => It::KeyNotFound(name),
        It::KeyNotFound(_) => It::KeyExists(name),
        It::KeyExists(_) => It::VersionNotFound {
            name,
            version: VERSION,
        },
        It::VersionNotFound { .. } => It::WrongState {
            what,
            from: KeyState::Active,
            transition: Transition::ScheduleDestruction,
        },
        It::WrongState { .. } => It::NotRotatable {
            name,
            state: KeyState::Suspended,
        },
        It::NotRotatable { .. } => It::Conflict,
        It::Conflict => It::LimitReached {
            what: LimitedThing::Labels,
            max: 32,
        },
        It::LimitReached { .. } => It::Malformed(Malformation::Exportable),
        It::Malformed(_) => It::CustodySettled,
        It::CustodySettled => It::NoCustody,
        It::NoCustody => It::StaleSet,
        It::StaleSet => It::LastAdmin,
        It::LastAdmin => It::RequestReused,
        It::RequestReused => It::RecentlyUsed {
            what,
            ago_ms: DAY_MS / 8,
            unused_for_ms: 7 * DAY_MS,
        },
        It::RecentlyUsed { .. } => It::DataKeysLeft { what, count: 17 },
        It::DataKeysLeft { .. } => It::DataKeyNotFound(DataKeyId([0x8f; 16])),
        It::DataKeyNotFound(_) => It::Destroyed(name),
        It::Destroyed(_) => It::AliasNotFound(alias),
        It::AliasNotFound(_) => It::AliasExists { alias, key: name },
        It::AliasExists { .. } => It::NamedByAlias { alias, key: name },
        It::NamedByAlias { .. } => It::AliasKeyring {
            alias,
            key: self::name("orders/card-pan"),
        },
        It::AliasKeyring { .. } => It::AliasPurpose {
            alias,
            earlier: name,
            from: Purpose::Encrypt,
            key: self::name("payments/releases"),
            to: Purpose::Sign,
        },
        It::AliasPurpose { .. } => It::AliasMoved { alias, key: name },
        It::AliasMoved { .. } => It::ImportJobNotFound(id),
        It::ImportJobNotFound(_) => It::ImportJobExpired { id, at: TimeMs(0) },
        It::ImportJobExpired { .. } => It::ImportJobUsed(id),
        It::ImportJobUsed(_) => It::ImportJobElsewhere {
            id,
            keyring: KeyringName::new("orders").expect("it is one"),
        },
        It::ImportJobElsewhere { .. } => It::ImportJobProtection {
            id,
            protection: Protection::Software,
            asked: Protection::Hsm,
        },
        It::ImportJobProtection { .. } => return None,
    })
}

fn after_share(it: &ShareProblem) -> Option<ShareProblem> {
    use ShareProblem as It;
    let (custodian, detail) = (custodian(), "its digest is another one".to_owned());
    Some(match it {
        It::OtherCluster { .. } => It::OldGeneration {
            custodian,
            generation: 1,
            current: Generation(2),
        },
        It::OldGeneration { .. } => It::OtherSet { custodian },
        It::OtherSet { .. } => It::NotACustodian { custodian },
        It::NotACustodian { .. } => It::Mangled { custodian, detail },
        It::Mangled { .. } => It::Repeated {
            custodian,
            node: NODE,
        },
        It::Repeated { .. } => It::NotRebuilt {
            detail: "another check value".to_owned(),
        },
        It::NotRebuilt { .. } => return None,
    })
}
