//! Changes of the root key's custody.

use super::State;
use super::writes::Answer;
use crate::custody::{Custody, CustodyEvent};
use crate::ids::AttemptId;
use crate::names::{CustodianName, PrincipalName};
use crate::outcome::{Malformation, Refusal, Written};

impl State {
    /// Whether a principal has the name of a custodian.
    pub fn is_custodian(&self, principal: &PrincipalName) -> bool {
        let named = |custody: &Custody| {
            CustodianName::new(principal.as_str())
                .is_ok_and(|name| custody.custodian(&name).is_some())
        };
        self.custody.as_ref().is_some_and(named)
    }

    pub(super) fn init_custody(&mut self, custody: &Custody) -> Answer {
        if !custody.is_well_formed() || custody.confirmed {
            return Err(Refusal::Malformed(Malformation::Custody));
        }
        let settled = |current: &Custody| current.confirmed || !self.keys.is_empty();
        if self.custody.as_ref().is_some_and(settled) {
            return Err(Refusal::CustodySettled);
        }
        self.custody = Some(custody.clone());
        self.save_custody();
        Ok(Written::Done)
    }

    pub(super) fn custody_event(&mut self, event: &CustodyEvent) -> Answer {
        let custody = self.custody.as_mut().ok_or(Refusal::NoCustody)?;
        match event {
            CustodyEvent::ShareAccepted { set, .. } | CustodyEvent::Unsealed { set, .. }
                if *set != custody.set =>
            {
                return Err(Refusal::StaleSet);
            }
            CustodyEvent::ShareAccepted { custodian, .. }
                if custody.custodian(custodian).is_none() =>
            {
                return Err(Refusal::StaleSet);
            }
            CustodyEvent::Unsealed { .. } => {
                custody.confirmed = true;
                self.save_custody();
            }
            CustodyEvent::ShareAccepted { .. }
            | CustodyEvent::ShareRefused { .. }
            | CustodyEvent::Sealed { .. }
            | CustodyEvent::Resumed
            | CustodyEvent::Cancelled { .. } => {}
        }
        Ok(Written::Done)
    }
}

/// What the audit log says of an event.
pub(super) fn describe_event(event: &CustodyEvent) -> String {
    match event {
        CustodyEvent::ShareAccepted {
            custodian,
            set,
            attempt,
        } => format!("share of {custodian}, set {set}, attempt {attempt}"),
        CustodyEvent::ShareRefused {
            custodian: Some(name),
            ..
        } => format!("share of {name}"),
        CustodyEvent::ShareRefused {
            custodian: None, ..
        } => "share of nobody known".to_owned(),
        CustodyEvent::Unsealed { set, attempt } => format!("set {set}, attempt {attempt}"),
        CustodyEvent::Resumed => "root key found on the token".to_owned(),
        CustodyEvent::Cancelled { attempt } if *attempt == AttemptId::default() => String::new(),
        CustodyEvent::Cancelled { attempt } => format!("attempt {attempt}"),
        CustodyEvent::Sealed { reason } => reason.clone(),
    }
}
