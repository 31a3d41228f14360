//! Every call, made on a target.

use super::{Made, Target, batches, blind, denied};
use conclave_chaos::real::requests;
use conclave_client::v1::{self, Role};
use conclave_client::{Client, ClientError};

/// Every call of the API that takes a right, but for the one that only a sealed node takes.
pub(super) async fn every_call(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let mut made = keys(client, target).await;
    made.extend(finding(client, target.key).await);
    made.extend(data_keys(client, target).await);
    made.extend(transport(client, target).await);
    made.extend(uses(client, target).await);
    made.extend(administration(client, target).await);
    made
}

async fn keys(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let key = target.key;
    let create = requests::create_key(&format!("{key}-new"));
    let (rotate, step) = (requests::rotate_key(key), requests::transition(key));
    let rotation = v1::SetKeyRotationRequest {
        name: key.to_owned(),
        ..v1::SetKeyRotationRequest::default()
    };
    let destroy = v1::ScheduleKeyDestructionRequest {
        name: key.to_owned(),
        ..v1::ScheduleKeyDestructionRequest::default()
    };
    let public = v1::GetPublicKeyRequest {
        name: key.to_owned(),
        ..v1::GetPublicKeyRequest::default()
    };
    let list = v1::ListKeysRequest::default();
    let keyring = keyring_of(key);
    let hidden =
        |list: &v1::ListKeysResponse| list.keys.iter().all(|key| keyring_of(&key.name) != keyring);
    vec![
        denied("CreateKey", client.create_key(create).await),
        denied("GetKey", client.get_key(requests::get_key(key)).await),
        denied("GetPublicKey", client.get_public_key(public).await),
        blind("ListKeys", client.list_keys(list).await, hidden),
        denied("RotateKey", client.rotate_key(rotate).await),
        denied("ActivateKey", client.activate_key(step.clone()).await),
        denied("SuspendKey", client.suspend_key(step.clone()).await),
        denied("ResumeKey", client.resume_key(step.clone()).await),
        denied("DeactivateKey", client.deactivate_key(step.clone()).await),
        denied(
            "MarkKeyCompromised",
            client.mark_key_compromised(step.clone()).await,
        ),
        denied(
            "ScheduleKeyDestruction",
            client.schedule_key_destruction(destroy).await,
        ),
        denied(
            "CancelKeyDestruction",
            client.cancel_key_destruction(step).await,
        ),
        denied("SetKeyRotation", client.set_key_rotation(rotation).await),
    ]
}

/// What helps to find keys. The key has an alias.
async fn finding(client: &Client, key: &str) -> Vec<Made> {
    let keyring = keyring_of(key);
    let label = v1::UpdateKeyLabelsRequest {
        name: key.to_owned(),
        set: [("owned".to_owned(), "by me".to_owned())].into(),
        ..v1::UpdateKeyLabelsRequest::default()
    };
    let create = v1::CreateAliasRequest {
        alias: format!("{key}-mine"),
        key: key.to_owned(),
        ..v1::CreateAliasRequest::default()
    };
    let update = v1::UpdateAliasRequest {
        alias: alias_of(key),
        key: key.to_owned(),
        ..v1::UpdateAliasRequest::default()
    };
    let delete = v1::DeleteAliasRequest {
        alias: alias_of(key),
        ..v1::DeleteAliasRequest::default()
    };
    let by_alias = requests::get_key(&alias_of(key));
    let history = v1::GetKeyHistoryRequest {
        name: key.to_owned(),
        ..v1::GetKeyHistoryRequest::default()
    };
    let certificate = v1::GetDestructionCertificateRequest {
        name: key.to_owned(),
        ..v1::GetDestructionCertificateRequest::default()
    };
    let use_by_alias = requests::encrypt(&alias_of(key), b"x");
    let list = v1::ListAliasesRequest::default();
    let hidden = |list: &v1::ListAliasesResponse| {
        list.aliases
            .iter()
            .all(|it| keyring_of(&it.name) != keyring)
    };
    let list_of_key = v1::ListAliasesRequest {
        key: key.to_owned(),
        ..list.clone()
    };
    vec![
        denied("UpdateKeyLabels", client.update_key_labels(label).await),
        denied("CreateAlias", client.create_alias(create).await),
        denied("UpdateAlias", client.update_alias(update).await),
        denied("DeleteAlias", client.delete_alias(delete).await),
        blind("ListAliases", client.list_aliases(list).await, hidden),
        denied(
            "ListAliases of a key",
            client.list_aliases(list_of_key).await,
        ),
        denied("GetKeyHistory", client.get_key_history(history).await),
        denied(
            "GetDestructionCertificate",
            client.get_destruction_certificate(certificate).await,
        ),
        denied("GetKey by alias", client.get_key(by_alias).await),
        denied("Encrypt by alias", client.encrypt(use_by_alias).await),
    ]
}

