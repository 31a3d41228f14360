//! Whom a certificate names. Asked only about certificates that an authority of ours has signed.

use crate::RemoteIdentity;
use conclave_core::{NodeId, PrincipalName};
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const NODE: &str = "conclave://node/";
const PRINCIPAL: &str = "conclave://principal/";

/// Why a certificate names nobody.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum IdentityError {
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate has {0} URI names, exactly one is needed")]
    UriCount(usize),
    #[error("the certificate's URI name is neither {NODE}ID nor {PRINCIPAL}NAME")]
    Uri,
}

/// Reads the one URI among the subject's alternative names. All else, the common name first of all, is ignored.
pub(super) fn identity_of(certificate: &[u8]) -> Result<RemoteIdentity, IdentityError> {
    let (rest, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| IdentityError::Unreadable)?;
    if !rest.is_empty() {
        return Err(IdentityError::Unreadable);
    }
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Unreadable)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| {
            if let GeneralName::URI(uri) = name {
                Some(*uri)
            } else {
                None
            }
        })
        .collect();
    match uris[..] {
        [uri] => parse(uri).ok_or(IdentityError::Uri),
        _ => Err(IdentityError::UriCount(uris.len())),
    }
}

/// One spelling for each identity: no case folding, no escapes, no leading zeros.
fn parse(uri: &str) -> Option<RemoteIdentity> {
    if let Some(name) = uri.strip_prefix(PRINCIPAL) {
        return PrincipalName::new(name).ok().map(RemoteIdentity::Principal);
    }
    let digits = uri.strip_prefix(NODE)?;
    let id: u64 = digits.parse().ok()?;
    (id > 0 && id.to_string() == digits).then_some(RemoteIdentity::Node(NodeId(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_identity_has_one_spelling() {
        assert_eq!(
            parse("conclave://node/7"),
            Some(RemoteIdentity::Node(NodeId(7)))
        );
        let alice = PrincipalName::new("alice").unwrap();
        assert_eq!(
            parse("conclave://principal/alice"),
            Some(RemoteIdentity::Principal(alice))
        );
        for uri in [
            "",
            "conclave://node/",
            "conclave://node/0",
            "conclave://node/07",
            "conclave://node/+7",
            "conclave://node/-1",
            "conclave://node/7/",
            "conclave://node/7 ",
            "conclave://node/18446744073709551616",
            "conclave://node/٧",
            "CONCLAVE://node/7",
            "conclave://Node/7",
            "conclave://node//7",
            "conclave://node/%37",
            "conclave://node/1/../7",
            "conclave://principal/",
            "conclave://principal/Alice",
            "conclave://principal/alice ",
            "conclave://principal/alice%20",
            "conclave://principal/*",
            "conclave://principal/../node/7",
            "conclave://principal/a/b",
            "conclave://principal/аlice",
            "https://node/7",
        ] {
            assert_eq!(parse(uri), None, "{uri:?}");
        }
    }
}
