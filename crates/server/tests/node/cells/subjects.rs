//! The keys of the table: for each algorithm and protection one in each state, whose only version is then moved through all
//! the states, and one of two versions, of which the older one is moved.

use super::calls::MESSAGE;
use super::spec::{Outcome, algorithms, creation, row_of};
use crate::world::{World, eventually, reason};
use conclave_core::{Algorithm, KeyState, Protection, Purpose};
use conclave_crypto::agree::{self, AgreementKey, AgreementKind};
use conclave_crypto::kem::EncapsulationKey;
use conclave_crypto::oaep::EncryptingKey;
use conclave_crypto::{OaepHash, PublicKey};
use conclave_proto::v1::{self as wire, sign_request};
use futures::StreamExt as _;
use std::collections::BTreeMap;
use tonic::{Response, Status};

/// A key that is always ACTIVE, for what is re-encrypted from and to others.
pub(super) const TARGET: &str = "demo/first";

/// A large RSA key takes some seconds on a busy machine, and a call twenty at most.
const CREATED_AT_ONCE: usize = 2;
const DAY: i64 = 86_400;
const DAY_MS: u64 = 86_400_000;

/// The states of a version, in an order in which it can have all of them. It is never `PRE_ACTIVE`.
pub(super) const VERSION_STATES: [KeyState; 6] = [
    KeyState::Active,
    KeyState::Suspended,
    KeyState::Compromised,
    KeyState::DestroyScheduled,
    KeyState::Deactivated,
    KeyState::Destroyed,
];

/// The states of a key.
pub(super) const KEY_STATES: [KeyState; 7] = [
    KeyState::PreActive,
    KeyState::Active,
    KeyState::Suspended,
    KeyState::Deactivated,
    KeyState::Compromised,
    KeyState::DestroyScheduled,
    KeyState::Destroyed,
];

/// One key.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) algorithm: Algorithm,
    pub(super) protection: Protection,
    /// Of the key as a whole.
    pub(super) state: KeyState,
    /// Whether there is a second version, which is primary and stays ACTIVE.
    pub(super) rotated: bool,
    pub(super) samples: Samples,
}

/// What version 1 made while it could; of a key that never could, and for other purposes, something that looks like it.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) ciphertext: Vec<u8>,
    /// A registered data key that it wraps.
    pub(super) data_key: Option<Vec<u8>>,
    /// Codes, signatures, and what was made with the public key, by version; 0 is the primary one.
    proofs: BTreeMap<u32, Vec<u8>>,
    /// A ciphertext of [`TARGET`].
    pub(super) of_target: Vec<u8>,
}

impl Samples {
    pub(super) fn proof(&self, version: u32) -> Vec<u8> {
        self.proofs.get(&version).cloned().unwrap_or(vec![7; 64])
    }
}

impl Subject {
    pub(super) fn purpose(&self) -> Purpose {
        row_of(self.algorithm).0
    }

    async fn create(&self, world: &World) -> Result<wire::Key, Status> {
        let request = wire::CreateKeyRequest {
            name: self.name.clone(),
            algorithm: wire_algorithm(self.algorithm).into(),
            protection: match self.protection {
                Protection::Software => wire::Protection::Software,
                Protection::Hsm => wire::Protection::Hsm,
            }
            .into(),
            pre_active: self.state == KeyState::PreActive,
            ..wire::CreateKeyRequest::default()
        };
        let key = world.keys("admin").create_key(request).await?.into_inner();
        if !self.rotated {
            return Ok(key);
        }
        let request = wire::RotateKeyRequest {
            name: self.name.clone(),
            ..wire::RotateKeyRequest::default()
        };
        let rotated = world.keys("admin").rotate_key(request).await?;
        Ok(rotated.into_inner())
    }

    async fn make_samples(&mut self, world: &World, key_id: &[u8]) {
        let target = world.encrypt("app", TARGET, MESSAGE).await.unwrap();
        let mut ciphertext = target.clone();
        // Behind the format's version and the suite (docs/format/message.md).
        ciphertext[2..18].copy_from_slice(key_id);
        self.samples.ciphertext = ciphertext;
        self.samples.of_target = target;
        if self.state == KeyState::PreActive {
            return;
        }
        match self.purpose() {
            Purpose::Encrypt => self.encrypt(world).await,
            Purpose::Agree => {}
            Purpose::Mac | Purpose::Sign | Purpose::AsymmetricDecrypt => {
                for version in if self.rotated { vec![0, 1] } else { vec![0] } {
                    let proof = self.prove(world, version).await;
                    self.samples.proofs.insert(version, proof);
                }
                let of_first = self.samples.proof(0);
                self.samples.proofs.entry(1).or_insert(of_first);
            }
        }
    }

