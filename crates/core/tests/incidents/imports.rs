//! Material from outside comes by a job that is good once, for one keyring and for a while; and leaves only if it may.

use crate::cluster::{Cluster, create, grant, key, ring, transition, who, wrapped};
use conclave_core::{
    Body, Change, Denial, ImportJobId, ImportLife, ImportMethod, ImportTarget, KeyId, KeyName,
    KeyringName, NewImportJob, Protection, Refusal, Role, SetId, State, Transition, VersionNumber,
    Written,
};

const JOB: ImportJobId = ImportJobId([5; 16]);
const HOUR: u64 = 3_600_000;

fn job(keyring: &str) -> Change {
    job_at(keyring, Protection::Software)
}

fn job_at(keyring: &str, protection: Protection) -> Change {
    Change::CreateImportJob(Box::new(NewImportJob {
        id: JOB,
        keyring: KeyringName::new(keyring).expect("a good name"),
        method: ImportMethod::RsaOaep3072Sha256Aes256,
        lives: ImportLife::from_ms(HOUR).expect("within its bounds"),
        set: SetId([2; 16]),
        wrapped: wrapped(),
        public: vec![3; 400].into(),
        protection,
    }))
}

fn import(name: &str, id: u8) -> Change {
    let Change::CreateKey {
        spec,
        id,
        set,
        material,
        ..
    } = create(name, id, None)
    else {
        unreachable!("a creation")
    };
    Change::Import {
        job: JOB,
        target: ImportTarget::Key { spec, id, set },
        material,
        digest: [id.0[0]; 32],
    }
}

fn next_version(name: &str, id: u8, version: u32) -> Change {
    Change::Import {
        job: JOB,
        target: ImportTarget::Version {
            name: key(name),
            id: KeyId([id; 16]),
            version: VersionNumber(version),
        },
        material: Box::new(wrapped().into()),
        digest: [7; 32],
    }
}

fn imported(state: &State, name: &str) -> Vec<bool> {
    let key = state.key(&KeyName::new(name).expect("a good name"));
    let versions = key.expect("it is there").versions.iter();
    versions.map(|(_, version)| version.imported).collect()
}

#[test]
fn a_job_is_good_for_one_import() {
    let mut cluster = Cluster::with_custody();
    assert_eq!(cluster.write("root", job("a")), Ok(Written::ImportJob(JOB)));
    cluster.must("root", import("a/k", 1));
    assert_eq!(imported(&cluster.state, "a/k"), [true]);
    let used = cluster.state.import_job(JOB).expect("it is there");
    assert_eq!(used.wrapped, None, "the private half is gone");
    assert_eq!(used.used, Some((KeyId([1; 16]), VersionNumber(1))));
    let again = cluster.write("root", import("a/k2", 2));
    assert_eq!(again, Err(Refusal::ImportJobUsed(JOB)));
    assert_eq!(
        cluster.write("root", next_version("a/k", 1, 2)),
        Err(Refusal::ImportJobUsed(JOB))
    );
    assert_eq!(cluster.state.key(&key("a/k2")), None);
}

#[test]
fn an_import_can_be_the_next_version() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", create("a/k", 1, None));
    cluster.must("root", job("a"));
    // Made for a version that another rotation took: the job is still good.
    assert_eq!(
        cluster.write("root", next_version("a/k", 1, 3)),
        Err(Refusal::Conflict)
    );
    cluster.must("root", next_version("a/k", 1, 2));
    assert_eq!(imported(&cluster.state, "a/k"), [false, true]);
}

/// What was in memory is not passed off as a key of an HSM, nor the other way.
#[test]
fn a_job_is_for_one_protection() {
    use Protection::{Hsm, Software};
    let at = |mut change: Change, protection| {
        if let Change::CreateKey { spec, .. }
        | Change::Import {
            target: ImportTarget::Key { spec, .. },
            ..
        } = &mut change
        {
            spec.protection = protection;
        }
        change
    };
    for (protection, other) in [(Hsm, Software), (Software, Hsm)] {
        let mut cluster = Cluster::with_custody();
        cluster.must("root", at(create("a/k", 1, None), other));
        cluster.must("root", job_at("a", protection));
        let refused = Err(Refusal::ImportJobProtection {
            id: JOB,
            protection,
            asked: other,
        });
        let new = cluster.write("root", at(import("a/k2", 2), other));
        assert_eq!(new, refused);
        assert_eq!(cluster.write("root", next_version("a/k", 1, 2)), refused);
        assert_eq!(cluster.state.key(&key("a/k2")), None);
        let kept = cluster.state.import_job(JOB).expect("it is there");
        assert!(kept.used.is_none() && kept.wrapped.is_some(), "still good");
        cluster.must("root", at(import("a/k2", 2), protection));
        let key = cluster.state.key(&key("a/k2")).expect("it is there");
        assert_eq!(key.info.protection, protection);
        assert_eq!(imported(&cluster.state, "a/k2"), [true]);
    }
}

