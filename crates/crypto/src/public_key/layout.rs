//! The one encoding of a `SubjectPublicKeyInfo` per kind: what stands before and behind the key.

use super::{PublicKind, RsaSize};

/// `rsaEncryption` with its parameters NULL, as an `AlgorithmIdentifier`.
pub(super) const RSA_ALGORITHM: &[u8] =
    b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

const ED25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
const X25519: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x6e\x03\x21\x00";
const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\
    \xce\x3d\x03\x01\x07\x03\x42\x00";
const P384: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\
    \x00\x22\x03\x62\x00";
const RSA_2048: &[u8] = b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\
    \x05\x00\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00";
const RSA_3072: &[u8] = b"\x30\x82\x01\xa2\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\
    \x05\x00\x03\x82\x01\x8f\x00\x30\x82\x01\x8a\x02\x82\x01\x81\x00";
const RSA_4096: &[u8] = b"\x30\x82\x02\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\
    \x05\x00\x03\x82\x02\x0f\x00\x30\x82\x02\x0a\x02\x82\x02\x01\x00";
const RSA_EXPONENT: &[u8] = b"\x02\x03\x01\x00\x01";
const ML_DSA_65: &[u8] = b"\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\
    \x03\x82\x07\xa1\x00";
const ML_KEM_768: &[u8] = b"\x30\x82\x04\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x04\x02\
    \x03\x82\x04\xa1\x00";

/// What frames a key of a kind.
pub(super) struct Layout {
    before: &'static [u8],
    /// Of the key itself.
    pub(super) raw_bytes: usize,
    behind: &'static [u8],
}

impl Layout {
    pub(super) fn of(kind: PublicKind) -> Self {
        let (before, raw_bytes) = match kind {
            PublicKind::Ed25519 => (ED25519, 32),
            PublicKind::X25519 => (X25519, 32),
            PublicKind::P256 => (P256, 65),
            PublicKind::P384 => (P384, 97),
            PublicKind::Rsa(RsaSize::Bits2048) => (RSA_2048, 256),
            PublicKind::Rsa(RsaSize::Bits3072) => (RSA_3072, 384),
            PublicKind::Rsa(RsaSize::Bits4096) => (RSA_4096, 512),
            PublicKind::MlDsa65 => (ML_DSA_65, 1952),
            PublicKind::MlKem768 => (ML_KEM_768, 1184),
        };
        let behind = kind.rsa_size().map_or(&[][..], |_| RSA_EXPONENT);
        Self {
            before,
            raw_bytes,
            behind,
        }
    }

    /// The key in its frame, if `der` is just that.
    pub(super) fn strip<'a>(&self, der: &'a [u8]) -> Option<&'a [u8]> {
        let raw = der.strip_prefix(self.before)?.strip_suffix(self.behind)?;
        (raw.len() == self.raw_bytes).then_some(raw)
    }

    /// The inverse of [`Self::strip`].
    pub(super) fn frame(&self, raw: &[u8]) -> Vec<u8> {
        [self.before, raw, self.behind].concat()
    }
}
