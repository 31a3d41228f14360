//! What was destroyed is in no file of any node: real disks, searched.

use crate::support::{Cluster, form, grant, is_done, soon};
use conclave_core::{
    Actor, Algorithm, Body, Change, Command, Custodian, CustodianName, Custody, Generation,
    KekNumber, KeyId, KeyName, KeySpec, KeyState, NodeId, Pairs, PrincipalName, Protection,
    RequestId, Revision, RootWrapped, SetId, TimeMs, WaitingPeriod, Wrapped, Write,
};
use conclave_raft::EraseError;
use std::fs;
use std::path::{Path, PathBuf};

const DAY: u64 = 86_400_000;
/// The wrapped material of two keys: the first is to be destroyed.
const MATERIAL: [[u8; 61]; 2] = [
    *b"a41f-wrapped-material-of-a-version-that-is-to-be-destroyed-9d",
    *b"c730-wrapped-material-of-a-version-that-is-to-be-there-on-and",
];

fn wrapped(blob: &[u8]) -> Wrapped {
    Wrapped {
        kek: KekNumber(1),
        blob: blob.to_vec(),
        tag: Vec::new(),
    }
}

fn custody() -> Custody {
    let custodian = |name: &str| Custodian {
        name: CustodianName::new(name).unwrap(),
        recipient: format!("age1{name}"),
        share_digest: [6; 32],
    };
    Custody {
        set: SetId([2; 16]),
        generation: Generation(1),
        threshold: 2,
        custodians: ["dora", "emil"].map(custodian).into(),
        check_value: [4; 32],
        wrapped: RootWrapped {
            hsm_kek: wrapped(&[1; 40]),
            software_kek: wrapped(&[2; 40]),
            integrity_key: wrapped(&[3; 40]),
            audit_signing_key: wrapped(&[4; 40]),
        },
        audit_verifier_key: "audit+1".to_owned(),
        confirmed: false,
    }
}

fn name(number: u8) -> KeyName {
    KeyName::new(&format!("demo/{number}")).unwrap()
}

fn create(number: u8) -> Change {
    Change::CreateKey {
        spec: KeySpec {
            name: name(number),
            algorithm: Algorithm::Aes256Gcm,
            protection: Protection::Software,
            labels: Pairs::default(),
            pre_active: true,
            activate_at: None,
            rotate_every: None,
            rewrap: conclave_core::RewrapPolicy::default(),
            exportable: false,
        },
        id: KeyId([number; 16]),
        set: SetId([2; 16]),
        material: Box::new(wrapped(&MATERIAL[usize::from(number)]).into()),
    }
}

fn destroy(number: u8) -> Change {
    Change::ScheduleDestruction {
        name: name(number),
        version: None,
        after: WaitingPeriod::from_ms(DAY).unwrap(),
        unused_for_ms: None,
    }
}

fn write(node: u64, request: u8, actor: Actor, change: Change) -> Command {
    let write = Write {
        request: RequestId([request; 16]),
        attempt: 0,
        actor,
        source: "127.0.0.1:1".into(),
        change,
    };
    Command {
        node: NodeId(node),
        time: TimeMs(2),
        body: Body::Write(write),
    }
}

fn admin() -> Actor {
    Actor::Principal(PrincipalName::new("admin").unwrap())
}

/// The files below a directory that hold these bytes. Nodes that run remove some meanwhile, which hold nothing then.
fn find(dir: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(find(&path, needle));
        } else if fs::read(&path).is_ok_and(|bytes| memchr::memmem::find(&bytes, needle).is_some())
        {
            found.push(path);
        }
    }
    found
}

impl Cluster {
    async fn must(&self, id: u64, command: Command) {
        let outcome = self.propose(id, command).await.unwrap();
        assert!(is_done(&outcome), "{outcome:?}");
    }

    fn holding(&self, id: u64, number: usize) -> Vec<PathBuf> {
        find(&self.directory(id).unwrap(), &MATERIAL[number])
    }

    /// As the server does: erases, again if need be, and tells the log.
    async fn erase(&self, id: u64) {
        let due = |node| {
            self.replica(id)
                .with_state(|state| state.erasure_due(NodeId(node)))
        };
        let through = due(id).expect("something was destroyed");
        let deadline = soon();
        loop {
            match self.replica(id).erase(through).await {
                Ok(()) => break,
                Err(EraseError::Unfinished { .. }) if tokio::time::Instant::now() < deadline => {}
                Err(error) => panic!("node {id}: {error}"),
            }
        }
        let erased = Change::Erased { through };
        let request = u8::try_from(100 + id).unwrap();
        self.must(id, write(id, request, Actor::Node, erased)).await;
    }