pub(super) fn alias_of(key: &str) -> String {
    format!("{key}-alias")
}

async fn data_keys(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let key = target.key;
    let policy = v1::SetRewrapPolicyRequest {
        name: key.to_owned(),
        policy: Some(v1::RewrapPolicy::default()),
        ..v1::SetRewrapPolicyRequest::default()
    };
    let rewrap = v1::RewrapDataKeysRequest {
        name: key.to_owned(),
        ..v1::RewrapDataKeysRequest::default()
    };
    let data_keys = v1::ListDataKeysRequest {
        key: key.to_owned(),
        ..v1::ListDataKeysRequest::default()
    };
    let data_key = v1::GetDataKeyRequest {
        data_key_id: target.data_key.to_vec(),
        ..v1::GetDataKeyRequest::default()
    };
    let delete = v1::DeleteDataKeyRequest {
        data_key_id: target.data_key.to_vec(),
        ..v1::DeleteDataKeyRequest::default()
    };
    let open = v1::DecryptDataKeyRequest {
        data_key_id: target.data_key.to_vec(),
        ..v1::DecryptDataKeyRequest::default()
    };
    vec![
        denied("SetRewrapPolicy", client.set_rewrap_policy(policy).await),
        denied("RewrapDataKeys", client.rewrap_data_keys(rewrap).await),
        denied("ListDataKeys", client.list_data_keys(data_keys).await),
        denied("GetDataKey", client.get_data_key(data_key).await),
        denied("DeleteDataKey", client.delete_data_key(delete).await),
        denied("DecryptDataKey", client.decrypt_data_key(open).await),
    ]
}

async fn transport(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let key = target.key;
    let create = v1::CreateImportJobRequest {
        keyring: keyring_of(key).to_owned(),
        ..v1::CreateImportJobRequest::default()
    };
    let get = v1::GetImportJobRequest {
        import_job_id: target.import_job.to_vec(),
        ..v1::GetImportJobRequest::default()
    };
    let list = v1::ListImportJobsRequest::default();
    let none = |answer: &v1::ListImportJobsResponse| answer.import_jobs.is_empty();
    let import = v1::ImportKeyRequest {
        import_job_id: target.import_job.to_vec(),
        wrapped_key: vec![1; 400],
        target: Some(v1::import_key_request::Target::VersionOf(key.to_owned())),
        ..v1::ImportKeyRequest::default()
    };
    let export = v1::ExportKeyRequest {
        key: key.to_owned(),
        to: Some(v1::export_key_request::To::WrappingKey(key.to_owned())),
        ..v1::ExportKeyRequest::default()
    };
    vec![
        denied("CreateImportJob", client.create_import_job(create).await),
        denied("GetImportJob", client.get_import_job(get).await),
        blind("ListImportJobs", client.list_import_jobs(list).await, none),
        denied("ImportKey", client.import_key(import).await),
        denied("ExportKey", client.export_key(export).await),
    ]
}

fn keyring_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

