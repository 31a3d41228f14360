//! Every call by everybody: those without rights, those of another tenant, those without credentials.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{BareTls, Cluster, Options, Pki, Refusal, requests};
use conclave_client::v1::{self, Role};
use conclave_client::{Client, ClientConfig, ClientError};
use conclave_env::os::OsEntropy;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// What a call by somebody without rights must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Must {
    /// Be refused with the reason `PERMISSION_DENIED`.
    Deny,
    /// Succeed, and show nothing.
    ShowNothing,
}

/// The code of `PERMISSION_DENIED` in an item of a batch.
const DENIED: i32 = 7;

/// A call, what it must come to, and whether its answer showed nothing.
type Made = (&'static str, Must, Result<bool, ClientError>);

/// What there is to be attacked.
struct Target<'a> {
    key: &'a str,
    ciphertext: &'a [u8],
    data_key: &'a [u8],
    import_job: &'a [u8],
    share: &'a v1::SubmitShareRequest,
}

/// A call that must be refused.
fn denied<T>(call: &'static str, answer: Result<T, ClientError>) -> Made {
    (call, Must::Deny, answer.map(|_| false))
}

/// A call that may be answered, if the answer shows nothing.
fn blind<T>(
    call: &'static str,
    answer: Result<T, ClientError>,
    shows_nothing: impl Fn(&T) -> bool,
) -> Made {
    (
        call,
        Must::ShowNothing,
        answer.map(|answer| shows_nothing(&answer)),
    )
}

