//! Secrets: boxed, so that moving them copies nothing; wiped when dropped; and without `Debug`,
//! `Clone`, `PartialEq` or `Serialize`, so that they cannot leave by accident.

use crate::error::CryptoError;
use crate::limits::PRIVATE_MATERIAL_BYTES_MAX;
use std::array::TryFromSliceError;
use zeroize::Zeroizing;

/// A secret of `N` bytes.
pub struct Secret<const N: usize>(Box<Zeroizing<[u8; N]>>);

impl<const N: usize> Secret<N> {
    /// All zero, to be filled through [`Self::expose_mut`].
    pub fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; N])))
    }

    /// Filled in place, so that no copy remains elsewhere.
    pub fn from_fn(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self::zeroed();
        fill(secret.expose_mut());
        secret
    }

    /// Filled in place by what may fail.
    ///
    /// # Errors
    /// What `fill` answers.
    pub fn try_from_fn<E>(fill: impl FnOnce(&mut [u8; N]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self::zeroed();
        fill(secret.expose_mut())?;
        Ok(secret)
    }

    /// A copy; wiping `bytes` remains the caller's business.
    ///
    /// # Errors
    /// If there are not exactly `N`.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, TryFromSliceError> {
        let bytes: &[u8; N] = bytes.try_into()?;
        Ok(Self::from_fn(|out| out.copy_from_slice(bytes)))
    }

    /// The bytes. Their address is stable until the drop, so that the page can be locked.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The bytes, to be written.
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

/// A secret of any length.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the vector over; its whole capacity is wiped in the end.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, to be worked on in place.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Forgets all behind the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }
}

/// The material of a key version at protection SOFTWARE whose length is that of its kind: 1 to
/// [`PRIVATE_MATERIAL_BYTES_MAX`] bytes.
pub struct PrivateMaterial(SecretBytes);

impl PrivateMaterial {
    /// Takes the bytes over.
    ///
    /// # Errors
    /// [`CryptoError::Truncated`] or [`CryptoError::TooLarge`]; the bytes are wiped even then.
    pub fn new(bytes: SecretBytes) -> Result<Self, CryptoError> {
        let (max, actual) = (PRIVATE_MATERIAL_BYTES_MAX, bytes.len());
        if actual > max {
            let what = "private key material";
            return Err(CryptoError::TooLarge { what, max, actual });
        }
        if bytes.is_empty() {
            return Err(CryptoError::Truncated { have: 0, need: 1 });
        }
        Ok(Self(bytes))
    }

    /// A copy; wiping `bytes` remains the caller's business.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        Self::new(SecretBytes::from_vec(bytes.to_vec()))
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Secret<32>);

        impl $name {
            /// From a secret that is known to be one of these.
            pub fn new(secret: Secret<32>) -> Self {
                Self(secret)
            }

            /// Filled in place, so that no copy remains elsewhere.
            pub fn from_fn(fill: impl FnOnce(&mut [u8; 32])) -> Self {
                Self(Secret::from_fn(fill))
            }

            /// Filled in place by what may fail.
            ///
            /// # Errors
            /// What `fill` answers.
            pub fn try_from_fn<E>(
                fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>,
            ) -> Result<Self, E> {
                Secret::try_from_fn(fill).map(Self)
            }

            /// A copy; wiping `bytes` remains the caller's business.
            ///
            /// # Errors
            /// If there are not exactly 32.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, TryFromSliceError> {
                Secret::from_slice(bytes).map(Self)
            }

            /// The bytes.
            pub fn expose(&self) -> &[u8; 32] {
                self.0.expose()
            }
        }
    };
}

secret!(
    /// The key at the top: in clear for the instant of a ceremony only.
    RootKey
);
secret!(
    /// The material of a key version at protection SOFTWARE.
    KeyMaterial
);
secret!(
    /// Wraps versions at protection SOFTWARE.
    SoftwareKek
);
secret!(
    /// Binds what an HSM wrapped to its place.
    IntegrityKey
);
secret!(
    /// The Ed25519 seed that signs the audit log's checkpoints.
    AuditSigningSeed
);
secret!(
    /// The pseudorandom key of one message.
    MessagePrk
);
secret!(
    /// Encrypts data at a client; wrapped by a key version.
    DataKey
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agree::AgreementKey;
    use crate::kem::DecapsulationKey;
    use crate::oaep::DecryptingKey;
    use crate::share::Share;
    use crate::share_file::ShareFile;
    use crate::sign::SigningKey;
    use crate::stream::{StreamOpener, StreamSealer};
    use static_assertions::{assert_impl_all, assert_not_impl_any};
    use std::fmt::{Debug, Display};
    use zeroize::ZeroizeOnDrop;

    macro_rules! assert_secret {
        ($($type:ty),+ $(,)?) => {
            $(assert_not_impl_any!(
                $type: Debug, Display, Clone, Copy, PartialEq, PartialOrd, std::hash::Hash,
                serde::Serialize, AsRef<[u8]>, std::ops::Deref
            );
            assert_impl_all!($type: Send, Sync);)+
        };
    }

    assert_secret!(
        Secret<1>,
        Secret<32>,
        Secret<113>,
        SecretBytes,
        RootKey,
        KeyMaterial,
        SoftwareKek,
        IntegrityKey,
        AuditSigningSeed,
        MessagePrk,
        DataKey,
        PrivateMaterial,
        SigningKey,
        AgreementKey,
        DecapsulationKey,
        DecryptingKey,
        Share,
        ShareFile,
        StreamSealer,
        StreamOpener,
    );
    // What the types are made of wipes itself.
    assert_impl_all!(Zeroizing<[u8; 32]>: ZeroizeOnDrop);
    assert_impl_all!(Zeroizing<Vec<u8>>: ZeroizeOnDrop);

    #[test]
    fn moving_a_secret_leaves_its_bytes_where_they_are() {
        let secret = Secret::<32>::from_fn(|out| out.fill(7));
        let at = secret.expose().as_ptr();
        let key = RootKey::new(secret);
        let boxed = Box::new(key);
        assert_eq!(at, boxed.expose().as_ptr());
    }

    #[test]
    fn lengths_are_checked() {
        assert!(DataKey::from_slice(&[1; 32]).is_ok());
        assert!(DataKey::from_slice(&[1; 31]).is_err());
        assert!(Secret::<5>::from_slice(&[1; 6]).is_err());
        let failed: Result<Secret<4>, u8> = Secret::try_from_fn(|_| Err(9));
        assert_eq!(failed.err(), Some(9));
    }

    #[test]
    fn private_material_has_1_to_4000_bytes() {
        assert!(PrivateMaterial::from_slice(&[1]).is_ok());
        assert!(PrivateMaterial::from_slice(&[1; PRIVATE_MATERIAL_BYTES_MAX]).is_ok());
        let none = PrivateMaterial::from_slice(&[]).err();
        assert_eq!(none, Some(CryptoError::Truncated { have: 0, need: 1 }));
        let large = PrivateMaterial::from_slice(&[1; PRIVATE_MATERIAL_BYTES_MAX + 1]).err();
        assert!(matches!(large, Some(CryptoError::TooLarge { .. })));
    }
}
