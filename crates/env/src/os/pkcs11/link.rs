//! The sessions with one token, the keys in them, and what happens when they are lost.

use super::error::{Class, Fault, classify, describe, failed};
use super::module::Listed;
use super::{Pkcs11Config, Residency, module, objects, private};
use crate::{HsmError, HsmKey, HsmKeyKind};
use cryptoki::context::Pkcs11;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The seat of the session that makes keys.
pub(super) const OWNER: usize = 0;

/// A key in the module, and what it may be used for.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) object: ObjectHandle,
    pub(super) kind: HsmKeyKind,
}

impl Held {
    /// Its object, if it is of this kind.
    pub(super) fn of(
        self,
        kind: HsmKeyKind,
        operation: &'static str,
    ) -> Result<ObjectHandle, HsmError> {
        if self.kind == kind {
            Ok(self.object)
        } else {
            Err(HsmError::wrong_kind(operation))
        }
    }
}

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
    keys: BTreeMap<HsmKey, Held>,
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

    pub(super) fn listed(&self) -> Result<Listed, HsmError> {
        module::list(&self.module, &self.config.token)
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
    pub(super) fn call<T, const N: usize>(
        &self,
        seat: usize,
        operation: &'static str,
        keys: [HsmKey; N],
        run: impl FnOnce(&Session, [Held; N]) -> Result<T, Fault>,
    ) -> Result<T, HsmError> {
        let session = self.seats[seat].lock();
        let held = self.resolve(keys)?;
        let Some(session) = session.as_ref().filter(|_| self.state.lock().is_open) else {
            return Err(HsmError::Lost {
                detail: "no session is open".to_owned(),
            });
        };
        run(session, held).map_err(|fault| match fault {
            Fault::Verdict(error) => error,
            Fault::Module(error) => self.judge(operation, keys, &error),
        })
    }

    fn resolve<const N: usize>(&self, keys: [HsmKey; N]) -> Result<[Held; N], HsmError> {
        let state = self.state.lock();
        let held: Option<Vec<_>> = keys
            .iter()
            .map(|key| state.keys.get(key).copied())
            .collect();
        let held = held.ok_or(HsmError::KeyGone)?;
        Ok(held
            .try_into()
            .unwrap_or_else(|_| unreachable!("each key has one object")))
    }

    fn judge<const N: usize>(
        &self,
        operation: &'static str,
        keys: [HsmKey; N],
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

    fn add(&self, object: ObjectHandle, kind: HsmKeyKind) -> HsmKey {
        let mut state = self.state.lock();
        state.last += 1;
        let key = HsmKey(state.last);
        state.keys.insert(key, Held { object, kind });
        key
    }

    /// Makes a call in the owner's session, which is opened if it is lost.
    fn call_owner<T, const N: usize>(
        &self,
        operation: &'static str,
        keys: [HsmKey; N],
        run: impl FnOnce(&Session, [Held; N]) -> Result<T, Fault>,
    ) -> Result<T, HsmError> {
        self.open()?;
        self.call(OWNER, operation, keys, run)
    }

    pub(super) fn import_root(&self, label: &str, root: &[u8; 32]) -> Result<HsmKey, HsmError> {
        let (residency, import) = (self.config.residency, self.config.import);
        self.call_owner("import the root key", [], |session, []| {
            let object = objects::import_root(session, label, root, residency, import)?;
            Ok(self.add(object, HsmKeyKind::Kek))
        })
    }

    pub(super) fn find_root(&self, label: &str) -> Result<Option<HsmKey>, HsmError> {
        if self.config.residency == Residency::Session {
            return Ok(None);
        }
        self.call_owner("find the root key", [], |session, []| {
            let found = objects::find_roots(session, Some(label))?;
            Ok(found
                .first()
                .map(|object| self.add(*object, HsmKeyKind::Kek)))
        })
    }

    pub(super) fn unwrap(
        &self,
        under: HsmKey,
        wrapped: Result<Vec<u8>, HsmError>,
        kind: HsmKeyKind,
    ) -> Result<HsmKey, HsmError> {
        let operation = "unwrap a key";
        self.call(OWNER, operation, [under], |session, [under]| {
            let under = under.of(HsmKeyKind::Kek, operation)?;
            let object = if kind.is_pair() {
                private::unwrap(session, under, &wrapped?, kind)?
            } else {
                objects::unwrap(session, under, &wrapped?, kind)?
            };
            Ok(self.add(object, kind))
        })
    }

    pub(super) fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        // Out of the table first: a call that meets the destroyed object then knows why.
        let Some(held) = self.state.lock().keys.remove(&key) else {
            return Ok(());
        };
        self.call(OWNER, "destroy a key", [], |session, []| {
            Ok(session.destroy_object(held.object)?)
        })
    }

    /// Destroys what `forget_all` has made nameless, by closing the sessions that it lives in, and the root keys on
    /// the token.
    pub(super) fn clear(&self) -> Result<(), HsmError> {
        self.call_owner("destroy the root key", [], |session, []| {
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
        self.call_owner("find a key", [key], |session, [key]| {
            objects::touch(session, key.object)
        })
    }

    pub(super) fn ping(&self) -> Result<(), HsmError> {
        self.call_owner("answer", [], |session, []| {
            objects::random(session, 1).map(|_| ())
        })
    }
}
