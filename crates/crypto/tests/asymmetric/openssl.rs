//! OpenSSL verifies what is signed here, and what it signs verifies here.

use crate::keys::{material, schemes, signing_key};
use conclave_crypto::sign::{EcdsaForm, Hash, Input, KeyKind, Scheme, SigningKey, VerifyingKey};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const MESSAGE: &[u8] = b"attack at dawn";
const KINDS: [KeyKind; 6] = [
    KeyKind::Ed25519,
    KeyKind::EcdsaP256,
    KeyKind::EcdsaP384,
    KeyKind::Rsa2048,
    KeyKind::Rsa3072,
    KeyKind::Rsa4096,
];

pub(crate) fn openssl(args: &[&str]) -> Output {
    let how = "install OpenSSL 3.0 or newer (Debian: openssl)";
    Command::new("openssl").args(args).output().expect(how)
}

/// # Panics
/// If OpenSSL fails.
pub(crate) fn succeed(args: &[&str]) {
    let output = openssl(args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "openssl {}: {said}",
        args.join(" ")
    );
}

/// A private key as OpenSSL reads it: RFC 8410, RFC 5915 (without the public half) or RFC 5208.
pub(crate) fn private_der(kind: KeyKind) -> Vec<u8> {
    let material = material(kind);
    let frame = |before: &str, behind: &str| {
        let (before, behind) = (hex::decode(before).unwrap(), hex::decode(behind).unwrap());
        [before.as_slice(), material.expose(), &behind].concat()
    };
    match kind {
        KeyKind::Ed25519 => frame("302e020100300506032b657004220420", ""),
        KeyKind::EcdsaP256 => frame("30310201010420", "a00a06082a8648ce3d030107"),
        KeyKind::EcdsaP384 => frame("303e0201010430", "a00706052b81040022"),
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 | KeyKind::MlDsa65 => {
            material.expose().to_vec()
        }
    }
}

/// Files that OpenSSL works on.
struct Desk {
    dir: TempDir,
    key: SigningKey,
}

impl Desk {
    fn new(kind: KeyKind) -> Self {
        let (dir, key) = (TempDir::new().unwrap(), signing_key(kind));
        let desk = Self { dir, key };
        let der = desk.write("private.der", &private_der(kind));
        let private = desk.path("private.pem");
        succeed(&[
            "pkey",
            "-inform",
            "DER",
            "-in",
            text(&der),
            "-out",
            text(&private),
        ]);
        desk.write("public.pem", desk.key.public_key().pem().as_bytes());
        desk.write("message", MESSAGE);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn sign(&self, scheme: Scheme) -> Vec<u8> {
        let (key, out) = (self.path("private.pem"), self.path("signature"));
        let message = self.path("message");
        let (key, out, message) = (text(&key), text(&out), text(&message));
        match options(self.key.kind(), scheme) {
            None => succeed(&[
                "pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", message, "-out", out,
            ]),
            Some(options) => {
                let args = [
                    &["dgst"][..],
                    &options,
                    &["-sign", key, "-out", out, message],
                ];
                succeed(&args.concat());
            }
        }
        std::fs::read(out).unwrap()
    }

    fn verifies(&self, scheme: Scheme, signature: &[u8]) -> bool {
        let (key, sig) = (self.path("public.pem"), self.write("signature", signature));
        let message = self.path("message");
        let (key, sig, message) = (text(&key), text(&sig), text(&message));
        let output = match options(self.key.kind(), scheme) {
            None => openssl(&[
                "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", message,
                "-sigfile", sig,
            ]),
            Some(options) => {
                let args = [
                    &["dgst"][..],
                    &options,
                    &["-verify", key, "-signature", sig, message],
                ];
                openssl(&args.concat())
            }
        };
        output.status.success()
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Of `openssl dgst`; none for Ed25519, which that does not know.
fn options(kind: KeyKind, scheme: Scheme) -> Option<Vec<&'static str>> {
    let hash = |hash| match hash {
        Hash::Sha256 => "-sha256",
        Hash::Sha384 => "-sha384",
        Hash::Sha512 => "-sha512",
    };
    match scheme {
        Scheme::Ed25519 | Scheme::MlDsa65 => None,
        Scheme::Ecdsa(_) if kind == KeyKind::EcdsaP256 => Some(vec!["-sha256"]),
        Scheme::Ecdsa(_) => Some(vec!["-sha384"]),
        Scheme::RsaPkcs1(of) => Some(vec![hash(of)]),
        Scheme::RsaPss(of) => Some(vec![
            hash(of),
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:digest",
        ]),
    }
}

/// OpenSSL knows ECDSA signatures in DER only.
fn common_schemes(kind: KeyKind) -> Vec<Scheme> {
    let mut schemes = schemes(kind);
    schemes.retain(|scheme| *scheme != Scheme::Ecdsa(EcdsaForm::Raw));
    schemes
}

#[test]
fn public_keys_are_those_of_openssl() {
    for kind in KINDS {
        let desk = Desk::new(kind);
        let (private, public) = (desk.path("private.pem"), desk.path("other.pem"));
        succeed(&[
            "pkey",
            "-in",
            text(&private),
            "-pubout",
            "-out",
            text(&public),
        ]);
        let expected = std::fs::read_to_string(public).unwrap();
        assert_eq!(desk.key.public_key().pem(), expected, "{kind:?}");
    }
}

#[test]
fn openssl_verifies_what_is_signed_here() {
    for kind in KINDS {
        let desk = Desk::new(kind);
        for scheme in common_schemes(kind) {
            let mut signature = desk.key.sign(scheme, Input::Message(MESSAGE)).unwrap();
            assert!(desk.verifies(scheme, &signature), "{scheme:?}");
            *signature.last_mut().unwrap() ^= 1;
            assert!(!desk.verifies(scheme, &signature), "{scheme:?}");
        }
    }
}

#[test]
fn what_openssl_signs_verifies_here() {
    for kind in KINDS {
        let desk = Desk::new(kind);
        let key = VerifyingKey::new(kind, desk.key.public_key()).ok().unwrap();
        for scheme in common_schemes(kind) {
            let signature = desk.sign(scheme);
            let verified = key.verify(scheme, Input::Message(MESSAGE), &signature);
            assert_eq!(verified, Ok(()), "{scheme:?}");
        }
    }
}
