//! Signatures of a real cluster, verified by `openssl` with the public key alone.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "openssl is asked about few schemes"
)]

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, Options, refusal, requests};
use conclave_client::{Client, v1};
use sha2::{Digest as _, Sha256, Sha384};
use std::fs;
use std::path::Path;
use std::process::Command;
use tonic::Code;
use v1::{Algorithm, Protection, SignatureScheme as Scheme};

const MESSAGE: &[u8] = b"to whom it may concern";

fn sign(key: &str, scheme: Scheme, input: v1::sign_request::Input) -> v1::SignRequest {
    v1::SignRequest {
        key: key.to_owned(),
        scheme: scheme.into(),
        input: Some(input),
        ..v1::SignRequest::default()
    }
}

fn of_message(message: &[u8]) -> v1::sign_request::Input {
    v1::sign_request::Input::Message(message.to_vec())
}

fn of_digest(digest: &[u8]) -> v1::sign_request::Input {
    v1::sign_request::Input::Digest(digest.to_vec())
}

fn verify(made: &v1::SignResponse, version: u32, message: &[u8]) -> v1::VerifyRequest {
    v1::VerifyRequest {
        key: made.key.clone(),
        version,
        scheme: made.scheme,
        signature: made.signature.clone(),
        input: Some(v1::verify_request::Input::Message(message.to_vec())),
        ..v1::VerifyRequest::default()
    }
}

async fn public_key(client: &Client, key: &str, version: u32) -> Result<v1::PublicKey> {
    let request = v1::GetPublicKeyRequest {
        name: key.to_owned(),
        version,
        ..v1::GetPublicKeyRequest::default()
    };
    Ok(client.get_public_key(request).await?)
}

async fn create(client: &Client, key: &str, algorithm: Algorithm) -> Result<()> {
    create_with(client, key, algorithm, Protection::Software).await
}

async fn create_with(
    client: &Client,
    key: &str,
    algorithm: Algorithm,
    protection: Protection,
) -> Result<()> {
    let request = v1::CreateKeyRequest {
        algorithm: algorithm.into(),
        ..requests::create_key_with(key, protection)
    };
    client.create_key(request).await?;
    Ok(())
}

/// What `openssl` says of a signature of [`MESSAGE`] under a public key in PEM.
fn openssl_verifies(pem: &str, signature: &[u8], scheme: Scheme) -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).map(|()| path.display().to_string())
    };
    let (public, message) = (
        write("pub.pem", pem.as_bytes())?,
        write("message", MESSAGE)?,
    );
    let signature = write("signature", signature)?;
    let mut command = Command::new("openssl");
    match scheme {
        Scheme::Ed25519 => {
            command.args(["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-rawin"]);
            command.args(["-in", &message, "-sigfile", &signature]);
        }
        Scheme::EcdsaDer => {
            let hash = if pem.len() > 200 {
                "-sha384"
            } else {
                "-sha256"
            };
            command.args([
                "dgst",
                hash,
                "-verify",
                &public,
                "-signature",
                &signature,
                &message,
            ]);
        }
        Scheme::RsaPkcs1Sha256 => {
            command.args(["dgst", "-sha256", "-verify", &public]);
            command.args(["-signature", &signature, &message]);
        }
        Scheme::RsaPssSha384 => {
            command.args(["dgst", "-sha384", "-verify", &public]);
            command.args([
                "-sigopt",
                "rsa_padding_mode:pss",
                "-sigopt",
                "rsa_pss_saltlen:digest",
            ]);
            command.args(["-signature", &signature, &message]);
        }
        other => anyhow::bail!("openssl is not asked about {other:?} here"),
    }
    let output = command.output().context("openssl does not run")?;
    Ok(output.status.success())
}

/// Clients that begin at different nodes.
struct Clients {
    admin: Client,
    app: Client,
    other: Client,
}

impl Clients {
    fn of(cluster: &Cluster) -> Result<Self> {
        Ok(Self {
            admin: cluster.client_from("admin", 1)?,
            app: cluster.client_from("app", 2)?,
            other: cluster.client_from("app", 3)?,
        })
    }

