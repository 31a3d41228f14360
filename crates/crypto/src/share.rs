//! Shamir's scheme behind a wrapper that closes the gaps of its library.
//!
//! The library takes a share with x = 0, which dictates the result, takes duplicates, allows a
//! threshold of 1, names no culprit and wipes nothing. Here all of that is refused or wiped, and
//! what was rebuilt must say that it is what was asked for. The library's own temporaries (one
//! 33-byte part of each share, and the key of its inner box) cannot be reached; locked, undumpable
//! memory is the caller's second line. The layout is specified in `docs/format/share.md`.

use crate::context::sha256;
use crate::error::ShareError;
use crate::secret::{RootKey, Secret};
use conclave_core::{Generation, SetId};
use shamirsecretsharing::{DATA_SIZE, SHARE_SIZE, combine_shares, create_shares};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes of a share.
pub const SHARE_BYTES: usize = SHARE_SIZE;

/// x and y of the polynomial; what follows is the same in all shares of a set.
const POINT_BYTES: usize = 33;

/// One custodian's share of the root key.
pub struct Share(Secret<SHARE_BYTES>);

impl Share {
    /// A copy; wiping `bytes` remains the caller's business.
    ///
    /// # Errors
    /// [`ShareError::Length`] and [`ShareError::Forged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ShareError> {
        let length = ShareError::Length {
            actual: bytes.len(),
        };
        let share = Self(Secret::from_slice(bytes).map_err(|_| length)?);
        if share.x() == 0 {
            Err(ShareError::Forged)
        } else {
            Ok(share)
        }
    }

    /// Its number within the set, from 1.
    pub fn x(&self) -> u8 {
        let [x, ..] = self.expose();
        *x
    }

    /// Its SHA-256, which may be known to all.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.expose())
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; SHARE_BYTES] {
        self.0.expose()
    }
}

/// What is known of a set of shares without having one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareSet {
    /// Drawn at the ceremony.
    pub set_id: SetId,
    /// Of the root key.
    pub generation: Generation,
    /// Shares that rebuild the root key.
    pub threshold: u8,
    /// Shares that exist.
    pub count: u8,
}

impl ShareSet {
    /// Whether such a set can be.
    ///
    /// # Errors
    /// [`ShareError::Threshold`] unless 2 <= threshold <= count.
    pub fn check(&self) -> Result<(), ShareError> {
        let (threshold, count) = (self.threshold, self.count);
        if (2..=count).contains(&threshold) {
            Ok(())
        } else {
            Err(ShareError::Threshold { threshold, count })
        }
    }

    /// Whether a share with number `x` can be of this set.
    ///
    /// # Errors
    /// [`ShareError::Forged`] and [`ShareError::Beyond`].
    pub fn check_number(&self, x: u8) -> Result<(), ShareError> {
        let count = self.count;
        match x {
            0 => Err(ShareError::Forged),
            x if x > count => Err(ShareError::Beyond { x, count }),
            _ => Ok(()),
        }
    }

    /// What is shared: root key 32 ‖ set id 16 ‖ generation 4 ‖ threshold ‖ count ‖ zero 10.
    fn secret(&self, root: &RootKey) -> Secret<DATA_SIZE> {
        let generation = self.generation.0.to_be_bytes();
        let numbers = [self.threshold, self.count];
        let parts = [
            root.expose().as_slice(),
            self.set_id.as_bytes(),
            &generation,
            &numbers,
        ];
        Secret::from_fn(|out| {
            for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
                *to = *from;
            }
        })
    }

    /// The root key in a rebuilt secret, if it is of this set.
    fn root_in(&self, secret: &[u8]) -> Result<RootKey, ShareError> {
        let (root, rest) = secret.split_first_chunk::<32>().ok_or(ShareError::Layout)?;
        let (set_id, rest) = rest.split_first_chunk::<16>().ok_or(ShareError::Layout)?;
        let (generation, rest) = rest.split_first_chunk::<4>().ok_or(ShareError::Layout)?;
        let (numbers, zero) = rest.split_first_chunk::<2>().ok_or(ShareError::Layout)?;
        let [found_threshold, found_count] = *numbers;
        let (found_set, found_generation) =
            (SetId(*set_id), Generation(u32::from_be_bytes(*generation)));
        if (found_set, found_generation) != (self.set_id, self.generation) {
            return Err(ShareError::OtherSet {
                found_set,
                found_generation,
                wanted_set: self.set_id,
                wanted_generation: self.generation,
            });
        }
        if (found_threshold, found_count) != (self.threshold, self.count) {
            return Err(ShareError::OtherThreshold {
                found_threshold,
                found_count,
                wanted_threshold: self.threshold,
                wanted_count: self.count,
            });
        }
        if zero.iter().any(|byte| *byte != 0) {
            return Err(ShareError::Layout);
        }
        Ok(RootKey::from_fn(|out| out.copy_from_slice(root)))
    }
}

