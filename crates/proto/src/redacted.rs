//! `Debug` of the messages that hold secrets: how long these are, and nothing of them.

use crate::v1::batch_encrypt_request::Item;
use crate::v1::{
    AsymmetricDecryptResponse, DecapsulateResponse, DecryptDataKeyResponse, DecryptResponse,
    DeriveSharedSecretResponse, EncryptRequest, GenerateDataKeyPairResponse,
    GenerateDataKeyResponse, GenerateMacRequest, GenerateRandomResponse, SignRequest,
    SubmitShareRequest, VerifyMacRequest, VerifyRequest, sign_request, verify_request,
};
use crate::v1::{
    batch_generate_mac_request, batch_sign_request, batch_verify_mac_request, batch_verify_request,
};
use std::fmt;

/// In place of a secret of so many bytes.
struct Redacted(usize);

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0)
    }
}

impl fmt::Debug for EncryptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptRequest")
            .field("request_id", &self.request_id)
            .field("key", &self.key)
            .field("version", &self.version)
            .field("plaintext", &Redacted(self.plaintext.len()))
            .field("context", &self.context)
            .field("aad", &Redacted(self.aad.len()))
            .finish()
    }
}

impl fmt::Debug for DecryptResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptResponse")
            .field("plaintext", &Redacted(self.plaintext.len()))
            .field("key", &self.key)
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for DecryptDataKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecryptDataKeyResponse")
            .field("plaintext", &Redacted(self.plaintext.len()))
            .field("key", &self.key)
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("plaintext", &Redacted(self.plaintext.len()))
            .field("aad", &Redacted(self.aad.len()))
            .finish()
    }
}

impl fmt::Debug for GenerateDataKeyResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateDataKeyResponse")
            .field("plaintext", &Redacted(self.plaintext.len()))
            .field("ciphertext", &self.ciphertext)
            .field("key", &self.key)
            .field("version", &self.version)
            .field("data_key_id", &self.data_key_id)
            .finish()
    }
}

impl fmt::Debug for GenerateRandomResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateRandomResponse")
            .field("random", &Redacted(self.random.len()))
            .finish()
    }
}

impl fmt::Debug for SubmitShareRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitShareRequest")
            .field("request_id", &self.request_id)
            .field("custodian", &self.custodian)
            .field("cluster_id", &self.cluster_id)
            .field("set_id", &self.set_id)
            .field("generation", &self.generation)
            .field("share", &Redacted(self.share.len()))
            .finish()
    }
}

impl fmt::Debug for GenerateMacRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateMacRequest")
            .field("request_id", &self.request_id)
            .field("key", &self.key)
            .field("version", &self.version)
            .field("message", &Redacted(self.message.len()))
            .finish()
    }
}

/// The right code of a message would be as good as the key for that message.
impl fmt::Debug for VerifyMacRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyMacRequest")
            .field("request_id", &self.request_id)
            .field("key", &self.key)
            .field("version", &self.version)
            .field("message", &Redacted(self.message.len()))
            .field("mac", &Redacted(self.mac.len()))
            .finish()
    }
}

/// What is signed is the caller's own affair, like what is encrypted.
fn show_input(message: Option<&[u8]>, digest: Option<&[u8]>) -> (&'static str, Redacted) {
    match (message, digest) {
        (Some(message), _) => ("message", Redacted(message.len())),
        (None, digest) => ("digest", Redacted(digest.map_or(0, <[u8]>::len))),
    }
}

impl fmt::Debug for SignRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, digest) = match &self.input {
            Some(sign_request::Input::Message(message)) => (Some(message.as_slice()), None),
            Some(sign_request::Input::Digest(digest)) => (None, Some(digest.as_slice())),
            None => (None, None),
        };
        let (input, shown) = show_input(message, digest);
        f.debug_struct("SignRequest")
            .field("request_id", &self.request_id)
            .field("key", &self.key)
            .field("version", &self.version)
            .field(input, &shown)
            .field("scheme", &self.scheme)
            .finish()
    }
}

impl fmt::Debug for VerifyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, digest) = match &self.input {
            Some(verify_request::Input::Message(message)) => (Some(message.as_slice()), None),
            Some(verify_request::Input::Digest(digest)) => (None, Some(digest.as_slice())),
            None => (None, None),
        };
        let (input, shown) = show_input(message, digest);
        f.debug_struct("VerifyRequest")
            .field("request_id", &self.request_id)
            .field("key", &self.key)
            .field("version", &self.version)
            .field(input, &shown)
            .field("scheme", &self.scheme)
            .field("signature", &Redacted(self.signature.len()))
            .finish()
    }
}

