//! Random commands against a reference model and against a second replica.

mod commands;
mod data_keys;
mod finding;
mod history;
mod paging;
mod reference;
mod steps;
mod writes;

use conclave_core::{
    Action, Body, Command, Destruction, Direction, KeyName, KeyState, KeyringName, LogIndex,
    NodeId, Operation, Outcome, Revision, RotationPeriod, Scope, State, Table, Verdict, limits,
};
use proptest::prelude::*;
use reference::{Model, class};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use steps::{KEYS, PRINCIPALS, Step, alias_step, data_key_step, principal, step};

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A node's state, and the tables that it would have on its disk.
#[derive(Clone, Default)]
struct Replica {
    state: State,
    rows: Rows,
}

impl Replica {
    fn apply(&mut self, index: u64, bytes: &[u8]) -> Outcome {
        let command = Command::decode(bytes).expect("what was encoded decodes");
        let outcome = self.state.apply(LogIndex(index), command);
        for change in self.state.take_changes() {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        assert_eq!(Outcome::decode(&outcome.encode()).as_ref(), Ok(&outcome));
        outcome
    }

    fn restarted(&self) -> State {
        let rows = self
            .rows
            .iter()
            .map(|((table, key), value)| (*table, key.clone(), value.clone()));
        State::load(rows).expect("what was saved loads")
    }

    fn leaves(&self) -> Vec<&[u8]> {
        let audit = self
            .rows
            .iter()
            .filter(|((table, _), _)| *table == Table::Audit);
        audit.map(|(_, leaf)| leaf.as_slice()).collect()
    }
}

/// RFC 6962 section 2.1, word for word.
fn merkle_root(leaves: &[&[u8]]) -> [u8; 32] {
    let hash = |tag: u8, a: &[u8], b: &[u8]| -> [u8; 32] {
        Sha256::new()
            .chain_update([tag])
            .chain_update(a)
            .chain_update(b)
            .finalize()
            .into()
    };
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => hash(0, leaf, &[]),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            hash(1, &merkle_root(left), &merkle_root(right))
        }
    }
}

fn check_agreement(model: &Model, state: &State) {
    assert_eq!(state.time().0, model.time);
    assert_eq!(state.audit().size(), model.audit);
    assert_eq!(state.cluster().is_some(), model.formed);
    assert_eq!(state.access().revision().0, model.access_revision);
    assert!(state.access().grants().eq(&model.grants));
    assert_eq!(state.custody(), model.custody.as_ref());
    assert_eq!(state.keys("", None).count(), model.keys.len());
    for (name, expected) in &model.keys {
        let key = state
            .key(&KeyName::new(name).expect("a good name"))
            .expect("the model has it");
        assert_eq!(key.info.state, expected.state);
        assert_eq!(key.info.id.0, expected.id);
        assert_eq!(key.info.revision.0, expected.revision);
        assert!(
            key.info.labels.iter().eq(expected
                .labels
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str())))
        );
        assert_eq!(key.info.activate_at.map(|at| at.0), expected.activate_at);
        assert_eq!(
            key.info.rotate_every.map(RotationPeriod::as_ms),
            expected.rotate_every
        );
        assert_eq!(key.next_rotation().map(|at| at.0), expected.next_rotation());
        assert_eq!(state.view(key).next_rotation(), key.next_rotation());
        assert_eq!(key.info.primary.0 as usize, expected.versions.len());
        let date = |destruction: &Option<Box<Destruction>>| {
            let waits = destruction.as_ref().filter(|it| it.done.is_none());
            waits.map(|it| it.at.0)
        };
        assert_eq!(date(&key.info.destruction), expected.destroy_at);
        assert_eq!(key.versions.iter().count(), expected.versions.len());
        for ((_, version), expected) in key.versions.iter().zip(&expected.versions) {
            assert_eq!(version.state, expected.state);
            assert_eq!(date(&version.destruction), expected.destroy_at);
            assert_eq!(version.usage.count, expected.uses);
            assert_eq!(version.usage.last.0, expected.last_use);
            let is_gone = version.state == KeyState::Destroyed;
            assert_eq!(version.wrapped.is_none(), is_gone);
        }
        assert_eq!(state.key_by_id(key.info.id), Some(key));
    }
    model.check_data_keys(state);
    finding::check_aliases(model, state);
    assert_eq!(state.destroyed().0, model.destroyed);
    for node in 1..3 {
        let erased = model.erased.get(&node).copied().unwrap_or(0);
        let due = (erased < model.destroyed).then_some(Revision(model.destroyed));
        assert_eq!(state.erasure_due(NodeId(node)), due);
        assert!(!state.has_erased(NodeId(node), Revision(erased + 1)));
    }
    let due = model
        .keys
        .iter()
        .filter(|(_, key)| key.next_rotation().is_some_and(|at| at <= model.time));
    let mut due: Vec<_> = due
        .map(|(name, key)| (key.next_rotation(), name.as_str()))
        .collect();
    due.sort_unstable();
    let found = state.due_rotations(state.time());
    assert!(
        found
            .map(|key| key.info.name.as_str())
            .eq(due.into_iter().map(|(_, name)| name))
    );
}

