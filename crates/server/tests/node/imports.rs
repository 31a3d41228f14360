//! Own material comes in by a job, and goes out of exportable keys.

use crate::destruction::{DAY_MS, destroy, is_destroyed, step};
use crate::world::{World, eventually, reason};
use conclave_crypto::oaep::{self, DecryptingKey, EncryptingKey};
use conclave_crypto::sign::{self, KeyKind, SigningKey};
use conclave_crypto::{KeyMaterial, OaepHash, PrivateMaterial, PublicKey, RsaSize, rsa_aes};
use conclave_proto::v1 as wire;
use std::collections::BTreeMap;
use tonic::{Code, Status};
use wire::export_key_request::To;
use wire::import_key_request::Target;

const KEY: &str = "demo/ours";

async fn job(world: &World, seconds: i64) -> Result<wire::ImportJob, Status> {
    let request = wire::CreateImportJobRequest {
        keyring: "demo".to_owned(),
        lifetime: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..wire::CreateImportJobRequest::default()
    };
    let answer = world.keys("admin").create_import_job(request).await?;
    Ok(answer.into_inner())
}

pub(crate) fn wrap(job: &wire::ImportJob, material: &[u8]) -> Vec<u8> {
    let public = PublicKey::from_spki(&job.public_key_der).unwrap();
    let hash = match job.method() {
        wire::ImportMethod::RsaOaep3072Sha1Aes256 | wire::ImportMethod::RsaOaep4096Sha1Aes256 => {
            OaepHash::Sha1
        }
        wire::ImportMethod::Unspecified
        | wire::ImportMethod::RsaOaep3072Sha256Aes256
        | wire::ImportMethod::RsaOaep4096Sha256Aes256 => OaepHash::Sha256,
    };
    let wrapping = EncryptingKey::new(&public).ok().unwrap().with_hash(hash);
    let ephemeral = KeyMaterial::from_slice(&[9; 32]).ok().unwrap();
    let material = PrivateMaterial::from_slice(material).ok().unwrap();
    rsa_aes::wrap(&wrapping, &ephemeral, &material).unwrap()
}

