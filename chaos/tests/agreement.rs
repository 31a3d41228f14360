//! What others encrypt, encapsulate and agree upon with the public keys of a real cluster: by `openssl`, and by Python.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, Options, refusal, requests};
use conclave_client::{Client, v1};
use std::fs;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tonic::Code;
use v1::{Algorithm, Protection};

const MESSAGE: &[u8] = b"attack at dawn";

/// Makes a secret with the public key in its argument; says `null` if this `cryptography` is too old.
const ENCAPSULATE: &str = "\
import json, sys
try:
    from cryptography.hazmat.primitives.asymmetric import mlkem
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    secret, ciphertext = load_der_public_key(bytes.fromhex(sys.argv[1])).encapsulate()
    print(json.dumps([secret.hex(), ciphertext.hex()]))
except ImportError:
    print('null')
";

/// Files that `openssl` reads and writes.
struct Files(TempDir);

impl Files {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// Encrypts by RSA-OAEP with SHA-256, as docs/algorithms.md shows it.
    fn encrypt(&self, pem: &str, label: &[u8]) -> Result<Vec<u8>> {
        let (public, message) = (self.write("pub.pem", pem)?, self.write("message", MESSAGE)?);
        let out = self.path("ciphertext");
        let label = format!("rsa_oaep_label:{}", hex::encode(label));
        let mut arguments = vec!["pkeyutl", "-encrypt", "-pubin", "-inkey", &public];
        arguments.extend(["-in", &message, "-out", &out]);
        arguments.extend(["-pkeyopt", "rsa_padding_mode:oaep"]);
        arguments.extend(["-pkeyopt", "rsa_oaep_md:sha256"]);
        arguments.extend(["-pkeyopt", "rsa_mgf1_md:sha256"]);
        if !label.ends_with(':') {
            arguments.extend(["-pkeyopt", &label]);
        }
        openssl(&arguments)?;
        Ok(fs::read(out)?)
    }

    /// A key of the other side: its path, and its public half in DER.
    fn peer(&self, name: &str, curve: &str) -> Result<(String, Vec<u8>)> {
        let (private, public) = (self.path(name), self.path(&format!("{name}.pub")));
        if curve == "X25519" {
            openssl(&["genpkey", "-algorithm", "X25519", "-out", &private])?;
        } else {
            let curve = format!("ec_paramgen_curve:{curve}");
            openssl(&[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                &curve,
                "-out",
                &private,
            ])?;
        }
        let pubout = ["pkey", "-in", &private, "-pubout", "-outform", "DER"];
        openssl(&[&pubout[..], &["-out", &public]].concat())?;
        Ok((private, fs::read(public)?))
    }

    /// The secret that the other side shares with the owner of a public key in PEM.
    fn derive(&self, private: &str, pem: &str) -> Result<Vec<u8>> {
        let (ours, out) = (self.write("ours.pem", pem)?, self.path("secret"));
        openssl(&[
            "pkeyutl", "-derive", "-inkey", private, "-peerkey", &ours, "-out", &out,
        ])?;
        Ok(fs::read(out)?)
    }
}

fn openssl(arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(arguments).output();
    let output = output.context("openssl does not run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {arguments:?}: {said}");
    Ok(())
}

