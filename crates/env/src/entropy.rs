//! Random bytes.

/// A cryptographically secure source of random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `out`.
    ///
    /// # Panics
    /// If the operating system has no randomness to give: nothing that follows could be trusted.
    fn fill(&self, out: &mut [u8]);
}
