//! The sessions with one token, the keys in them, and what happens when they are lost.

use super::error::{Class, Fault, classify, describe, failed};
use super::{Pkcs11Config, Residency, module, objects};
use crate::{HsmError, HsmKey, HsmKeyKind};
use cryptoki::context::Pkcs11;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The seat of the session that makes keys.
const OWNER: usize = 0;

pub(super) struct Link {
    config: Pkcs11Config,
    module: Pkcs11,
    /// One session a thread. Locked during a call; all together while they are opened anew, so that no call runs
    /// on a session handle that already means another session.
    seats: Vec<Mutex<Option<Session>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts the openings; keys belong to one.
    epoch: u64,
    is_open: bool,
    /// A refused PIN is never tried again: the token would lock it.
    refused: Option<HsmError>,
    /// The number of the last key; never used again, so that no old handle meets a new key.
    last: u64,
    keys: BTreeMap<HsmKey, ObjectHandle>,
}

impl Link {
    pub(super) fn new(config: Pkcs11Config, threads: usize) -> Result<Self, HsmError> {
        let module = module::load(&config.module)?;
        let seats = (0..=threads).map(|_| Mutex::new(None)).collect();
        Ok(Self {
            config,
            module,
            seats,
            state: Mutex::default(),
        })
    }

    pub(super) fn description(&self) -> String {
        format!(
            "PKCS#11 token {} of {}",
            self.config.token,
            self.config.module.display()
        )
    }

    /// Opens all sessions anew, unless they are open.
    pub(super) fn open(&self) -> Result<(), HsmError> {
        {
            let state = self.state.lock();
            if state.is_open {
                return Ok(());
            }
            if let Some(refused) = &state.refused {
                return Err(refused.clone());
            }
        }
        let mut seats: Vec<_> = self.seats.iter().map(Mutex::lock).collect();
        for seat in &mut seats {
            // Before any is opened: a number that is closed must not mean a new session yet.
            if let Some(session) = seat.take() {
                let _ = session.close();
            }
        }
        let opened = self.open_sessions(seats.len());
        let mut state = self.state.lock();
        match opened {
            Ok(sessions) => {
                for (seat, session) in seats.iter_mut().zip(sessions) {
                    **seat = Some(session);
                }
                state.epoch += 1;
                state.is_open = true;
                Ok(())
            }
            Err(error) => {
                if matches!(
                    error,
                    HsmError::WrongPin { .. } | HsmError::PinLocked { .. }
                ) {
                    state.refused = Some(error.clone());
                }
                Err(error)
            }
        }
    }

    fn open_sessions(&self, count: usize) -> Result<Vec<Session>, HsmError> {
        let slot = module::find_slot(&self.module, &self.config.token)?;
        let mut sessions = Vec::new();
        for number in 0..count {
            let session = self.module.open_rw_session(slot);
            let session = session.map_err(|error| failed("open a session", &error))?;
            if number == OWNER {
                module::login(&session, &self.config)?;
            }
            sessions.push(session);
        }
        Ok(sessions)
    }

    /// Makes one call in a seat's session, with the objects of these keys.
    pub(super) fn call<T>(
        &self,
        seat: usize,
        operation: &'static str,
        keys: &[HsmKey],
        run: impl FnOnce(&Session, &[ObjectHandle]) -> Result<T, Fault>,
    ) -> Result<T, HsmError> {
        let session = self.seats[seat].lock();
        let objects = self.resolve(keys)?;
        let Some(session) = session.as_ref().filter(|_| self.state.lock().is_open) else {
            return Err(HsmError::Lost {
                detail: "no session is open".to_owned(),
            });
        };
        run(session, &objects).map_err(|fault| match fault {
            Fault::Verdict(error) => error,
            Fault::Module(error) => self.judge(operation, keys, &error),
        })
    }

    fn resolve(&self, keys: &[HsmKey]) -> Result<Vec<ObjectHandle>, HsmError> {
        let state = self.state.lock();
        keys.iter()
            .map(|key| state.keys.get(key).copied().ok_or(HsmError::KeyGone))
            .collect()
    }

