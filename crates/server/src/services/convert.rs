//! Between the wire's types and core's. Nothing behind this file knows the wire.

use crate::config::Member;
use crate::error::ServiceError;
use crate::limits::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, WAITING_PERIOD_DEFAULT};
use conclave_core::{
    Algorithm, DataKey, DataKeyId, Destruction, EncryptionContext, Grant, KeyInfo, KeyName,
    KeySpec, KeyState, KeyView, KeyringName, Labels, NodeId, PrincipalName, Protection,
    RewrapPolicy, Role, RotationPeriod, Scope, State, TimeMs, VersionNumber, VersionView,
    WaitingPeriod,
};
use conclave_crypto::PublicKey;
use conclave_crypto::sign::{EcdsaForm, Hash, Scheme};
use conclave_proto::v1 as wire;
use prost_types::Timestamp;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

pub(super) fn key_name(text: &str) -> Result<KeyName, ServiceError> {
    KeyName::new(text).map_err(|e| ServiceError::invalid("name", e))
}

pub(super) fn optional_key_name(text: &str) -> Result<Option<KeyName>, ServiceError> {
    if text.is_empty() {
        Ok(None)
    } else {
        key_name(text).map(Some)
    }
}

pub(super) fn version(number: u32) -> Option<VersionNumber> {
    (number != 0).then_some(VersionNumber(number))
}

pub(super) fn context(pairs: BTreeMap<String, String>) -> Result<EncryptionContext, ServiceError> {
    EncryptionContext::new(pairs).map_err(|e| ServiceError::invalid("context", e))
}

pub(super) fn labels(pairs: BTreeMap<String, String>) -> Result<Labels, ServiceError> {
    Labels::new(pairs).map_err(|e| ServiceError::invalid("labels", e))
}

/// A new key, as its owner wants it.
pub(super) fn key_spec(asked: wire::CreateKeyRequest) -> Result<KeySpec, ServiceError> {
    Ok(KeySpec {
        name: key_name(&asked.name)?,
        algorithm: algorithm(asked.algorithm)?,
        protection: protection(asked.protection)?,
        labels: labels(asked.labels)?,
        pre_active: asked.pre_active || asked.activate_at.is_some(),
        activate_at: asked.activate_at.map(time).transpose()?,
        rotate_every: asked.rotation_period.map(rotation_period).transpose()?,
        rewrap: asked.rewrap_policy.map(rewrap_policy).unwrap_or_default(),
        exportable: asked.exportable,
    })
}

pub(super) fn data_key_id(bytes: &[u8]) -> Result<DataKeyId, ServiceError> {
    let rule = "16 bytes, as GenerateDataKey answered them";
    DataKeyId::from_slice(bytes).ok_or_else(|| ServiceError::invalid("data_key_id", rule))
}

pub(super) fn data_key(name: &KeyName, id: DataKeyId, it: &DataKey) -> wire::DataKey {
    wire::DataKey {
        data_key_id: id.as_bytes().to_vec(),
        key: name.to_string(),
        version: it.version.0,
        context: it.context.clone().into(),
        labels: it.labels.clone().into(),
        created_at: Some(timestamp(it.created_at)),
    }
}

pub(super) fn rewrap_policy(it: wire::RewrapPolicy) -> RewrapPolicy {
    RewrapPolicy {
        by_hand: it.by_hand,
        deactivate_old: it.deactivate_old_versions,
    }
}

pub(super) fn unknown(field: &'static str) -> ServiceError {
    ServiceError::invalid(field, "this version does not know the value")
}

