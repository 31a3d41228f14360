//! Bad requests: each is refused with a reason and a remedy, and has no effect.

use anyhow::{Result, bail, ensure};
use conclave_chaos::real::{BareTls, Cluster, Options, Pki, Refusal, channel, refusal, requests};
use conclave_client::v1::crypto_service_client::CryptoServiceClient;
use conclave_client::v1::{self, AuditRootRequest, ListKeysRequest};
use conclave_client::{Client, ClientError};
use conclave_core::NodeId;
use conclave_env::{Expect, Network as _};
use conclave_proto::peer::v1::ReadIndexRequest;
use conclave_proto::peer::v1::peer_service_client::PeerServiceClient;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// Names of keys, none of which may be taken for another one.
const BAD_NAMES: [&str; 25] = [
    "",
    "demo",
    "demo/",
    "/demo",
    "demo//x",
    "demo/.",
    "demo/..",
    "demo/../x",
    "demo/.x",
    "demo/-x",
    "demo/X",
    "Demo/x",
    "demo/x ",
    " demo/x",
    "demo/x\0",
    "demo/x\n",
    "demo/%2e",
    "demo/x%2fy",
    "demo\\x",
    "demo/*",
    "*/x",
    "demo/\u{e9}",
    "demo/x\u{301}",
    "demo/\u{430}",
    "\u{ff44}emo/x",
];

/// Principals and keyrings to be granted a role on.
const BAD_GRANTS: [(&str, &str); 10] = [
    ("Alice", "demo"),
    ("alice ", "demo"),
    ("", "demo"),
    ("*", "demo"),
    ("a/b", "demo"),
    ("alice", ""),
    ("alice", "Demo"),
    ("alice", "**"),
    ("alice", "demo/x"),
    ("alice", ".."),
];

/// What bad input must not change.
async fn traces(cluster: &Cluster) -> Result<(u64, Vec<u8>, Vec<v1::Key>)> {
    let admin = cluster.client("admin")?;
    let root = admin.audit_root(AuditRootRequest::default()).await?;
    let keys = admin.list_keys(ListKeysRequest::default()).await?.keys;
    Ok((root.size, root.root_hash, keys))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_changed_ciphertext_opens() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client("admin")?;
    for protection in [v1::Protection::Software, v1::Protection::Hsm] {
        let key = format!("demo/{}", protection.as_str_name().to_lowercase());
        admin
            .create_key(requests::create_key_with(&key, protection))
            .await?;
        let other = format!("{key}-other");
        admin
            .create_key(requests::create_key_with(&other, protection))
            .await?;
        let app = cluster.client("app")?;
        let blob = app
            .encrypt(requests::encrypt(&key, b"in clear"))
            .await?
            .ciphertext;
        let of_other = app
            .encrypt(requests::encrypt(&other, b"in clear"))
            .await?
            .ciphertext;
        changed_bytes(&app, &blob).await?;
        cut_short(&app, &blob).await?;
        let named = v1::DecryptRequest {
            key: other.clone(),
            ..requests::decrypt(&blob)
        };
        let refused = refusal(app.decrypt(named).await)?;
        refused.must_be(
            Code::InvalidArgument,
            "KEY_MISMATCH",
            "name that key, or none",
        )?;
        // The other key's name in the header of this one's message.
        let grafted = [&blob[..2], &of_other[2..18], &blob[18..]].concat();
        let refused = refusal(app.decrypt(requests::decrypt(&grafted)).await)?;
        refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "")?;
        let opened = app.decrypt(requests::decrypt(&blob)).await?;
        ensure!(opened.plaintext.expose() == b"in clear");
    }
    cluster.finish()
}

async fn changed_bytes(app: &Client, blob: &[u8]) -> Result<()> {
    let changed = (0..blob.len()).flat_map(|at| [(at, 0x01), (at, 0x80)]);
    let tries = changed.map(async |(at, bit)| {
        let mut changed = blob.to_vec();
        changed[at] ^= bit;
        (
            at,
            bit,
            refusal(app.decrypt(requests::decrypt(&changed)).await),
        )
    });
    for (at, bit, refused) in join_all(tries).await {
        let refused = refused?;
        let (code, reason) = match (at, bit) {
            (2..18, _) => (Code::NotFound, "KEY_NOT_FOUND"),
            // Version 1 becomes version 0, which no key can have.
            (21, 0x01) => (Code::InvalidArgument, "CIPHERTEXT_INVALID"),
            (18..22, _) => (Code::NotFound, "VERSION_NOT_FOUND"),
            _ => (Code::InvalidArgument, "CIPHERTEXT_INVALID"),
        };
        refused.must_be(code, reason, "")?;
    }
    Ok(())
}