    fn judge(
        &self,
        operation: &'static str,
        keys: &[HsmKey],
        error: &cryptoki::error::Error,
    ) -> HsmError {
        match classify(error) {
            Class::Refused => HsmError::Refused { operation },
            Class::Failed => failed(operation, error),
            // Another call has destroyed the key meanwhile: nothing is wrong with the session.
            Class::Handle if self.resolve(keys).is_err() => HsmError::KeyGone,
            Class::Handle | Class::Lost => {
                let detail = describe(error);
                tracing::error!(
                    operation,
                    detail,
                    "the HSM's session is lost, and its keys with it"
                );
                self.lose();
                HsmError::Lost { detail }
            }
        }
    }

    /// The caller holds a seat, so no new session can have been opened since the one that was lost.
    fn lose(&self) {
        let mut state = self.state.lock();
        state.is_open = false;
        state.keys.clear();
    }

    /// From now on no handle names a key.
    pub(super) fn forget_all(&self) {
        self.state.lock().keys.clear();
    }

    fn add(&self, object: ObjectHandle) -> HsmKey {
        let mut state = self.state.lock();
        state.last += 1;
        let key = HsmKey(state.last);
        state.keys.insert(key, object);
        key
    }

    /// Makes a call in the owner's session, which is opened if it is lost.
    fn call_owner<T>(
        &self,
        operation: &'static str,
        keys: &[HsmKey],
        run: impl FnOnce(&Session, &[ObjectHandle]) -> Result<T, Fault>,
    ) -> Result<T, HsmError> {
        self.open()?;
        self.call(OWNER, operation, keys, run)
    }

    pub(super) fn import_root(&self, label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError> {
        let (residency, import) = (self.config.residency, self.config.import);
        self.call_owner("import the root key", &[], |session, _| {
            let object = objects::import_root(session, label, root, residency, import)?;
            Ok(self.add(object))
        })
    }

    pub(super) fn find_root(&self, label: &str) -> Result<Option<HsmKey>, HsmError> {
        if self.config.residency == Residency::Session {
            return Ok(None);
        }
        self.call_owner("find the root key", &[], |session, _| {
            let found = objects::find_roots(session, Some(label))?;
            Ok(found.first().map(|object| self.add(*object)))
        })
    }

    pub(super) fn unwrap(
        &self,
        under: HsmKey,
        wrapped: Result<Vec<u8>, HsmError>,
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        self.call(OWNER, "unwrap a key", &[under], |session, found| {
            Ok(self.add(objects::unwrap(session, found[0], &wrapped?, kind)?))
        })
    }

    pub(super) fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        // Out of the table first: a call that meets the destroyed object then knows why.
        let Some(object) = self.state.lock().keys.remove(&key) else {
            return Ok(());
        };
        self.call(OWNER, "destroy a key", &[], |session, _| {
            Ok(session.destroy_object(object)?)
        })
    }

    /// Destroys what `forget_all` has made nameless, by closing the sessions that it lives in, and the root keys on
    /// the token.
    pub(super) fn clear(&self) -> Result<(), HsmError> {
        self.call_owner("destroy the root key", &[], |session, _| {
            for root in objects::find_roots(session, None)? {
                session.destroy_object(root)?;
            }
            Ok(())
        })?;
        // Closing the owner's session destroys its objects, also those whose names were forgotten.
        let owner = self.seats[OWNER].lock();
        self.lose();
        drop(owner);
        self.open()
    }

    pub(super) fn check(&self, key: HsmKey) -> Result<(), HsmError> {
        self.call_owner("find a key", &[key], |session, found| {
            objects::touch(session, found[0])
        })
    }

    pub(super) fn ping(&self) -> Result<(), HsmError> {
        self.call_owner("answer", &[], |session, _| {
            objects::random(session, 1).map(|_| ())
        })
    }
}
