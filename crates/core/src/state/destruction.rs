//! The end of keys: scheduled, done at its date, and erased by every node.

use super::journal::Note;
use super::keys::{describe, state_of};
use super::writes::Answer;
use super::{Place, State};
use crate::destruction::{Destroyed, Destruction};
use crate::ids::{AuditSequence, NodeId, Revision, TimeMs, VersionNumber};
use crate::key::Key;
use crate::lifecycle::{KeyState, Transition};
use crate::limits::TICK_WORK_MAX;
use crate::names::KeyName;
use crate::outcome::{Refusal, Written};
use crate::period::WaitingPeriod;

impl State {
    /// Schedules the end of a key, or of one version, unless it was used in the last `unused_for_ms`.
    pub(super) fn schedule_destruction(
        &mut self,
        place: Place,
        name: &KeyName,
        version: Option<VersionNumber>,
        after: WaitingPeriod,
        unused_for_ms: Option<u64>,
    ) -> Result<KeyState, Refusal> {
        if let (Some(unused_for_ms), Some(key)) = (unused_for_ms, self.keys.get(name))
            // Whether the state allows it is the first thing to say, and said below.
            && state_of(key, version)?.after(Transition::ScheduleDestruction).is_some()
        {
            check_unused(key, version, place.time, unused_for_ms)?;
            self.check_no_data_keys(name, version)?;
        }
        let destruction = Destruction {
            at: after.after(place.time),
            // The write is recorded right after it is carried out.
            asked: AuditSequence(self.audit.size()),
            done: None,
        };
        self.step(
            place,
            name,
            version,
            Transition::ScheduleDestruction,
            Some(Box::new(destruction)),
        )
    }

    /// Destroys what is due, as much as one tick may do. Due by the clock of the leader that proposed the tick, and not by
    /// the recorded time, which one node whose clock is far ahead drags with it: nothing brings back what is destroyed.
    pub(super) fn destroy_due(&mut self, place: Place, clock: TimeMs) {
        // A key takes as much work as it has versions, so that one tick destroys the versions of one key more than its bound, at most.
        let mut left = TICK_WORK_MAX;
        while left > 0 {
            let Some((name, version)) = self.schedule.destructions(clock).next() else {
                return;
            };
            let (name, version) = (name.clone(), version);
            let work = self.destroy(place, &name, version);
            left = left.saturating_sub(work);
        }
    }

    /// Destroys a key as a whole, or one version of it; answers how many versions that took.
    fn destroy(&mut self, place: Place, name: &KeyName, version: Option<VersionNumber>) -> usize {
        let key = self.keys.get(name).expect("what is scheduled is there");
        let scheduled = match version {
            None => &key.info.destruction,
            Some(number) => {
                &key.versions
                    .get(number)
                    .expect("what is scheduled is there")
                    .destruction
            }
        };
        let asked = scheduled
            .as_ref()
            .map_or(AuditSequence(0), |scheduled| scheduled.asked);
        let note = self.key_note(name, version, String::new());
        let destruction = Box::new(Destruction {
            at: place.time,
            asked,
            done: Some(Destroyed {
                record: AuditSequence(self.audit.size()),
                revision: place.revision,
            }),
        });
        let from = self
            .step(
                place,
                name,
                version,
                Transition::Destroy,
                Some(destruction.clone()),
            )
            .expect("only what can be destroyed waits for its date");
        let versions = match version {
            None => self.destroy_versions(name, &destruction),
            Some(_) => 1,
        };
        self.destroyed = place.revision;
        let to = Transition::Destroy.target();
        let detail = format!("{from} -> {to}, as record {asked} asked");
        let operation = Transition::Destroy.operation();
        let done = Note {
            detail,
            destruction_revision: place.revision.0,
            ..note
        };
        self.journal_node_event(place, operation, done);
        versions
    }

    /// Destroys all versions of a key that is destroyed as a whole.
    fn destroy_versions(&mut self, name: &KeyName, destruction: &Destruction) -> usize {
        let key = self.keys.get_mut(name).expect("the key was just destroyed");
        let id = key.info.id;
        let mut changed = Vec::new();
        // Versions that had a date of their own have none any more.
        self.schedule.remove(key);
        for (number, version) in key.versions.iter_mut() {
            if version.state != KeyState::Destroyed {
                version.state = KeyState::Destroyed;
                version.wrapped = None;
                version.destruction = Some(Box::new(destruction.clone()));
                changed.push((number, version.clone()));
            }
        }
        self.schedule.add(key);
        for (number, version) in &changed {
            self.save_version(id, *number, version);
        }
        self.refresh_rewraps(id);
        changed.len().max(1)
    }

    /// Up to which revision a node has yet to erase what was destroyed; `None`: it has erased all of it.
    pub fn erasure_due(&self, node: NodeId) -> Option<Revision> {
        let erased = self.erased.get(&node).copied().unwrap_or_default();
        (self.destroyed > erased).then_some(self.destroyed)
    }

    /// The revision at which material was last destroyed; 0: none ever was.
    pub fn destroyed(&self) -> Revision {
        self.destroyed
    }

    /// Whether a node has erased what was destroyed at a revision.
    pub fn has_erased(&self, node: NodeId, destroyed: Revision) -> bool {
        self.erased
            .get(&node)
            .is_some_and(|through| *through >= destroyed)
    }

    /// Takes note that a node has erased what was destroyed up to `through`.
    pub(super) fn note_erased(&mut self, place: Place, through: Revision) -> Answer {
        let earlier = self.erased.get(&place.node).copied().unwrap_or_default();
        if through <= earlier || through > self.destroyed {
            return Err(Refusal::Conflict);
        }
        self.erased.insert(place.node, through);
        self.save_erased(place.node, through);
        Ok(Written::Done)
    }
}

fn check_unused(
    key: &Key,
    version: Option<VersionNumber>,
    now: TimeMs,
    unused_for_ms: u64,
) -> Result<(), Refusal> {
    let last_use = match version {
        None => key.versions.last_use(),
        Some(number) => key
            .versions
            .get(number)
            .and_then(|version| version.usage.last_use()),
    };
    let Some(ago_ms) = last_use.map(|at| now.0.saturating_sub(at.0)) else {
        return Ok(());
    };
    if ago_ms >= unused_for_ms {
        return Ok(());
    }
    Err(Refusal::RecentlyUsed {
        what: describe(&key.info.name, version),
        ago_ms,
        unused_for_ms,
    })
}
