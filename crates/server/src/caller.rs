//! Who calls, for what request, and until when.

use crate::error::ServiceError;
use crate::limits::{DEADLINE_DEFAULT, DEADLINE_MAX};
use conclave_core::{Actor, PrincipalName, RequestId};
use conclave_env::{Entropy, Remote, RemoteIdentity};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// The header in which a client counts its attempts at a request.
const ATTEMPT_HEADER: &str = "conclave-attempt";

/// A call under way.
#[derive(Debug)]
pub struct Caller {
    /// Proved by the certificate.
    pub principal: PrincipalName,
    /// The address that the call came from.
    pub source: String,
    /// Chosen by the client, or by this node if the client left it out.
    pub request: RequestId,
    /// The client's attempt at the request, from 0.
    pub attempt: u32,
    /// When an answer is of no use any more.
    pub deadline: Instant,
    /// Held as long as the call is under way, so that calls are bounded.
    permit: Arc<OwnedSemaphorePermit>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    principal: PrincipalName,
    source: String,
}

impl Party {
    /// Reads what the connection proved.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] if it is not a principal's.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, ServiceError> {
        let stranger = || ServiceError::Forbidden {
            action: "call this service",
            takes: "a certificate of a principal",
        };
        let remote = request.extensions().get::<Remote>().ok_or_else(stranger)?;
        let RemoteIdentity::Principal(principal) = &remote.identity else {
            return Err(stranger());
        };
        Ok(Self {
            principal: principal.clone(),
            source: remote.address.clone(),
        })
    }
}

/// What a request says of itself.
pub(crate) struct Terms<'a> {
    /// Of 16 bytes, or empty.
    pub(crate) request_id: &'a [u8],
    /// From 0.
    pub(crate) attempt: u32,
    /// How long the client waits, if it says so.
    pub(crate) timeout: Option<Duration>,
}

impl<'a> Terms<'a> {
    /// Of a call of its own.
    pub(crate) fn of<T>(request: &tonic::Request<T>, request_id: &'a [u8]) -> Self {
        Self {
            request_id,
            attempt: parse_attempt(request.metadata()),
            timeout: asked_time(request.metadata()),
        }
    }
}

impl Caller {
    /// Somebody who asks for something.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] if the request id has another length than 0 or 16 bytes.
    pub(crate) fn new(
        party: &Party,
        terms: &Terms<'_>,
        entropy: &dyn Entropy,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, ServiceError> {
        Ok(Self {
            principal: party.principal.clone(),
            source: party.source.clone(),
            request: parse_request_id(terms.request_id, entropy)?,
            attempt: terms.attempt,
            deadline: Instant::now() + allowed_time(terms.timeout),
            permit: Arc::new(permit),
        })
    }

    /// The same caller, for another request that follows from this one.
    pub(crate) fn with_request(&self, request: RequestId) -> Self {
        Self {
            principal: self.principal.clone(),
            source: self.source.clone(),
            request,
            attempt: 0,
            deadline: self.deadline,
            permit: self.permit.clone(),
        }
    }

    /// As an actor of a write.
    pub fn actor(&self) -> Actor {
        Actor::Principal(self.principal.clone())
    }
}

fn parse_request_id(bytes: &[u8], entropy: &dyn Entropy) -> Result<RequestId, ServiceError> {
    if bytes.is_empty() {
        let mut id = [0; 16];
        entropy.fill(&mut id);
        return Ok(RequestId(id));
    }
    let rule = || {
        let length = bytes.len();
        ServiceError::invalid(
            "request_id",
            format!("16 bytes, or none; {length} were given"),
        )
    };
    RequestId::from_slice(bytes).ok_or_else(rule)
}

fn parse_attempt(metadata: &MetadataMap) -> u32 {
    let text = metadata
        .get(ATTEMPT_HEADER)
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn asked_time(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok());
    text.and_then(parse_timeout)
}

/// The time that the client allows, a little less so that the answer still reaches it.
fn allowed_time(asked: Option<Duration>) -> Duration {
    let asked = asked.unwrap_or(DEADLINE_DEFAULT).min(DEADLINE_MAX);
    asked.saturating_sub((asked / 10).min(Duration::from_millis(200)))
}

/// The gRPC protocol's `TimeoutValue TimeoutUnit`, at most eight digits.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_of_every_unit() {
        assert_eq!(parse_timeout("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse_timeout("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse_timeout("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parse_timeout("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parse_timeout("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parse_timeout("7n"), Some(Duration::from_nanos(7)));
        for bad in ["", "S", "123456789S", "-1S", "1x", "1é"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn time_is_bounded_and_leaves_room_for_the_answer() {
        let mut metadata = MetadataMap::new();
        assert_eq!(asked_time(&metadata), None);
        assert_eq!(allowed_time(None), Duration::from_millis(9_800));
        metadata.insert("grpc-timeout", "100m".parse().unwrap());
        let asked = asked_time(&metadata);
        assert_eq!(asked, Some(Duration::from_millis(100)));
        assert_eq!(allowed_time(asked), Duration::from_millis(90));
        assert!(allowed_time(Some(Duration::from_secs(9 * 3_600))) < DEADLINE_MAX);
    }
}