pub(super) fn algorithm(value: i32) -> Result<Algorithm, ServiceError> {
    match wire::Algorithm::try_from(value).map_err(|_| unknown("algorithm"))? {
        wire::Algorithm::Unspecified | wire::Algorithm::Aes256Gcm => Ok(Algorithm::Aes256Gcm),
        wire::Algorithm::Chacha20Poly1305 => Ok(Algorithm::ChaCha20Poly1305),
        wire::Algorithm::HmacSha256 => Ok(Algorithm::HmacSha256),
        wire::Algorithm::HmacSha384 => Ok(Algorithm::HmacSha384),
        wire::Algorithm::HmacSha512 => Ok(Algorithm::HmacSha512),
        wire::Algorithm::Ed25519 => Ok(Algorithm::Ed25519),
        wire::Algorithm::EcdsaP256 => Ok(Algorithm::EcdsaP256),
        wire::Algorithm::EcdsaP384 => Ok(Algorithm::EcdsaP384),
        wire::Algorithm::Rsa2048 => Ok(Algorithm::Rsa2048),
        wire::Algorithm::Rsa3072 => Ok(Algorithm::Rsa3072),
        wire::Algorithm::Rsa4096 => Ok(Algorithm::Rsa4096),
        wire::Algorithm::MlDsa65 => Ok(Algorithm::MlDsa65),
        wire::Algorithm::RsaOaep2048 => Ok(Algorithm::RsaOaep2048),
        wire::Algorithm::RsaOaep3072 => Ok(Algorithm::RsaOaep3072),
        wire::Algorithm::RsaOaep4096 => Ok(Algorithm::RsaOaep4096),
        wire::Algorithm::MlKem768 => Ok(Algorithm::MlKem768),
        wire::Algorithm::X25519 => Ok(Algorithm::X25519),
        wire::Algorithm::EcdhP256 => Ok(Algorithm::EcdhP256),
        wire::Algorithm::RsaOaep2048Sha1 => Ok(Algorithm::RsaOaep2048Sha1),
        wire::Algorithm::RsaOaep3072Sha1 => Ok(Algorithm::RsaOaep3072Sha1),
        wire::Algorithm::RsaOaep4096Sha1 => Ok(Algorithm::RsaOaep4096Sha1),
    }
}

fn wire_algorithm(algorithm: Algorithm) -> wire::Algorithm {
    match algorithm {
        Algorithm::Aes256Gcm => wire::Algorithm::Aes256Gcm,
        Algorithm::ChaCha20Poly1305 => wire::Algorithm::Chacha20Poly1305,
        Algorithm::HmacSha256 => wire::Algorithm::HmacSha256,
        Algorithm::HmacSha384 => wire::Algorithm::HmacSha384,
        Algorithm::HmacSha512 => wire::Algorithm::HmacSha512,
        Algorithm::Ed25519 => wire::Algorithm::Ed25519,
        Algorithm::EcdsaP256 => wire::Algorithm::EcdsaP256,
        Algorithm::EcdsaP384 => wire::Algorithm::EcdsaP384,
        Algorithm::Rsa2048 => wire::Algorithm::Rsa2048,
        Algorithm::Rsa3072 => wire::Algorithm::Rsa3072,
        Algorithm::Rsa4096 => wire::Algorithm::Rsa4096,
        Algorithm::MlDsa65 => wire::Algorithm::MlDsa65,
        Algorithm::RsaOaep2048 => wire::Algorithm::RsaOaep2048,
        Algorithm::RsaOaep3072 => wire::Algorithm::RsaOaep3072,
        Algorithm::RsaOaep4096 => wire::Algorithm::RsaOaep4096,
        Algorithm::MlKem768 => wire::Algorithm::MlKem768,
        Algorithm::X25519 => wire::Algorithm::X25519,
        Algorithm::EcdhP256 => wire::Algorithm::EcdhP256,
        Algorithm::RsaOaep2048Sha1 => wire::Algorithm::RsaOaep2048Sha1,
        Algorithm::RsaOaep3072Sha1 => wire::Algorithm::RsaOaep3072Sha1,
        Algorithm::RsaOaep4096Sha1 => wire::Algorithm::RsaOaep4096Sha1,
    }
}

