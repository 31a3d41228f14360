//! Arguments with a grammar of their own.

use clap::ValueEnum;
use conclave_client::v1;
use conclave_core::{
    CustodianName, ImportLife, KeyName, KeyringName, PrincipalName, RotationPeriod, WaitingPeriod,
};
use std::time::Duration;

/// `KEY=VALUE`, both sides as they are; the first `=` parts them.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write NAME=VALUE, as in order=17".to_owned()),
    }
}

/// `NAME=RECIPIENT` of a custodian.
pub(crate) fn custodian(text: &str) -> Result<(CustodianName, String), String> {
    let (name, recipient) = pair(text).map_err(|_| "write NAME=RECIPIENT, as in alice=age1…")?;
    let name = CustodianName::new(&name).map_err(|error| error.to_string())?;
    Ok((name, recipient))
}

/// A key's name.
pub(crate) fn key_name(text: &str) -> Result<String, String> {
    KeyName::new(text)
        .map(String::from)
        .map_err(|error| error.to_string())
}

/// A principal's name.
pub(crate) fn principal(text: &str) -> Result<String, String> {
    PrincipalName::new(text)
        .map(String::from)
        .map_err(|error| error.to_string())
}

/// A keyring's name, or `*` for all.
pub(crate) fn keyring(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    KeyringName::new(text)
        .map(String::from)
        .map_err(|error| format!("{error}; or write '*' for all keyrings"))
}

/// `HOST:PORT`; whether it is one is seen when the client is made.
pub(crate) fn endpoints(text: &str) -> Result<String, String> {
    if text.contains(',') {
        return Err("give --endpoint once for each node".to_owned());
    }
    Ok(text.to_owned())
}

/// `500ms`, `10s`, `2m`; a bare number is seconds.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time above 0 such as 500ms, 10s or 2m".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" | "" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    match milliseconds {
        Some(time @ 1..=3_600_000) => Ok(Duration::from_millis(time)),
        Some(_) | None => Err(wrong()),
    }
}

/// `12h`, `90d`: a rotation period.
pub(crate) fn period(text: &str) -> Result<prost_types::Duration, String> {
    length(text, |ms| RotationPeriod::from_ms(ms).is_ok())
        .ok_or_else(|| "write an hour to ten years, as in 12h or 90d".to_owned())
}

/// `36h`, `30d`: how long a destruction waits.
pub(crate) fn waiting_period(text: &str) -> Result<prost_types::Duration, String> {
    length(text, |ms| WaitingPeriod::from_ms(ms).is_ok())
        .ok_or_else(|| "write 1 to 90 days, as in 36h or 30d".to_owned())
}

/// `30m`, `24h`, `3d`: how long an import job lives.
pub(crate) fn lifetime(text: &str) -> Result<prost_types::Duration, String> {
    let fits = |ms| ImportLife::from_ms(ms).is_ok();
    let minutes = text.strip_suffix('m').and_then(|it| it.parse::<u64>().ok());
    let minutes = minutes.and_then(|it| it.checked_mul(60_000));
    let minutes = minutes
        .filter(|ms| fits(*ms))
        .map(|ms| prost_types::Duration {
            seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
            nanos: 0,
        });
    minutes
        .or_else(|| length(text, fits))
        .ok_or_else(|| "write 10 minutes to 7 days, as in 30m, 24h or 3d".to_owned())
}

fn length(text: &str, fits: impl Fn(u64) -> bool) -> Option<prost_types::Duration> {
    let hours = match text.split_at_checked(text.len().saturating_sub(1))? {
        (days, "d") => days.parse::<u64>().ok()?.checked_mul(24)?,
        (hours, "h") => hours.parse().ok()?,
        _ => return None,
    };
    let length_ms = hours.checked_mul(3_600_000).filter(|ms| fits(*ms))?;
    let seconds = i64::try_from(length_ms / 1_000).ok()?;
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Hexadecimal digits.
pub(crate) fn hex_bytes(text: &str) -> Result<Bytes, String> {
    hex::decode(text)
        .map(Bytes)
        .map_err(|_| "write hexadecimal digits, two for each byte".to_owned())
}

/// Bytes of an argument. (Of a vector, the parser would take one for each.)
#[derive(Clone, Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

/// An id of 16 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Identifier(pub(crate) Vec<u8>);

/// 32 hexadecimal digits.
pub(crate) fn identifier(text: &str) -> Result<Identifier, String> {
    let id = hex::decode(text).ok().filter(|id| id.len() == 16);
    let rule = "write 32 hexadecimal digits, as the list shows them";
    id.map(Identifier).ok_or_else(|| rule.to_owned())
}

/// A moment as RFC 3339 writes it.
pub(crate) fn moment(text: &str) -> Result<prost_types::Timestamp, String> {
    text.parse()
        .map_err(|_| "write a moment as in 2030-01-31T09:00:00Z".to_owned())
}

/// Where key material may be in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protection {
    /// Only inside HSMs
    Hsm,
    /// In the memory of an unsealed node too: faster
    Software,
}

