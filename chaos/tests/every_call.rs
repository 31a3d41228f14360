//! Every call by everybody: those without rights, those of another tenant, those without credentials.

use anyhow::{Result, ensure};
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
    /// PERMISSION_DENIED.
    Deny,
    /// Succeed, and show nothing.
    ShowNothing,
}

type Made = (&'static str, Must, Result<bool, ClientError>);

/// What there is to be attacked.
struct Target<'a> {
    key: &'a str,
    ciphertext: &'a [u8],
    share: &'a v1::SubmitShareRequest,
}

/// `true`: the answer showed nothing of it.
fn shows<T>(answer: Result<T, ClientError>, nothing: impl Fn(&T) -> bool) -> Result<bool, ClientError> {
    answer.map(|answer| nothing(&answer))
}

/// Every call of the API that takes a right, at the sealed node as at the unsealed one.
async fn every_call(client: &Client, target: &Target<'_>) -> Vec<Made> {
    let mut made = keys(client, target.key).await;
    made.extend(uses(client, target).await);
    made.extend(administration(client, target).await);
    made
}

async fn keys(client: &Client, key: &str) -> Vec<Made> {
    use Must::{Deny, ShowNothing};
    let never = |_: &v1::Key| false;
    let list = v1::ListKeysRequest { prefix: String::new(), ..Default::default() };
    let spelled = key.split('/').next().unwrap_or_default().to_owned();
    let is_hidden = move |list: &v1::ListKeysResponse| {
        list.keys.iter().all(|key| !key.name.starts_with(&spelled))
    };
    let new = format!("{key}-new");
    vec![
        ("CreateKey", Deny, shows(client.create_key(requests::create_key(&new)).await, never)),
        ("GetKey", Deny, shows(client.get_key(requests::get_key(key)).await, never)),
        ("ListKeys", ShowNothing, shows(client.list_keys(list).await, is_hidden)),
        ("RotateKey", Deny, shows(client.rotate_key(requests::rotate_key(key)).await, never)),
        ("ActivateKey", Deny, shows(client.activate_key(requests::transition(key)).await, never)),
        ("SuspendKey", Deny, shows(client.suspend_key(requests::transition(key)).await, never)),
        ("ResumeKey", Deny, shows(client.resume_key(requests::transition(key)).await, never)),
        ("DeactivateKey", Deny, shows(client.deactivate_key(requests::transition(key)).await, never)),
    ]
}

async fn uses(client: &Client, target: &Target<'_>) -> Vec<Made> {
    use Must::{Deny, ShowNothing};
    let (key, blob) = (target.key, target.ciphertext);
    let sealing = v1::BatchEncryptRequest {
        key: key.to_owned(),
        items: vec![v1::batch_encrypt_request::Item::default()],
        ..Default::default()
    };
    let item = v1::batch_decrypt_request::Item { ciphertext: blob.to_vec(), aad: Vec::new() };
    let opening = v1::BatchDecryptRequest { items: vec![item], ..Default::default() };
    let none_sealed = |answer: &v1::BatchEncryptResponse| {
        use v1::batch_encrypt_response::result::Result as It;
        answer.results.iter().all(|it| matches!(&it.result, Some(It::Error(e)) if e.code == 7))
    };
    let none_opened = |answer: &v1::BatchDecryptResponse| {
        use v1::batch_decrypt_response::result::Result as It;
        answer.results.iter().all(|it| matches!(&it.result, Some(It::Error(e)) if e.code == 7))
    };
    vec![
        ("Encrypt", Deny, shows(client.encrypt(requests::encrypt(key, b"x")).await, |_| false)),
        ("Decrypt", Deny, shows(client.decrypt(requests::decrypt(blob)).await, |_| false)),
        ("BatchEncrypt", ShowNothing, shows(client.batch_encrypt(sealing).await, none_sealed)),
        ("BatchDecrypt", ShowNothing, shows(client.batch_decrypt(opening).await, none_opened)),
        ("GenerateDataKey", Deny, shows(client.generate_data_key(requests::data_key(key)).await, |_| false)),
        ("ReEncrypt", Deny, shows(client.re_encrypt(requests::re_encrypt(blob)).await, |_| false)),
    ]
}

async fn administration(client: &Client, target: &Target<'_>) -> Vec<Made> {
    use Must::{Deny, ShowNothing};
    let keyring = target.key.split('/').next().unwrap_or_default();
    let custodian = |name: &str| v1::Custodian {
        name: name.to_owned(),
        recipient: conclave_crypto::generate_identity().1,
    };
    let ceremony = v1::InitRequest {
        custodians: vec![custodian("mallory"), custodian("eve")],
        threshold: 2,
        ..Default::default()
    };
    let to_self = requests::grant("mallory", keyring, Role::User);
    let to_all = requests::grant("mallory", "*", Role::Admin);
    let taken = requests::revoke("admin", "*", Role::Admin);
    let of_admin = v1::ListGrantsRequest { principal: "admin".to_owned(), ..Default::default() };
    vec![
        ("Custody.Init", Deny, shows(client.custody_init(ceremony).await, |_| false)),
        ("SubmitShare", Deny, shows(client.submit_share(target.share.clone()).await, |_| false)),
        ("Cancel", Deny, shows(client.cancel_unseal(v1::CancelRequest::default()).await, |_| false)),
        ("Seal", Deny, shows(client.seal(v1::SealRequest::default()).await, |_| false)),
        ("Audit.List", Deny, shows(client.list_audit(v1::ListAuditRequest::default()).await, |_| false)),
        ("Audit.Root", Deny, shows(client.audit_root(v1::AuditRootRequest::default()).await, |_| false)),
        ("Audit.Tail", Deny, tail(client).await),
        ("Grant", Deny, shows(client.grant(to_self).await, |_| false)),
        ("Grant on *", Deny, shows(client.grant(to_all).await, |_| false)),
        ("Revoke", Deny, shows(client.revoke(taken).await, |_| false)),
        ("ListGrants", ShowNothing, shows(client.list_grants(of_admin).await, |it| it.grants.is_empty())),
    ]
}

