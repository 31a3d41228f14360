//! Which failures are worth another attempt, and how long to wait before it. Pure.

use crate::limits::{PAUSE_FIRST, PAUSE_MAX};
use std::error::Error as _;
use std::io;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What a failed attempt means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every node would answer the same.
    Final,
    /// Another node, or the same one later, may do it.
    Elsewhere,
    /// Another node may do it; this one will not while the call lasts.
    OnlyElsewhere,
}

/// Judges a failed attempt.
pub(crate) fn judge(status: &Status) -> Verdict {
    if status.source().is_some() {
        return judge_transport(status);
    }
    let info = status.get_details_error_info();
    let reason = info.as_ref().map_or("", |info| info.reason.as_str());
    match status.code() {
        Code::Unavailable if reason == "NODE_SEALED" => Verdict::OnlyElsewhere,
        Code::Unavailable | Code::DeadlineExceeded => Verdict::Elsewhere,
        Code::ResourceExhausted if reason == "OVERLOADED" => Verdict::Elsewhere,
        // A service of ours always gives a reason: without one, the connection broke under the
        // answer.
        Code::Unknown | Code::Internal | Code::Cancelled if reason.is_empty() => Verdict::Elsewhere,
        Code::Ok
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::ResourceExhausted
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => Verdict::Final,
    }
}

/// The call did not reach a service, or its answer did not reach us. A failed handshake stays
/// failed.
fn judge_transport(status: &Status) -> Verdict {
    let mut next = status.source();
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(
            kind,
            Some(io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied)
        ) {
            return Verdict::OnlyElsewhere;
        }
        next = error.source();
    }
    Verdict::Elsewhere
}

/// The pause after `rounds` rounds through all endpoints: half of it certain, half by `jitter`, so
/// that clients that failed together do not come back together.
pub(crate) fn pause(rounds: u32, jitter: u8) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << rounds.saturating_sub(1).min(8));
    let whole = doubled.min(PAUSE_MAX);
    whole / 2 + (whole / 2).mul_f64(f64::from(jitter) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::Arc;
    use tonic_types::ErrorDetails;

    fn status(code: Code, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "conclave.v1", HashMap::new());
        Status::with_error_details(code, "x", details)
    }

    fn transport(kind: io::ErrorKind) -> Status {
        let mut status = Status::new(Code::Unknown, "transport error");
        status.set_source(Arc::new(io::Error::new(kind, "x")));
        status
    }

    #[test]
    fn refusals_are_final() {
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::FailedPrecondition,
            Code::DataLoss,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unimplemented,
            Code::Unauthenticated,
        ] {
            assert_eq!(
                judge(&status(code, "SOME_REASON")),
                Verdict::Final,
                "{code:?}"
            );
        }
        assert_eq!(
            judge(&status(Code::ResourceExhausted, "LIMIT_REACHED")),
            Verdict::Final
        );
        assert_eq!(
            judge(&status(Code::Internal, "SOME_REASON")),
            Verdict::Final
        );
    }

    #[test]
    fn what_another_node_may_do_goes_there() {
        assert_eq!(
            judge(&status(Code::Unavailable, "NO_QUORUM")),
            Verdict::Elsewhere
        );
        assert_eq!(
            judge(&status(Code::Unavailable, "NODE_SEALED")),
            Verdict::OnlyElsewhere
        );
        assert_eq!(
            judge(&status(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")),
            Verdict::Elsewhere
        );
        assert_eq!(
            judge(&status(Code::ResourceExhausted, "OVERLOADED")),
            Verdict::Elsewhere
        );
        assert_eq!(
            judge(&Status::new(Code::Unknown, "stream closed")),
            Verdict::Elsewhere
        );
    }

    #[test]
    fn broken_connections_go_elsewhere_and_refused_certificates_do_not_come_back() {
        assert_eq!(
            judge(&transport(io::ErrorKind::ConnectionReset)),
            Verdict::Elsewhere
        );
        assert_eq!(
            judge(&transport(io::ErrorKind::ConnectionRefused)),
            Verdict::Elsewhere
        );
        assert_eq!(
            judge(&transport(io::ErrorKind::InvalidData)),
            Verdict::OnlyElsewhere
        );
        assert_eq!(
            judge(&transport(io::ErrorKind::PermissionDenied)),
            Verdict::OnlyElsewhere
        );
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        assert_eq!(pause(1, 255), PAUSE_FIRST);
        assert_eq!(pause(1, 0), PAUSE_FIRST / 2);
        assert_eq!(pause(2, 255), PAUSE_FIRST * 2);
        assert_eq!(pause(u32::MAX, 255), PAUSE_MAX);
    }
}