/// `NAME=VALUE`, or `NAME` for any value: a label to look for.
pub(crate) fn label_filter(text: &str) -> Result<v1::LabelFilter, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("write NAME=VALUE, or NAME for any value, as in team=cards".to_owned());
    }
    Ok(v1::LabelFilter {
        name: name.to_owned(),
        value,
    })
}

/// A key's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    /// Not in service yet
    PreActive,
    /// In service
    Active,
    /// Decrypts only, until it is resumed
    Suspended,
    /// Out of service
    Deactivated,
    /// Its material may be known to others
    Compromised,
    /// Waits for its destruction
    DestroyScheduled,
    /// Gone
    Destroyed,
}

impl From<State> for v1::KeyState {
    fn from(state: State) -> Self {
        match state {
            State::PreActive => Self::PreActive,
            State::Active => Self::Active,
            State::Suspended => Self::Suspended,
            State::Deactivated => Self::Deactivated,
            State::Compromised => Self::Compromised,
            State::DestroyScheduled => Self::DestroyScheduled,
            State::Destroyed => Self::Destroyed,
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// Encrypt and decrypt
    Encrypt,
    /// Make and verify message authentication codes
    Mac,
    /// Sign and verify
    Sign,
    /// Decrypt what others encrypted with the public key
    AsymmetricDecrypt,
    /// Agree upon secrets with the other side's public key
    Agree,
}

impl From<Purpose> for v1::Purpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Encrypt => Self::Encrypt,
            Purpose::Mac => Self::Mac,
            Purpose::Sign => Self::Sign,
            Purpose::AsymmetricDecrypt => Self::AsymmetricDecrypt,
            Purpose::Agree => Self::Agree,
        }
    }
}

impl From<Protection> for v1::Protection {
    fn from(protection: Protection) -> Self {
        match protection {
            Protection::Hsm => Self::Hsm,
            Protection::Software => Self::Software,
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// Encrypt and decrypt
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
    /// Encrypt and decrypt, at protection software only
    #[value(name = "chacha20-poly1305")]
    ChaCha20Poly1305,
    /// Make and verify message authentication codes of 32 bytes
    #[value(name = "hmac-sha-256")]
    HmacSha256,
    /// The same of 48 bytes, at protection software only
    #[value(name = "hmac-sha-384")]
    HmacSha384,
    /// The same of 64 bytes, at protection software only
    #[value(name = "hmac-sha-512")]
    HmacSha512,
    /// Sign and verify; short and quick
    #[value(name = "ed25519")]
    Ed25519,
    /// Sign and verify, with SHA-256
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    /// Sign and verify, with SHA-384
    #[value(name = "ecdsa-p384")]
    EcdsaP384,
    /// Sign and verify, PKCS#1 v1.5 or PSS
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// The same, longer
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// The same, longest
    #[value(name = "rsa-4096")]
    Rsa4096,
    /// Sign and verify; quantum computers do not forge these
    #[value(name = "ml-dsa-65")]
    MlDsa65,
    /// Decrypt what others encrypt with the public key
    #[value(name = "rsa-oaep-2048")]
    RsaOaep2048,
    /// The same, longer
    #[value(name = "rsa-oaep-3072")]
    RsaOaep3072,
    /// The same, longest
    #[value(name = "rsa-oaep-4096")]
    RsaOaep4096,
    /// Open secrets that others encapsulate with the public key; quantum computers do not open these
    #[value(name = "ml-kem-768")]
    MlKem768,
    /// Agree upon secrets with the owners of other keys, at protection software only
    #[value(name = "x25519")]
    X25519,
    /// The same on P-256
    #[value(name = "ecdh-p256")]
    EcdhP256,
    /// Decrypt what others encrypt, with SHA-1: for HSMs and partners that have nothing else
    #[value(name = "rsa-oaep-2048-sha-1")]
    RsaOaep2048Sha1,
    /// The same, longer
    #[value(name = "rsa-oaep-3072-sha-1")]
    RsaOaep3072Sha1,
    /// The same, longest
    #[value(name = "rsa-oaep-4096-sha-1")]
    RsaOaep4096Sha1,
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheme {
    /// Ed25519
    #[value(name = "ed25519")]
    Ed25519,
    /// ECDSA, as X.509 and TLS write it
    #[value(name = "ecdsa-der")]
    EcdsaDer,
    /// ECDSA, as JSON Web Signatures write it
    #[value(name = "ecdsa-raw")]
    EcdsaRaw,
    /// RSA PKCS#1 v1.5 with SHA-256
    #[value(name = "rsa-pkcs1-sha-256")]
    RsaPkcs1Sha256,
    /// RSA PKCS#1 v1.5 with SHA-384
    #[value(name = "rsa-pkcs1-sha-384")]
    RsaPkcs1Sha384,
    /// RSA PKCS#1 v1.5 with SHA-512
    #[value(name = "rsa-pkcs1-sha-512")]
    RsaPkcs1Sha512,
    /// RSA PSS with SHA-256
    #[value(name = "rsa-pss-sha-256")]
    RsaPssSha256,
    /// RSA PSS with SHA-384
    #[value(name = "rsa-pss-sha-384")]
    RsaPssSha384,
    /// RSA PSS with SHA-512
    #[value(name = "rsa-pss-sha-512")]
    RsaPssSha512,
    /// ML-DSA-65
    #[value(name = "ml-dsa-65")]
    MlDsa65,
}

impl From<Scheme> for v1::SignatureScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Ed25519 => Self::Ed25519,
            Scheme::EcdsaDer => Self::EcdsaDer,
            Scheme::EcdsaRaw => Self::EcdsaRaw,
            Scheme::RsaPkcs1Sha256 => Self::RsaPkcs1Sha256,
            Scheme::RsaPkcs1Sha384 => Self::RsaPkcs1Sha384,
            Scheme::RsaPkcs1Sha512 => Self::RsaPkcs1Sha512,
            Scheme::RsaPssSha256 => Self::RsaPssSha256,
            Scheme::RsaPssSha384 => Self::RsaPssSha384,
            Scheme::RsaPssSha512 => Self::RsaPssSha512,
            Scheme::MlDsa65 => Self::MlDsa65,
        }
    }
}