    /// Signed on one node and verified on another, and by `openssl` without any.
    async fn check(&self, key: &str, scheme: Scheme, kty: &str) -> Result<()> {
        let Self { admin, app, other } = self;
        let made = app.sign(sign(key, scheme, of_message(MESSAGE))).await?;
        ensure!(
            (made.version, made.scheme) == (1, scheme.into()),
            "{made:?}"
        );
        other.verify(verify(&made, 0, MESSAGE)).await?;
        let refused = refusal(other.verify(verify(&made, 0, b"another")).await)?;
        refused.must_be(Code::InvalidArgument, "SIGNATURE_INVALID", "version 1")?;
        let public = public_key(other, key, 0).await?;
        let wanted = format!("\"kty\":\"{kty}\"");
        ensure!(public.jwk.contains(&wanted), "{}", public.jwk);
        ensure!(openssl_verifies(&public.pem, &made.signature, scheme)?);
        let mut changed = made.signature.clone();
        changed[20] ^= 1;
        ensure!(!openssl_verifies(&public.pem, &changed, scheme)?);
        // The next version signs; the one before still verifies, under its number.
        admin.rotate_key(requests::rotate_key(key)).await?;
        let next = app.sign(sign(key, scheme, of_message(MESSAGE))).await?;
        ensure!(next.version == 2 && !openssl_verifies(&public.pem, &next.signature, scheme)?);
        let second = public_key(other, key, 2).await?;
        ensure!(openssl_verifies(&second.pem, &next.signature, scheme)?);
        other.verify(verify(&made, 1, MESSAGE)).await?;
        let refused = refusal(other.verify(verify(&made, 0, MESSAGE)).await)?;
        refused.must_be(Code::InvalidArgument, "SIGNATURE_INVALID", "version 2")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_verified_by_anybody() -> Result<()> {
    use Protection::{Hsm, Software};
    let cluster = Cluster::start(Options::default()).await?;
    let clients = Clients::of(&cluster)?;
    let kinds = [
        (Algorithm::Ed25519, Software, Scheme::Ed25519, "OKP"),
        (Algorithm::EcdsaP256, Software, Scheme::EcdsaDer, "EC"),
        (Algorithm::EcdsaP384, Software, Scheme::EcdsaDer, "EC"),
        (Algorithm::Rsa2048, Software, Scheme::RsaPkcs1Sha256, "RSA"),
        (Algorithm::Rsa3072, Software, Scheme::RsaPssSha384, "RSA"),
        (Algorithm::EcdsaP256, Hsm, Scheme::EcdsaDer, "EC"),
        (Algorithm::EcdsaP384, Hsm, Scheme::EcdsaDer, "EC"),
        (Algorithm::Rsa2048, Hsm, Scheme::RsaPkcs1Sha256, "RSA"),
        (Algorithm::Rsa2048, Hsm, Scheme::RsaPssSha384, "RSA"),
    ];
    for (place, (algorithm, protection, scheme, kty)) in kinds.into_iter().enumerate() {
        let key = &format!("demo/sign-{place}");
        create_with(&clients.admin, key, algorithm, protection).await?;
        let checked = clients.check(key, scheme, kty).await;
        checked.with_context(|| format!("{algorithm:?} at {protection:?} by {scheme:?}"))?;
    }
    cluster.finish()
}

/// `openssl` 3.0 knows none: the vectors of `conclave-crypto` are from others.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_quantum_computers_do_not_forge() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let Clients { admin, app, other } = Clients::of(&cluster)?;
    let key = "demo/quantum";
    create(&admin, key, Algorithm::MlDsa65).await?;
    let request = sign(key, Scheme::Unspecified, of_message(MESSAGE));
    let made = app.sign(request).await?;
    ensure!((made.signature.len(), made.scheme()) == (3_309, Scheme::MlDsa65));
    other.verify(verify(&made, 0, MESSAGE)).await?;
    let refused = refusal(other.verify(verify(&made, 0, b"another")).await)?;
    refused.must_be(Code::InvalidArgument, "SIGNATURE_INVALID", "version 1")?;
    ensure!(public_key(&app, key, 0).await?.der.len() == 1_974);
    cluster.finish()
}

/// A digest does as well as the message; whatever does not fit is refused by name.
#[tokio::test(flavor = "multi_thread")]
async fn digests_and_schemes_must_fit() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 2)?,
    );
    create(&admin, "demo/ec", Algorithm::EcdsaP256).await?;
    create(&admin, "demo/ed", Algorithm::Ed25519).await?;
    let (sha256, sha384) = (Sha256::digest(MESSAGE), Sha384::digest(MESSAGE));
    for scheme in [Scheme::EcdsaDer, Scheme::EcdsaRaw] {
        let made = app
            .sign(sign("demo/ec", scheme, of_digest(&sha256)))
            .await?;
        app.verify(verify(&made, 0, MESSAGE)).await?;
        ensure!(scheme == Scheme::EcdsaDer || made.signature.len() == 64);
    }
    let wrong = [
        ("demo/ec", Scheme::EcdsaDer, of_digest(&sha384), "digest"),
        (
            "demo/ec",
            Scheme::RsaPssSha256,
            of_message(MESSAGE),
            "scheme",
        ),
        ("demo/ed", Scheme::Ed25519, of_digest(&sha256), "digest"),
        ("demo/ed", Scheme::EcdsaRaw, of_message(MESSAGE), "scheme"),
        (
            "demo/ed",
            Scheme::Ed25519,
            of_message(&vec![7; 65_537]),
            "message",
        ),
    ];
    for (key, scheme, input, field) in wrong {
        let refused = refusal(app.sign(sign(key, scheme, input)).await)?;
        refused.must_be(Code::InvalidArgument, "INVALID_REQUEST", field)?;
    }
    let nothing = v1::SignRequest {
        key: "demo/ed".to_owned(),
        ..v1::SignRequest::default()
    };
    let refused = refusal(app.sign(nothing).await)?;
    refused.must_be(Code::InvalidArgument, "INVALID_REQUEST", "input")?;
    cluster.finish()
}