async fn cut_short(app: &Client, blob: &[u8]) -> Result<()> {
    let tries = (0..blob.len())
        .map(async |len| refusal(app.decrypt(requests::decrypt(&blob[..len])).await));
    for refused in join_all(tries).await {
        refused?.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "")?;
    }
    let longer = [blob, &[0]].concat();
    let refused = refusal(app.decrypt(requests::decrypt(&longer)).await)?;
    refused.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_context_and_the_aad_must_be_those_of_the_encryption() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/bound"))
        .await?;
    let app = cluster.client("app")?;
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let (context, aad) = (pairs(&[("order", "17"), ("shop", "a")]), b"aad".to_vec());
    let request = v1::EncryptRequest {
        context: context.clone(),
        aad: aad.clone(),
        ..requests::encrypt("demo/bound", b"x")
    };
    let blob = app.encrypt(request).await?.ciphertext;
    let open = async |context: &BTreeMap<String, String>, aad: &[u8]| {
        let (context, aad) = (context.clone(), aad.to_vec());
        app.decrypt(v1::DecryptRequest {
            context,
            aad,
            ..requests::decrypt(&blob)
        })
        .await
    };
    let wrong = [
        (BTreeMap::new(), aad.clone()),
        (pairs(&[("order", "17")]), aad.clone()),
        (pairs(&[("order", "18"), ("shop", "a")]), aad.clone()),
        (
            pairs(&[("order", "17"), ("shop", "a"), ("more", "")]),
            aad.clone(),
        ),
        (pairs(&[("order1", "7"), ("shop", "a")]), aad.clone()),
        (pairs(&[("Order", "17"), ("shop", "a")]), aad.clone()),
        (context.clone(), Vec::new()),
        (context.clone(), b"AAD".to_vec()),
    ];
    for refused in join_all(wrong.iter().map(|(context, aad)| open(context, aad))).await {
        refusal(refused)?.must_be(Code::InvalidArgument, "CIPHERTEXT_INVALID", "")?;
    }
    ensure!(open(&context, &aad).await?.plaintext.expose() == b"x");
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_breaks_the_grammar_is_refused_at_the_door() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let before = traces(&cluster).await?;
    let (admin, app) = (cluster.client("admin")?, cluster.client("app")?);
    let long = format!("demo/{}", "x".repeat(64));
    let deep = ["a"; 9].join("/");
    for name in BAD_NAMES.into_iter().chain([&*long, &*deep]) {
        for refused in [
            refusal(admin.create_key(requests::create_key(name)).await)?,
            refusal(admin.rotate_key(requests::rotate_key(name)).await)?,
            refusal(admin.get_key(requests::get_key(name)).await)?,
            refusal(admin.suspend_key(requests::transition(name)).await)?,
            refusal(app.encrypt(requests::encrypt(name, b"x")).await)?,
            refusal(app.generate_data_key(requests::data_key(name)).await)?,
        ] {
            ensure!(
                !refused.message.contains(['\n', '\0']),
                "{:?}",
                refused.message
            );
            refused.must_be(Code::InvalidArgument, "INVALID_REQUEST", "key")?;
        }
    }
    for (principal, keyring) in BAD_GRANTS {
        let request = requests::grant(principal, keyring, v1::Role::User);
        refusal(admin.grant(request).await)?.must_be(
            Code::InvalidArgument,
            "INVALID_REQUEST",
            "",
        )?;
    }
    ensure!(
        traces(&cluster).await? == before,
        "a refused name left a trace"
    );
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_the_node_goes_on() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client("admin")?
        .create_key(requests::create_key("demo/size"))
        .await?;
    let before = traces(&cluster).await?;
    let app = cluster.client_at("app", 1)?;
    let refused = refusal(
        app.encrypt(requests::encrypt("demo/size", &vec![1; 65_537]))
            .await,
    )?;
    refused.must_be(Code::InvalidArgument, "INVALID_REQUEST", "data key")?;
    let pairs = (0..33)
        .map(|number| (format!("k{number}"), String::new()))
        .collect();
    let request = v1::EncryptRequest {
        context: pairs,
        ..requests::encrypt("demo/size", b"x")
    };
    refusal(app.encrypt(request).await)?.must_be(Code::InvalidArgument, "INVALID_REQUEST", "32")?;
    let request = v1::EncryptRequest {
        request_id: vec![1; 15],
        ..requests::encrypt("demo/size", b"x")
    };
    refusal(app.encrypt(request).await)?.must_be(Code::InvalidArgument, "INVALID_REQUEST", "16")?;
    let items = vec![v1::batch_encrypt_request::Item::default(); 1_025];
    let request = v1::BatchEncryptRequest {
        key: "demo/size".to_owned(),
        items,
        ..Default::default()
    };
    refusal(app.batch_encrypt(request).await)?.must_be(
        Code::InvalidArgument,
        "INVALID_REQUEST",
        "1024",
    )?;
    for length in [0, 1_025, u32::MAX] {
        let request = v1::GenerateRandomRequest {
            length,
            ..Default::default()
        };
        let refused = refusal(app.generate_random(request).await)?;
        refused.must_be(Code::InvalidArgument, "INVALID_REQUEST", "1024")?;
    }
    hundred_mebibytes(&cluster).await?;
    ensure!(
        traces(&cluster).await? == before,
        "a refused request left a trace"
    );
    app.encrypt(requests::encrypt("demo/size", &vec![1; 65_536]))
        .await?;
    cluster.finish()
}