async fn uses(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let (key, blob) = (target.key, target.ciphertext);
    let (seal, open) = (requests::encrypt(key, b"x"), requests::decrypt(blob));
    let make = v1::GenerateMacRequest {
        key: key.to_owned(),
        ..v1::GenerateMacRequest::default()
    };
    let sign = v1::SignRequest {
        key: key.to_owned(),
        input: Some(v1::sign_request::Input::Message(Vec::new())),
        ..v1::SignRequest::default()
    };
    let verify_signature = v1::VerifyRequest {
        key: key.to_owned(),
        input: Some(v1::verify_request::Input::Message(Vec::new())),
        ..v1::VerifyRequest::default()
    };
    let verify = v1::VerifyMacRequest {
        key: key.to_owned(),
        ..v1::VerifyMacRequest::default()
    };
    let pair = v1::GenerateDataKeyPairRequest {
        key: key.to_owned(),
        algorithm: v1::Algorithm::Ed25519.into(),
        ..v1::GenerateDataKeyPairRequest::default()
    };
    let (draw, renew) = (requests::data_key(key), requests::re_encrypt(blob));
    let mut all = receiving(client, key).await;
    all.extend(batches::of_messages(client, target).await);
    all.extend(batches::of_proofs(client, key).await);
    all.extend([
        denied("Encrypt", client.encrypt(seal).await),
        denied("Decrypt", client.decrypt(open).await),
        denied("GenerateDataKey", client.generate_data_key(draw).await),
        denied(
            "GenerateDataKeyPair",
            client.generate_data_key_pair(pair).await,
        ),
        denied("ReEncrypt", client.re_encrypt(renew).await),
        denied("GenerateMac", client.generate_mac(make).await),
        denied("VerifyMac", client.verify_mac(verify).await),
        denied("Sign", client.sign(sign).await),
        denied("Verify", client.verify(verify_signature).await),
    ]);
    all
}

/// Uses of what others made with a public key.
async fn receiving(client: &Client, key: &str) -> Vec<Made> {
    let key = key.to_owned();
    let decrypt = v1::AsymmetricDecryptRequest {
        key: key.clone(),
        ..v1::AsymmetricDecryptRequest::default()
    };
    let decapsulate = v1::DecapsulateRequest {
        key: key.clone(),
        ..v1::DecapsulateRequest::default()
    };
    let derive = v1::DeriveSharedSecretRequest {
        key,
        ..v1::DeriveSharedSecretRequest::default()
    };
    vec![
        denied(
            "AsymmetricDecrypt",
            client.asymmetric_decrypt(decrypt).await,
        ),
        denied("Decapsulate", client.decapsulate(decapsulate).await),
        denied(
            "DeriveSharedSecret",
            client.derive_shared_secret(derive).await,
        ),
    ]
}

async fn access(client: &Client, keyring: &str) -> Vec<Made> {
    let to_self = requests::grant("mallory", keyring, Role::User);
    let to_all = requests::grant("mallory", "*", Role::Admin);
    let taken = requests::revoke("admin", "*", Role::Admin);
    let of_admin = v1::ListGrantsRequest {
        principal: "admin".to_owned(),
        ..v1::ListGrantsRequest::default()
    };
    let empty = |it: &v1::ListGrantsResponse| it.grants.is_empty();
    vec![
        denied("Grant", client.grant(to_self).await),
        denied("Grant on *", client.grant(to_all).await),
        denied("Revoke", client.revoke(taken).await),
        blind("ListGrants", client.list_grants(of_admin).await, empty),
    ]
}

pub(super) async fn administration(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let custodian = |name: &str| v1::Custodian {
        name: name.to_owned(),
        recipient: conclave_crypto::generate_identity().1,
    };
    let ceremony = v1::InitRequest {
        custodians: vec![custodian("mallory"), custodian("eve")],
        threshold: 2,
        ..v1::InitRequest::default()
    };
    let (cancel, seal) = (v1::CancelRequest::default(), v1::SealRequest::default());
    let (list, root) = (
        v1::ListAuditRequest::default(),
        v1::AuditRootRequest::default(),
    );
    let prove = v1::ProveRecordsRequest {
        sequences: vec![0],
        ..v1::ProveRecordsRequest::default()
    };
    let mut made = vec![
        denied("Custody.Init", client.custody_init(ceremony).await),
        denied("Cancel", client.cancel_unseal(cancel).await),
        denied("Seal", client.seal(seal).await),
        denied("Audit.List", client.list_audit(list).await),
        denied("Audit.Root", client.audit_root(root).await),
        denied("Audit.ProveRecords", client.prove_records(prove).await),
        denied("Audit.Tail", tail(client).await),
    ];
    made.extend(access(client, keyring_of(target.key)).await);
    made
}

/// A good share, in the hands of somebody who may not submit it.
pub(super) async fn stolen_share(client: &Client, target: &Target<'_>) -> Made {
    denied(
        "SubmitShare",
        client.submit_share(target.share.clone()).await,
    )
}

async fn tail(client: &Client) -> Result<v1::AuditEntry, ClientError> {
    client.audit_tail(Some(0)).await?.next().await
}
