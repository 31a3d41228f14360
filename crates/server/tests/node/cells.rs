//! Every cell of operation, algorithm, protection and state, tried on a node and held against what is documented. What the
//! node did is written to `docs/cells.md`, and must be what is there; `CONCLAVE_REWRITE_GOLDEN=1` has it written anew.

mod batches;
mod calls;
mod document;
mod spec;
mod subjects;

use crate::world::World;
use calls::{Clients, perform};
use conclave_core::{KeyState, Purpose};
use conclave_proto::v1 as wire;
use futures::StreamExt as _;
use spec::{Call, Holder, Outcome, Version, expected};
use std::collections::{BTreeMap, BTreeSet};
use subjects::{Subject, VERSION_STATES};

/// Calls under way at once: equal refusals wait for each other for up to a second.
const CALLS_AT_ONCE: usize = 2_048;

/// The outcomes of one purpose: of a user, and of one who may use what is compromised.
type Seen = BTreeMap<(KeyState, KeyState, Call), [Outcome; 2]>;

/// One call of one caller on one key.
struct Cell<'a> {
    subject: &'a Subject,
    /// Of version 1.
    version: KeyState,
    call: Call,
    holder: Holder,
    named: bool,
}

impl Cell<'_> {
    /// The state of the version that the call works with.
    fn version_used(&self) -> KeyState {
        let of_primary = match self.call.version() {
            Version::Given => false,
            Version::Nameable => !self.named,
            Version::Primary => true,
        };
        if of_primary && self.subject.rotated {
            KeyState::Active
        } else {
            self.version
        }
    }

    fn expected(&self) -> Outcome {
        let states = (self.subject.state, self.version_used());
        expected(self.call, self.subject.algorithm, states, self.holder)
    }

    fn describe(&self, outcome: &Outcome) -> String {
        let Subject {
            algorithm,
            protection,
            state,
            ..
        } = self.subject;
        format!(
            "{:?} under {algorithm:?} at {protection:?}, key {state}, version {}, by {:?}: {outcome:?}, not {:?}",
            self.call,
            self.version_used(),
            self.holder,
            self.expected()
        )
    }
}

fn cells(subjects: &[Subject], version: KeyState) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    for subject in subjects {
        if subject.state == KeyState::Destroyed && version != KeyState::Destroyed {
            continue;
        }
        for call in Call::all() {
            if call == Call::DecryptDataKey && subject.samples.data_key.is_none() {
                continue;
            }
            let names: &[bool] = match call.version() {
                Version::Nameable => &[false, true],
                Version::Given | Version::Primary => &[false],
            };
            for (holder, named) in Holder::ALL
                .into_iter()
                .flat_map(|holder| names.iter().map(move |named| (holder, *named)))
            {
                cells.push(Cell {
                    subject,
                    version,
                    call,
                    holder,
                    named,
                });
            }
        }
    }
    cells
}

/// What came of all cells.
#[derive(Default)]
struct Table {
    seen: BTreeMap<Purpose, Seen>,
    /// Of all callers on all keys.
    outcomes: BTreeSet<Outcome>,
    /// What was not as expected.
    wrong: Vec<String>,
}

/// Tries all cells of one state of the versions.
async fn try_all(clients: &Clients, cells: &[Cell<'_>], table: &mut Table) {
    let asked = cells.iter().enumerate().map(|(number, cell)| async move {
        let mut client = clients.get(cell.holder, number);
        let outcome = perform(&mut client, cell.call, cell.subject, cell.named).await;
        (cell, outcome)
    });
    let outcomes: Vec<_> = futures::stream::iter(asked)
        .buffer_unordered(CALLS_AT_ONCE)
        .collect()
        .await;
    for (cell, outcome) in outcomes {
        table.outcomes.insert(outcome.clone());
        if outcome != cell.expected() {
            table.wrong.push(cell.describe(&outcome));
        }
        let purpose = cell.subject.purpose();
        let place = match cell.holder {
            Holder::Nobody => continue,
            Holder::User => 0,
            Holder::UserOfCompromised => 1,
        };
        if cell.call.takes(cell.subject.algorithm) {
            let of_purpose = table.seen.entry(purpose).or_default();
            let states = (cell.subject.state, cell.version_used(), cell.call);
            let both = of_purpose.entry(states);
            both.or_insert([Outcome::Done, Outcome::Done])[place] = outcome;
        }
    }
}

/// Who calls, with what they may.
async fn grant(world: &World) {
    for (holder, role) in [
        (Holder::User, wire::Role::User),
        (Holder::UserOfCompromised, wire::Role::User),
        (Holder::UserOfCompromised, wire::Role::UseCompromised),
    ] {
        let request = wire::GrantRequest {
            request_id: vec![],
            grant: Some(wire::Grant {
                principal: holder.principal().to_owned(),
                keyring: "demo".to_owned(),
                role: role.into(),
            }),
        };
        world.access("admin").grant(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cell_is_as_documented() {
    let world = World::unsealed().await;
    grant(&world).await;
    let (created, subjects) = subjects::create(&world).await;
    let clients = Clients::of(&world);
    let mut table = Table::default();
    for version in VERSION_STATES {
        subjects::move_versions(&world, &subjects, version).await;
        try_all(&clients, &cells(&subjects, version), &mut table).await;
    }
    let mut wrong = table.wrong;
    let count = wrong.len();
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{count} cells, {}", wrong.join("\n"));
    let document = document::render(&created, &table.seen, &table.outcomes);
    if std::env::var("CONCLAVE_REWRITE_GOLDEN").is_ok_and(|it| it == "1") {
        std::fs::write(document::path(), &document).unwrap();
    }
    let written = std::fs::read_to_string(document::path()).unwrap_or_default();
    assert_eq!(
        written, document,
        "docs/cells.md is not what a node does: look at the difference, and run with CONCLAVE_REWRITE_GOLDEN=1"
    );
}
