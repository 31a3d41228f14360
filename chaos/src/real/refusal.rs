//! A refusal as a program sees it, however the call was made.

use anyhow::{Context as _, Result, bail, ensure};
use conclave_client::ClientError;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The canonical code.
    pub code: Code,
    /// From `google.rpc.ErrorInfo`; empty if there was none.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let reason = info.map(|info| info.reason).unwrap_or_default();
        Self {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
        }
    }
}

impl TryFrom<&ClientError> for Refusal {
    type Error = anyhow::Error;

    fn try_from(error: &ClientError) -> Result<Self> {
        let call = error
            .call()
            .with_context(|| format!("no node refused: {error}"))?;
        let (reason, message) = (call.reason.clone(), call.message.clone());
        Ok(Self {
            code: call.code,
            reason,
            message,
        })
    }
}

impl Refusal {
    /// Fails unless it is this one, and its text says `hint`.
    ///
    /// # Errors
    /// If it is another.
    pub fn must_be(&self, code: Code, reason: &str, hint: &str) -> Result<()> {
        ensure!(
            self.code == code && self.reason == reason && self.message.contains(hint),
            "expected {code:?} {reason} with {hint:?}, and it was {self:?}"
        );
        Ok(())
    }
}

/// The refusal of a call that must be refused.
///
/// # Errors
/// If it was not.
pub fn refusal<T>(answer: Result<T, ClientError>) -> Result<Refusal> {
    match answer {
        Ok(_) => bail!("the call was to be refused, and was not"),
        Err(error) => Refusal::try_from(&error),
    }
}