/// Every call of the API that takes a right, but for the one that only a sealed node takes.
async fn every_call(client: &Client, target: &Target<'_>) -> Vec<Made> {
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

fn alias_of(key: &str) -> String {
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
    let seal_many = v1::BatchEncryptRequest {
        key: key.to_owned(),
        items: vec![v1::batch_encrypt_request::Item::default()],
        ..v1::BatchEncryptRequest::default()
    };
    let item = v1::batch_decrypt_request::Item {
        ciphertext: blob.to_vec(),
        aad: Vec::new(),
    };
    let open_many = v1::BatchDecryptRequest {
        items: vec![item],
        ..v1::BatchDecryptRequest::default()
    };
    let none_sealed = |answer: &v1::BatchEncryptResponse| {
        use v1::batch_encrypt_response::result::Result as It;
        let refused = |it: &Option<It>| matches!(it, Some(It::Error(e)) if e.code == DENIED);
        answer.results.iter().all(|it| refused(&it.result))
    };
    let none_opened = |answer: &v1::BatchDecryptResponse| {
        use v1::batch_decrypt_response::result::Result as It;
        let refused = |it: &Option<It>| matches!(it, Some(It::Error(e)) if e.code == DENIED);
        answer.results.iter().all(|it| refused(&it.result))
    };
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
    let (draw, renew) = (requests::data_key(key), requests::re_encrypt(blob));
    let mut all = receiving(client, key).await;
    all.extend([
        denied("Encrypt", client.encrypt(seal).await),
        denied("Decrypt", client.decrypt(open).await),
        blind(
            "BatchEncrypt",
            client.batch_encrypt(seal_many).await,
            none_sealed,
        ),
        blind(
            "BatchDecrypt",
            client.batch_decrypt(open_many).await,
            none_opened,
        ),
        denied("GenerateDataKey", client.generate_data_key(draw).await),
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
        batch_sign(client, &derive.key).await,
        batch_generate_mac(client, &derive.key).await,
        batch_verify_mac(client, &derive.key).await,
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

async fn batch_sign(client: &Client, key: &str) -> Made {
    use v1::batch_sign_response::result::Result as It;
    let input = Some(v1::batch_sign_request::item::Input::Message(Vec::new()));
    let request = v1::BatchSignRequest {
        key: key.to_owned(),
        items: vec![v1::batch_sign_request::Item { input }],
        ..v1::BatchSignRequest::default()
    };
    blind(
        "BatchSign",
        client.batch_sign(request).await,
        |it: &v1::BatchSignResponse| {
            let refused = |it: &Option<It>| matches!(it, Some(It::Error(e)) if e.code == DENIED);
            it.results.iter().all(|it| refused(&it.result))
        },
    )
}

async fn batch_generate_mac(client: &Client, key: &str) -> Made {
    use v1::batch_generate_mac_response::result::Result as It;
    let request = v1::BatchGenerateMacRequest {
        key: key.to_owned(),
        items: vec![v1::batch_generate_mac_request::Item::default()],
        ..v1::BatchGenerateMacRequest::default()
    };
    blind(
        "BatchGenerateMac",
        client.batch_generate_mac(request).await,
        |it: &v1::BatchGenerateMacResponse| {
            let refused = |it: &Option<It>| matches!(it, Some(It::Error(e)) if e.code == DENIED);
            it.results.iter().all(|it| refused(&it.result))
        },
    )
}

async fn batch_verify_mac(client: &Client, key: &str) -> Made {
    use v1::batch_verify_mac_response::result::Result as It;
    let request = v1::BatchVerifyMacRequest {
        key: key.to_owned(),
        items: vec![v1::batch_verify_mac_request::Item::default()],
        ..v1::BatchVerifyMacRequest::default()
    };
    blind(
        "BatchVerifyMac",
        client.batch_verify_mac(request).await,
        |it: &v1::BatchVerifyMacResponse| {
            let refused = |it: &Option<It>| matches!(it, Some(It::Error(e)) if e.code == DENIED);
            it.results.iter().all(|it| refused(&it.result))
        },
    )
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

async fn administration(client: &Client, target: &Target<'_>) -> Vec<Made> {
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
async fn stolen_share(client: &Client, target: &Target<'_>) -> Made {
    denied(
        "SubmitShare",
        client.submit_share(target.share.clone()).await,
    )
}

async fn tail(client: &Client) -> Result<v1::AuditEntry, ClientError> {
    client.audit_tail(Some(0)).await?.next().await
}

fn all_refused(who: &str, made: Vec<Made>) -> Result<()> {
    for (call, must, answer) in made {
        match (must, answer) {
            (Must::ShowNothing, Ok(true)) => {}
            (Must::Deny, Err(error)) => {
                let refused = Refusal::try_from(&error)?;
                let what = format!("{call} by {who}: {refused:?}");
                ensure!(refused.code == Code::PermissionDenied, what);
                ensure!(refused.reason == "PERMISSION_DENIED", what);
                ensure!(
                    refused.message.contains("role") || refused.message.contains("takes"),
                    what
                );
            }
            (_, Ok(_)) => anyhow::bail!("{call} by {who} was allowed"),
            (Must::ShowNothing, Err(error)) => anyhow::bail!("{call} by {who}: {error}"),
        }
    }
    Ok(())
}

/// What none of the calls may have changed.
async fn state(cluster: &Cluster) -> Result<(Vec<v1::Key>, Vec<v1::Grant>)> {
    let admin = cluster.client("admin")?;
    let keys = admin.list_keys(v1::ListKeysRequest::default()).await?.keys;
    Ok((
        keys,
        admin
            .list_grants(v1::ListGrantsRequest::default())
            .await?
            .grants,
    ))
}

/// The id of an import job.
async fn import_job(admin: &Client) -> Result<Vec<u8>> {
    let request = v1::CreateImportJobRequest {
        keyring: "demo".to_owned(),
        ..v1::CreateImportJobRequest::default()
    };
    Ok(admin.create_import_job(request).await?.import_job_id)
}

/// Gives the target an alias; answers the id of a registered data key of it.
async fn found_and_registered(cluster: &Cluster) -> Result<Vec<u8>> {
    let register = v1::GenerateDataKeyRequest {
        register: true,
        ..requests::data_key("demo/target")
    };
    let drawn = cluster.client("app")?.generate_data_key(register).await?;
    let alias = v1::CreateAliasRequest {
        alias: alias_of("demo/target"),
        key: "demo/target".to_owned(),
        ..v1::CreateAliasRequest::default()
    };
    cluster.client("admin")?.create_alias(alias).await?;
    drawn.id.context("it was registered")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_was_not_granted() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client("admin")?;
    admin
        .create_key(requests::create_key("demo/target"))
        .await?;
    let sealed = cluster
        .client("app")?
        .encrypt(requests::encrypt("demo/target", b"x"))
        .await?;
    let data_key = found_and_registered(&cluster).await?;
    let import_job = import_job(&admin).await?;
    for role in [Role::Admin, Role::Operator, Role::User] {
        admin
            .grant(requests::grant("tenant", "other", role))
            .await?;
    }
    let mine = requests::create_key("other/mine");
    cluster.client("tenant")?.create_key(mine).await?;
    let seal = v1::SealRequest {
        reason: "a test".to_owned(),
        ..v1::SealRequest::default()
    };
    cluster.client_at("admin", 2)?.seal(seal).await?;
    let custodian = &cluster.ceremony().hands[0];
    cluster
        .client_at(&custodian.name, 2)?
        .submit_share(custodian.request.clone())
        .await?;

    let share = cluster.ceremony().share(1);
    let target = Target {
        key: "demo/target",
        ciphertext: &sealed.ciphertext,
        data_key: &data_key,
        import_job: &import_job,
        share: &share,
    };
    let before = state(&cluster).await?;
    // `demo` is a keyring's name, `tenant` rules over another keyring.
    for who in ["stranger", "demo", "tenant"] {
        all_refused(who, every_call(&cluster.client_at(who, 1)?, &target).await)?;
        // The custody of a sealed node, with an attempt under way.
        let custody = administration(&cluster.client_at(who, 2)?, &target).await;
        all_refused(who, custody)?;
        all_refused(
            who,
            vec![stolen_share(&cluster.client_at(who, 2)?, &target).await],
        )?;
    }
    ensure!(
        state(&cluster).await? == before,
        "a refused call changed something"
    );
    let sealed_node = cluster.client_at("admin", 2)?;
    let status = sealed_node
        .custody_status(v1::CustodyStatusRequest::default())
        .await?;
    let attempt = status.attempt.map(|attempt| attempt.submitted_by);
    ensure!(
        attempt.as_deref() == Some(&["alice".to_owned()]),
        "the attempt is {attempt:?}"
    );
    for id in [1, 3] {
        // The nodes that were not sealed still are not.
        let app = cluster.client_at("app", id)?;
        app.encrypt(requests::encrypt("demo/target", b"x")).await?;
    }
    a_stranger_draws_nothing(&cluster).await?;
    a_tenant_rules_its_own(&cluster).await?;
    cluster.finish()
}

async fn a_stranger_draws_nothing(cluster: &Cluster) -> Result<()> {
    let random = v1::GenerateRandomRequest {
        length: 16,
        ..v1::GenerateRandomRequest::default()
    };
    let answer = cluster.client("stranger")?.generate_random(random).await;
    all_refused("stranger", vec![denied("GenerateRandom", answer)])
}

/// So that it is known that the refusals were not for another reason.
async fn a_tenant_rules_its_own(cluster: &Cluster) -> Result<()> {
    let tenant = cluster.client("tenant")?;
    tenant
        .rotate_key(requests::rotate_key("other/mine"))
        .await?;
    tenant
        .grant(requests::grant("mate", "other", Role::User))
        .await?;
    let blob = cluster
        .client("mate")?
        .encrypt(requests::encrypt("other/mine", b"x"))
        .await?;
    tenant.decrypt(requests::decrypt(&blob.ciphertext)).await?;
    // Under its own key it may not put what is another's.
    let request = v1::ReEncryptRequest {
        destination_key: "demo/target".to_owned(),
        ..requests::re_encrypt(&blob.ciphertext)
    };
    let Err(error) = tenant.re_encrypt(request).await else {
        anyhow::bail!("a tenant encrypted under another's key")
    };
    ensure!(error.reason() == "PERMISSION_DENIED", "{error}");
    let keys = tenant.list_keys(v1::ListKeysRequest::default()).await?.keys;
    ensure!(keys.iter().all(|key| key.name == "other/mine"), "{keys:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_answered_without_good_credentials() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/target"))
        .await?;
    let before = state(&cluster).await?;
    let share = cluster.ceremony().share(1);
    let target = Target {
        key: "demo/target",
        ciphertext: &[1; 120],
        data_key: &[1; 16],
        import_job: &[1; 16],
        share: &share,
    };
    let pki = cluster.layout().pki();
    let stranger = Pki::create(&cluster.layout().dir().join("stranger"))?;
    for (who, credentials) in [
        ("no certificate", None),
        ("a stranger's", Some(stranger.principal("admin")?)),
        ("an expired one", Some(pki.expired("admin")?)),
        (
            "a node's",
            Some(pki.with_uri("conclave://node/1", "node-as-client")?),
        ),
    ] {
        let network = Arc::new(BareTls::new(&pki.ca(), credentials.as_ref())?);
        let endpoints = vec![cluster.layout().api(1).to_owned()];
        let config = ClientConfig::new(endpoints, network, Arc::new(OsEntropy::new()));
        // Long enough to be let in many times over, if it were.
        let config = config.with_deadline(Duration::from_millis(100));
        let client = Client::connect(config)?;
        let mut made = every_call(&client, &target).await;
        made.push(stolen_share(&client, &target).await);
        for (call, _, answer) in made {
            ensure!(answer.is_err(), "{call} with {who} was answered");
        }
    }
    ensure!(
        state(&cluster).await? == before,
        "a stranger changed something"
    );
    cluster.finish()
}
