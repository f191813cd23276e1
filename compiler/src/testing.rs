//! What several tests of this crate need.

/// Numbers that look random, the same ones from the same seed (xorshift).
pub(crate) struct Numbers(u64);

impl Numbers {
    /// From a seed that is not zero.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One below a limit.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit.max(1)
    }
}