#[test]
fn near_expiry_import_job() {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", job("a"));
    let expires_at = cluster
        .state
        .import_job(JOB)
        .expect("it is there")
        .expires_at;
    cluster.time = expires_at.0;
    let late = cluster.write("root", import("a/k", 1));
    let (id, at) = (JOB, expires_at);
    assert_eq!(late, Err(Refusal::ImportJobExpired { id, at }));
    cluster.apply(Body::Tick);
    assert_eq!(cluster.state.import_job(JOB), None);
    let later = cluster.write("root", import("a/k", 1));
    assert_eq!(later, Err(Refusal::ImportJobNotFound(JOB)));

    cluster.must("root", job("a"));
    cluster.time = cluster
        .state
        .import_job(JOB)
        .expect("a new one")
        .expires_at
        .0
        - 1;
    cluster.apply(Body::Tick);
    cluster.must("root", import("a/k", 1));
}

#[test]
fn a_job_is_for_one_keyring_and_for_admins() {
    let mut cluster = Cluster::with_custody();
    cluster.must(
        "root",
        Change::Grant(grant("ann", &ring("a"), Role::Operator)),
    );
    cluster.must("root", Change::Grant(grant("bob", &ring("b"), Role::Admin)));
    for who in ["ann", "bob"] {
        let refused = cluster.write(who, job("a"));
        assert!(
            matches!(refused, Err(Refusal::PermissionDenied(_))),
            "{who}"
        );
    }
    cluster.must("root", job("a"));
    let keyring = KeyringName::new("a").expect("a good name");
    assert_eq!(
        cluster.write("bob", import("b/k", 1)),
        Err(Refusal::ImportJobElsewhere { id: JOB, keyring })
    );
    assert!(matches!(
        cluster.write("bob", import("a/k", 1)),
        Err(Refusal::PermissionDenied(_))
    ));
}

#[test]
fn only_admins_export_and_only_what_is_exportable() {
    let mut cluster = Cluster::with_custody();
    let exportable = |mut change: Change| {
        if let Change::CreateKey { spec, .. } = &mut change {
            spec.exportable = true;
        }
        change
    };
    cluster.must("root", exportable(create("a/out", 1, None)));
    cluster.must("root", create("a/in", 2, None));
    cluster.must("root", Change::Grant(grant("ann", &ring("a"), Role::User)));
    let decide = |cluster: &Cluster, by: &str, name: &str| {
        let permit = cluster.state.decide_export(&who(by), &key(name), None);
        permit.map(|permit| permit.used_key())
    };
    assert!(decide(&cluster, "root", "a/out").is_ok());
    assert_eq!(
        decide(&cluster, "root", "a/in"),
        Err(Denial::NotExportable(key("a/in")))
    );
    for name in ["a/out", "a/in", "a/none"] {
        let refused = decide(&cluster, "ann", name);
        assert!(matches!(refused, Err(Denial::Export { .. })), "{name}");
    }
    cluster.must("root", transition("a/out", Transition::Suspend));
    assert!(decide(&cluster, "root", "a/out").is_ok());
    cluster.must("root", transition("a/out", Transition::Deactivate));
    assert!(matches!(
        decide(&cluster, "root", "a/out"),
        Err(Denial::State { .. })
    ));
}

#[test]
fn what_is_inside_hsms_is_never_exportable() {
    let mut cluster = Cluster::with_custody();
    let mut change = create("a/k", 1, None);
    if let Change::CreateKey { spec, .. } = &mut change {
        spec.exportable = true;
        spec.protection = Protection::Hsm;
    }
    let refused = cluster.write("root", change);
    assert!(matches!(refused, Err(Refusal::Malformed(_))), "{refused:?}");
}
