//! Codes and signatures: made, and verified.

use super::Caller;
use crate::answers;
use crate::history::{Answer, Changed, Proof, ProofId, ProofKind};
use conclave_client::v1::{self, sign_request, verify_request};

impl Caller {
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