/// More than a message may have: refused by the transport, before anything is decoded.
async fn hundred_mebibytes(cluster: &Cluster) -> Result<()> {
    let stub = CryptoServiceClient::new(cluster.channel("app", 1)?);
    let mut stub = stub.max_encoding_message_size(usize::MAX);
    let request = requests::encrypt("demo/size", &vec![1; 100 << 20]);
    let Err(status) = stub.encrypt(request).await else {
        bail!("100 MiB were encrypted")
    };
    let refused = Refusal::from(&status);
    ensure!(
        [Code::OutOfRange, Code::ResourceExhausted].contains(&refused.code),
        "{refused:?}"
    );
    ensure!(refused.message.contains("too large"), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_the_right_kind_are_let_in() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let before = traces(&cluster).await?;
    let pki = cluster.layout().pki();
    let stranger = Pki::create(&cluster.layout().dir().join("stranger"))?;
    let two_names = [
        pki.with_uri("conclave://principal/Admin", "case")?,
        pki.with_uri("conclave://principal/admin%20", "escape")?,
        pki.with_uri("conclave://principal/*", "star")?,
        pki.with_uri("conclave://admin", "nobody")?,
    ];
    let mut shown = vec![
        ("no certificate", None),
        ("a stranger's", Some(stranger.principal("admin")?)),
        ("an expired one", Some(pki.expired("admin")?)),
        (
            "a node's",
            Some(pki.with_uri("conclave://node/2", "node-as-client")?),
        ),
    ];
    shown.extend(two_names.map(|it| ("one that names nobody", Some(it))));
    for (what, credentials) in shown {
        let network = BareTls::new(&pki.ca(), credentials.as_ref())?;
        let api = channel(Arc::new(network), cluster.layout().api(1))?;
        let mut stub = v1::cluster_service_client::ClusterServiceClient::new(api);
        let answer = stub.status(v1::ClusterStatusRequest::default()).await;
        ensure!(answer.is_err(), "{what} was let in");
    }
    the_peer_port_is_for_nodes(&cluster).await?;
    a_client_trusts_only_its_own_authority(&cluster, &stranger).await?;
    ensure!(traces(&cluster).await? == before, "a stranger left a trace");
    cluster.finish()
}

async fn the_peer_port_is_for_nodes(cluster: &Cluster) -> Result<()> {
    let (pki, peer) = (cluster.layout().pki(), cluster.layout().peer(1));
    for credentials in [
        None,
        Some(pki.principal("admin")?),
        Some(pki.expired("admin")?),
    ] {
        let network = BareTls::new(&pki.ca(), credentials.as_ref())?;
        let mut stub = PeerServiceClient::new(channel(Arc::new(network), peer)?);
        let answer = stub.read_index(ReadIndexRequest::default()).await;
        ensure!(answer.is_err(), "the peer port lets {credentials:?} in");
    }
    // And what nodes say to each other is not to be had on the port for clients.
    let mut stub = PeerServiceClient::new(cluster.channel("admin", 1)?);
    let Err(status) = stub.read_index(ReadIndexRequest::default()).await else {
        bail!("the client port answers like a peer")
    };
    ensure!(status.code() == Code::Unimplemented, "{status:?}");
    Ok(())
}

async fn a_client_trusts_only_its_own_authority(cluster: &Cluster, stranger: &Pki) -> Result<()> {
    let admin = cluster.layout().principal("admin")?;
    let network = BareTls::new(&stranger.ca(), Some(&admin))?;
    let connected = network
        .connect(cluster.layout().api(1), Expect::Node(NodeId(1)))
        .await;
    ensure!(
        connected.is_err(),
        "a node was trusted that a stranger did not sign"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_one_request() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster
        .client("admin")?
        .with_deadline(Duration::from_secs(5));
    let request_id = admin.request_id().to_vec();
    let create = |name: &str| v1::CreateKeyRequest {
        request_id: request_id.clone(),
        ..requests::create_key(name)
    };
    let first = admin.create_key(create("demo/once")).await?;
    let again = cluster
        .client_at("admin", 3)?
        .create_key(create("demo/once"))
        .await?;
    ensure!(
        first == again,
        "the repetition answers {again:?}, the first answered {first:?}"
    );
    let refused = refusal(admin.create_key(create("demo/twice")).await)?;
    refused.must_be(Code::InvalidArgument, "REQUEST_ID_REUSED", "draw a new one")?;
    let taken: Result<_, ClientError> = admin.create_key(requests::create_key("demo/once")).await;
    refusal(taken)?.must_be(Code::AlreadyExists, "KEY_EXISTS", "never given twice")?;
    cluster.finish()
}