/// How a signature is made; what the caller left open follows from the key's algorithm.
pub(super) fn scheme(value: i32, algorithm: Algorithm) -> Result<Scheme, ServiceError> {
    use wire::SignatureScheme as It;
    Ok(match It::try_from(value).map_err(|_| unknown("scheme"))? {
        It::Unspecified => match algorithm {
            Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => Scheme::Ecdsa(EcdsaForm::Der),
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
                Scheme::RsaPss(Hash::Sha256)
            }
            Algorithm::MlDsa65 => Scheme::MlDsa65,
            Algorithm::Ed25519
            | Algorithm::Aes256Gcm
            | Algorithm::ChaCha20Poly1305
            | Algorithm::HmacSha256
            | Algorithm::HmacSha384
            | Algorithm::HmacSha512
            | Algorithm::RsaOaep2048
            | Algorithm::RsaOaep3072
            | Algorithm::RsaOaep4096
            | Algorithm::RsaOaep2048Sha1
            | Algorithm::RsaOaep3072Sha1
            | Algorithm::RsaOaep4096Sha1
            | Algorithm::MlKem768
            | Algorithm::X25519
            | Algorithm::EcdhP256 => Scheme::Ed25519,
        },
        It::Ed25519 => Scheme::Ed25519,
        It::EcdsaDer => Scheme::Ecdsa(EcdsaForm::Der),
        It::EcdsaRaw => Scheme::Ecdsa(EcdsaForm::Raw),
        It::RsaPkcs1Sha256 => Scheme::RsaPkcs1(Hash::Sha256),
        It::RsaPkcs1Sha384 => Scheme::RsaPkcs1(Hash::Sha384),
        It::RsaPkcs1Sha512 => Scheme::RsaPkcs1(Hash::Sha512),
        It::RsaPssSha256 => Scheme::RsaPss(Hash::Sha256),
        It::RsaPssSha384 => Scheme::RsaPss(Hash::Sha384),
        It::RsaPssSha512 => Scheme::RsaPss(Hash::Sha512),
        It::MlDsa65 => Scheme::MlDsa65,
    })
}

pub(super) fn wire_scheme(scheme: Scheme) -> wire::SignatureScheme {
    use wire::SignatureScheme as It;
    match scheme {
        Scheme::Ed25519 => It::Ed25519,
        Scheme::Ecdsa(EcdsaForm::Der) => It::EcdsaDer,
        Scheme::Ecdsa(EcdsaForm::Raw) => It::EcdsaRaw,
        Scheme::RsaPkcs1(Hash::Sha256) => It::RsaPkcs1Sha256,
        Scheme::RsaPkcs1(Hash::Sha384) => It::RsaPkcs1Sha384,
        Scheme::RsaPkcs1(Hash::Sha512) => It::RsaPkcs1Sha512,
        Scheme::RsaPss(Hash::Sha256) => It::RsaPssSha256,
        Scheme::RsaPss(Hash::Sha384) => It::RsaPssSha384,
        Scheme::RsaPss(Hash::Sha512) => It::RsaPssSha512,
        Scheme::MlDsa65 => It::MlDsa65,
    }
}

/// A stored public key in the forms that others read.
pub(super) fn public_key(
    info: &KeyInfo,
    version: VersionNumber,
    spki: &[u8],
) -> Result<wire::PublicKey, ServiceError> {
    let tampered = || ServiceError::Tampered {
        key: info.name.to_string(),
        version: version.0,
    };
    let public = PublicKey::from_spki(spki).map_err(|_| tampered())?;
    Ok(wire::PublicKey {
        name: info.name.to_string(),
        version: version.0,
        algorithm: wire_algorithm(info.algorithm).into(),
        der: public.spki(),
        pem: public.pem(),
        // Only for kinds of which none is settled there is none.
        jwk: public.jwk().unwrap_or_default(),
    })
}