/// A secret and its ciphertext by Python's `cryptography`, if it is new enough.
fn encapsulated_by_python(spki: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let python = std::env::var_os("CONCLAVE_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .args(["-c", ENCAPSULATE, &hex::encode(spki)])
        .stdin(Stdio::null())
        .output()
        .context("no Python; name one that has the package cryptography by CONCLAVE_PYTHON")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let made: Option<(String, String)> = serde_json::from_slice(&output.stdout)?;
    let Some((secret, ciphertext)) = made else {
        eprintln!("not compared: this 'cryptography' is too old to know ml-kem-768");
        return Ok(None);
    };
    Ok(Some((hex::decode(secret)?, hex::decode(ciphertext)?)))
}

async fn create(
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

async fn public_key(client: &Client, key: &str, version: u32) -> Result<v1::PublicKey> {
    let request = v1::GetPublicKeyRequest {
        name: key.to_owned(),
        version,
        ..v1::GetPublicKeyRequest::default()
    };
    Ok(client.get_public_key(request).await?)
}

fn decrypt(key: &str, version: u32, ciphertext: &[u8]) -> v1::AsymmetricDecryptRequest {
    v1::AsymmetricDecryptRequest {
        key: key.to_owned(),
        version,
        ciphertext: ciphertext.to_vec(),
        ..v1::AsymmetricDecryptRequest::default()
    }
}

fn decapsulate(key: &str, ciphertext: &[u8]) -> v1::DecapsulateRequest {
    v1::DecapsulateRequest {
        key: key.to_owned(),
        ciphertext: ciphertext.to_vec(),
        ..v1::DecapsulateRequest::default()
    }
}

fn derive(key: &str, peer: &[u8]) -> v1::DeriveSharedSecretRequest {
    v1::DeriveSharedSecretRequest {
        key: key.to_owned(),
        peer_public_key: peer.to_vec(),
        ..v1::DeriveSharedSecretRequest::default()
    }
}

/// Encrypted by `openssl`, and opened by any node, under the version that it was made for.
#[tokio::test(flavor = "multi_thread")]
async fn what_openssl_encrypts_is_opened() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 3)?,
    );
    let files = Files::new()?;
    for (key, algorithm) in [
        ("demo/rsa-2048", Algorithm::RsaOaep2048),
        ("demo/rsa-3072", Algorithm::RsaOaep3072),
        ("demo/rsa-4096", Algorithm::RsaOaep4096),
    ] {
        create(&admin, key, algorithm, Protection::Software).await?;
        let public = public_key(&app, key, 0).await?;
        ensure!(public.jwk.contains("\"kty\":\"RSA\""), "{}", public.jwk);
        let plain = files.encrypt(&public.pem, b"")?;
        let opened = app.asymmetric_decrypt(decrypt(key, 0, &plain)).await?;
        ensure!((opened.plaintext.expose(), opened.version) == (MESSAGE, 1));
        let labelled = files.encrypt(&public.pem, b"order 17")?;
        let request = v1::AsymmetricDecryptRequest {
            label: b"order 17".to_vec(),
            ..decrypt(key, 0, &labelled)
        };
        ensure!(app.asymmetric_decrypt(request).await?.plaintext.expose() == MESSAGE);
        let refused = refusal(app.asymmetric_decrypt(decrypt(key, 0, &labelled)).await)?;
        refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "another label")?;
    }
    let key = "demo/rsa-2048";
    let old = files.encrypt(&public_key(&app, key, 1).await?.pem, b"")?;
    admin.rotate_key(requests::rotate_key(key)).await?;
    let refused = refusal(app.asymmetric_decrypt(decrypt(key, 0, &old)).await)?;
    refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "version 2")?;
    let opened = app.asymmetric_decrypt(decrypt(key, 1, &old)).await?;
    ensure!(opened.plaintext.expose() == MESSAGE);
    let refused = refusal(app.asymmetric_decrypt(decrypt(key, 3, &old)).await)?;
    refused.must_be(Code::NotFound, "VERSION_NOT_FOUND", "version 3")?;
    let refused = refusal(app.asymmetric_decrypt(decrypt(key, 1, &old[1..])).await)?;
    refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "256 bytes")?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_encapsulates_is_opened() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 2)?,
    );
    let key = "demo/kem";
    create(&admin, key, Algorithm::MlKem768, Protection::Software).await?;
    let public = public_key(&app, key, 0).await?;
    ensure!((public.der.len(), public.jwk.as_str()) == (1_206, ""));
    if let Some((secret, ciphertext)) = encapsulated_by_python(&public.der)? {
        let opened = app.decapsulate(decapsulate(key, &ciphertext)).await?;
        ensure!((opened.secret.expose(), opened.version) == (secret.as_slice(), 1));
    }
    let der = conclave_crypto::PublicKey::from_spki(&public.der)?;
    let key_of = conclave_crypto::kem::EncapsulationKey::new(&der)?;
    let (ciphertext, secret) = key_of.encapsulate()?;
    let opened = app.decapsulate(decapsulate(key, &ciphertext)).await?;
    ensure!(opened.secret.expose() == secret.expose());
    let mut changed = ciphertext.clone();
    changed[7] ^= 1;
    let opened = app.decapsulate(decapsulate(key, &changed)).await?;
    ensure!(
        opened.secret.expose() != secret.expose(),
        "rejected implicitly"
    );
    let refused = refusal(app.decapsulate(decapsulate(key, &ciphertext[1..])).await)?;
    refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "1088 bytes")?;
    cluster.finish()
}

