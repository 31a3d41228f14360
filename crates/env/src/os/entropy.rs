//! The system's randomness.

use crate::Entropy;
use ring::rand::SecureRandom;

#[expect(
    clippy::disallowed_types,
    reason = "the one place where randomness enters"
)]
type Source = ring::rand::SystemRandom;

/// The operating system's generator, by ring.
pub struct OsEntropy {
    source: Source,
}

impl Default for OsEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl OsEntropy {
    /// The system's generator.
    pub fn new() -> Self {
        Self {
            source: Source::new(),
        }
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) {
        self.source
            .fill(out)
            .expect("the operating system has randomness to give");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_other_bytes_each_time() {
        let (mut one, mut two) = ([0; 32], [0; 32]);
        OsEntropy::new().fill(&mut one);
        OsEntropy::new().fill(&mut two);
        assert_ne!(one, two);
        assert_ne!(one, [0; 32]);
    }
}
