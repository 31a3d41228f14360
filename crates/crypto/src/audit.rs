//! Signed checkpoints of the audit log: C2SP signed-note and tlog-checkpoint, Ed25519.
//!
//! ```text
//! origin
//! size
//! base64(root)
//!
//! — origin base64(key id ‖ signature)
//! ```

use crate::context::sha256;
use crate::error::CryptoError;
use crate::limits::{NOTE_BYTES_MAX, ORIGIN_BYTES_MAX};
use crate::secret::AuditSigningSeed;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

const ED25519_KIND: u8 = 1;
const SIGNATURE_MARK: &str = "\u{2014} ";

/// A checkpoint of the log `origin`, of `size` records under `root`.
///
/// # Errors
/// [`CryptoError::Origin`].
pub fn checkpoint(
    seed: &AuditSigningSeed,
    origin: &str,
    size: u64,
    root: &[u8; 32],
) -> Result<String, CryptoError> {
    check_origin(origin)?;
    Ok(sign_note(
        seed,
        origin,
        &format!("{origin}\n{size}\n{}\n", STANDARD.encode(root)),
    ))
}

/// What verifiers need: `origin+hex key id+base64(0x01 ‖ public key)`.
///
/// # Errors
/// [`CryptoError::Origin`].
pub fn verifier_key(seed: &AuditSigningSeed, origin: &str) -> Result<String, CryptoError> {
    check_origin(origin)?;
    let key_pair = key_pair(seed);
    let public = public_key(&key_pair);
    let id = hex::encode(key_id(origin, &public));
    Ok(format!("{origin}+{id}+{}", STANDARD.encode(public)))
}

/// Size and root of a checkpoint that carries a good signature by `verifier_key`. Signatures of
/// others, and lines that extend the checkpoint, are passed over.
///
/// # Errors
/// [`CryptoError::VerifierKey`], [`CryptoError::Checkpoint`], [`CryptoError::CheckpointSignature`],
/// [`CryptoError::TooLarge`].
pub fn verify_checkpoint(verifier_key: &str, note: &str) -> Result<(u64, [u8; 32]), CryptoError> {
    if note.len() > NOTE_BYTES_MAX {
        let (max, actual) = (NOTE_BYTES_MAX, note.len());
        return Err(CryptoError::TooLarge {
            what: "checkpoint",
            max,
            actual,
        });
    }
    let verifier = Verifier::parse(verifier_key)?;
    let text = verifier.verify(note)?;
    let mut lines = text.split_terminator('\n');
    let wanted = |wanted| CryptoError::Checkpoint { wanted };
    if lines.next() != Some(verifier.origin) {
        return Err(wanted("its first line is the name of its signer"));
    }
    let size = lines.next().and_then(|line| {
        line.parse::<u64>()
            .ok()
            .filter(|size| size.to_string() == line)
    });
    let size = size.ok_or(wanted("its second line is the number of records"))?;
    let root = lines.next().and_then(|line| STANDARD.decode(line).ok());
    let root = root.and_then(|root| root.try_into().ok());
    Ok((
        size,
        root.ok_or(wanted("its third line is 32 bytes in base64"))?,
    ))
}

/// Whose signature is looked for.
struct Verifier<'a> {
    origin: &'a str,
    id: [u8; 4],
    public: [u8; 32],
}

impl<'a> Verifier<'a> {
    fn parse(text: &'a str) -> Result<Self, CryptoError> {
        // Base64 may contain '+': only the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(origin), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(CryptoError::VerifierKey);
        };
        check_origin(origin).map_err(|_| CryptoError::VerifierKey)?;
        let key = STANDARD.decode(key).map_err(|_| CryptoError::VerifierKey)?;
        let expected = key_id(origin, &key);
        let public = match key.split_first() {
            Some((&ED25519_KIND, public)) => public.try_into().ok(),
            _ => None,
        };
        match public {
            Some(public) if hex::encode(expected) == id => Ok(Self {
                origin,
                id: expected,
                public,
            }),
            _ => Err(CryptoError::VerifierKey),
        }
    }

    /// The text that is signed.
    fn verify<'n>(&self, note: &'n str) -> Result<&'n str, CryptoError> {
        let wanted = |wanted| CryptoError::Checkpoint { wanted };
        let border = note
            .rfind("\n\n")
            .ok_or(wanted("an empty line parts text and signatures"))?;
        let (text, signatures) = note.split_at(border.saturating_add(1));
        let signatures = signatures.strip_prefix('\n').unwrap_or_default();
        if signatures.is_empty() || !signatures.ends_with('\n') {
            return Err(wanted(
                "signatures follow the empty line, each ended by a line feed",
            ));
        }
        let mut good = false;
        for line in signatures.split_terminator('\n') {
            let parts = line
                .strip_prefix(SIGNATURE_MARK)
                .and_then(|line| line.split_once(' '));
            let (name, encoded) = parts.ok_or(wanted("a signature line is '— NAME BASE64'"))?;
            let bytes = STANDARD.decode(encoded).ok();
            let bytes = bytes.ok_or(wanted("a signature is in base64"))?;
            let (id, signature) = bytes
                .split_first_chunk::<4>()
                .ok_or(wanted("a signature begins with a key id"))?;
            if name == self.origin && *id == self.id {
                good = self.signed(text, signature)?;
            }
        }
        if good {
            Ok(text)
        } else {
            Err(self.no_signature())
        }
    }

    fn signed(&self, text: &str, signature: &[u8]) -> Result<bool, CryptoError> {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(text.as_bytes(), signature)
            .map(|()| true)
            .map_err(|_| self.no_signature())
    }

    fn no_signature(&self) -> CryptoError {
        CryptoError::CheckpointSignature {
            origin: self.origin.to_owned(),
        }
    }
}

