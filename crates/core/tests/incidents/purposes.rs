//! Keys used for what they were not made for: a decryption that gives away a signature, an agreement with a key that
//! only opens.

use crate::cluster::{Cluster, create, grant, key, transition, who};
use conclave_core::{
    Algorithm, Change, Direction, Grant, KeySpec, KeyState, Operation, Protection, Purpose,
    Refusal, Role, Scope, Transition, UseRefusal,
};

const ALGORITHMS: [Algorithm; 21] = [
    Algorithm::Aes256Gcm,
    Algorithm::ChaCha20Poly1305,
    Algorithm::HmacSha256,
    Algorithm::HmacSha384,
    Algorithm::HmacSha512,
    Algorithm::Ed25519,
    Algorithm::EcdsaP256,
    Algorithm::EcdsaP384,
    Algorithm::Rsa2048,
    Algorithm::Rsa3072,
    Algorithm::Rsa4096,
    Algorithm::MlDsa65,
    Algorithm::RsaOaep2048,
    Algorithm::RsaOaep3072,
    Algorithm::RsaOaep4096,
    Algorithm::MlKem768,
    Algorithm::X25519,
    Algorithm::EcdhP256,
    Algorithm::RsaOaep2048Sha1,
    Algorithm::RsaOaep3072Sha1,
    Algorithm::RsaOaep4096Sha1,
];

/// Every operation that takes a key, and how many of the algorithms above it takes.
const OPERATIONS: [(Operation, usize); 12] = [
    (Operation::Encrypt, 2),
    (Operation::Decrypt, 2),
    (Operation::GenerateDataKey, 2),
    (Operation::GenerateDataKeyPair, 2),
    (Operation::ReEncrypt, 2),
    (Operation::GenerateMac, 3),
    (Operation::VerifyMac, 3),
    (Operation::Sign, 7),
    (Operation::Verify, 7),
    (Operation::AsymmetricDecrypt, 6),
    (Operation::Decapsulate, 1),
    (Operation::DeriveSharedSecret, 2),
];

fn of(algorithm: Algorithm, protection: Protection, number: u8) -> Change {
    let Change::CreateKey {
        spec,
        id,
        set,
        mut material,
    } = create(&format!("a/{number}"), number, None)
    else {
        unreachable!("create creates")
    };
    if algorithm.purpose().has_public_key() {
        material.public = Some(vec![8; 91].into_boxed_slice());
    }
    let spec = KeySpec {
        algorithm,
        protection,
        ..spec
    };
    Change::CreateKey {
        spec,
        id,
        set,
        material,
    }
}

/// A cluster with a key of each algorithm, `a/0` and on, that `ann` may use.
fn cluster() -> Cluster {
    let mut cluster = Cluster::with_custody();
    cluster.must("root", Change::Grant(grant("ann", &Scope::All, Role::User)));
    for (number, algorithm) in (0..).zip(ALGORITHMS) {
        cluster.must("root", of(algorithm, Protection::Software, number));
    }
    cluster
}

fn refused(cluster: &Cluster, name: &str, operation: Operation) -> Option<UseRefusal> {
    let (who, name) = (who("ann"), key(name));
    let decided = cluster
        .state
        .decide_use(&who, operation, Direction::Process, &name, None);
    decided.err().map(|denial| denial.refusal())
}

#[test]
fn cross_purpose_use() {
    let cluster = cluster();
    for (operation, count) in OPERATIONS {
        let mut taken = 0;
        for (number, algorithm) in ALGORITHMS.into_iter().enumerate() {
            let refusal = refused(&cluster, &format!("a/{number}"), operation);
            let expected = (!operation.takes(algorithm)).then_some(UseRefusal::KeyPurpose);
            assert_eq!(refusal, expected, "{operation:?} under {algorithm:?}");
            taken += usize::from(refusal.is_none());
        }
        assert_eq!(taken, count, "{operation:?}");
    }
    assert!(
        ALGORITHMS
            .iter()
            .all(|it| !Operation::GenerateRandom.takes(*it))
    );
}

/// Each algorithm is bound into what is wrapped under a name of its own.
#[test]
fn names_of_algorithms_and_purposes_are_their_own() {
    let names = ALGORITHMS.map(Algorithm::as_str);
    let distinct: std::collections::BTreeSet<_> = names.into_iter().collect();
    assert_eq!(distinct.len(), ALGORITHMS.len());
    let purposes = ALGORITHMS.map(|it| (it.purpose().as_str(), it.purpose().to_string()));
    let distinct: std::collections::BTreeSet<_> = purposes.into_iter().collect();
    assert_eq!(distinct.len(), 5);
    assert_eq!(Purpose::AsymmetricDecrypt.to_string(), "ASYMMETRIC-DECRYPT");
}

#[test]
fn what_no_hsm_has_is_not_created_there() {
    let mut cluster = Cluster::with_custody();
    let software_only = [
        Algorithm::ChaCha20Poly1305,
        Algorithm::MlDsa65,
        Algorithm::MlKem768,
        Algorithm::X25519,
    ];
    for (number, algorithm) in (0..).zip(ALGORITHMS) {
        let made = cluster.write("root", of(algorithm, Protection::Hsm, number));
        let malformed = matches!(made, Err(Refusal::Malformed(_)));
        let expected = software_only.contains(&algorithm);
        assert_eq!(malformed, expected, "{algorithm:?}: {made:?}");
    }
}

/// What others encrypted, encapsulated or agreed upon with the public key can still be opened while new protection is
/// suspended, and no longer once the key is out of use.
#[test]
fn opening_what_others_made_is_processing() {
    for (name, operation) in [
        ("a/12", Operation::AsymmetricDecrypt),
        ("a/15", Operation::Decapsulate),
        ("a/16", Operation::DeriveSharedSecret),
    ] {
        let mut cluster = cluster();
        let step = |cluster: &mut Cluster, step| cluster.must("root", transition(name, step));
        assert_eq!(refused(&cluster, name, operation), None);
        step(&mut cluster, Transition::Suspend);
        assert_eq!(refused(&cluster, name, operation), None, "SUSPENDED");
        step(&mut cluster, Transition::MarkCompromised);
        assert_eq!(cluster.key_state(name), KeyState::Compromised);
        let compromised = Some(UseRefusal::KeyCompromised);
        assert_eq!(refused(&cluster, name, operation), compromised);
        let may = Grant {
            role: Role::UseCompromised,
            ..grant("ann", &Scope::All, Role::User)
        };
        cluster.must("root", Change::Grant(may));
        assert_eq!(refused(&cluster, name, operation), None, "COMPROMISED");

        let mut cluster = self::cluster();
        step(&mut cluster, Transition::Deactivate);
        let state = Some(UseRefusal::KeyState);
        assert_eq!(refused(&cluster, name, operation), state, "DEACTIVATED");
    }
}
