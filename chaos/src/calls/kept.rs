//! What the cluster keeps for its users: registered data keys, and aliases.

use super::Caller;
use crate::answers;
use crate::history::{Answer, DataKey, DataKeyPlace};
use conclave_client::v1;

impl Caller {
    /// The answer, or (as the error) the data key that was given.
    pub(super) async fn register(&self, request: &[u8], key: &str) -> Result<Answer, DataKey> {
        let request = v1::GenerateDataKeyRequest {
            request_id: request.to_vec(),
            key: key.to_owned(),
            context: answers::context_of(key),
            register: true,
            ..v1::GenerateDataKeyRequest::default()
        };
        match self.client.generate_data_key(request).await {
            Ok(given) => Err(DataKey {
                key: given.key,
                id: given.id.unwrap_or_default(),
                plaintext: given.plaintext.expose().to_vec(),
            }),
            Err(error) => Ok(answers::failure(&error)),
        }
    }

    fn id_of(&self, place: DataKeyPlace) -> Vec<u8> {
        self.recorder
            .look(|history| history.data_keys[place.0].id.clone())
    }

    pub(super) async fn open_data_key(&self, request: &[u8], place: DataKeyPlace) -> Answer {
        let request = v1::DecryptDataKeyRequest {
            request_id: request.to_vec(),
            data_key_id: self.id_of(place),
            ..v1::DecryptDataKeyRequest::default()
        };
        match self.client.decrypt_data_key(request).await {
            Ok(opened) => Answer::Opened(vec![Ok(opened.plaintext.expose().to_vec())]),
            Err(error) => answers::failure(&error),
        }
    }

    pub(super) async fn delete_data_key(&self, request: &[u8], place: DataKeyPlace) -> Answer {
        let request = v1::DeleteDataKeyRequest {
            request_id: request.to_vec(),
            data_key_id: self.id_of(place),
        };
        answers::done(&self.client.delete_data_key(request).await)
    }

    /// A new alias, or one that `moves`.
    pub(super) async fn set_alias(
        &self,
        request: &[u8],
        alias: &str,
        key: &str,
        moves: bool,
    ) -> Answer {
        let (request_id, alias, key) = (request.to_vec(), alias.to_owned(), key.to_owned());
        if moves {
            let request = v1::UpdateAliasRequest {
                request_id,
                alias,
                key,
                ..v1::UpdateAliasRequest::default()
            };
            return answers::done(&self.client.update_alias(request).await);
        }
        let request = v1::CreateAliasRequest {
            request_id,
            alias,
            key,
        };
        answers::done(&self.client.create_alias(request).await)
    }

    pub(super) async fn delete_alias(&self, request: &[u8], alias: &str) -> Answer {
        let request = v1::DeleteAliasRequest {
            request_id: request.to_vec(),
            alias: alias.to_owned(),
        };
        answers::done(&self.client.delete_alias(request).await)
    }

    /// A record of the audit log, with its proof.
    pub(super) async fn prove_record(&self, sequence: u64) -> Answer {
        let request = v1::ProveRecordsRequest {
            sequences: vec![sequence],
            ..v1::ProveRecordsRequest::default()
        };
        let answer = match self.client.prove_records(request).await {
            Ok(answer) => answer,
            Err(error) => return answers::failure(&error),
        };
        let Some(proof) = answer.records.into_iter().next() else {
            return Answer::Unknown("NO_PROOF".to_owned());
        };
        Answer::Included {
            size: answer.size,
            leaf: proof.entry.unwrap_or_default().leaf,
            path: proof.path,
        }
    }
}