pub(super) fn protection(value: i32) -> Result<Protection, ServiceError> {
    match wire::Protection::try_from(value).map_err(|_| unknown("protection"))? {
        wire::Protection::Unspecified | wire::Protection::Software => Ok(Protection::Software),
        wire::Protection::Hsm => Ok(Protection::Hsm),
    }
}

pub(super) fn wire_protection(protection: Protection) -> wire::Protection {
    match protection {
        Protection::Software => wire::Protection::Software,
        Protection::Hsm => wire::Protection::Hsm,
    }
}

pub(super) fn consistency(value: i32) -> Result<wire::ReadConsistency, ServiceError> {
    wire::ReadConsistency::try_from(value).map_err(|_| unknown("consistency"))
}

pub(super) fn page_size(asked: u32) -> Result<usize, ServiceError> {
    let size = if asked == 0 { PAGE_SIZE_DEFAULT } else { asked };
    let size = usize::try_from(size).ok().filter(|_| size <= PAGE_SIZE_MAX);
    size.ok_or_else(|| ServiceError::invalid("page_size", format!("1 to {PAGE_SIZE_MAX}")))
}

pub(super) fn time(stamp: Timestamp) -> Result<TimeMs, ServiceError> {
    let rule = || ServiceError::invalid("activate_at", "a time after 1970");
    let seconds = u64::try_from(stamp.seconds).map_err(|_| rule())?;
    let nanos = u64::try_from(stamp.nanos).map_err(|_| rule())?;
    let millis = seconds
        .checked_mul(1_000)
        .and_then(|ms| ms.checked_add(nanos / 1_000_000));
    millis.map(TimeMs).ok_or_else(rule)
}

pub(super) fn rotation_period(
    period: prost_types::Duration,
) -> Result<RotationPeriod, ServiceError> {
    let rule = |error: &dyn Display| ServiceError::invalid("rotation_period", error);
    let period = Duration::try_from(period).map_err(|error| rule(&error))?;
    let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    RotationPeriod::from_ms(period_ms).map_err(|error| rule(&error))
}

fn wire_period(period: RotationPeriod) -> prost_types::Duration {
    let seconds = i64::try_from(period.as_ms() / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(period.as_ms() % 1_000 * 1_000_000).unwrap_or(0);
    prost_types::Duration { seconds, nanos }
}

pub(super) fn timestamp(time: TimeMs) -> Timestamp {
    let seconds = i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(time.0 % 1_000 * 1_000_000).unwrap_or(0);
    Timestamp { seconds, nanos }
}

fn state(state: KeyState) -> wire::KeyState {
    match state {
        KeyState::PreActive => wire::KeyState::PreActive,
        KeyState::Active => wire::KeyState::Active,
        KeyState::Suspended => wire::KeyState::Suspended,
        KeyState::Deactivated => wire::KeyState::Deactivated,
        KeyState::Compromised => wire::KeyState::Compromised,
        KeyState::DestroyScheduled => wire::KeyState::DestroyScheduled,
        KeyState::Destroyed => wire::KeyState::Destroyed,
    }
}

/// How long a destruction waits; 30 days unless the caller says otherwise.
pub(super) fn waiting_period(
    period: Option<prost_types::Duration>,
) -> Result<WaitingPeriod, ServiceError> {
    let rule = |error: &dyn Display| ServiceError::invalid("waiting_period", error);
    let period = period.map(Duration::try_from).transpose();
    let period = period
        .map_err(|error| rule(&error))?
        .unwrap_or(WAITING_PERIOD_DEFAULT);
    let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    WaitingPeriod::from_ms(period_ms).map_err(|error| rule(&error))
}

/// Which nodes there are, and how far each has erased what was destroyed.
#[derive(Clone, Copy)]
pub(super) struct Erasure<'a> {
    pub(super) state: &'a State,
    pub(super) members: &'a BTreeMap<NodeId, Member>,
}