/// With keys in software, and with one inside the HSM.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_agrees_with_a_key_upon_a_secret() -> Result<()> {
    use Protection::{Hsm, Software};
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 2)?,
    );
    let other = cluster.client_from("app", 3)?;
    let files = Files::new()?;
    for (key, algorithm, protection, curve, wrong) in [
        ("demo/x", Algorithm::X25519, Software, "X25519", "P-256"),
        ("demo/p", Algorithm::EcdhP256, Software, "P-256", "X25519"),
        ("demo/hsm", Algorithm::EcdhP256, Hsm, "P-256", "X25519"),
    ] {
        create(&admin, key, algorithm, protection).await?;
        let (private, theirs) = files.peer("theirs", curve)?;
        let secret = files.derive(&private, &public_key(&app, key, 0).await?.pem)?;
        for client in [&app, &other] {
            let agreed = client.derive_shared_secret(derive(key, &theirs)).await?;
            ensure!(agreed.secret.expose() == secret.as_slice(), "{key}");
            ensure!(agreed.version == 1);
        }
        let (_, another) = files.peer("another", curve)?;
        let agreed = app.derive_shared_secret(derive(key, &another)).await?;
        ensure!(agreed.secret.expose() != secret.as_slice());
        let mut bad = theirs.clone();
        if curve == "X25519" {
            bad[12..].fill(0);
        } else {
            bad[90] ^= 1;
        }
        for (peer, hint) in [
            (bad, "low order"),
            (files.peer("wrong", wrong)?.1, "is of kind"),
        ] {
            let refused = refusal(app.derive_shared_secret(derive(key, &peer)).await)?;
            refused.must_be(Code::InvalidArgument, "PUBLIC_KEY_INVALID", hint)?;
        }
        let refused = refusal(app.derive_shared_secret(derive(key, b"no key")).await)?;
        refused.must_be(Code::InvalidArgument, "PUBLIC_KEY_INVALID", "no public key")?;
        admin.suspend_key(requests::transition(key)).await?;
        let agreed = app.derive_shared_secret(derive(key, &theirs)).await?;
        ensure!(agreed.secret.expose() == secret.as_slice());
        admin.deactivate_key(requests::transition(key)).await?;
        let refused = refusal(app.derive_shared_secret(derive(key, &theirs)).await)?;
        refused.must_be(Code::FailedPrecondition, "KEY_STATE", "DEACTIVATED")?;
    }
    cluster.finish()
}

/// By `openssl` with what it takes where nothing else is said, and opened inside the HSM of any node: SoftHSM knows OAEP
/// with SHA-1 only, and no labels.
#[tokio::test(flavor = "multi_thread")]
async fn what_openssl_encrypts_with_sha_1_is_opened_inside_the_hsm() -> Result<()> {
    use Protection::{Hsm, Software};
    let mut cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client_from("admin", 1)?;
    let files = Files::new()?;
    for (key, algorithm, protection) in [
        ("demo/hsm-2048", Algorithm::RsaOaep2048Sha1, Hsm),
        ("demo/hsm-3072", Algorithm::RsaOaep3072Sha1, Hsm),
        ("demo/hsm-4096", Algorithm::RsaOaep4096Sha1, Hsm),
        ("demo/soft", Algorithm::RsaOaep2048Sha1, Software),
    ] {
        create(&admin, key, algorithm, protection).await?;
        let pem = public_key(&admin, key, 0).await?.pem;
        let (public, message) = (files.write("pub.pem", &pem)?, files.write("in", MESSAGE)?);
        let out = files.path("by-sha1");
        let mut arguments = vec!["pkeyutl", "-encrypt", "-pubin", "-inkey", &public];
        arguments.extend(["-in", &message, "-out", &out]);
        arguments.extend(["-pkeyopt", "rsa_padding_mode:oaep"]);
        openssl(&arguments)?;
        let by_sha1 = fs::read(out)?;
        let by_sha256 = files.encrypt(&pem, b"")?;
        let mut changed = by_sha1.clone();
        changed[17] ^= 1;
        for id in [1, 2, 3] {
            let app = cluster.client_from("app", id)?;
            let opened = app.asymmetric_decrypt(decrypt(key, 0, &by_sha1)).await?;
            ensure!(opened.plaintext.expose() == MESSAGE, "{key}");
            for wrong in [&by_sha256, &changed] {
                let refused = refusal(app.asymmetric_decrypt(decrypt(key, 0, wrong)).await)?;
                refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "another label")?;
            }
        }
        let app = cluster.client_from("app", 1)?;
        let labelled = v1::AsymmetricDecryptRequest {
            label: b"order 17".to_vec(),
            ..decrypt(key, 0, &by_sha1)
        };
        let refused = refusal(app.asymmetric_decrypt(labelled).await)?;
        if protection == Hsm {
            refused.must_be(Code::FailedPrecondition, "HSM_NOT_OFFERED", "empty label")?;
        } else {
            refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "another label")?;
        }
        fs::write(files.path(&key[5..]), by_sha1)?;
    }
    let inside = v1::CreateKeyRequest {
        algorithm: Algorithm::RsaOaep2048.into(),
        ..requests::create_key_with("demo/none", Hsm)
    };
    let refused = refusal(admin.create_key(inside).await)?;
    refused.must_be(Code::FailedPrecondition, "HSM_NOT_OFFERED", "SOFTWARE")?;

    cluster.node(2).terminate().await?;
    cluster.boot(2).await?;
    cluster.unseal(2).await?;
    let app = cluster.client_at("app", 2)?;
    let blob = fs::read(files.path("hsm-2048"))?;
    let opened = app
        .asymmetric_decrypt(decrypt("demo/hsm-2048", 0, &blob))
        .await?;
    ensure!(opened.plaintext.expose() == MESSAGE, "after a restart");
    cluster.finish()
}

