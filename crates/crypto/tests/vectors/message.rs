//! The vectors of `docs/format/vectors/message-v1.json`.

use super::{array, bytes};
use conclave_core::{EncryptionContext, KeyId, VersionNumber};
use conclave_crypto::message::{open, prk_from_hsm, prk_hsm_message, prk_software, seal};
use conclave_crypto::{CryptoError, Header, KeyMaterial, MessagePrk, Suite};
use ring::{aead, hkdf, hmac};
use serde::Serialize;
use std::collections::BTreeMap;

/// The file.
#[derive(Serialize)]
pub(crate) struct Vectors {
    format: &'static str,
    /// In the order in which they are published.
    pub(crate) vectors: Vec<Vector>,
}

/// One message, and whether it opens with what is given.
#[derive(Clone, Serialize)]
pub(crate) struct Vector {
    name: String,
    opens: bool,
    material: String,
    context: BTreeMap<String, String>,
    aad: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prk: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<String>,
    blob: String,
}

impl Vectors {
    /// Each opens, or does not, as it says.
    pub(crate) fn check(&self) {
        for vector in &self.vectors {
            let plaintext = vector.open().ok();
            assert_eq!(plaintext.is_some(), vector.opens, "{}", vector.name);
            assert_eq!(
                plaintext.map(hex::encode),
                vector.plaintext,
                "{}",
                vector.name
            );
        }
    }
}

impl Vector {
    fn open(&self) -> Result<Vec<u8>, CryptoError> {
        let blob = hex::decode(&self.blob).unwrap();
        let header = Header::parse(&blob)?;
        let prk = prk(
            &hex::decode(&self.material).unwrap(),
            header.suite,
            header.salt(),
        );
        let context = EncryptionContext::new(self.context.clone()).unwrap();
        let plaintext = open(&prk, &blob, &context, &hex::decode(&self.aad).unwrap())?;
        Ok(plaintext.expose().to_vec())
    }

    /// The same, changed so that it must not open.
    fn broken(&self, name: &str, change: impl FnOnce(&mut Self)) -> Self {
        let mut broken = Self {
            name: name.to_owned(),
            opens: false,
            ..self.clone()
        };
        (broken.prk, broken.plaintext) = (None, None);
        change(&mut broken);
        broken
    }

    fn broken_blob(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        self.broken(name, |vector| {
            let mut blob = hex::decode(&vector.blob).unwrap();
            change(&mut blob);
            vector.blob = hex::encode(blob);
        })
    }
}

/// Here the HSM is played by `ring`.
fn prk(material: &[u8], suite: Suite, salt: &[u8; 32]) -> MessagePrk {
    match suite {
        Suite::Aes256GcmHkdf | Suite::ChaCha20Poly1305Hkdf => {
            prk_software(&KeyMaterial::from_slice(material).unwrap(), salt)
        }
        Suite::Aes256GcmHsm => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, material);
            prk_from_hsm(
                hmac::sign(&key, &prk_hsm_message(salt))
                    .as_ref()
                    .try_into()
                    .unwrap(),
            )
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn good(
    name: &str,
    suite: Suite,
    version: u32,
    context: &[(&str, &str)],
    aad: &[u8],
    plaintext: &[u8],
) -> Vector {
    let material: [u8; 32] = array(&format!("{name}/material"));
    let (id, salt) = (KeyId(array("key id")), array(&format!("{name}/salt")));
    let prk = prk(&material, suite, &salt);
    let context = pairs(context);
    let bound = EncryptionContext::new(context.clone()).unwrap();
    let version = VersionNumber(version);
    let blob = seal(&prk, suite, id, version, &salt, &bound, aad, plaintext).unwrap();
    Vector {
        name: name.to_owned(),
        opens: true,
        material: hex::encode(material),
        context,
        aad: hex::encode(aad),
        prk: Some(hex::encode(prk.expose())),
        plaintext: Some(hex::encode(plaintext)),
        blob: hex::encode(blob),
    }
}

/// Opens for whoever forgets the commitment: ciphertext and tag are right for the key, and the
/// commitment, which is authenticated with them, is that of another one.
fn foreign_commitment(vector: &Vector) -> Vector {
    vector.broken_blob("valid tag under the commitment of another key", |blob| {
        let material = hex::decode(&vector.material).unwrap();
        let salt = blob[22..54].try_into().unwrap();
        let prk = prk(&material, Suite::Aes256GcmHkdf, &salt);
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, prk.expose());
        let info = [b"conclave/1/encrypt", &blob[1..22]];
        let mut derived = [0; 76];
        prk.expand(&info, Bytes76)
            .unwrap()
            .fill(&mut derived)
            .unwrap();
        blob[54..86].copy_from_slice(&array::<32>("another commitment"));
        let context = EncryptionContext::new(vector.context.clone()).unwrap();
        let digest = conclave_crypto::context::digest(&context);
        let mut aad = Vec::new();
        for field in [&blob[..86], &digest, &hex::decode(&vector.aad).unwrap()] {
            aad.extend_from_slice(&(field.len() as u64).to_be_bytes());
            aad.extend_from_slice(field);
        }
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &derived[..32]).unwrap();
        let nonce = aead::Nonce::try_assume_unique_for_key(&derived[32..44]).unwrap();
        let mut body = hex::decode(vector.plaintext.as_ref().unwrap()).unwrap();
        aead::LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, aead::Aad::from(aad), &mut body)
            .unwrap();
        blob.splice(86.., body);
    })
}