fn check_access(model: &Model, state: &State) {
    let actions = [
        Action::UseKey,
        Action::UseCompromised,
        Action::ReadKey,
        Action::CreateKey,
        Action::RotateKey,
        Action::ChangeState,
        Action::DestroyKey,
        Action::ExportKey,
        Action::ManageAccess,
        Action::InitCustody,
        Action::Seal,
        Action::Unseal,
        Action::ReadAudit,
        Action::LabelKey,
        Action::ManageAliases,
    ];
    for who in 0..4 {
        let who = principal(who);
        for action in actions {
            let mine = |at: Option<&str>| {
                model.grants.iter().any(|grant| {
                    grant.principal == who
                        && reference::roles(action).contains(&grant.role)
                        && match &grant.scope {
                            Scope::All => true,
                            Scope::Keyring(ring) => at == Some(ring.as_str()),
                        }
                })
            };
            assert_eq!(
                state.access().permits(&who, action, &Scope::All),
                mine(None)
            );
            for at in ["a", "b", "c"] {
                let scope = Scope::Keyring(KeyringName::new(at).expect("a good name"));
                assert_eq!(state.access().permits(&who, action, &scope), mine(Some(at)));
            }
            let anywhere = mine(None) || mine(Some("a")) || mine(Some("b"));
            assert_eq!(state.access().permits_anywhere(&who, action), anywhere);
        }
    }
}

/// P1: a use that the log recorded as allowed was allowed there, a refused one was refused.
fn check_uses(before: &Model, command: &Command, outcome: &Outcome, audit_before: u64) {
    let (Body::Uses(batch), Outcome::Verdicts(verdicts)) = (&command.body, outcome) else {
        return;
    };
    for (record, verdict) in batch.records.iter().zip(verdicts) {
        let Verdict::Recorded(sequence) = verdict else {
            continue;
        };
        if sequence.0 < audit_before {
            continue; // a batch proposed again: judged when it was recorded
        }
        let processes = matches!(
            record.operation,
            Operation::Decrypt | Operation::VerifyMac | Operation::DecryptDataKey
        );
        let direction = if processes {
            Direction::Process
        } else {
            Direction::Protect
        };
        let of_macs = matches!(
            record.operation,
            Operation::GenerateMac | Operation::VerifyMac
        );
        let judge = |used: &conclave_core::UsedKey, asked: Option<u32>| {
            if let Some(alias) = &used.alias {
                let of = before
                    .aliases
                    .get(alias.as_str())
                    .map(|(key, _)| key.as_str());
                assert_eq!(of, Some(used.name.as_str()), "{alias} had moved");
            }
            before.judge_use(
                record.principal.as_str(),
                of_macs,
                direction,
                used.name.as_str(),
                asked,
            )
        };
        let all = record.key.iter().chain(&record.destination);
        let verdicts: Vec<_> = all
            .map(|used| judge(used, used.version.map(|v| v.0)))
            .collect();
        match record.refusal {
            None => assert!(
                verdicts.iter().all(Result::is_ok),
                "{record:?} {verdicts:?}"
            ),
            Some(why) => assert!(
                verdicts.contains(&Err(why.as_str())),
                "{record:?} {verdicts:?}"
            ),
        }
    }
}

