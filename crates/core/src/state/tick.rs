//! What happens because time passes. The leader proposes a tick when something is due.

use super::journal::Note;
use super::requests::is_old;
use super::{Place, State};
use crate::ids::TimeMs;
use crate::key::Key;
use crate::lifecycle::Transition;
use crate::limits::TICK_WORK_MAX;
use crate::names::KeyName;

impl State {
    /// Whether a tick at `now` would do anything.
    pub fn is_due(&self, now: TimeMs) -> bool {
        self.requests
            .oldest()
            .is_some_and(|(_, time)| is_old(time, now))
            || self.has_idle_versions()
            || self.has_old_import_jobs(now)
            || self.schedule.activations(now).next().is_some()
            || self.schedule.destructions(now).next().is_some()
    }

    /// Keys whose primary version is as old at `now` as it may become, the longest overdue first. A node makes the next
    /// version and proposes it, since `apply` makes no material.
    pub fn due_rotations(&self, now: TimeMs) -> impl Iterator<Item = &Key> {
        self.schedule
            .rotations(now)
            .filter_map(|name| self.keys.get(name))
    }

    /// `clock` is that of the node which proposed the tick.
    pub(super) fn tick(&mut self, place: Place, clock: TimeMs) {
        self.forget_old_requests(place.time);
        let due: Vec<KeyName> = self
            .schedule
            .activations(place.time)
            .take(TICK_WORK_MAX)
            .cloned()
            .collect();
        for name in due {
            let note = self.key_note(&name, None, String::new());
            let from = self
                .step(place, &name, None, Transition::Activate, None)
                .expect("only keys that can be activated wait for their date");
            let detail = format!("{from} -> {}", Transition::Activate.target());
            self.journal_node_event(place, "ActivateKey", Note { detail, ..note });
        }
        self.destroy_due(place, clock);
        self.deactivate_idle(place);
        self.forget_import_jobs(place.time);
    }
}
