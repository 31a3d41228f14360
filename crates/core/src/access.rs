//! Who may do what: four fixed roles, on one keyring or on all.

use crate::ids::Revision;
use crate::names::{KeyringName, PrincipalName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Creates and changes keys, grants roles; on all keyrings also custody.
    Admin,
    /// Moves keys through their states; on all keyrings also seal and unseal.
    Operator,
    /// Uses keys.
    User,
    /// With the role of a user, processes what compromised keys and versions protected.
    UseCompromised,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::User => "user",
            Self::UseCompromised => "use-compromised",
        })
    }
}

/// Where a role holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// On every keyring and on the cluster itself.
    All,
    /// On one keyring.
    Keyring(KeyringName),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Keyring(name) => name.fmt(f),
        }
    }
}

/// A role given to a principal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// Who.
    pub principal: PrincipalName,
    /// Where.
    pub scope: Scope,
    /// What.
    pub role: Role,
}

/// What a caller wants to do, as far as the rules tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Encrypt, decrypt and the like.
    UseKey,
    /// Decrypt and the like with what is compromised; takes [`Action::UseKey`] as well.
    UseCompromised,
    /// See a key's metadata.
    ReadKey,
    /// Create a key.
    CreateKey,
    /// Make a new version.
    RotateKey,
    /// Activate, suspend, resume, deactivate, mark as compromised, cancel a destruction.
    ChangeState,
    /// Schedule the destruction of a key or a version.
    DestroyKey,
    /// Grant and revoke roles, and see them.
    ManageAccess,
    /// Hold the ceremony.
    InitCustody,
    /// Seal a node.
    Seal,
    /// Submit a share, or cancel an unseal attempt.
    Unseal,
    /// Read the audit log.
    ReadAudit,
    /// Change a key's labels.
    LabelKey,
    /// Create, move and delete aliases.
    ManageAliases,
    /// Give the material of an exportable key out, wrapped.
    ExportKey,
}

impl Action {
    /// The roles that allow it where they are held.
    pub fn roles(self) -> &'static [Role] {
        use Role::{Admin, Operator, User};
        match self {
            Self::UseKey => &[User],
            Self::UseCompromised => &[Role::UseCompromised],
            Self::ReadKey => &[Admin, Operator, User],
            Self::CreateKey
            | Self::DestroyKey
            | Self::ExportKey
            | Self::ManageAccess
            | Self::InitCustody
            | Self::ManageAliases => &[Admin],
            Self::RotateKey
            | Self::ChangeState
            | Self::Seal
            | Self::Unseal
            | Self::ReadAudit
            | Self::LabelKey => &[Admin, Operator],
        }
    }
}

/// All grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    grants: BTreeSet<Grant>,
    revision: Revision,
}

impl Access {
    pub(crate) fn restore(grants: BTreeSet<Grant>, revision: Revision) -> Self {
        Self { grants, revision }
    }

    /// Changes with every grant and revocation.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// In the order of principals, scopes and roles.
    pub fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Whether this very grant is there.
    pub fn contains(&self, grant: &Grant) -> bool {
        self.grants.contains(grant)
    }

    /// Whether `principal` may do `action` in `scope`. A role on all keyrings holds on each; a role
    /// on one keyring never holds on all.
    pub fn permits(&self, principal: &PrincipalName, action: Action, scope: &Scope) -> bool {
        action.roles().iter().any(|role| {
            let held = |scope: &Scope| {
                let (principal, scope) = (principal.clone(), scope.clone());
                self.grants.contains(&Grant {
                    principal,
                    scope,
                    role: *role,
                })
            };
            held(&Scope::All) || held(scope)
        })
    }

    /// Whether `principal` may do `action` somewhere.
    pub fn permits_anywhere(&self, principal: &PrincipalName, action: Action) -> bool {
        self.scopes(principal, action).next().is_some()
    }

    /// Where `principal` may do `action`.
    pub fn scopes(
        &self,
        principal: &PrincipalName,
        action: Action,
    ) -> impl Iterator<Item = &Scope> {
        self.of(principal)
            .filter(move |grant| action.roles().contains(&grant.role))
            .map(|grant| &grant.scope)
    }

    fn of(&self, principal: &PrincipalName) -> impl Iterator<Item = &Grant> {
        let first = Grant {
            principal: principal.clone(),
            scope: Scope::All,
            role: Role::Admin,
        };
        self.grants
            .range(first..)
            .take_while(move |grant| &grant.principal == principal)
    }

    /// Whether this is the one grant that lets anybody administer the cluster.
    pub fn is_last_admin(&self, grant: &Grant) -> bool {
        let admin = |g: &&Grant| g.scope == Scope::All && g.role == Role::Admin;
        admin(&grant) && self.grants.iter().filter(admin).all(|other| other == grant)
    }

    pub(crate) fn insert(&mut self, grant: Grant, revision: Revision) -> bool {
        let new = self.grants.insert(grant);
        if new {
            self.revision = revision;
        }
        new
    }

    pub(crate) fn remove(&mut self, grant: &Grant, revision: Revision) -> bool {
        let gone = self.grants.remove(grant);
        if gone {
            self.revision = revision;
        }
        gone
    }
}