    async fn encrypt(&mut self, world: &World) {
        let request = wire::EncryptRequest {
            key: self.name.clone(),
            version: 1,
            plaintext: MESSAGE.to_vec(),
            ..wire::EncryptRequest::default()
        };
        let sealed = world.crypto("app").encrypt(request).await.unwrap();
        self.samples.ciphertext = sealed.into_inner().ciphertext;
        if self.rotated {
            // It would be under the primary version, or moved there as soon as the older one is compromised.
            return;
        }
        let request = wire::GenerateDataKeyRequest {
            key: self.name.clone(),
            register: true,
            ..wire::GenerateDataKeyRequest::default()
        };
        let drawn = world.crypto("app").generate_data_key(request).await;
        self.samples.data_key = Some(drawn.unwrap().into_inner().data_key_id);
    }

    /// What others make with the public key alone.
    async fn protect(&self, world: &World, version: u32) -> Vec<u8> {
        let request = wire::GetPublicKeyRequest {
            name: self.name.clone(),
            version,
            ..wire::GetPublicKeyRequest::default()
        };
        let public = world.keys("app").get_public_key(request).await.unwrap();
        let public = PublicKey::from_spki(&public.into_inner().der).unwrap();
        if self.algorithm == Algorithm::MlKem768 {
            let key = EncapsulationKey::new(&public).ok().unwrap();
            return key.encapsulate().ok().unwrap().0;
        }
        let key = EncryptingKey::new(&public).ok().unwrap();
        let by_sha1 = self.algorithm.as_str().ends_with("-SHA-1");
        let hash = if by_sha1 {
            OaepHash::Sha1
        } else {
            OaepHash::Sha256
        };
        key.with_hash(hash).encrypt(MESSAGE).unwrap()
    }

    /// The public key of somebody to agree with.
    pub(super) fn peer(&self) -> Vec<u8> {
        let kind = if self.algorithm == Algorithm::EcdhP256 {
            AgreementKind::EcdhP256
        } else {
            AgreementKind::X25519
        };
        let private = agree::generate(kind, &[5; 32]).ok().unwrap();
        let key = AgreementKey::new(kind, &private).ok().unwrap();
        key.public_key().spki()
    }

    async fn prove(&self, world: &World, version: u32) -> Vec<u8> {
        let (key, message) = (self.name.clone(), MESSAGE.to_vec());
        if self.purpose() == Purpose::AsymmetricDecrypt {
            return self.protect(world, version).await;
        }
        if self.purpose() == Purpose::Mac {
            let request = wire::GenerateMacRequest {
                key,
                version,
                message,
                ..wire::GenerateMacRequest::default()
            };
            let made = world.crypto("app").generate_mac(request).await.unwrap();
            return made.into_inner().mac;
        }
        let request = wire::SignRequest {
            key,
            version,
            input: Some(sign_request::Input::Message(message)),
            ..wire::SignRequest::default()
        };
        let made = world.crypto("app").sign(request).await.unwrap();
        made.into_inner().signature
    }

    /// Moves the key as a whole out of ACTIVE; to be destroyed it takes the last phase.
    pub(super) async fn settle(&self, world: &World) {
        match self.state {
            KeyState::PreActive | KeyState::Active | KeyState::Destroyed => {}
            KeyState::Suspended => self.step(world, 0, Step::Suspend).await,
            KeyState::Deactivated => self.step(world, 0, Step::Deactivate).await,
            KeyState::Compromised => self.step(world, 0, Step::Compromise).await,
            KeyState::DestroyScheduled => {
                self.step(world, 0, Step::Deactivate).await;
                self.step(world, 0, Step::Destroy(90)).await;
            }
        }
    }

    /// Moves version 1 to the next of [`VERSION_STATES`]. What is to be destroyed waits a day for it.
    pub(super) async fn move_version(&self, world: &World, to: KeyState) {
        if self.state == KeyState::Destroyed {
            if to == KeyState::Destroyed {
                self.step(world, 0, Step::Deactivate).await;
                self.step(world, 0, Step::Destroy(1)).await;
            }
            return;
        }
        let step = match to {
            KeyState::PreActive | KeyState::Active => return,
            KeyState::Suspended => Step::Suspend,
            KeyState::Compromised => Step::Compromise,
            KeyState::DestroyScheduled | KeyState::Destroyed => Step::Destroy(1),
            KeyState::Deactivated => Step::Cancel,
        };
        self.step(world, 1, step).await;
    }

