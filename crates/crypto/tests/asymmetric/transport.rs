//! Private keys come from OpenSSL and go to it.

use crate::keys::material;
use crate::openssl::{succeed, text};
use conclave_crypto::sign::{KeyKind, SigningKey, export, import};
use conclave_crypto::{CryptoError, PrivateMaterial};
use tempfile::TempDir;

/// What `openssl genpkey` takes for a kind.
fn options(kind: KeyKind) -> Option<[&'static str; 3]> {
    match kind {
        KeyKind::Ed25519 => Some(["ED25519", "", ""]),
        KeyKind::EcdsaP256 => Some(["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        KeyKind::EcdsaP384 => Some(["EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        KeyKind::Rsa2048 => Some(["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        KeyKind::Rsa3072 => Some(["RSA", "-pkeyopt", "rsa_keygen_bits:3072"]),
        // Slow, and no other code.
        KeyKind::Rsa4096 | KeyKind::MlDsa65 => None,
    }
}

/// A key that OpenSSL made, as PKCS#8 in DER, and its public half in PEM.
fn made_by_openssl(kind: KeyKind) -> Option<(PrivateMaterial, String)> {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (pem, der, public) = (path("pem"), path("der"), path("public"));
    let options = options(kind)?;
    let options = options.iter().filter(|option| !option.is_empty());
    let mut arguments = vec!["genpkey", "-algorithm"];
    arguments.extend(options);
    arguments.extend(["-out", text(&pem)]);
    succeed(&arguments);
    let encode = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"];
    succeed(&[&encode[..], &[text(&pem), "-out", text(&der)]].concat());
    succeed(&["pkey", "-in", text(&pem), "-pubout", "-out", text(&public)]);
    let der = PrivateMaterial::from_slice(&std::fs::read(der).unwrap());
    Some((der.ok()?, std::fs::read_to_string(public).unwrap()))
}

#[test]
fn keys_of_openssl_are_imported_and_of_no_other_kind() {
    for kind in KeyKind::ALL {
        let Some((key, public)) = made_by_openssl(kind) else {
            continue;
        };
        let stored = import(kind, &key).ok().unwrap();
        let signing = SigningKey::new(kind, &stored).ok().unwrap();
        assert_eq!(signing.public_key().pem(), public);
        for other in KeyKind::ALL.into_iter().filter(|other| *other != kind) {
            let refused = import(other, &key).err();
            assert!(
                matches!(
                    refused,
                    Some(CryptoError::PrivateKey { .. } | CryptoError::RsaParameters)
                ),
                "{} as {}: {refused:?}",
                kind.name(),
                other.name()
            );
        }
    }
}

#[test]
fn exported_keys_are_read_by_openssl_and_come_back() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    for kind in KeyKind::ALL {
        let stored = material(kind);
        let exported = export(kind, &stored).ok().unwrap();
        let again = import(kind, &exported).ok().unwrap();
        assert!(again.expose() == stored.expose(), "{}", kind.name());
        if kind == KeyKind::MlDsa65 {
            assert!(exported.expose() == stored.expose(), "the seed as it is");
            continue;
        }
        let (der, public) = (path("der"), path("public"));
        std::fs::write(&der, exported.expose()).unwrap();
        let read = ["pkey", "-inform", "DER", "-in", text(&der), "-pubout"];
        succeed(&[&read[..], &["-out", text(&public)]].concat());
        let signing = SigningKey::new(kind, &stored).ok().unwrap();
        let told = std::fs::read_to_string(&public).unwrap();
        assert_eq!(told, signing.public_key().pem());
    }
}

#[test]
fn what_is_no_key_is_refused() {
    for kind in KeyKind::ALL {
        for bytes in [&[7_u8; 31][..], &[7; 33], &[0x30; 200]] {
            let nothing = PrivateMaterial::from_slice(bytes).ok().unwrap();
            assert!(import(kind, &nothing).is_err(), "{}", kind.name());
        }
    }
}
