//! Every call by everybody: those without rights, those of another tenant, those without credentials.

mod batches;
mod calls;

use anyhow::{Context as _, Result, ensure};
use calls::{administration, alias_of, every_call, stolen_share};
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