fn new_key(name: &str, algorithm: wire::Algorithm) -> Target {
    Target::Key(wire::CreateKeyRequest {
        name: name.to_owned(),
        algorithm: algorithm.into(),
        exportable: true,
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
        request_id: vec![3; 16],
        import_job_id: job.import_job_id.clone(),
        wrapped_key,
        target: Some(target),
    };
    let answer = world.keys("admin").import_key(request).await?;
    Ok(answer.into_inner())
}

async fn export(
    world: &World,
    who: &str,
    key: &str,
    to: To,
) -> Result<wire::ExportKeyResponse, Status> {
    let context = match &to {
        To::WrappingKey(_) => BTreeMap::from([("why".to_owned(), "escrow".to_owned())]),
        To::PublicKey(_) => BTreeMap::new(),
    };
    let request = wire::ExportKeyRequest {
        key: key.to_owned(),
        to: Some(to),
        context,
        ..wire::ExportKeyRequest::default()
    };
    let answer = world.crypto(who).export_key(request).await?;
    Ok(answer.into_inner())
}

/// A recipient's key pair.
fn recipient() -> (DecryptingKey, Vec<u8>) {
    let private = oaep::generate(RsaSize::Bits2048).ok().unwrap();
    let key = DecryptingKey::new(RsaSize::Bits2048, &private)
        .ok()
        .unwrap();
    let spki = key.public_key().spki();
    (key, spki)
}

pub(crate) fn refusal(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

pub(crate) fn failed(reason: &str) -> (Code, String) {
    (Code::FailedPrecondition, reason.to_owned())
}

async fn mac(world: &World, key: &str) -> Vec<u8> {
    let request = wire::GenerateMacRequest {
        key: key.to_owned(),
        message: b"a message".to_vec(),
        ..wire::GenerateMacRequest::default()
    };
    let answer = world.crypto("app").generate_mac(request).await;
    answer.unwrap().into_inner().mac
}

#[tokio::test]
async fn a_key_comes_in_and_is_the_same_here() {
    let world = World::unsealed().await;
    let job = job(&world, 3_600).await.unwrap();
    let material = [7; 32];
    let wrapped = wrap(&job, &material);
    let target = || new_key(KEY, wire::Algorithm::HmacSha256);
    let key = import(&world, &job, wrapped.clone(), target())
        .await
        .unwrap();
    assert!(key.versions[0].imported && key.exportable);
    // Python: hmac.new(b'\x07' * 32, b'a message', 'sha256').hexdigest()
    let own = conclave_crypto::mac::generate(
        conclave_crypto::MacHash::Sha256,
        &KeyMaterial::from_slice(&material).ok().unwrap(),
        b"a message",
    );
    assert_eq!(mac(&world, KEY).await, own.unwrap());

    // The same request once more is answered as the first time; the job is good for no other.
    let again = import(&world, &job, wrapped.clone(), target())
        .await
        .unwrap();
    assert_eq!(again.key_id, key.key_id);
    let other = wire::ImportKeyRequest {
        request_id: vec![4; 16],
        import_job_id: job.import_job_id.clone(),
        wrapped_key: wrapped,
        target: Some(new_key("demo/other", wire::Algorithm::HmacSha256)),
    };
    let used = world.keys("admin").import_key(other).await.unwrap_err();
    assert_eq!(refusal(&used), failed("IMPORT_JOB_USED"));
    let request = wire::GetImportJobRequest {
        import_job_id: job.import_job_id,
        ..wire::GetImportJobRequest::default()
    };
    let seen = world.keys("app").get_import_job(request).await.unwrap();
    assert_eq!(seen.into_inner().imported_key, KEY);
    let log = world.log().await;
    let record = log
        .iter()
        .rfind(|it| it.key == KEY && it.operation == "ImportKey");
    assert!(record.unwrap().detail.starts_with("by import job "));
}

#[tokio::test]
async fn a_signing_key_comes_in_and_goes_out_again() {
    let world = World::unsealed().await;
    let kind = KeyKind::EcdsaP256;
    let stored = sign::generate(kind, &[5; 32]).ok().unwrap();
    let outside = sign::export(kind, &stored).ok().unwrap();
    let job = job(&world, 3_600).await.unwrap();
    let target = new_key(KEY, wire::Algorithm::EcdsaP256);
    let wrapped = wrap(&job, outside.expose());
    import(&world, &job, wrapped, target).await.unwrap();
    let request = wire::GetPublicKeyRequest {
        name: KEY.to_owned(),
        ..wire::GetPublicKeyRequest::default()
    };
    let public = world.keys("app").get_public_key(request).await.unwrap();
    let signing = SigningKey::new(kind, &stored).ok().unwrap();
    assert_eq!(public.into_inner().der, signing.public_key().spki());

    let (private, spki) = recipient();
    let out = export(&world, "admin", KEY, To::PublicKey(spki))
        .await
        .unwrap();
    let unwrapped = rsa_aes::unwrap(&private, &out.wrapped_key).ok().unwrap();
    assert!(unwrapped.expose() == outside.expose());
    let log = world.log().await;
    let record = log.iter().rfind(|it| it.operation == "ExportKey").unwrap();
    assert_eq!((record.key.as_str(), record.outcome), (KEY, 1));
}

#[tokio::test]
async fn the_next_version_can_come_from_outside() {
    let world = World::unsealed().await;
    let job = job(&world, 3_600).await.unwrap();
    let sealed = world.encrypt("app", "demo/first", b"x").await.unwrap();
    let target = Target::VersionOf("demo/first".to_owned());
    let key = import(&world, &job, wrap(&job, &[8; 32]), target)
        .await
        .unwrap();
    let imported: Vec<bool> = key.versions.iter().map(|it| it.imported).collect();
    assert_eq!((imported, key.primary_version), (vec![false, true], 2));
    assert_eq!(world.decrypt("app", &sealed).await.unwrap(), b"x");
    let renewed = world.encrypt("app", "demo/first", b"y").await.unwrap();
    assert_eq!(world.decrypt("app", &renewed).await.unwrap(), b"y");
}

#[tokio::test]
async fn each_method_opens_its_own() {
    let world = World::unsealed().await;
    for (number, method) in [
        wire::ImportMethod::RsaOaep3072Sha256Aes256,
        wire::ImportMethod::RsaOaep3072Sha1Aes256,
        wire::ImportMethod::RsaOaep4096Sha1Aes256,
    ]
    .into_iter()
    .enumerate()
    {
        let request = wire::CreateImportJobRequest {
            keyring: "demo".to_owned(),
            method: method.into(),
            ..wire::CreateImportJobRequest::default()
        };
        let job = world.keys("admin").create_import_job(request).await;
        let job = job.unwrap().into_inner();
        assert_eq!(job.method(), method);
        let other = if number == 0 {
            wire::ImportMethod::RsaOaep3072Sha1Aes256
        } else {
            wire::ImportMethod::RsaOaep3072Sha256Aes256
        };
        let by_other = wire::ImportJob {
            method: other.into(),
            ..job.clone()
        };
        let bring = async |wrapped_key| {
            let request = wire::ImportKeyRequest {
                request_id: Vec::new(),
                import_job_id: job.import_job_id.clone(),
                wrapped_key,
                target: Some(new_key(
                    &format!("demo/by-{number}"),
                    wire::Algorithm::Aes256Gcm,
                )),
            };
            world.keys("admin").import_key(request).await
        };
        let refused = bring(wrap(&by_other, &[7; 32])).await.unwrap_err();
        assert_eq!(reason(&refused), "WRAPPED_KEY_INVALID", "another hash");
        bring(wrap(&job, &[7; 32])).await.unwrap();
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_job_stays_good() {
    let world = World::unsealed().await;
    let job = job(&world, 600).await.unwrap();
    let good = wrap(&job, &[7; 32]);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let target = || new_key(KEY, wire::Algorithm::Aes256Gcm);
    let invalid = (Code::InvalidArgument, "WRAPPED_KEY_INVALID".to_owned());
    for bytes in [changed, good[1..].to_vec(), vec![1], wrap(&job, &[7; 16])] {
        let refused = import(&world, &job, bytes, target()).await.unwrap_err();
        assert_eq!(refusal(&refused), invalid);
        assert!(refused.message().contains("32 bytes"), "{refused}");
    }
    let other = new_key(KEY, wire::Algorithm::Ed25519);
    let refused = import(&world, &job, good.clone(), other).await.unwrap_err();
    assert_eq!(refusal(&refused), invalid);
    for (bytes, field) in [(Vec::new(), "wrapped_key"), (vec![0; 9_000], "wrapped_key")] {
        let refused = import(&world, &job, bytes, target()).await.unwrap_err();
        assert!(refused.message().contains(field), "{refused}");
    }
    let nowhere = wire::ImportJob {
        import_job_id: vec![9; 16],
        ..job.clone()
    };
    let refused = import(&world, &nowhere, good.clone(), target())
        .await
        .unwrap_err();
    assert_eq!(
        refusal(&refused),
        (Code::NotFound, "IMPORT_JOB_NOT_FOUND".to_owned())
    );
    let seconds = 7 * 86_400 + 1;
    let refused = self::job(&world, seconds).await.unwrap_err();
    assert!(refused.message().contains("10 minutes to 7 days"));
    let key = wire::GetKeyRequest {
        name: KEY.to_owned(),
        ..wire::GetKeyRequest::default()
    };
    let missing = world.keys("admin").get_key(key).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "nothing was made");

    // Until its time is up, to the millisecond.
    let request = wire::ImportKeyRequest {
        request_id: vec![5; 16],
        import_job_id: job.import_job_id.clone(),
        wrapped_key: good,
        target: Some(target()),
    };
    world.clock.advance_ms(600_000);
    let late = world.keys("admin").import_key(request).await.unwrap_err();
    let reasons = ["IMPORT_JOB_EXPIRED", "IMPORT_JOB_NOT_FOUND"];
    assert!(reasons.contains(&reason(&late).as_str()), "{late}");
}

#[tokio::test]
async fn only_who_may_has_a_key_out() {
    let world = World::unsealed().await;
    let (_, spki) = recipient();
    let to = || To::PublicKey(spki.clone());
    let job = job(&world, 3_600).await.unwrap();
    let target = new_key(KEY, wire::Algorithm::Aes256Gcm);
    import(&world, &job, wrap(&job, &[7; 32]), target)
        .await
        .unwrap();
    let denied = export(&world, "app", KEY, to()).await.unwrap_err();
    assert_eq!(
        refusal(&denied),
        (Code::PermissionDenied, "PERMISSION_DENIED".to_owned())
    );
    let kept = export(&world, "admin", "demo/first", to())
        .await
        .unwrap_err();
    assert_eq!(refusal(&kept), failed("KEY_NOT_EXPORTABLE"));
    let strange = To::PublicKey(vec![1, 2, 3]);
    let strange = export(&world, "admin", KEY, strange).await.unwrap_err();
    assert_eq!(strange.code(), Code::InvalidArgument);
    let elliptic = sign::generate(KeyKind::EcdsaP256, &[5; 32]).ok().unwrap();
    let elliptic = SigningKey::new(KeyKind::EcdsaP256, &elliptic).ok().unwrap();
    let elliptic = To::PublicKey(elliptic.public_key().spki());
    let elliptic = export(&world, "admin", KEY, elliptic).await.unwrap_err();
    assert!(elliptic.message().contains("public_key"), "{elliptic}");
    let inside = wire::CreateKeyRequest {
        name: "demo/inside".to_owned(),
        protection: wire::Protection::Hsm.into(),
        exportable: true,
        ..wire::CreateKeyRequest::default()
    };
    let inside = world.keys("admin").create_key(inside).await.unwrap_err();
    assert!(inside.message().contains("never exportable"), "{inside}");
}

/// Under another key: who wraps must be allowed to encrypt with it, and who decrypts has the material.
#[tokio::test]
async fn a_key_goes_out_under_another_key() {
    let world = World::unsealed().await;
    let job = job(&world, 3_600).await.unwrap();
    let target = new_key(KEY, wire::Algorithm::Aes256Gcm);
    import(&world, &job, wrap(&job, &[7; 32]), target)
        .await
        .unwrap();
    let to = || To::WrappingKey("demo/first".to_owned());
    let denied = export(&world, "admin", KEY, to()).await.unwrap_err();
    assert_eq!(refusal(&denied).1, "PERMISSION_DENIED", "not a user of it");
    world.grant("admin", "demo").await;
    let out = export(&world, "admin", KEY, to()).await.unwrap();
    assert_eq!(out.wrapping_key, "demo/first");
    let opened = wire::DecryptRequest {
        ciphertext: out.wrapped_key,
        context: BTreeMap::from([("why".to_owned(), "escrow".to_owned())]),
        ..wire::DecryptRequest::default()
    };
    let opened = world.crypto("app").decrypt(opened).await.unwrap();
    assert_eq!(opened.into_inner().plaintext, [7; 32]);
    let log = world.log().await;
    let record = log.iter().rfind(|it| it.operation == "ExportKey").unwrap();
    assert_eq!(record.destination_key, "demo/first");
}

/// Whoever kept what was wrapped for a job has the material, if they have the private key of the job too.
#[tokio::test]
async fn with_an_imported_key_goes_that_of_its_job() {
    let world = World::unsealed().await;
    let job = job(&world, 3_600).await.unwrap();
    let rows = world.storage.rows("state", "imports");
    let (_, row) = rows.first().unwrap();
    // In the middle of the wrapped private key, the longest part by far: random bytes that are nowhere else.
    let piece = row[row.len() / 2..][..24].to_vec();
    let wrapped = wrap(&job, &[7; 32]);
    import(
        &world,
        &job,
        wrapped,
        new_key(KEY, wire::Algorithm::HmacSha256),
    )
    .await
    .unwrap();
    step(&world, KEY, "deactivate").await.unwrap();
    destroy(&world, KEY, 1, true).await.unwrap();
    assert!(world.storage.find(&piece).is_some());
    world.clock.advance_ms(DAY_MS);
    eventually("it is destroyed and erased", async || {
        is_destroyed(&world, KEY).await
    })
    .await;
    assert_eq!(world.storage.find(&piece), None);
}