fn run(steps: &[Step]) {
    let mut model = Model::default();
    let (mut one, mut two) = (Replica::default(), Replica::default());
    let mut stale = State::new();
    let mut past: Vec<Command> = Vec::new();
    let mut index = 0;
    for (n, step) in steps.iter().enumerate() {
        index += 1 + u64::from(step.request % 7 == 0);
        let command = step.command(&model, &one.state, &stale, &past);
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
        let audit_before = model.audit;
        let outcome = one.apply(index, &bytes);
        check_uses(&model, &command, &outcome, audit_before);
        assert_eq!(
            class(&outcome),
            model.apply(index, &command),
            "of {command:?}"
        );
        assert_eq!(two.apply(index, &bytes), outcome);
        check_agreement(&model, &one.state);
        if step.remember_state {
            stale = one.state.clone();
            two.state = two.restarted();
            check_access(&model, &one.state);
        }
        if n % 8 == 0 {
            assert_eq!(one.restarted(), one.state);
            assert_eq!(one.state.audit().root(), merkle_root(&one.leaves()));
        }
        past.push(command);
    }
    assert_eq!(one.state, two.state);
    assert_eq!(one.rows, two.rows);
    history::check(&one.leaves(), &one.rows, &model);
    assert_eq!(one.restarted(), one.state);
    assert_eq!(one.leaves().len() as u64, one.state.audit().size());
    assert_eq!(one.state.audit().root(), merkle_root(&one.leaves()));
}

/// A ceremony that counts, if the cluster has been formed.
fn ceremony(like: &Step) -> Step {
    let (set, count, threshold, confirmed) = (0, 3, 2, false);
    Step {
        actor: 0,
        source: 9,
        kind: steps::Kind::InitCustody {
            set,
            count,
            threshold,
            confirmed,
        },
        ..like.clone()
    }
}

/// Steps of a cluster in which a principal may use two keys.
fn run_with_two_keys(steps: Vec<Step>) {
    let like = &steps[0];
    let with = |kind| Step {
        request: 255,
        time: 0,
        actor: 0,
        kind,
        ..like.clone()
    };
    let role = conclave_core::Role::User;
    let mut all = vec![
        with(steps::Kind::Form(vec![0])),
        ceremony(like),
        with(steps::Kind::Access {
            give: true,
            to: 0,
            scope: 1,
            role,
        }),
    ];
    for key in 0..2 {
        let kind = steps::Kind::Create {
            key,
            id: key * 2,
            set: None,
            pre_active: false,
            date: None,
            rotate: None,
            blob: 32,
        };
        all.push(Step {
            request: 250 + key,
            ..with(kind)
        });
    }
    all.extend(steps);
    run(&all);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_048,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn state_agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        // Most runs begin with a formed cluster and a root key, or little would happen in them.
        let mut all = Vec::new();
        if steps.len() % 10 != 0 {
            all.push(Step { kind: steps::Kind::Form(vec![0]), ..steps[0].clone() });
        }
        if steps.len() % 10 > 2 {
            all.push(ceremony(&steps[0]));
        }
        all.extend(steps);
        run(&all);
    }

    #[test]
    fn data_keys_agree_with_the_model(
        steps in prop::collection::vec(data_key_step(), 1..120),
    ) {
        run_with_two_keys(steps);
    }

    #[test]
    fn aliases_agree_with_the_model(steps in prop::collection::vec(alias_step(), 1..60)) {
        run_with_two_keys(steps);
    }

    #[test]
    fn damaged_bytes_are_an_error_and_not_a_panic(
        step in step(), at in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        let state = State::new();
        let mut bytes = step.command(&Model::default(), &state, &state, &[]).encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(command) = Command::decode(&bytes) {
            let mut state = State::new();
            state.apply(LogIndex(1), command);
        }
        bytes.truncate(at);
        assert!(Command::decode(&bytes).is_err());
    }

    #[test]
    fn listing_is_the_definition(
        prefix in "[ab]?/?k?", after in prop::option::of(0_u8..4), made in 0_usize..5,
    ) {
        let mut state = State::new();
        let admins = vec![principal(0)];
        let cluster = conclave_core::ClusterId([1; 16]);
        let form = Body::Form { cluster, admins };
        let (node, time) = (NodeId(1), conclave_core::TimeMs(1));
        state.apply(LogIndex(1), Command { node, time, body: form });
        let tick = Step { node: 1, time: 1, actor: 0, request: 0, source: 1, remember_state: false,
            kind: steps::Kind::Tick };
        let mut all = vec![ceremony(&tick)];
        for key in 0..u8::try_from(made).unwrap() {
            let kind = steps::Kind::Create { key, id: key, set: None, pre_active: false, date: None,
                rotate: None, blob: 9 };
            all.push(Step { request: key, kind, ..tick.clone() });
        }
        for (index, step) in (2..).zip(all) {
            let command = step.command(&Model::default(), &state, &state, &[]);
            state.apply(LogIndex(index), command);
        }
        let after = after.map(steps::key_name);
        let mut names: Vec<&str> = KEYS.iter().copied().take(made).collect();
        names.sort_unstable();
        names.retain(|name| name.starts_with(&prefix));
        names.retain(|name| after.as_ref().is_none_or(|after| *name > after.as_str()));
        let listed: Vec<_> = state.keys(&prefix, after.as_ref()).map(|k| k.info.name.as_str()).collect();
        assert_eq!(listed, names);
    }
}

