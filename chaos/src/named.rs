//! What a key is, by its name, so that one name is always asked for alike.

use conclave_client::v1;
use conclave_core::Purpose;

/// The last segment of a key's name.
fn last(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default()
}

/// The first segment of a key's name.
pub(crate) fn keyring_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

/// Whether a name is that of an alias.
pub(crate) fn is_alias(name: &str) -> bool {
    last(name).starts_with("alias-")
}

fn digit(key: &str) -> u32 {
    let last = key.chars().next_back();
    last.and_then(|c| c.to_digit(10)).unwrap_or(1)
}

/// What a key of that name is for.
pub(crate) fn purpose_of(key: &str) -> Purpose {
    if last(key).starts_with("mac-") {
        Purpose::Mac
    } else if last(key).starts_with("sign-") {
        Purpose::Sign
    } else if last(key).starts_with("agree-") {
        Purpose::Agree
    } else if last(key).starts_with("kem-") {
        Purpose::AsymmetricDecrypt
    } else {
        Purpose::Encrypt
    }
}

/// Its algorithm and its protection. Signatures are by Ed25519 in software, where they are the same each time.
pub(crate) fn material_of(key: &str) -> (v1::Algorithm, v1::Protection) {
    let protection = if key.ends_with(|c: char| "13579".contains(c)) {
        v1::Protection::Hsm
    } else {
        v1::Protection::Software
    };
    match purpose_of(key) {
        Purpose::Encrypt if key.ends_with(|c: char| "048".contains(c)) => {
            (v1::Algorithm::Chacha20Poly1305, protection)
        }
        Purpose::Encrypt => (v1::Algorithm::Aes256Gcm, protection),
        Purpose::Agree => (v1::Algorithm::X25519, v1::Protection::Software),
        Purpose::AsymmetricDecrypt => (v1::Algorithm::MlKem768, v1::Protection::Software),
        Purpose::Mac => {
            let algorithm = match digit(key) % 3 {
                0 => v1::Algorithm::HmacSha256,
                1 => v1::Algorithm::HmacSha384,
                _ => v1::Algorithm::HmacSha512,
            };
            (algorithm, protection)
        }
        Purpose::Sign => (v1::Algorithm::Ed25519, v1::Protection::Software),
    }
}
