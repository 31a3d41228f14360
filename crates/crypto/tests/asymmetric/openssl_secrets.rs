//! OpenSSL agrees upon the same secrets, and opens what is encrypted here, and the other way.

use crate::agreement::key;
use crate::encryption::decrypting;
use crate::keys::{RSA_SIZES, rsa_material};
use crate::openssl::{succeed, text};
use conclave_crypto::agree::AgreementKind;
use conclave_crypto::oaep::{EncryptingKey, OaepHash};
use tempfile::TempDir;

const OAEP_SHA256: [&str; 6] = [
    "-pkeyopt",
    "rsa_padding_mode:oaep",
    "-pkeyopt",
    "rsa_oaep_md:sha256",
    "-pkeyopt",
    "rsa_mgf1_md:sha256",
];
/// With what OpenSSL takes where nothing else is said.
const OAEP_SHA1: [&str; 2] = ["-pkeyopt", "rsa_padding_mode:oaep"];

#[test]
fn openssl_agrees_upon_the_same_secret() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (kind, before, behind) in [
        (
            AgreementKind::X25519,
            "302e020100300506032b656e04220420",
            "",
        ),
        (
            AgreementKind::EcdhP256,
            "30310201010420",
            "a00a06082a8648ce3d030107",
        ),
    ] {
        let (own, peer) = (key(kind, &[7; 32]), key(kind, &[8; 32]));
        let (before, behind) = (hex::decode(before).unwrap(), hex::decode(behind).unwrap());
        let der = [before.as_slice(), &[8; 32], &behind].concat();
        let (private, public) = (path("private"), path("public"));
        std::fs::write(&private, der).unwrap();
        std::fs::write(&public, own.public_key().pem()).unwrap();
        let (pem, told, secret) = (path("pem"), path("told"), path("secret"));
        succeed(&[
            "pkey",
            "-inform",
            "DER",
            "-in",
            text(&private),
            "-out",
            text(&pem),
        ]);
        succeed(&["pkey", "-in", text(&pem), "-pubout", "-out", text(&told)]);
        assert_eq!(
            std::fs::read_to_string(told).unwrap(),
            peer.public_key().pem()
        );
        succeed(&[
            "pkeyutl",
            "-derive",
            "-inkey",
            text(&pem),
            "-peerkey",
            text(&public),
            "-out",
            text(&secret),
        ]);
        let shared = own.agree(peer.public_key()).ok().unwrap();
        assert_eq!(shared.expose().as_slice(), std::fs::read(secret).unwrap());
    }
}

#[test]
fn openssl_and_this_open_each_others_ciphertexts() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let hashes = [
        (OaepHash::Sha256, &OAEP_SHA256[..]),
        (OaepHash::Sha1, &OAEP_SHA1),
    ];
    let cases = RSA_SIZES.into_iter();
    for (size, (hash, oaep)) in cases.flat_map(|size| hashes.map(|it| (size, it))) {
        let key = decrypting(size).with_hash(hash);
        let (private, public) = (path("private"), path("public"));
        std::fs::write(&private, rsa_material(size).expose()).unwrap();
        std::fs::write(&public, key.public_key().pem()).unwrap();
        let (pem, input, output) = (path("pem"), path("input"), path("output"));
        succeed(&[
            "pkey",
            "-inform",
            "DER",
            "-in",
            text(&private),
            "-out",
            text(&pem),
        ]);

        std::fs::write(&input, b"attack at dawn").unwrap();
        let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", text(&public)];
        let files = ["-in", text(&input), "-out", text(&output)];
        succeed(&[&encrypt[..], oaep, &files].concat());
        let plaintext = key.decrypt(&std::fs::read(&output).unwrap()).ok().unwrap();
        assert_eq!(plaintext.expose(), b"attack at dawn");

        let encrypting = EncryptingKey::new(key.public_key()).ok().unwrap();
        let encrypting = encrypting.with_hash(hash);
        std::fs::write(&input, encrypting.encrypt(b"retreat").unwrap()).unwrap();
        let decrypt = ["pkeyutl", "-decrypt", "-inkey", text(&pem)];
        succeed(&[&decrypt[..], oaep, &files].concat());
        assert_eq!(std::fs::read(&output).unwrap(), b"retreat");
    }
}
