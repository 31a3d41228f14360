//! Whether a use is allowed: pure, on whatever state the node has. The log says later whether that
//! state was current.

use super::State;
use crate::access::{Action, Scope};
use crate::ids::{Revision, VersionNumber};
use crate::key::{Algorithm, Key, KeyInfo, KeyVersion, Wrapped};
use crate::lifecycle::KeyState;
use crate::names::{KeyName, PrincipalName};
use crate::uses::{Direction, Operation, UseRefusal, UsedKey};
use thiserror::Error;

/// A use that is allowed, with what it needs.
#[derive(Clone, Copy, Debug)]
pub struct UsePermit<'a> {
    /// The key.
    pub info: &'a KeyInfo,
    /// The alias by which it was asked for.
    pub alias: Option<&'a KeyName>,
    /// Which version.
    pub number: VersionNumber,
    /// Its material.
    pub wrapped: &'a Wrapped,
    /// Its public half, of keys that have one.
    pub public: Option<&'a [u8]>,
}

impl UsePermit<'_> {
    /// What the use record says of the key.
    pub fn used_key(&self) -> UsedKey {
        UsedKey {
            name: self.info.name.clone(),
            id: Some(self.info.id),
            version: Some(self.number),
            revision: self.info.revision,
            alias: self.alias.cloned(),
        }
    }
}

/// A use that is refused, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Denial {
    /// The caller lacks the role.
    #[error("the caller may not use keys of keyring {keyring}: it takes the role user")]
    Permission {
        /// Of the key.
        keyring: String,
    },
    /// No such key.
    #[error("there is no key {0}")]
    KeyNotFound(KeyName),
    /// No such version.
    #[error("key {name} has no version {version}")]
    VersionNotFound {
        /// Of the key.
        name: KeyName,
        /// As asked for.
        version: VersionNumber,
    },
    /// A state forbids it.
    #[error("{what} is {state}, which does not allow to {operation}")]
    State {
        /// The key, or a version of it.
        what: String,
        /// Its state.
        state: KeyState,
        /// What was asked for.
        operation: &'static str,
    },
    /// The key is for something else.
    #[error(
        "key {name} is for {purpose} ({algorithm}), and {operation} takes a key {what}: see `conclave key \
         get`",
        purpose = .algorithm.purpose(), algorithm = .algorithm.as_str(), operation = .operation.as_str(),
        what = other(*.algorithm, *.operation)
    )]
    Purpose {
        /// Of the key.
        name: KeyName,
        /// Of the key.
        algorithm: Algorithm,
        /// What was asked for.
        operation: Operation,
    },
    /// Keys of the algorithm have no public half.
    #[error("key {name} is for {} ({}) and has no public key", .algorithm.purpose(), .algorithm.as_str())]
    NoPublicKey {
        /// Of the key.
        name: KeyName,
        /// Of the key.
        algorithm: Algorithm,
    },
    /// The key may not leave the cluster.
    #[error("key {0} is not exportable, and that is chosen at its creation and never changed")]
    NotExportable(KeyName),
    /// The caller may not export.
    #[error("the caller may not export keys of keyring {keyring}: it takes the role admin")]
    Export {
        /// Of the key.
        keyring: String,
    },
    /// What is compromised is processed only for those who may.
    #[error(
        "{what} is COMPROMISED: to process what it protected takes the role use-compromised on keyring {keyring} as \
         well as the role user"
    )]
    Compromised {
        /// The key, or a version of it.
        what: String,
        /// Of the key.
        keyring: String,
    },
}

/// What kind of key an operation takes instead.
fn other(algorithm: Algorithm, operation: Operation) -> &'static str {
    if operation.purpose() == Some(algorithm.purpose()) {
        "of another algorithm"
    } else {
        "for another purpose"
    }
}

impl Denial {
    /// For the record.
    pub fn refusal(&self) -> UseRefusal {
        match self {
            Self::Permission { .. } | Self::Export { .. } => UseRefusal::PermissionDenied,
            Self::NotExportable(_) => UseRefusal::KeyNotExportable,
            Self::KeyNotFound(_) => UseRefusal::KeyNotFound,
            Self::VersionNotFound { .. } => UseRefusal::VersionNotFound,
            Self::State { .. } => UseRefusal::KeyState,
            Self::Compromised { .. } => UseRefusal::KeyCompromised,
            Self::Purpose { .. } | Self::NoPublicKey { .. } => UseRefusal::KeyPurpose,
        }
    }
}