fn sign_note(seed: &AuditSigningSeed, name: &str, text: &str) -> String {
    let key_pair = key_pair(seed);
    let id = key_id(name, &public_key(&key_pair));
    let signature = [&id, key_pair.sign(text.as_bytes()).as_ref()].concat();
    format!(
        "{text}\n{SIGNATURE_MARK}{name} {}\n",
        STANDARD.encode(signature)
    )
}

fn key_pair(seed: &AuditSigningSeed) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed has 32 bytes")
}

/// With the byte of its kind before it.
fn public_key(key_pair: &Ed25519KeyPair) -> Vec<u8> {
    [&[ED25519_KIND], key_pair.public_key().as_ref()].concat()
}

fn key_id(name: &str, public: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = sha256(&[name.as_bytes(), b"\n", public].concat());
    [a, b, c, d]
}

fn check_origin(origin: &str) -> Result<(), CryptoError> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if (1..=ORIGIN_BYTES_MAX).contains(&origin.len()) && !origin.contains(forbidden) {
        Ok(())
    } else {
        Err(CryptoError::Origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIGIN: &str = "conclave.example/0102";

    fn seed(byte: u8) -> AuditSigningSeed {
        AuditSigningSeed::from_fn(|out| out.fill(byte))
    }

    fn note() -> String {
        checkpoint(&seed(1), ORIGIN, 42, &[7; 32]).unwrap()
    }

    fn key() -> String {
        verifier_key(&seed(1), ORIGIN).unwrap()
    }

    // The example of the documentation of Go's golang.org/x/mod/sumdb/note.
    #[test]
    fn agrees_with_the_reference_implementation() {
        let secret = STANDARD
            .decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
            .unwrap();
        let seed = AuditSigningSeed::from_slice(&secret[1..]).unwrap();
        assert_eq!(
            verifier_key(&seed, "PeterNeumann").unwrap(),
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
        );
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        assert_eq!(
            sign_note(&seed, "PeterNeumann", text),
            format!(
                "{text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2\
                 pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
            )
        );
    }

    #[test]
    fn a_checkpoint_verifies_under_its_own_key_only() {
        assert_eq!(verify_checkpoint(&key(), &note()), Ok((42, [7; 32])));
        let unsigned = CryptoError::CheckpointSignature {
            origin: ORIGIN.to_owned(),
        };
        let other = verifier_key(&seed(2), ORIGIN).unwrap();
        assert_eq!(verify_checkpoint(&other, &note()), Err(unsigned));
        let elsewhere = verifier_key(&seed(1), "elsewhere").unwrap();
        assert!(verify_checkpoint(&elsewhere, &note()).is_err());
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let note = note();
        for at in 0..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1;
            if let Ok(changed) = std::str::from_utf8(&changed) {
                assert!(verify_checkpoint(&key(), changed).is_err(), "byte {at}");
            }
            if let Some(cut) = note.get(..at) {
                assert!(verify_checkpoint(&key(), cut).is_err(), "cut to {at}");
            }
        }
    }

    #[test]
    fn signatures_of_witnesses_are_passed_over_and_prove_nothing() {
        let (text, own) = note()
            .split_once("\n\n")
            .map(|(t, s)| (format!("{t}\n"), s.to_owned()))
            .unwrap();
        let witness = sign_note(&seed(3), "witness", &text);
        assert_eq!(
            verify_checkpoint(&key(), &format!("{witness}{own}")),
            Ok((42, [7; 32]))
        );
        assert!(verify_checkpoint(&key(), &witness).is_err());
        let namesake = sign_note(&seed(3), ORIGIN, &text);
        assert!(verify_checkpoint(&key(), &namesake).is_err());
    }

    #[test]
    fn signed_nonsense_is_no_checkpoint() {
        let root = STANDARD.encode([7; 32]);
        for text in [
            format!("elsewhere\n42\n{root}\n"),
            format!("{ORIGIN}\n042\n{root}\n"),
            format!("{ORIGIN}\n-1\n{root}\n"),
            format!("{ORIGIN}\n42\n{}\n", STANDARD.encode([7; 31])),
            format!("{ORIGIN}\n42\n"),
        ] {
            let note = sign_note(&seed(1), ORIGIN, &text);
            let refusal = verify_checkpoint(&key(), &note);
            assert!(
                matches!(refusal, Err(CryptoError::Checkpoint { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn origins_and_verifier_keys_are_checked() {
        for origin in [
            "",
            "a b",
            "a+b",
            "a\nb",
            "a\u{a0}b",
            "a\u{1}b",
            &"a".repeat(256),
        ] {
            assert_eq!(
                checkpoint(&seed(1), origin, 1, &[0; 32]),
                Err(CryptoError::Origin)
            );
            assert_eq!(verifier_key(&seed(1), origin), Err(CryptoError::Origin));
        }
        for wrong in [
            "",
            "a",
            "a+b",
            "a+00000000+AQ==",
            &key()[1..],
            &key()[..key().len() - 4],
        ] {
            assert_eq!(
                verify_checkpoint(wrong, &note()),
                Err(CryptoError::VerifierKey)
            );
        }
    }

    proptest! {
        #[test]
        fn any_checkpoint_comes_back(size: u64, root: [u8; 32], secret: [u8; 32]) {
            let seed = AuditSigningSeed::from_fn(|out| *out = secret);
            let note = checkpoint(&seed, ORIGIN, size, &root).unwrap();
            let key = verifier_key(&seed, ORIGIN).unwrap();
            prop_assert_eq!(verify_checkpoint(&key, &note), Ok((size, root)));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = verify_checkpoint(&key(), &text);
            let _ = verify_checkpoint(&text, &note());
        }
    }
}
