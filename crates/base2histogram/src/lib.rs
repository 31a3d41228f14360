//! Stands in for the crate `base2histogram`, for openraft alone.
//!
//! openraft counts its batches in histograms of two kilobytes, which nothing in Conclave reads. The crate that it takes
//! them from computes tables for all sixteen of its scales when the first one is made, 19 MiB that every node keeps
//! forever (docs/performance.md). This one has the scale that openraft uses, needs no table, and offers what openraft
//! calls and no more.
//!
//! A value below four has a bucket of its own; above, each power of two is cut into four. So a percentile is at most a
//! quarter below the value that it stands for.

use std::fmt;
use std::marker::PhantomData;

/// Buckets that a power of two is cut into.
const PARTS: usize = 4;
/// Bits of a value's place among the parts.
const PART_BITS: u32 = PARTS.trailing_zeros();
/// For all values of 64 bits.
const BUCKETS: usize = PARTS + PARTS * (u64::BITS - PART_BITS) as usize;

/// The bucket of a value, below [`BUCKETS`].
fn bucket(value: u64) -> usize {
    let magnitude = (value | 1).ilog2();
    let Some(shift) = magnitude.checked_sub(PART_BITS) else {
        return usize::try_from(value).expect("it is below four");
    };
    let part = usize::try_from(value >> shift).expect("it is below eight") - PARTS;
    let power = usize::try_from(shift).expect("it is below 64");
    PARTS + power * PARTS + part
}

/// The smallest value of a bucket.
fn least(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(PARTS) else {
        return bucket as u64;
    };
    ((PARTS + above % PARTS) as u64) << (above / PARTS)
}

/// How often each size was seen. `T` is what openraft leaves at `()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Box<[u64; BUCKETS]>,
    of: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// With nothing counted.
    pub fn new() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            of: PhantomData,
        }
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts one value so many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        let count = &mut self.counts[bucket(value)];
        *count = count.saturating_add(times);
    }

    /// Values counted.
    pub fn total(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The usual percentiles.
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.total();
        let at = |permille: u64| self.at(samples, permille);
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    /// The smallest value of the bucket that holds the value at `permille` of all, in their order; 0 if there are none.
    fn at(&self, samples: u64, permille: u64) -> u64 {
        let wanted = u128::from(samples) * u128::from(permille);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u128::from(*count) * 1000;
            *count > 0 && seen >= wanted
        });
        found.map_or(0, least)
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What part of the values is at most how large; each figure is the smallest value of its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// Values counted.
    pub samples: u64,
    /// 0.1 % are at most this.
    pub p0_1: u64,
    /// 1 %.
    pub p1: u64,
    /// 5 %.
    pub p5: u64,
    /// 10 %.
    pub p10: u64,
    /// Half.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            samples, p50, p99, ..
        } = self;
        write!(f, "{samples} values, half up to {p50}, 99 % up to {p99}")
    }
}

/// Several histograms as text, a line each.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart(Vec<(String, PercentileStats)>);

impl AsciiChart {
    /// Of none.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more.
    #[must_use]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the signature that openraft calls"
    )]
    pub fn add(mut self, name: impl ToString, histogram: Histogram) -> Self {
        self.0
            .push((name.to_string(), histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, stats) in &self.0 {
            writeln!(f, "{name}: {stats}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_in_order_and_without_gaps() {
        let mut expected = 0;
        for number in 0..BUCKETS {
            assert_eq!(bucket(least(number)), number);
            assert!(number == 0 || bucket(least(number) - 1) == number - 1);
            expected += 1;
        }
        assert_eq!(bucket(u64::MAX) + 1, expected);
    }

    #[test]
    fn nothing_counted_is_zero() {
        let stats = Histogram::<()>::new().percentile_stats();
        assert_eq!(stats, PercentileStats::default());
    }

    proptest! {
        #[test]
        fn percentiles_are_at_most_a_quarter_low(mut values in prop::collection::vec(any::<u64>(), 1..200)) {
            let mut histogram = Histogram::<()>::new();
            for value in &values {
                histogram.record(*value);
            }
            values.sort_unstable();
            let stats = histogram.percentile_stats();
            prop_assert_eq!(stats.samples, values.len() as u64);
            for (permille, found) in [(1, stats.p0_1), (500, stats.p50), (999, stats.p99_9)] {
                let exact = values[(values.len() * permille).div_ceil(1000).max(1) - 1];
                prop_assert!(found <= exact && exact - found <= exact / 4, "{found} for {exact}");
            }
        }
    }
}