/// Splits the root key into `set.count` shares, numbered from 1.
///
/// # Errors
/// [`ShareError::Threshold`].
pub fn split(root: &RootKey, set: &ShareSet) -> Result<Vec<Share>, ShareError> {
    set.check()?;
    let impossible = ShareError::Threshold {
        threshold: set.threshold,
        count: set.count,
    };
    let secret = set.secret(root);
    let raw = create_shares(secret.expose(), set.count, set.threshold).map_err(|_| impossible)?;
    // All into wiping hands first: an early return must not leave one behind.
    let raw: Vec<_> = raw.into_iter().map(Zeroizing::new).collect();
    raw.iter().map(|share| Share::from_bytes(share)).collect()
}

/// Rebuilds the root key. All shares given take part, so that any wrong one is noticed. Check each
/// share's digest before, which tells whose is wrong, and the root key's check value after.
///
/// # Errors
/// [`ShareError`] says what is wrong with the shares.
pub fn combine(shares: &[&Share], set: &ShareSet) -> Result<RootKey, ShareError> {
    set.check()?;
    check_numbers(shares, set)?;
    check_common_part(shares)?;
    let raw: Zeroizing<Vec<Vec<u8>>> =
        Zeroizing::new(shares.iter().map(|share| share.expose().to_vec()).collect());
    let secret = combine_shares(&raw)
        .map_err(|_| ShareError::DoNotCombine)?
        .map(Zeroizing::new)
        .ok_or(ShareError::DoNotCombine)?;
    set.root_in(&secret)
}

fn check_numbers(shares: &[&Share], set: &ShareSet) -> Result<(), ShareError> {
    let mut seen = [false; 256];
    for x in shares.iter().map(|share| share.x()) {
        set.check_number(x)?;
        let seen = seen.get_mut(usize::from(x)).expect("a byte is below 256");
        if std::mem::replace(seen, true) {
            return Err(ShareError::Duplicate { x });
        }
    }
    if shares.len() < usize::from(set.threshold) {
        return Err(ShareError::TooFew {
            have: shares.len(),
            need: set.threshold,
        });
    }
    Ok(())
}