    async fn step(&self, world: &World, version: u32, step: Step) {
        let mut keys = world.keys("admin");
        let name = self.name.clone();
        let request = wire::TransitionRequest {
            name: name.clone(),
            version,
            ..wire::TransitionRequest::default()
        };
        let done: Result<Response<wire::Key>, Status> = match step {
            Step::Suspend => keys.suspend_key(request).await,
            Step::Deactivate => keys.deactivate_key(request).await,
            Step::Compromise => keys.mark_key_compromised(request).await,
            Step::Cancel => keys.cancel_key_destruction(request).await,
            Step::Destroy(days) => {
                let request = wire::ScheduleKeyDestructionRequest {
                    name,
                    version,
                    waiting_period: Some(prost_types::Duration {
                        seconds: days * DAY,
                        nanos: 0,
                    }),
                    force: true,
                    ..wire::ScheduleKeyDestructionRequest::default()
                };
                keys.schedule_key_destruction(request).await
            }
        };
        done.unwrap();
    }

    /// Whether the key and its version 1 are in the states that the table's row is about.
    pub(super) async fn is_in(&self, world: &World, version: KeyState) -> bool {
        let request = wire::GetKeyRequest {
            name: self.name.clone(),
            ..wire::GetKeyRequest::default()
        };
        let key = world.keys("admin").get_key(request).await.unwrap();
        let key = key.into_inner();
        let named = |state: i32| wire::KeyState::try_from(state).unwrap().as_str_name();
        let is = |found: i32, state: KeyState| named(found) == format!("KEY_STATE_{state}");
        is(key.state, self.state) && is(key.versions[0].state, version)
    }
}

enum Step {
    Suspend,
    Deactivate,
    Compromise,
    Cancel,
    /// After so many days.
    Destroy(i64),
}

fn wire_algorithm(algorithm: Algorithm) -> wire::Algorithm {
    let name = algorithm.as_str().replace('-', "_");
    wire::Algorithm::from_str_name(&format!("ALGORITHM_{name}")).unwrap()
}

/// What became of the creation of keys, and those that there are then.
pub(super) async fn create(
    world: &World,
) -> (BTreeMap<(String, &'static str), Outcome>, Vec<Subject>) {
    let mut created = BTreeMap::new();
    let mut subjects = Vec::new();
    let wanted = algorithms().into_iter().flat_map(|algorithm| {
        [Protection::Software, Protection::Hsm].map(|protection| (algorithm, protection))
    });
    let all = wanted.flat_map(|(algorithm, protection)| {
        let one = KEY_STATES.map(|state| (algorithm, protection, state, false));
        let rotated = (algorithm, protection, KeyState::Active, true);
        one.into_iter().chain([rotated])
    });
    let all = all.enumerate().map(|(number, it)| async move {
        let (algorithm, protection, state, rotated) = it;
        let mut subject = Subject {
            name: format!("demo/cell-{number}"),
            algorithm,
            protection,
            state,
            rotated,
            samples: Samples::default(),
        };
        let made = subject.create(world).await;
        if let Ok(key) = &made {
            subject.make_samples(world, &key.key_id).await;
            subject.settle(world).await;
        }
        (subject, made)
    });
    let all: Vec<_> = futures::stream::iter(all)
        .buffered(CREATED_AT_ONCE)
        .collect()
        .await;
    for (subject, made) in all {
        let outcome = match &made {
            Ok(_) => Outcome::Done,
            Err(status) => Outcome::refused(status.code(), &reason(status)),
        };
        let (algorithm, protection) = (subject.algorithm, subject.protection);
        let expected = creation(algorithm, protection);
        assert_eq!(outcome, expected, "{algorithm:?} {protection:?}: {made:?}");
        created.insert(
            (algorithm.as_str().to_owned(), protection.as_str()),
            outcome,
        );
        if made.is_ok() {
            subjects.push(subject);
        }
    }
    (created, subjects)
}

/// Moves version 1 of all keys to the next state, and sees that they are there.
pub(super) async fn move_versions(world: &World, subjects: &[Subject], to: KeyState) {
    futures::future::join_all(subjects.iter().map(|it| it.move_version(world, to))).await;
    if to == KeyState::Destroyed {
        world.clock.advance_ms(DAY_MS);
    }
    for subject in subjects {
        if subject.state == KeyState::Destroyed && to != KeyState::Destroyed {
            continue;
        }
        eventually("key and version are in their states", async || {
            subject.is_in(world, to).await
        })
        .await;
    }
}