impl fmt::Debug for AsymmetricDecryptResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsymmetricDecryptResponse")
            .field("plaintext", &Redacted(self.plaintext.len()))
            .field("key", &self.key)
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for DecapsulateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecapsulateResponse")
            .field("shared_secret", &Redacted(self.shared_secret.len()))
            .field("key", &self.key)
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for GenerateDataKeyPairResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateDataKeyPairResponse")
            .field("private_key", &Redacted(self.private_key.len()))
            .field("ciphertext", &Redacted(self.ciphertext.len()))
            .field("public_key", &Redacted(self.public_key.len()))
            .field("key", &self.key)
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for DeriveSharedSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeriveSharedSecretResponse")
            .field("shared_secret", &Redacted(self.shared_secret.len()))
            .field("key", &self.key)
            .field("version", &self.version)
            .finish()
    }
}

impl fmt::Debug for batch_sign_request::Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use batch_sign_request::item::Input;
        let (message, digest) = match &self.input {
            Some(Input::Message(message)) => (Some(message.as_slice()), None),
            Some(Input::Digest(digest)) => (None, Some(digest.as_slice())),
            None => (None, None),
        };
        let (input, shown) = show_input(message, digest);
        f.debug_struct("Item").field(input, &shown).finish()
    }
}

impl fmt::Debug for batch_verify_request::Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use batch_verify_request::item::Input;
        let (message, digest) = match &self.input {
            Some(Input::Message(message)) => (Some(message.as_slice()), None),
            Some(Input::Digest(digest)) => (None, Some(digest.as_slice())),
            None => (None, None),
        };
        let (input, shown) = show_input(message, digest);
        f.debug_struct("Item")
            .field(input, &shown)
            .field("signature", &Redacted(self.signature.len()))
            .finish()
    }
}

impl fmt::Debug for batch_generate_mac_request::Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("message", &Redacted(self.message.len()))
            .finish()
    }
}

