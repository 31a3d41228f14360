//! JSON Web Keys: RFC 7518 (EC, RSA), RFC 8037 (OKP), draft-ietf-cose-dilithium (AKP).

use super::PublicKind;
use crate::error::CryptoError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 65537 in base64url.
const RSA_EXPONENT: &str = "AQAB";

/// # Errors
/// [`CryptoError::NoJwk`].
///
/// # Panics
/// If `raw` is no key of `kind`.
pub(super) fn text(kind: PublicKind, raw: &[u8]) -> Result<String, CryptoError> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Ok(match kind {
        PublicKind::Ed25519 | PublicKind::X25519 => {
            let (curve, x) = (kind.name(), encode(raw));
            format!(r#"{{"crv":"{curve}","kty":"OKP","x":"{x}"}}"#)
        }
        PublicKind::P256 | PublicKind::P384 => {
            let (_, point) = raw.split_first().expect("a point is not empty");
            let (x, y) = point.split_at(point.len() / 2);
            let (curve, x, y) = (kind.name(), encode(x), encode(y));
            format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        PublicKind::Rsa(_) => {
            let n = encode(raw);
            format!(r#"{{"e":"{RSA_EXPONENT}","kty":"RSA","n":"{n}"}}"#)
        }
        PublicKind::MlDsa65 => {
            let (algorithm, public) = (kind.name(), encode(raw));
            format!(r#"{{"alg":"{algorithm}","kty":"AKP","pub":"{public}"}}"#)
        }
        PublicKind::MlKem768 => return Err(CryptoError::NoJwk { kind: kind.name() }),
    })
}