/// The node names the attempt, not the client: a retry in another one is the same request.
#[test]
fn a_retry_in_another_attempt_gets_the_first_answer() {
    let unsealed = |custodian| Step {
        node: 1,
        time: 1,
        actor: 0,
        request: 6,
        source: 1,
        remember_state: false,
        kind: steps::Kind::Event {
            event: 2,
            custodian,
            set: 0,
            reason: 9,
        },
    };
    let formed = Step {
        kind: steps::Kind::Form(vec![0]),
        ..unsealed(0)
    };
    run(&[formed, unsealed(0), unsealed(1)]);
}

/// The bounds of the two memories, with more than they hold.
#[test]
fn memories_are_bounded_and_survive_a_restart() {
    let mut steps = vec![Step {
        node: 1,
        time: 1,
        actor: 0,
        request: 0,
        source: 1,
        remember_state: false,
        kind: steps::Kind::Form(vec![0]),
    }];
    // Out of order, with returns to what was forgotten, and three processes of the node.
    for n in 0..200_u8 {
        let sequence = n.wrapping_mul(7) % 150;
        let incarnation = [5, 5, 9, 2][usize::from(n / 51)];
        let kind = steps::Kind::Uses {
            incarnation,
            sequence,
            records: Vec::new(),
        };
        steps.push(Step {
            kind,
            remember_state: n % 50 == 0,
            ..steps[0].clone()
        });
    }
    run(&steps);
    assert_eq!(PRINCIPALS.len(), 4);

    let mut replica = Replica::default();
    let form = steps[0].command(&Model::default(), &replica.state, &replica.state, &[]);
    replica.apply(1, &form.encode());
    for n in 0..limits::REQUESTS_PER_PRINCIPAL_MAX as u64 + 10 {
        let kind = steps::Kind::Access {
            give: true,
            to: 1,
            scope: 1,
            role: conclave_core::Role::User,
        };
        let step = Step {
            kind,
            ..steps[0].clone()
        };
        let mut command = step.command(&Model::default(), &replica.state, &replica.state, &[]);
        let Body::Write(write) = &mut command.body else {
            unreachable!("a write")
        };
        write.request.0[..8].copy_from_slice(&n.to_be_bytes());
        replica.apply(n + 2, &command.encode());
    }
    let remembered = replica
        .rows
        .keys()
        .filter(|(table, _)| *table == Table::Requests)
        .count();
    assert_eq!(remembered, limits::REQUESTS_PER_PRINCIPAL_MAX);
    assert_eq!(replica.restarted(), replica.state);
}