/// As users do it.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_opens_and_agrees() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (cluster.cli("admin", &[1, 2])?, cluster.cli("app", &[3])?);
    let files = Files::new()?;
    for (key, algorithm) in [
        ("demo/inbox", "rsa-oaep-3072"),
        ("demo/line", "ecdh-p256"),
        ("demo/kem", "ml-kem-768"),
    ] {
        let create = ["key", "create", key, "--algorithm", algorithm];
        admin.run(&create).await?.must_succeed()?;
        let pem = files.path(&format!("{algorithm}.pem"));
        let public = ["key", "public", key, "--out", &pem];
        app.run(&public).await?.must_succeed()?;
    }
    let pem = fs::read_to_string(files.path("rsa-oaep-3072.pem"))?;
    let blob = files.write("order.enc", files.encrypt(&pem, b"order-17")?)?;
    let out = files.path("order.txt");
    let open = [
        "asymmetric-decrypt",
        "demo/inbox",
        "--in",
        &blob,
        "--label",
        "order-17",
    ];
    let said = app.run(&open).await?.must_succeed()?;
    ensure!(said.stdout == MESSAGE);
    app.run(&[&open[..], &["--version", "1", "--out", &out]].concat())
        .await?
        .must_succeed()?;
    ensure!(fs::read(&out)? == MESSAGE);
    let refused = app.run(&open[..4]).await?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("--label"),
        "{refused:?}"
    );

    let (private, theirs) = files.peer("theirs", "P-256")?;
    let der = files.write("theirs.der", &theirs)?;
    let pubout = files.path("theirs.pem");
    openssl(&["pkey", "-in", &private, "-pubout", "-out", &pubout])?;
    let ours = fs::read_to_string(files.path("ecdh-p256.pem"))?;
    let secret = files.derive(&private, &ours)?;
    for peer in [&pubout, &der] {
        let said = app.run(&["agree", "demo/line", "--peer", peer]).await?;
        ensure!(said.must_succeed()?.stdout == secret);
    }
    let refused = app.run(&["agree", "demo/line", "--peer", &blob]).await?;
    ensure!(
        refused.code == Some(2) && refused.stderr.contains("holds no public key"),
        "{refused:?}"
    );

    let kem = files.write("kem", [7; 1_088])?;
    let said = app.run(&["decapsulate", "demo/kem", "--in", &kem]).await?;
    ensure!(said.must_succeed()?.stdout.len() == 32);
    let jwk = ["key", "public", "demo/kem", "--format", "jwk"];
    let refused = app.run(&jwk).await?;
    ensure!(refused.code == Some(2), "{refused:?}");
    cluster.finish()
}
