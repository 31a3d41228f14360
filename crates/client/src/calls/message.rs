//! What a call needs of its request: to be repeatable under one id, and to be forgotten.

use crate::v1;
use zeroize::Zeroize as _;

/// A request.
pub(crate) trait Message: Clone {
    /// Gives the request its id, if it takes one and has none.
    fn identify(&mut self, _draw: impl FnOnce() -> Vec<u8>) {}

    /// Wipes what is secret in it.
    fn wipe(&mut self) {}
}

macro_rules! plain {
    ($($request:ident),+ $(,)?) => { $(impl Message for v1::$request {})+ };
}

macro_rules! identified {
    ($($request:ident $(wipes $secret:ident)?),+ $(,)?) => {
        $(
            impl Message for v1::$request {
                fn identify(&mut self, draw: impl FnOnce() -> Vec<u8>) {
                    if self.request_id.is_empty() {
                        self.request_id = draw();
                    }
                }

                $(
                    fn wipe(&mut self) {
                        self.$secret.zeroize();
                    }
                )?
            }
        )+
    };
}

plain!(
    AuditRootRequest,
    ClusterStatusRequest,
    CustodyStatusRequest,
    GetDataKeyRequest,
    GetDestructionCertificateRequest,
    GetKeyHistoryRequest,
    GetImportJobRequest,
    GetKeyRequest,
    GetPublicKeyRequest,
    ListAliasesRequest,
    ListAuditRequest,
    ListDataKeysRequest,
    ListImportJobsRequest,
    ListGrantsRequest,
    ProveRecordsRequest,
    ListKeysRequest,
    MembersRequest,
    WhoAmIRequest,
);

identified!(
    AsymmetricDecryptRequest,
    BatchDecryptRequest,
    BatchReEncryptRequest,
    CancelRequest,
    CreateAliasRequest,
    CreateImportJobRequest,
    CreateKeyRequest,
    DecryptDataKeyRequest,
    DecapsulateRequest,
    DecryptRequest,
    DeleteAliasRequest,
    DeleteDataKeyRequest,
    DeriveSharedSecretRequest,
    EncryptRequest wipes plaintext,
    ExportKeyRequest,
    GenerateDataKeyPairRequest,
    GenerateDataKeyRequest,
    GenerateMacRequest wipes message,
    GenerateRandomRequest,
    GrantRequest,
    ImportKeyRequest,
    InitRequest,
    ReEncryptRequest,
    RewrapDataKeysRequest,
    RevokeRequest,
    RotateKeyRequest,
    ScheduleKeyDestructionRequest,
    SetKeyRotationRequest,
    SetRewrapPolicyRequest,
    SealRequest,
    SubmitShareRequest wipes share,
    TransitionRequest,
    UpdateAliasRequest,
    UpdateKeyLabelsRequest,
    VerifyMacRequest wipes message,
);

macro_rules! signing {
    ($($request:ident of $input:ident),+) => {
        $(
            impl Message for v1::$request {
                fn identify(&mut self, draw: impl FnOnce() -> Vec<u8>) {
                    if self.request_id.is_empty() {
                        self.request_id = draw();
                    }
                }

                fn wipe(&mut self) {
                    use v1::$input::Input;
                    if let Some(Input::Message(bytes) | Input::Digest(bytes)) = &mut self.input {
                        bytes.zeroize();
                    }
                }
            }
        )+
    };
}

signing!(SignRequest of sign_request, VerifyRequest of verify_request);

macro_rules! batches {
    ($($request:ident),+) => {
        $(
            impl Message for v1::$request {
                fn identify(&mut self, draw: impl FnOnce() -> Vec<u8>) {
                    if self.request_id.is_empty() {
                        self.request_id = draw();
                    }
                }

                fn wipe(&mut self) {
                    self.items.iter_mut().for_each(|item| item.message.zeroize());
                }
            }
        )+
    };
}

batches!(BatchGenerateMacRequest, BatchVerifyMacRequest);

macro_rules! signing_batches {
    ($($request:ident of $input:ident),+) => {
        $(
            impl Message for v1::$request {
                fn identify(&mut self, draw: impl FnOnce() -> Vec<u8>) {
                    if self.request_id.is_empty() {
                        self.request_id = draw();
                    }
                }

                fn wipe(&mut self) {
                    use v1::$input::item::Input;
                    for item in &mut self.items {
                        if let Some(Input::Message(bytes) | Input::Digest(bytes)) = &mut item.input {
                            bytes.zeroize();
                        }
                    }
                }
            }
        )+
    };
}

signing_batches!(BatchSignRequest of batch_sign_request, BatchVerifyRequest of batch_verify_request);

impl Message for v1::BatchEncryptRequest {
    fn identify(&mut self, draw: impl FnOnce() -> Vec<u8>) {
        if self.request_id.is_empty() {
            self.request_id = draw();
        }
    }

    fn wipe(&mut self) {
        self.items
            .iter_mut()
            .for_each(|item| item.plaintext.zeroize());
    }
}
