//! Own material that no node ever has in clear: unwrapped inside the HSM.

use crate::imports::{failed, refusal, wrap};
use crate::pair_hsm::PairHsm;
use crate::receiving::{derive, peer, public_key};
use crate::world::{World, reason};
use conclave_crypto::agree::{self, AgreementKey, AgreementKind};
use conclave_crypto::sign::{self, KeyKind};
use conclave_proto::v1 as wire;
use tonic::{Code, Status};
use wire::import_key_request::Target;
use wire::{Algorithm, ImportMethod, Protection};

const KEY: &str = "demo/ours";

fn new_job(protection: Protection, method: ImportMethod) -> wire::CreateImportJobRequest {
    wire::CreateImportJobRequest {
        keyring: "demo".to_owned(),
        protection: protection.into(),
        method: method.into(),
        ..wire::CreateImportJobRequest::default()
    }
}

async fn job(
    world: &World,
    protection: Protection,
    method: ImportMethod,
) -> Result<wire::ImportJob, Status> {
    let request = new_job(protection, method);
    let answer = world.keys("admin").create_import_job(request).await?;
    Ok(answer.into_inner())
}

async fn inside(world: &World) -> wire::ImportJob {
    let job = job(world, Protection::Hsm, ImportMethod::Unspecified);
    job.await.unwrap()
}

fn new_key(algorithm: Algorithm, protection: Protection) -> Target {
    Target::Key(wire::CreateKeyRequest {
        name: KEY.to_owned(),
        algorithm: algorithm.into(),
        protection: protection.into(),
        ..wire::CreateKeyRequest::default()
    })
}

async fn import(
    world: &World,
    job: &wire::ImportJob,
    wrapped_key: Vec<u8>,
    target: Target,
) -> Result<wire::Key, Status> {
    let request = wire::ImportKeyRequest {
        // Its own each time.
        request_id: Vec::new(),
        import_job_id: job.import_job_id.clone(),
        wrapped_key,
        target: Some(target),
    };
    let answer = world.keys("admin").import_key(request).await?;
    Ok(answer.into_inner())
}

fn aes() -> Target {
    new_key(Algorithm::Aes256Gcm, Protection::Hsm)
}

#[tokio::test]
async fn a_key_comes_into_the_hsm_and_is_there_after_an_unseal() {
    let mut world = World::unsealed_behind(PairHsm::before).await;
    let job = inside(&world).await;
    assert_eq!(job.protection(), Protection::Hsm);
    assert_eq!(job.method(), ImportMethod::RsaOaep3072Sha256Aes256);
    let key = import(&world, &job, wrap(&job, &[0xC7; 32]), aes())
        .await
        .unwrap();
    assert!(key.versions[0].imported);
    assert_eq!(key.protection(), Protection::Hsm);
    let sealed = world.encrypt("app", KEY, b"inside").await.unwrap();
    assert_eq!(world.storage.find(&[0xC7; 32]), None, "not in clear");

    let version = Target::VersionOf(KEY.to_owned());
    let used = import(&world, &job, wrap(&job, &[7; 32]), version).await;
    assert_eq!(refusal(&used.unwrap_err()), failed("IMPORT_JOB_USED"));
    let next = inside(&world).await;
    let version = Target::VersionOf(KEY.to_owned());
    let key = import(&world, &next, wrap(&next, &[8; 32]), version);
    assert_eq!(key.await.unwrap().primary_version, 2);

    world.stop().await;
    world.run().await;
    world.submit(0).await.unwrap();
    world.submit(1).await.unwrap();
    assert_eq!(world.decrypt("app", &sealed).await.unwrap(), b"inside");
}

#[tokio::test]
async fn a_pair_comes_into_the_hsm_with_its_public_half() {
    let world = World::unsealed_behind(PairHsm::before).await;
    let stored = agree::generate(AgreementKind::EcdhP256, &[5; 32]).ok();
    let stored = stored.unwrap();
    let outside = sign::export(KeyKind::EcdsaP256, &stored).ok().unwrap();
    let job = inside(&world).await;
    let target = new_key(Algorithm::EcdhP256, Protection::Hsm);
    let wrapped = wrap(&job, outside.expose());
    import(&world, &job, wrapped, target).await.unwrap();
    let own = AgreementKey::new(AgreementKind::EcdhP256, &stored).ok();
    let own = own.unwrap();
    assert_eq!(public_key(&world, KEY).await.der, own.public_key().spki());
    let theirs = peer(AgreementKind::EcdhP256, 7);
    let agreed = derive(&world, KEY, &theirs.public_key().spki()).await;
    let secret = theirs.agree(own.public_key()).ok().unwrap();
    assert_eq!(agreed.unwrap().shared_secret.as_slice(), secret.expose());
}