async fn tail(client: &Client) -> Result<bool, ClientError> {
    client.audit_tail(Some(0)).await?.next().await.map(|_| false)
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
                ensure!(refused.message.contains("role") || refused.message.contains("takes"), what);
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
    Ok((keys, admin.list_grants(v1::ListGrantsRequest::default()).await?.grants))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_was_not_granted() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client("admin")?;
    admin.create_key(requests::create_key("demo/target")).await?;
    let sealed = cluster.client("app")?.encrypt(requests::encrypt("demo/target", b"x")).await?;
    for role in [Role::Admin, Role::Operator, Role::User] {
        admin.grant(requests::grant("tenant", "other", role)).await?;
    }
    let mine = requests::create_key("other/mine");
    cluster.client("tenant")?.create_key(mine).await?;
    let seal = v1::SealRequest { reason: "a test".to_owned(), ..v1::SealRequest::default() };
    cluster.client_at("admin", 2)?.seal(seal).await?;
    let custodian = &cluster.ceremony().hands[0];
    cluster.client_at(&custodian.name, 2)?.submit_share(custodian.request.clone()).await?;

    let share = cluster.ceremony().share(1);
    let target = Target { key: "demo/target", ciphertext: &sealed.ciphertext, share: &share };
    let before = state(&cluster).await?;
    // `demo` is a keyring's name, `tenant` rules over another keyring.
    for who in ["stranger", "demo", "tenant"] {
        all_refused(who, every_call(&cluster.client_at(who, 1)?, &target).await)?;
        // The custody of a sealed node, with an attempt under way.
        let custody = administration(&cluster.client_at(who, 2)?, &target).await;
        all_refused(who, custody)?;
    }
    ensure!(state(&cluster).await? == before, "a refused call changed something");
    let sealed_node = cluster.client_at("admin", 2)?;
    let status = sealed_node.custody_status(v1::CustodyStatusRequest::default()).await?;
    let attempt = status.attempt.map(|attempt| attempt.submitted_by);
    ensure!(attempt.as_deref() == Some(&["alice".to_owned()]), "the attempt is {attempt:?}");
    for id in [1, 3] {
        // The nodes that were not sealed still are not.
        let app = cluster.client_at("app", id)?;
        app.encrypt(requests::encrypt("demo/target", b"x")).await?;
    }
    let random = v1::GenerateRandomRequest { length: 16, ..v1::GenerateRandomRequest::default() };
    let answer = cluster.client("stranger")?.generate_random(random).await;
    all_refused("stranger", vec![("GenerateRandom", Must::Deny, shows(answer, |_| false))])?;
    a_tenant_rules_its_own(&cluster).await?;
    cluster.finish()
}

/// So that it is known that the refusals were not for another reason.
async fn a_tenant_rules_its_own(cluster: &Cluster) -> Result<()> {
    let tenant = cluster.client("tenant")?;
    tenant.rotate_key(requests::rotate_key("other/mine")).await?;
    tenant.grant(requests::grant("mate", "other", Role::User)).await?;
    let blob = cluster.client("mate")?.encrypt(requests::encrypt("other/mine", b"x")).await?;
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
    cluster.client("admin")?.create_key(requests::create_key("demo/target")).await?;
    let before = state(&cluster).await?;
    let share = cluster.ceremony().share(1);
    let target = Target { key: "demo/target", ciphertext: &[1; 120], share: &share };
    let pki = cluster.layout().pki();
    let stranger = Pki::create(&cluster.layout().dir().join("stranger"))?;
    for (who, credentials) in [
        ("no certificate", None),
        ("a stranger's", Some(stranger.principal("admin")?)),
        ("an expired one", Some(pki.expired("admin")?)),
        ("a node's", Some(pki.with_uri("conclave://node/1", "node-as-client")?)),
    ] {
        let network = Arc::new(BareTls::new(&pki.ca(), credentials.as_ref())?);
        let endpoints = vec![cluster.layout().api(1).to_owned()];
        let config = ClientConfig::new(endpoints, network, Arc::new(OsEntropy::new()));
        // Long enough to be let in many times over, if it were.
        let config = config.with_deadline(Duration::from_millis(100));
        let client = Client::connect(config)?;
        for (call, _, answer) in every_call(&client, &target).await {
            ensure!(answer.is_err(), "{call} with {who} was answered");
        }
    }
    ensure!(state(&cluster).await? == before, "a stranger changed something");
    cluster.finish()
}
