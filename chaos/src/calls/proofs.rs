//! Codes and signatures: made, and verified; and secrets that keys share.

use super::Caller;
use crate::answers;
use crate::history::{Answer, Changed, Proof, ProofId, ProofKind, SecretKind};
use conclave_client::v1::{self, sign_request, verify_request};

/// An X25519 public key as `SubjectPublicKeyInfo` (RFC 8410): that of RFC 7748 section 6.1, Bob's.
const PEER: [u8; 44] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00, 0xde, 0x9e, 0xdb, 0x7d,
    0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4, 0x35, 0x37, 0x3f, 0x83, 0x43, 0xc8,
    0x5b, 0x78, 0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f,
];
/// Bytes of a ciphertext of ML-KEM-768. Any opens, to a secret that depends on the key (FIPS 203 section 6.3).
const CIPHERTEXT_BYTES: usize = 1_088;

impl Caller {
    pub(super) async fn share(
        &self,
        request: &[u8],
        kind: SecretKind,
        (key, version): (&str, Option<u32>),
    ) -> Answer {
        let (request_id, key) = (request.to_vec(), key.to_owned());
        let version = version.unwrap_or(0);
        let shared = match kind {
            SecretKind::Agreed => {
                let request = v1::DeriveSharedSecretRequest {
                    request_id,
                    key,
                    version,
                    peer_public_key: PEER.to_vec(),
                };
                self.client.derive_shared_secret(request).await
            }
            SecretKind::Decapsulated => {
                let request = v1::DecapsulateRequest {
                    request_id,
                    key,
                    version,
                    ciphertext: vec![7; CIPHERTEXT_BYTES],
                };
                self.client.decapsulate(request).await
            }
        };
        match shared {
            Ok(shared) => Answer::Secret {
                key: shared.key,
                version: shared.version,
                secret: shared.secret.expose().to_vec(),
            },
            Err(error) => answers::failure(&error),
        }
    }

    /// The answer, or (as the error) what was made.
    pub(super) async fn prove(
        &self,
        request: &[u8],
        kind: ProofKind,
        (key, version): (&str, Option<u32>),
        message: &[u8],
    ) -> Result<Answer, Proof> {
        let (request_id, key) = (request.to_vec(), key.to_owned());
        let version = version.unwrap_or(0);
        let made = match kind {
            ProofKind::Code => {
                let request = v1::GenerateMacRequest {
                    request_id,
                    key,
                    version,
                    message: message.to_vec(),
                };
                let made = self.client.generate_mac(request).await;
                made.map(|made| (made.key, made.version, made.mac))
            }
            ProofKind::Signature => {
                let request = v1::SignRequest {
                    request_id,
                    key,
                    version,
                    input: Some(sign_request::Input::Message(message.to_vec())),
                    ..v1::SignRequest::default()
                };
                let made = self.client.sign(request).await;
                made.map(|made| (made.key, made.version, made.signature))
            }
        };
        match made {
            Ok((key, version, bytes)) => Err(Proof {
                kind,
                key,
                version,
                message: message.to_vec(),
                bytes,
            }),
            Err(error) => Ok(answers::failure(&error)),
        }
    }

    pub(super) async fn check(&self, request: &[u8], proof: ProofId, changed: Changed) -> Answer {
        let Proof {
            kind,
            key,
            version,
            mut message,
            mut bytes,
        } = self
            .recorder
            .look(|history| history.proofs[proof.0].clone());
        let flipped = match changed {
            Changed::Nothing => None,
            Changed::Message => message.last_mut(),
            Changed::Proof => bytes.first_mut(),
        };
        if let Some(byte) = flipped {
            *byte ^= 1;
        }
        let request_id = request.to_vec();
        let verified = match kind {
            ProofKind::Code => {
                let request = v1::VerifyMacRequest {
                    request_id,
                    key,
                    version,
                    message,
                    mac: bytes,
                };
                self.client.verify_mac(request).await.map(drop)
            }
            ProofKind::Signature => {
                let request = v1::VerifyRequest {
                    request_id,
                    key,
                    version,
                    input: Some(verify_request::Input::Message(message)),
                    signature: bytes,
                    ..v1::VerifyRequest::default()
                };
                self.client.verify(request).await.map(drop)
            }
        };
        match verified {
            Ok(()) => Answer::Verified,
            Err(error) => answers::failure(&error),
        }
    }
}