#[tokio::test]
async fn what_does_not_fit_an_hsm_is_refused_and_the_job_stays_good() {
    let world = World::unsealed_behind(PairHsm::before).await;
    let job = inside(&world).await;
    let good = wrap(&job, &[7; 32]);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let invalid = (Code::InvalidArgument, "WRAPPED_KEY_INVALID".to_owned());
    for bytes in [changed, good[1..].to_vec(), vec![1], wrap(&job, &[7; 16])] {
        let refused = import(&world, &job, bytes, aes()).await.unwrap_err();
        assert_eq!(refusal(&refused), invalid);
        assert!(refused.message().contains("32 bytes"), "{refused}");
    }
    for (target, reason, hint) in [
        (
            new_key(Algorithm::Aes256Gcm, Protection::Software),
            "IMPORT_JOB_PROTECTION",
            "at protection HSM, and this one is at SOFTWARE",
        ),
        (
            Target::VersionOf("demo/first".to_owned()),
            "IMPORT_JOB_PROTECTION",
            "at SOFTWARE",
        ),
        // It makes such keys, and takes none in.
        (
            new_key(Algorithm::Ed25519, Protection::Hsm),
            "HSM_NOT_OFFERED",
            "takes in no ED25519 keys",
        ),
        // It has no such keys.
        (
            new_key(Algorithm::MlKem768, Protection::Hsm),
            "HSM_NOT_OFFERED",
            "does not offer ML-KEM-768",
        ),
    ] {
        let refused = import(&world, &job, good.clone(), target).await;
        let refused = refused.unwrap_err();
        assert_eq!(refusal(&refused), failed(reason));
        assert!(refused.message().contains(hint), "{refused}");
    }
    import(&world, &job, good, aes()).await.unwrap();
    let late = inside(&world).await;
    let wrapped = wrap(&late, &[7; 32]);
    world.clock.advance_ms(24 * 3_600_000);
    let refused = import(&world, &late, wrapped, aes()).await.unwrap_err();
    let reasons = ["IMPORT_JOB_EXPIRED", "IMPORT_JOB_NOT_FOUND"];
    assert!(reasons.contains(&reason(&refused).as_str()), "{refused}");
}

/// What was in memory is no key of an HSM.
#[tokio::test]
async fn a_software_job_brings_nothing_into_the_hsm() {
    let world = World::unsealed_behind(PairHsm::before).await;
    let job = job(&world, Protection::Software, ImportMethod::Unspecified);
    let job = job.await.unwrap();
    assert_eq!(job.protection(), Protection::Software);
    let good = wrap(&job, &[7; 32]);
    let refused = import(&world, &job, good.clone(), aes()).await.unwrap_err();
    assert_eq!(refusal(&refused), failed("IMPORT_JOB_PROTECTION"));
    let target = new_key(Algorithm::Aes256Gcm, Protection::Software);
    import(&world, &job, good, target).await.unwrap();
}

#[tokio::test]
async fn what_an_hsm_cannot_do_is_said_when_the_job_is_made() {
    let world = World::unsealed_behind(PairHsm::before).await;
    for method in [
        ImportMethod::RsaOaep3072Sha1Aes256,
        ImportMethod::RsaOaep4096Sha256Aes256,
    ] {
        let refused = job(&world, Protection::Hsm, method).await.unwrap_err();
        assert_eq!(refusal(&refused), failed("HSM_NOT_OFFERED"));
        let hint = "choose RSA-OAEP-3072-SHA-256-AES-256, or protection SOFTWARE";
        assert!(refused.message().contains(hint), "{refused}");
        job(&world, Protection::Software, method).await.unwrap();
    }
    let request = new_job(Protection::Hsm, ImportMethod::RsaOaep3072Sha1Aes256);
    let refused = world.keys("app").create_import_job(request).await;
    assert_eq!(reason(&refused.unwrap_err()), "PERMISSION_DENIED");
    let plain = World::unsealed().await;
    let refused = job(&plain, Protection::Hsm, ImportMethod::Unspecified).await;
    let refused = refused.unwrap_err();
    assert_eq!(refusal(&refused), failed("HSM_NOT_OFFERED"));
    assert!(refused.message().contains("takes in no keys"), "{refused}");
}

/// The job's public key is bound to its private one: else whoever changes a disk has others wrap with a key of his own.
#[tokio::test]
async fn a_swapped_job_is_tampering() {
    let mut world = World::unsealed_behind(PairHsm::before).await;
    let (one, other) = (inside(&world).await, inside(&world).await);
    world.stop().await;
    crate::public_keys::replace(&world, &one.public_key_der, &other.public_key_der);
    world.run().await;
    world.submit(0).await.unwrap();
    world.submit(1).await.unwrap();
    let refused = import(&world, &one, wrap(&other, &[7; 32]), aes()).await;
    assert_eq!(reason(&refused.unwrap_err()), "MATERIAL_TAMPERED");
    import(&world, &other, wrap(&other, &[7; 32]), aes())
        .await
        .unwrap();
}