    /// Holds of the first key nothing, and of the second what it should.
    fn assert_erased(&self, nodes: &[u64]) {
        for id in nodes {
            let found = self.holding(*id, 0);
            assert!(found.is_empty(), "node {id}: {found:?}");
            assert!(
                !self.holding(*id, 1).is_empty(),
                "node {id} erased too much"
            );
        }
    }

    /// With two keys, of which every node has log entries, rows and snapshots.
    async fn with_two_keys() -> Self {
        let mut cluster = Self::prepare_real(3).await;
        (cluster.snapshot_every, cluster.keep) = (60, 1_000);
        cluster.run_all().await;
        cluster.propose(1, form()).await.unwrap();
        let init = Change::InitCustody(Box::new(custody()));
        for (request, change) in (1..).zip([init, create(0), create(1)]) {
            cluster.must(1, write(1, request, admin(), change)).await;
        }
        for number in 0..100 {
            cluster.must(1 + number % 3, grant(number)).await;
        }
        cluster.converge().await;
        cluster
            .eventually("snapshots", |cluster| {
                let taken = |id: &u64| cluster.replica(*id).status().snapshot > 60;
                cluster.nodes.keys().all(taken).then_some(())
            })
            .await;
        for id in 1..=3 {
            let found = cluster.holding(id, 0);
            for place in ["log", "state", "checkpoints"] {
                let is_there = |path: &PathBuf| path.components().any(|it| it.as_os_str() == place);
                assert!(
                    found.iter().any(is_there),
                    "{place} of node {id}: {found:?}"
                );
            }
        }
        cluster
    }

    fn erased(&self, id: u64, through: Revision) -> Vec<u64> {
        let all = self.disks.keys().copied();
        self.replica(id).with_state(|state| {
            all.filter(|it| state.has_erased(NodeId(*it), through))
                .collect()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_destroyed_is_in_no_file_of_any_node() {
    let mut cluster = Cluster::with_two_keys().await;
    let away = cluster.followers().await[0];
    cluster.stop(away).await;
    let here: Vec<u64> = cluster.nodes.keys().copied().collect();
    cluster
        .must(here[0], write(here[0], 4, admin(), destroy(0)))
        .await;
    for number in 100..130 {
        cluster.must(here[0], grant(number)).await;
    }
    let at_its_date = Command {
        node: NodeId(here[0]),
        time: TimeMs(2 + DAY),
        body: Body::Tick,
    };
    cluster.propose(here[0], at_its_date).await.unwrap();
    cluster.converge().await;
    let (state, end) = cluster.replica(here[0]).with_state(|state| {
        let info = &state.key(&name(0)).unwrap().info;
        (info.state, info.destruction.clone())
    });
    assert_eq!(state, KeyState::Destroyed);
    let destroyed = end.unwrap().done.unwrap().revision;
    for id in &here {
        assert!(
            !cluster.holding(*id, 0).is_empty(),
            "node {id} has not erased it yet"
        );
    }
    // At once, as the nodes do.
    futures::future::join_all(here.iter().map(|id| cluster.erase(*id))).await;
    cluster.converge().await;
    cluster.assert_erased(&here);
    assert_eq!(cluster.erased(here[0], destroyed), here);
    assert!(!cluster.holding(away, 0).is_empty(), "it was away");

    cluster.run(away).await;
    cluster.converge().await;
    cluster.erase(away).await;
    cluster.assert_erased(&[1, 2, 3]);
    // Nor does anything bring it back.
    for id in 1..=3 {
        cluster.stop(id).await;
    }
    cluster.run_all().await;
    for number in 130..260 {
        cluster.must(1 + number % 3, grant(number)).await;
    }
    cluster.converge().await;
    cluster.assert_erased(&[1, 2, 3]);
    for id in 1..=3 {
        let all = cluster.erased(id, destroyed);
        assert_eq!(all, [1, 2, 3], "as node {id} knows it");
        assert_eq!(
            cluster
                .replica(id)
                .with_state(|it| it.erasure_due(NodeId(id))),
            None
        );
    }
}