impl State {
    /// Decides a use of `name`, a key's own or an alias; of a re-encryption, one of its two sides. Whoever may not use the keyring is not told whether the key exists.
    ///
    /// # Errors
    /// [`Denial`] says why not.
    pub fn decide_use(
        &self,
        principal: &PrincipalName,
        operation: Operation,
        direction: Direction,
        name: &KeyName,
        version: Option<VersionNumber>,
    ) -> Result<UsePermit<'_>, Denial> {
        let keyring = name.keyring();
        let scope = Scope::Keyring(keyring.clone());
        if !self.access.permits(principal, Action::UseKey, &scope) {
            return Err(Denial::Permission {
                keyring: keyring.to_string(),
            });
        }
        let (key, alias) = self
            .named(name)
            .ok_or_else(|| Denial::KeyNotFound(name.clone()))?;
        let name = &key.info.name;
        let algorithm = key.info.algorithm;
        if !operation.takes(algorithm) {
            return Err(Denial::Purpose {
                name: name.clone(),
                algorithm,
                operation,
            });
        }
        self.permit(principal, (key, alias), direction, version)
    }

    /// Decides whether the material of a version may be given out, wrapped: to an admin, of a key that was made exportable,
    /// in a state in which it could be used to process. Whoever may not export is not told whether the key exists.
    ///
    /// # Errors
    /// [`Denial`] says why not.
    pub fn decide_export(
        &self,
        principal: &PrincipalName,
        name: &KeyName,
        version: Option<VersionNumber>,
    ) -> Result<UsePermit<'_>, Denial> {
        let keyring = name.keyring();
        let scope = Scope::Keyring(keyring.clone());
        if !self.access.permits(principal, Action::ExportKey, &scope) {
            return Err(Denial::Export {
                keyring: keyring.to_string(),
            });
        }
        let missing = || Denial::KeyNotFound(name.clone());
        let (key, alias) = self.named(name).ok_or_else(missing)?;
        if !key.info.exportable {
            return Err(Denial::NotExportable(key.info.name.clone()));
        }
        self.permit(principal, (key, alias), Direction::Process, version)
    }

    /// A version of a key, if both their states allow that direction.
    fn permit<'a>(
        &self,
        principal: &PrincipalName,
        (key, alias): (&'a Key, Option<&'a KeyName>),
        direction: Direction,
        version: Option<VersionNumber>,
    ) -> Result<UsePermit<'a>, Denial> {
        let number = version.unwrap_or(key.info.primary);
        let missing = || Denial::VersionNotFound {
            name: key.info.name.clone(),
            version: number,
        };
        let version = key.versions.get(number).ok_or_else(missing)?;
        let may_use_compromised = || {
            let scope = Scope::Keyring(key.info.name.keyring());
            self.access
                .permits(principal, Action::UseCompromised, &scope)
        };
        check_state(key, number, version, direction, may_use_compromised)?;
        // Only what is DESTROYED has none, and that was refused above.
        let wrapped = version.wrapped.as_ref().ok_or_else(missing)?;
        Ok(UsePermit {
            info: &key.info,
            alias,
            number,
            wrapped,
            public: version.public.as_deref(),
        })
    }

    /// What the record of a refused use says of the key.
    pub fn refused_key(&self, name: &KeyName, version: Option<VersionNumber>) -> UsedKey {
        let found = self.named(name);
        let info = found.map(|(key, _)| &key.info);
        UsedKey {
            name: info.map_or(name, |info| &info.name).clone(),
            id: info.map(|info| info.id),
            version,
            revision: info.map_or(Revision(0), |info| info.revision),
            alias: found.and_then(|(_, alias)| alias.cloned()),
        }
    }
}

fn check_state(
    key: &Key,
    number: VersionNumber,
    version: &KeyVersion,
    direction: Direction,
    may_use_compromised: impl Fn() -> bool,
) -> Result<(), Denial> {
    let (allows, operation): (fn(KeyState) -> bool, _) = match direction {
        Direction::Protect => (KeyState::protects, "protect new data"),
        Direction::Process => (KeyState::processes, "process what it protected"),
    };
    let name = &key.info.name;
    let check = |state: KeyState, what: &dyn Fn() -> String| {
        let processes_compromised =
            direction == Direction::Process && state == KeyState::Compromised;
        if allows(state) || (processes_compromised && may_use_compromised()) {
            return Ok(());
        }
        let what = what();
        Err(if processes_compromised {
            Denial::Compromised {
                what,
                keyring: name.keyring().to_string(),
            }
        } else {
            Denial::State {
                what,
                state,
                operation,
            }
        })
    };
    check(key.info.state, &|| format!("key {name}"))?;
    check(version.state, &|| format!("version {number} of key {name}"))
}