impl Erasure<'_> {
    pub(super) fn destruction(self, it: &Destruction) -> wire::Destruction {
        let has_erased = |node: &&NodeId| {
            it.done
                .is_some_and(|done| self.state.has_erased(**node, done.revision))
        };
        let erased = self.members.keys().filter(has_erased);
        wire::Destruction {
            at: Some(timestamp(it.at)),
            asked_by_record: it.asked.0,
            done_by_record: it.done.map(|done| done.record.0),
            erased_by_nodes: erased.map(|node| node.0).collect(),
            nodes: u32::try_from(self.members.len()).unwrap_or(u32::MAX),
        }
    }
}

pub(super) fn key(view: KeyView, erasure: Erasure<'_>) -> wire::Key {
    let next_rotation = view.next_rotation();
    let info = view.info;
    let protection = wire_protection(info.protection);
    let version = |it: VersionView| wire::KeyVersion {
        number: it.number.0,
        state: state(it.state).into(),
        created_at: Some(timestamp(it.created_at)),
        uses: it.usage.count,
        last_used_at: it.usage.last_use().map(timestamp),
        destruction: it.destruction.map(|it| erasure.destruction(&it)),
        data_keys: it.data_keys,
        imported: it.imported,
    };
    wire::Key {
        name: info.name.to_string(),
        key_id: info.id.as_bytes().to_vec(),
        algorithm: wire_algorithm(info.algorithm).into(),
        protection: protection.into(),
        state: state(info.state).into(),
        primary_version: info.primary.0,
        versions: view.versions.into_iter().map(version).collect(),
        aliases: erasure
            .state
            .aliases_of(info.id)
            .map(ToString::to_string)
            .collect(),
        labels: info.labels.into(),
        created_at: Some(timestamp(info.created_at)),
        activate_at: info.activate_at.map(timestamp),
        revision: info.revision.0,
        rotation_period: info.rotate_every.map(wire_period),
        next_rotation_at: next_rotation.map(timestamp),
        destruction: info.destruction.map(|it| erasure.destruction(&it)),
        rewrap_policy: Some(wire::RewrapPolicy {
            by_hand: info.rewrap.by_hand,
            deactivate_old_versions: info.rewrap.deactivate_old,
        }),
        data_keys_to_rewrap: view.rewraps_left,
        exportable: info.exportable,
    }
}

pub(super) fn principal(text: &str) -> Result<PrincipalName, ServiceError> {
    PrincipalName::new(text).map_err(|e| ServiceError::invalid("principal", e))
}

fn scope(text: &str) -> Result<Scope, ServiceError> {
    if text == "*" {
        return Ok(Scope::All);
    }
    let name = KeyringName::new(text).map_err(|e| ServiceError::invalid("keyring", e))?;
    Ok(Scope::Keyring(name))
}

pub(super) fn grant(it: Option<wire::Grant>) -> Result<Grant, ServiceError> {
    let it = it.ok_or_else(|| ServiceError::invalid("grant", "must be given"))?;
    let role = match wire::Role::try_from(it.role).map_err(|_| unknown("role"))? {
        wire::Role::Unspecified => return Err(ServiceError::invalid("role", "must be given")),
        wire::Role::Admin => Role::Admin,
        wire::Role::Operator => Role::Operator,
        wire::Role::User => Role::User,
        wire::Role::UseCompromised => Role::UseCompromised,
    };
    Ok(Grant {
        principal: principal(&it.principal)?,
        scope: scope(&it.keyring)?,
        role,
    })
}

pub(super) fn wire_grant(it: &Grant) -> wire::Grant {
    let role = match it.role {
        Role::Admin => wire::Role::Admin,
        Role::Operator => wire::Role::Operator,
        Role::User => wire::Role::User,
        Role::UseCompromised => wire::Role::UseCompromised,
    };
    wire::Grant {
        principal: it.principal.to_string(),
        keyring: it.scope.to_string(),
        role: role.into(),
    }
}