impl From<Algorithm> for v1::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Aes256Gcm => Self::Aes256Gcm,
            Algorithm::ChaCha20Poly1305 => Self::Chacha20Poly1305,
            Algorithm::HmacSha256 => Self::HmacSha256,
            Algorithm::HmacSha384 => Self::HmacSha384,
            Algorithm::HmacSha512 => Self::HmacSha512,
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::EcdsaP256 => Self::EcdsaP256,
            Algorithm::EcdsaP384 => Self::EcdsaP384,
            Algorithm::Rsa2048 => Self::Rsa2048,
            Algorithm::Rsa3072 => Self::Rsa3072,
            Algorithm::Rsa4096 => Self::Rsa4096,
            Algorithm::MlDsa65 => Self::MlDsa65,
            Algorithm::RsaOaep2048 => Self::RsaOaep2048,
            Algorithm::RsaOaep3072 => Self::RsaOaep3072,
            Algorithm::RsaOaep4096 => Self::RsaOaep4096,
            Algorithm::MlKem768 => Self::MlKem768,
            Algorithm::X25519 => Self::X25519,
            Algorithm::EcdhP256 => Self::EcdhP256,
            Algorithm::RsaOaep2048Sha1 => Self::RsaOaep2048Sha1,
            Algorithm::RsaOaep3072Sha1 => Self::RsaOaep3072Sha1,
            Algorithm::RsaOaep4096Sha1 => Self::RsaOaep4096Sha1,
        }
    }
}

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Creates and changes keys, grants roles; on '*' also the ceremony and seal
    Admin,
    /// Moves keys through their states; on '*' also seal and unseal
    Operator,
    /// Uses keys
    User,
    /// With the role of a user, decrypts what compromised keys protected
    UseCompromised,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_part_at_the_first_equals_sign() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(pair("=b").is_err());
        assert!(pair("ab").is_err());
    }

    #[test]
    fn a_label_is_looked_for_with_and_without_its_value() {
        let parsed = |text| label_filter(text).map(|it| (it.name, it.value));
        let value = |value: &str| Some(value.to_owned());
        assert_eq!(parsed("a=b=c"), Ok(("a".to_owned(), value("b=c"))));
        assert_eq!(parsed("a="), Ok(("a".to_owned(), value(""))));
        assert_eq!(parsed("a"), Ok(("a".to_owned(), None)));
        assert!(parsed("=b").is_err() && parsed("").is_err());
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(timeout("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(timeout("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(timeout("7"), Ok(Duration::from_secs(7)));
        assert_eq!(timeout("2m"), Ok(Duration::from_secs(120)));
        for bad in [
            "",
            "s",
            "0",
            "0s",
            "-1s",
            "1h",
            "61m",
            "99999999999999999999s",
            "1.5s",
            "1é",
        ] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_are_hours_or_days_within_bounds() {
        assert_eq!(period("1h").unwrap().seconds, 3_600);
        assert_eq!(period("90d").unwrap().seconds, 90 * 86_400);
        for bad in [
            "",
            "d",
            "0h",
            "90",
            "3661d",
            "-1d",
            "1m",
            "1é",
            "99999999999999999999d",
        ] {
            assert!(period(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        let at = moment("2030-01-31T10:30:00+01:30").unwrap();
        assert_eq!(at.to_string(), "2030-01-31T09:00:00Z");
        for bad in ["", "tomorrow", "2030-13-01T00:00:00Z"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_is_a_keyring_only_alone() {
        assert!(keyring("*").is_ok() && keyring("payments").is_ok());
        assert!(keyring("pay*").is_err() && keyring("a/b").is_err());
    }
}