/// The library opens the first box that the rebuilt key fits; here all must be the same.
fn check_common_part(shares: &[&Share]) -> Result<(), ShareError> {
    let mut parts = shares
        .iter()
        .filter_map(|share| share.expose().get(POINT_BYTES..));
    let Some(first) = parts.next() else {
        return Ok(());
    };
    // The box is no secret without the key that the points hold, but costs nothing to hide.
    if parts.all(|part| bool::from(first.ct_eq(part))) {
        Ok(())
    } else {
        Err(ShareError::DoNotCombine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    fn set(threshold: u8, count: u8) -> ShareSet {
        ShareSet {
            set_id: SetId([6; 16]),
            generation: Generation(7),
            threshold,
            count,
        }
    }

    fn root() -> RootKey {
        RootKey::from_fn(|out| out.iter_mut().zip(0..).for_each(|(to, byte)| *to = byte))
    }

    fn refused(shares: &[&Share], set: &ShareSet) -> ShareError {
        combine(shares, set).err().expect("must be refused")
    }

    fn with_byte(share: &Share, at: usize, change: u8) -> Result<Share, ShareError> {
        let mut bytes = *share.expose();
        bytes[at] ^= change;
        Share::from_bytes(&bytes)
    }

    #[test]
    fn impossible_sets_are_refused() {
        for (threshold, count) in [(0, 0), (0, 5), (1, 1), (1, 5), (6, 5), (255, 254)] {
            let refusal = Some(ShareError::Threshold { threshold, count });
            assert_eq!(split(&root(), &set(threshold, count)).err(), refusal);
            assert_eq!(combine(&[], &set(threshold, count)).err(), refusal);
        }
    }

    #[test]
    fn the_largest_set_works() {
        let set = set(255, 255);
        let shares = split(&root(), &set).unwrap();
        let all: Vec<_> = shares.iter().rev().collect();
        assert_eq!(combine(&all, &set).ok().unwrap().expose(), root().expose());
        assert_eq!(
            refused(&all[1..], &set),
            ShareError::TooFew {
                have: 254,
                need: 255
            }
        );
    }

    #[test]
    fn a_share_that_dictates_the_root_key_is_refused() {
        let share = split(&root(), &set(2, 3)).unwrap().remove(0);
        let mut bytes = *share.expose();
        bytes[0] = 0;
        assert_eq!(Share::from_bytes(&bytes).err(), Some(ShareError::Forged));
        let forged = Share(Secret::from_fn(|out| *out = bytes));
        assert_eq!(refused(&[&share, &forged], &set(2, 3)), ShareError::Forged);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for actual in [0, 1, 112, 114] {
            let refusal = Some(ShareError::Length { actual });
            assert_eq!(Share::from_bytes(&vec![1; actual]).err(), refusal);
        }
    }

    #[test]
    fn numbers_beyond_the_set_and_duplicates_are_refused() {
        let wide = split(&root(), &set(2, 9)).unwrap();
        let beyond = ShareError::Beyond { x: 9, count: 5 };
        assert_eq!(refused(&[&wide[0], &wide[8]], &set(2, 5)), beyond);
        let twice = ShareError::Duplicate { x: 4 };
        assert_eq!(refused(&[&wide[3], &wide[0], &wide[3]], &set(2, 9)), twice);
    }

    #[test]
    fn the_set_must_be_the_one_asked_for() {
        let known = set(2, 3);
        let shares = split(&root(), &known).unwrap();
        let all: Vec<_> = shares.iter().collect();
        for other in [
            ShareSet {
                set_id: SetId([5; 16]),
                ..known
            },
            ShareSet {
                generation: Generation(8),
                ..known
            },
        ] {
            assert!(matches!(refused(&all, &other), ShareError::OtherSet { .. }));
        }
        for other in [
            ShareSet {
                threshold: 3,
                ..known
            },
            ShareSet { count: 4, ..known },
        ] {
            assert!(matches!(
                refused(&all, &other),
                ShareError::OtherThreshold { .. }
            ));
        }
    }

    #[test]
    fn a_secret_of_another_layout_is_refused() {
        let known = set(2, 2);
        let mut secret = known.secret(&root());
        secret.expose_mut()[63] = 1;
        let raw = create_shares(secret.expose(), 2, 2).unwrap();
        let shares: Vec<_> = raw
            .iter()
            .map(|raw| Share::from_bytes(raw).unwrap())
            .collect();
        assert_eq!(
            refused(&[&shares[0], &shares[1]], &known),
            ShareError::Layout
        );
    }

    #[test]
    fn shares_of_two_splits_do_not_mix() {
        let known = set(2, 3);
        let (one, other) = (
            split(&root(), &known).unwrap(),
            split(&root(), &known).unwrap(),
        );
        assert_eq!(
            refused(&[&one[0], &other[1]], &known),
            ShareError::DoNotCombine
        );
    }

    #[test]
    fn every_changed_byte_is_found() {
        let known = set(3, 5);
        let shares = split(&root(), &known).unwrap();
        for at in 0..SHARE_BYTES {
            // Whatever the place, and with one share more than needed.
            for spare in [0, 1] {
                let mangled = with_byte(&shares[1], at, 0x10).unwrap();
                let mut given = vec![&shares[0], &mangled, &shares[4]];
                given.extend(shares[3..4].iter().take(spare));
                assert!(combine(&given, &known).is_err(), "byte {at}");
                assert_ne!(mangled.digest(), shares[1].digest());
            }
        }
    }

    #[test]
    fn the_layout_is_as_specified() {
        let secret = set(3, 5).secret(&root());
        let expected = [
            root().expose().as_slice(),
            &[6; 16],
            &[0, 0, 0, 7],
            &[3, 5],
            &[0; 10],
        ]
        .concat();
        assert_eq!(secret.expose().as_slice(), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_k_of_n_in_any_order_rebuild_and_fewer_do_not(
            (known, order) in (2u8..=12)
                .prop_flat_map(|count| (2..=count, Just(count)))
                .prop_flat_map(|(k, n)| {
                    let all: Vec<_> = (0..usize::from(n)).collect();
                    let chosen = subsequence(all, usize::from(k)..=usize::from(n));
                    (Just(set(k, n)), chosen.prop_shuffle())
                }),
            key: [u8; 32],
        ) {
            let shares = split(&RootKey::from_fn(|out| *out = key), &known).unwrap();
            let given: Vec<_> = order.iter().map(|i| &shares[*i]).collect();
            let rebuilt = combine(&given, &known).ok().unwrap();
            prop_assert_eq!(rebuilt.expose(), &key);
            let few = &given[..usize::from(known.threshold) - 1];
            prop_assert_eq!(
                combine(few, &known).err(),
                Some(ShareError::TooFew { have: few.len(), need: known.threshold })
            );
            // Nor if the set's threshold is lied about.
            let lowered = ShareSet { threshold: known.threshold - 1, ..known };
            prop_assert!(combine(few, &lowered).is_err());
        }
    }
}