impl fmt::Debug for batch_verify_mac_request::Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("message", &Redacted(self.message.len()))
            .field("mac", &Redacted(self.mac.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::batch_decrypt_response::{Result as Opened, result};
    use crate::v1::{
        BatchDecryptResponse, BatchEncryptRequest, UseReply, UseRequest, use_reply, use_request,
    };
    use prost::Message as _;
    use prost_types::field_descriptor_proto::Type;
    use prost_types::{DescriptorProto, FileDescriptorSet};

    /// Of digits in hexadecimal too, so that no word holds one.
    const CANARY: [u8; 4] = [145, 146, 147, 148];

    fn canary() -> Vec<u8> {
        CANARY.to_vec()
    }

    /// Nothing of the canary, whichever way bytes are written.
    fn assert_hidden(shown: &str) {
        for byte in CANARY {
            let hex = format!("{byte:02x}");
            let shows = shown.contains(&byte.to_string()) || shown.to_lowercase().contains(&hex);
            assert!(!shows, "{shown}");
        }
        assert!(shown.contains("[4 bytes]"), "{shown}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let encrypt = EncryptRequest {
            plaintext: canary(),
            aad: canary(),
            ..EncryptRequest::default()
        };
        assert_hidden(&format!("{encrypt:?}"));
        let decrypt = DecryptResponse {
            plaintext: canary(),
            ..DecryptResponse::default()
        };
        assert_hidden(&format!("{decrypt:#?}"));
        let (plaintext, aad) = (canary(), canary());
        let items = vec![Item { plaintext, aad }];
        let batch = BatchEncryptRequest {
            items,
            ..BatchEncryptRequest::default()
        };
        assert_hidden(&format!("{batch:?}"));
        let data_key = GenerateDataKeyResponse {
            plaintext: canary(),
            ..GenerateDataKeyResponse::default()
        };
        assert_hidden(&format!("{data_key:?}"));
        assert_hidden(&format!(
            "{:?}",
            GenerateRandomResponse { random: canary() }
        ));
        let share = SubmitShareRequest {
            share: canary(),
            ..SubmitShareRequest::default()
        };
        assert_hidden(&format!("{share:?}"));
        let generate = GenerateMacRequest {
            message: canary(),
            ..GenerateMacRequest::default()
        };
        assert_hidden(&format!("{generate:?}"));
        let verify = VerifyMacRequest {
            message: canary(),
            mac: canary(),
            ..VerifyMacRequest::default()
        };
        assert_hidden(&format!("{verify:?}"));
        let sign = SignRequest {
            input: Some(sign_request::Input::Message(canary())),
            ..SignRequest::default()
        };
        assert_hidden(&format!("{sign:?}"));
        let verify = VerifyRequest {
            input: Some(verify_request::Input::Digest(canary())),
            signature: canary(),
            ..VerifyRequest::default()
        };
        assert_hidden(&format!("{verify:?}"));
        // Those around them show what these show.
        let asked = UseRequest {
            r#use: Some(use_request::Use::Encrypt(encrypt)),
            ..UseRequest::default()
        };
        assert_hidden(&format!("{asked:?}"));
        let reply = UseReply {
            result: Some(use_reply::Result::Decrypt(decrypt.clone())),
            ..UseReply::default()
        };
        assert_hidden(&format!("{reply:?}"));
        let result = Some(result::Result::Ok(decrypt));
        let results = vec![Opened { result }];
        assert_hidden(&format!("{:?}", BatchDecryptResponse { results }));
    }

    #[test]
    fn what_others_sent_is_not_shown() {
        let opened = AsymmetricDecryptResponse {
            plaintext: canary(),
            ..AsymmetricDecryptResponse::default()
        };
        assert_hidden(&format!("{opened:?}"));
        let opened = DecapsulateResponse {
            shared_secret: canary(),
            ..DecapsulateResponse::default()
        };
        assert_hidden(&format!("{opened:?}"));
        let pair = GenerateDataKeyPairResponse {
            private_key: canary(),
            ..GenerateDataKeyPairResponse::default()
        };
        assert_hidden(&format!("{pair:?}"));
        let agreed = DeriveSharedSecretResponse {
            shared_secret: canary(),
            ..DeriveSharedSecretResponse::default()
        };
        assert_hidden(&format!("{agreed:?}"));
    }

    #[test]
    fn batches_do_not_show_their_items() {
        let message = canary();
        let item = batch_generate_mac_request::Item { message };
        assert_hidden(&format!("{item:?}"));
        let (message, mac) = (canary(), canary());
        let item = batch_verify_mac_request::Item { message, mac };
        assert_hidden(&format!("{item:?}"));
        let input = Some(batch_sign_request::item::Input::Digest(canary()));
        assert_hidden(&format!("{:?}", batch_sign_request::Item { input }));
        let input = Some(batch_verify_request::item::Input::Message(canary()));
        let signature = canary();
        let item = batch_verify_request::Item { input, signature };
        assert_hidden(&format!("{item:?}"));
    }

    fn collect(prefix: &str, messages: &[DescriptorProto], found: &mut Vec<String>) {
        for message in messages {
            let name = format!("{prefix}.{}", message.name());
            // `UseError` and `ItemError` have a text of that name.
            let is_bytes = |it: &prost_types::FieldDescriptorProto| it.r#type() == Type::Bytes;
            let holds = |field: &&str| {
                let named = |it: &&prost_types::FieldDescriptorProto| it.name() == *field;
                message.field.iter().filter(named).any(is_bytes)
            };
            let secret = [
                "plaintext",
                "private_key",
                "random",
                "share",
                "message",
                "shared_secret",
            ];
            if secret.iter().any(holds) {
                found.push(name.clone());
            }
            collect(&name, &message.nested_type, found);
        }
    }

    /// A new message that holds one belongs above. What a ceremony hands out is encrypted to a custodian.
    #[test]
    fn every_message_with_a_secret_is_known() {
        let set = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
        let mut found = Vec::new();
        for file in &set.file {
            collect(file.package(), &file.message_type, &mut found);
        }
        found.sort();
        let expected = [
            "conclave.v1.AsymmetricDecryptResponse",
            "conclave.v1.BatchEncryptRequest.Item",
            "conclave.v1.BatchGenerateMacRequest.Item",
            "conclave.v1.BatchSignRequest.Item",
            "conclave.v1.BatchVerifyMacRequest.Item",
            "conclave.v1.BatchVerifyRequest.Item",
            "conclave.v1.DecapsulateResponse",
            "conclave.v1.DecryptDataKeyResponse",
            "conclave.v1.DecryptResponse",
            "conclave.v1.DeriveSharedSecretResponse",
            "conclave.v1.EncryptRequest",
            "conclave.v1.EncryptedShare",
            "conclave.v1.GenerateDataKeyPairResponse",
            "conclave.v1.GenerateDataKeyResponse",
            "conclave.v1.GenerateMacRequest",
            "conclave.v1.GenerateRandomResponse",
            "conclave.v1.SignRequest",
            "conclave.v1.SubmitShareRequest",
            "conclave.v1.VerifyMacRequest",
            "conclave.v1.VerifyRequest",
        ];
        assert_eq!(found, expected);
    }
}