struct Bytes76;

impl hkdf::KeyType for Bytes76 {
    fn len(&self) -> usize {
        76
    }
}

/// All vectors, from nothing but labels.
pub(crate) fn all() -> Vectors {
    let mut vectors = good_ones();
    let base = vectors[3].clone();
    vectors.push(foreign_commitment(&base));
    vectors.extend(broken_blobs(&base));
    vectors.extend(broken_surroundings(&base));
    let hsm = vectors
        .iter()
        .find(|v| v.opens && v.blob.starts_with("0102"))
        .unwrap()
        .clone();
    vectors.push(hsm.broken_blob("hsm: read as suite 1", |blob| blob[1] = 1));
    Vectors {
        format: "conclave message format 1",
        vectors,
    }
}

fn good_ones() -> Vec<Vector> {
    let many: Vec<_> = (0..32).map(|i| format!("name-{i:02}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "value")).collect();
    let mut vectors = Vec::new();
    for (prefix, suite) in [
        ("software", Suite::Aes256GcmHkdf),
        ("hsm", Suite::Aes256GcmHsm),
        ("chacha", Suite::ChaCha20Poly1305Hkdf),
    ] {
        let mut add = |name: &str, version, context: &[_], aad: &[u8], plaintext: &[u8]| {
            let name = format!("{prefix}: {name}");
            vectors.push(good(&name, suite, version, context, aad, plaintext));
        };
        add("empty", 1, &[], b"", b"");
        add("one byte", 1, &[], b"", b"\0");
        add(
            "text",
            1,
            &[],
            b"",
            b"Arma virumque cano, Troiae qui primus ab oris",
        );
        let context = [("tenant", "acme"), ("purpose", "card-pan")];
        add(
            "context and aad",
            2,
            &context,
            b"row 17",
            b"4111 1111 1111 1111",
        );
        add("only aad", 1, &[], &bytes("aad", 33), b"text");
        add("empty value", 1, &[("flag", "")], b"", b"text");
        let unicode = [
            ("käse", "größe"),
            ("zoë", "日本"),
            ("K", "before k"),
            ("k", "after K"),
        ];
        add("context in unicode", 1, &unicode, b"", b"text");
        add("context of 32 pairs", 7, &many, b"", &bytes("32 pairs", 32));
        add(
            "largest version",
            u32::MAX,
            &[],
            b"",
            &bytes("largest version", 16),
        );
        add("1,000 bytes", 1, &[], b"", &bytes("1000", 1_000));
    }
    vectors
}

fn broken_blobs(base: &Vector) -> Vec<Vector> {
    let flips = [
        ("format", 0),
        ("suite", 1),
        ("key id", 2),
        ("version", 21),
        ("salt", 22),
        ("commitment", 54),
        ("ciphertext", 86),
    ];
    let mut vectors: Vec<_> = flips
        .into_iter()
        .map(|(what, at)| base.broken_blob(&format!("{what} changed"), |blob| blob[at] ^= 1))
        .collect();
    vectors.push(base.broken_blob("tag changed", |blob| *blob.last_mut().unwrap() ^= 1));
    vectors.push(base.broken_blob("suite 2 instead of 1", |blob| blob[1] = 2));
    vectors.push(base.broken_blob("suite 3 instead of 1", |blob| blob[1] = 3));
    vectors.push(base.broken_blob("version 0", |blob| blob[18..22].fill(0)));
    vectors.push(base.broken_blob("cut by one byte", |blob| blob.truncate(blob.len() - 1)));
    vectors.push(base.broken_blob("cut to its header", |blob| blob.truncate(86)));
    vectors.push(base.broken_blob("one byte more", |blob| blob.push(0)));
    vectors.push(base.broken_blob("nothing", Vec::clear));
    vectors
}

fn broken_surroundings(base: &Vector) -> Vec<Vector> {
    let context = |name: &str, given: &[(&str, &str)]| {
        base.broken(name, |vector| vector.context = pairs(given))
    };
    vec![
        context("no context", &[]),
        context(
            "context: another value",
            &[("tenant", "acme"), ("purpose", "card-pin")],
        ),
        context("context: a pair less", &[("tenant", "acme")]),
        context(
            "context: a border moved",
            &[("tenanta", "cme"), ("purpose", "card-pan")],
        ),
        context(
            "context: values exchanged",
            &[("tenant", "card-pan"), ("purpose", "acme")],
        ),
        base.broken("no aad", |vector| vector.aad.clear()),
        base.broken("another aad", |vector| vector.aad = hex::encode("row 18")),
        base.broken("another key", |vector| {
            vector.material = hex::encode(array::<32>("another key"));
        }),
    ]
}