/// A key signs if it is made for it, and while its state allows it; its public half outlives that.
#[tokio::test(flavor = "multi_thread")]
async fn purposes_and_states_must_fit() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 2)?,
    );
    create(&admin, "demo/ed", Algorithm::Ed25519).await?;
    let refused = refusal(app.encrypt(requests::encrypt("demo/ed", b"x")).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_PURPOSE", "SIGN")?;
    admin.create_key(requests::create_key("demo/aes")).await?;
    let refused = refusal(
        app.sign(sign("demo/aes", Scheme::Unspecified, of_message(b"x")))
            .await,
    )?;
    refused.must_be(Code::FailedPrecondition, "KEY_PURPOSE", "ENCRYPT")?;
    let request = v1::GetPublicKeyRequest {
        name: "demo/aes".to_owned(),
        ..v1::GetPublicKeyRequest::default()
    };
    let refused = refusal(app.get_public_key(request).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_PURPOSE", "no public key")?;
    // What no HSM has the rules know; what this one lacks, its node.
    for (algorithm, code, reason) in [
        (
            Algorithm::MlDsa65,
            Code::FailedPrecondition,
            "HSM_NOT_OFFERED",
        ),
        (
            Algorithm::Ed25519,
            Code::FailedPrecondition,
            "HSM_NOT_OFFERED",
        ),
    ] {
        let inside = v1::CreateKeyRequest {
            algorithm: algorithm.into(),
            ..requests::create_key_with("demo/none", Protection::Hsm)
        };
        let refused = refusal(admin.create_key(inside).await)?;
        refused.must_be(code, reason, "SOFTWARE")?;
    }

    let made = app
        .sign(sign("demo/ed", Scheme::Unspecified, of_message(MESSAGE)))
        .await?;
    admin
        .deactivate_key(requests::transition("demo/ed"))
        .await?;
    let refused = refusal(app.verify(verify(&made, 0, MESSAGE)).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_STATE", "DEACTIVATED")?;
    let public = public_key(&app, "demo/ed", 1).await?;
    ensure!(openssl_verifies(
        &public.pem,
        &made.signature,
        Scheme::Ed25519
    )?);
    cluster.finish()
}

/// As a user does it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_signed_from_the_command_line() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (cluster.cli("admin", &[1, 2])?, cluster.cli("app", &[3])?);
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("notes"), MESSAGE)?;
    let create = [
        "key",
        "create",
        "demo/releases",
        "--algorithm",
        "ecdsa-p256",
    ];
    admin.run(&create).await?.must_succeed()?;
    let (notes, sig, pem) = (path("notes"), path("notes.sig"), path("pub.pem"));
    let sign = ["sign", "demo/releases", "--in", &notes, "--out", &sig];
    let said = app.run(&sign).await?.must_succeed()?;
    ensure!(String::from_utf8(said.stdout)?.contains("by version 1 of demo/releases, ecdsa-der"));
    let public = ["key", "public", "demo/releases", "--out", &pem];
    app.run(&public).await?.must_succeed()?;
    let pem = fs::read_to_string(Path::new(&pem))?;
    ensure!(openssl_verifies(&pem, &fs::read(&sig)?, Scheme::EcdsaDer)?);
    let verify = [
        "verify",
        "demo/releases",
        "--in",
        &notes,
        "--signature-file",
        &sig,
    ];
    let said = app.run(&verify).await?.must_succeed()?;
    ensure!(String::from_utf8(said.stdout)?.contains("signed under version 1"));
    fs::write(&notes, b"changed")?;
    let refused = app.run(&verify).await?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("not that of this message"),
        "{refused:?}"
    );
    cluster.finish()
}
