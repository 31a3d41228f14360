//! Shares that do not count: each is refused by its owner's name, and the attempt goes on.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Ceremony, Cluster, Options, audit_log, refusal, requests, until};
use conclave_client::Client;
use conclave_client::v1::{self, CustodyStatusRequest, SealState, SubmitShareRequest};
use conclave_core::{Generation, SetId};
use conclave_crypto::{RootKey, ShareSet, share};
use tonic::Code;

/// The node whose custodians are disturbed.
const NODE: u64 = 2;

struct Bad {
    request: SubmitShareRequest,
    reason: &'static str,
    code: Code,
    /// Who is to blame, by name.
    culprit: &'static str,
}

fn bad(request: SubmitShareRequest, reason: &'static str, culprit: &'static str) -> Bad {
    let code = if reason == "SHARE_REPEATED" {
        Code::AlreadyExists
    } else {
        Code::InvalidArgument
    };
    Bad {
        request,
        reason,
        code,
        culprit,
    }
}

/// A share of carol's that was made for another root key, and looks as if it were for this cluster.
fn forged(like: &SubmitShareRequest) -> Result<SubmitShareRequest> {
    let root = RootKey::from_fn(|out| out.fill(7));
    let set_id: [u8; 16] = like.set_id.as_slice().try_into()?;
    let set = ShareSet {
        set_id: SetId(set_id),
        generation: Generation(like.generation),
        threshold: 3,
        count: 5,
    };
    let shares = share::split(&root, &set)?;
    let third = shares.get(2).context("five were made")?;
    Ok(SubmitShareRequest {
        share: third.expose().to_vec(),
        ..like.clone()
    })
}

/// All of them after alice and bob have submitted theirs; carol's would be the last one needed.
fn bad_shares(ceremony: &Ceremony) -> Result<Vec<Bad>> {
    let (alice, carol) = (ceremony.share(0), ceremony.share(2));
    let with_share = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut request = carol.clone();
        change(&mut request.share);
        request
    };
    let mut list = vec![
        bad(alice, "SHARE_REPEATED", "alice"),
        bad(forged(&carol)?, "SHARE_MANGLED", "carol"),
        bad(
            SubmitShareRequest {
                cluster_id: vec![9; 16],
                ..carol.clone()
            },
            "SHARE_OTHER_CLUSTER",
            "carol",
        ),
        bad(
            SubmitShareRequest {
                generation: 0,
                ..carol.clone()
            },
            "SHARE_OLD_GENERATION",
            "carol",
        ),
        bad(
            SubmitShareRequest {
                set_id: vec![9; 16],
                ..carol.clone()
            },
            "SHARE_SET_REPLACED",
            "carol",
        ),
        bad(
            SubmitShareRequest {
                custodian: "mallory".to_owned(),
                ..carol.clone()
            },
            "SHARE_NOT_A_CUSTODIAN",
            "mallory",
        ),
        // Carol's share under Dave's name.
        bad(
            SubmitShareRequest {
                custodian: "dave".to_owned(),
                ..carol.clone()
            },
            "SHARE_MANGLED",
            "dave",
        ),
        bad(with_share(&|share| share[0] = 0), "SHARE_MANGLED", "carol"),
        bad(with_share(&|share| share[0] = 4), "SHARE_MANGLED", "carol"),
        bad(
            with_share(&|share| share.truncate(112)),
            "SHARE_MANGLED",
            "carol",
        ),
        bad(with_share(&|share| share.push(0)), "SHARE_MANGLED", "carol"),
        bad(with_share(&Vec::clear), "SHARE_MANGLED", "carol"),
    ];
    for at in [1, 16, 32, 33, 72, 112] {
        list.push(bad(
            with_share(&|share| share[at] ^= 1),
            "SHARE_MANGLED",
            "carol",
        ));
    }
    Ok(list)
}

/// None of them counts, each is recorded, and those that count already still do.
async fn refuse_bad_shares(cluster: &Cluster, admin: &Client) -> Result<()> {
    let before = audit_log(admin).await?.len();
    let list = bad_shares(cluster.ceremony())?;
    for Bad {
        request,
        reason,
        code,
        culprit,
    } in &list
    {
        let carol = cluster.client_at("carol", NODE)?;
        let refused = refusal(carol.submit_share(request.clone()).await)?;
        refused.must_be(*code, reason, culprit)?;
        let attempt = admin
            .custody_status(CustodyStatusRequest::default())
            .await?;
        ensure!(attempt.state() == SealState::Sealed);
        let counted = attempt.attempt.context("the attempt goes on")?.submitted_by;
        ensure!(counted == ["alice", "bob"], "{counted:?} count");
    }
    let log = audit_log(admin).await?;
    let records: Vec<_> = log[before..]
        .iter()
        .filter_map(|it| it.record.as_ref())
        .collect();
    ensure!(
        records.len() == list.len(),
        "{} records of {}",
        records.len(),
        list.len()
    );
    for (record, Bad { reason, .. }) in records.iter().zip(&list) {
        ensure!(
            record.operation == "SubmitShare" && record.principal == "carol",
            "{record:?}"
        );
        ensure!(
            record.detail.contains(reason) || record.reason == *reason,
            "{record:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_share_is_refused_by_name_and_the_attempt_goes_on() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client_at("admin", NODE)?;
    admin.create_key(requests::create_key("demo/kept")).await?;
    let sealed = cluster
        .client("app")?
        .encrypt(requests::encrypt("demo/kept", b"kept"))
        .await?;
    let seal = v1::SealRequest {
        reason: "a test".to_owned(),
        ..v1::SealRequest::default()
    };
    admin.seal(seal).await?;
    let ceremony = cluster.ceremony();
    for place in [0, 1] {
        let hand = &ceremony.hands[place];
        cluster
            .client_at(&hand.name, NODE)?
            .submit_share(hand.request.clone())
            .await?;
    }
    refuse_bad_shares(&cluster, &admin).await?;
    let done = cluster
        .client_at("carol", NODE)?
        .submit_share(ceremony.share(2))
        .await?;
    let state = done.status.context("an answer has the status")?.state();
    ensure!(state == SealState::Unsealed, "the node is {state:?}");
    let request = requests::decrypt(&sealed.ciphertext);
    let opened = cluster.client_at("app", NODE)?.decrypt(request).await?;
    ensure!(opened.plaintext.expose() == b"kept");
    let refused = refusal(
        cluster
            .client_at("dave", NODE)?
            .submit_share(ceremony.share(3))
            .await,
    )?;
    refused.must_be(
        Code::FailedPrecondition,
        "NODE_UNSEALED",
        "unsealed already",
    )?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_of_a_ceremony_that_was_repeated_are_void() -> Result<()> {
    let mut cluster = Cluster::boot_new(Options::default()).await?;
    let admin = cluster.client_at("admin", 1)?;
    let first = Ceremony::hold(&admin).await?;
    cluster.found().await?;
    let seal = v1::SealRequest {
        reason: "a test".to_owned(),
        ..v1::SealRequest::default()
    };
    cluster.client_at("admin", NODE)?.seal(seal).await?;
    let alice = cluster.client_at("alice", NODE)?;
    let refused = refusal(alice.submit_share(first.share(0)).await)?;
    refused.must_be(Code::InvalidArgument, "SHARE_SET_REPLACED", "alice")?;
    cluster.unseal(NODE).await?;
    // Once a node was unsealed by shares, the ceremony is settled.
    let again = admin.custody_init(v1::InitRequest {
        custodians: Vec::new(),
        threshold: 3,
        ..v1::InitRequest::default()
    });
    ensure!(
        again.await.is_err(),
        "a ceremony without custodians was held"
    );
    let Err(error) = Ceremony::hold(&admin).await else {
        anyhow::bail!("the ceremony was held again")
    };
    ensure!(
        format!("{error:#}").contains("in custody already"),
        "{error:#}"
    );
    cluster.finish()
}

/// Until the first key exists the ceremony may be held again, on another node. What the first node would make under the
/// root key before it must not get into the log, and that node must not go on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_root_key_was_replaced_seals_itself_and_makes_no_key() -> Result<()> {
    let cluster = Cluster::boot_new(Options::default()).await?;
    let (one, two) = (
        cluster.client_at("admin", 1)?,
        cluster.client_at("admin", 2)?,
    );
    Ceremony::hold(&one).await?;
    Ceremony::hold(&two).await?;
    let created = one.create_key(requests::create_key("demo/stale")).await;
    ensure!(
        created.is_err(),
        "a key was wrapped under a root key that was replaced"
    );
    until("node 1 seals itself", async || {
        let status = one
            .custody_status(CustodyStatusRequest::default())
            .await
            .ok()?;
        let sealed = status.state() == SealState::Sealed && status.seal_reason.contains("replaced");
        sealed.then_some(())
    })
    .await?;
    let key = two.create_key(requests::create_key("demo/fresh")).await?;
    ensure!(key.state() == v1::KeyState::Active, "{key:?}");
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_begins_anew() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let admin = cluster.client_at("admin", NODE)?;
    let seal = v1::SealRequest {
        reason: "a test".to_owned(),
        ..v1::SealRequest::default()
    };
    admin.seal(seal).await?;
    let ceremony = cluster.ceremony();
    let alice = cluster.client_at("alice", NODE)?;
    alice.submit_share(ceremony.share(0)).await?;
    let unknown = v1::CancelRequest {
        attempt_id: vec![1; 16],
        ..v1::CancelRequest::default()
    };
    let refused = refusal(alice.cancel_unseal(unknown).await)?;
    refused.must_be(Code::InvalidArgument, "INVALID_REQUEST", "no such attempt")?;
    alice.cancel_unseal(v1::CancelRequest::default()).await?;
    let status = admin
        .custody_status(CustodyStatusRequest::default())
        .await?;
    ensure!(status.attempt.is_none(), "{:?}", status.attempt);
    cluster.unseal(NODE).await?;
    cluster.finish()
}
