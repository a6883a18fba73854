//! Chance that is the same for the same seed.

use spinlane_core::testing::SeededEntropy;

/// What is rolled for one request: by the seed and its number alone, so that a request
/// that has shown a fault can be made again.
#[derive(Debug)]
pub struct Chance(SeededEntropy);

impl Chance {
    /// That of request `number`.
    pub fn new(seed: u64, number: u64) -> Self {
        // Neighbours must not have rows that overlap: one step of the row apart they would.
        Self(SeededEntropy::new(
            (seed << 32 ^ number).wrapping_mul(0xd6e8_feb8_6659_fd93),
        ))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&self, bound: usize) -> usize {
        // The remainder is below `bound`, and so within `usize`.
        self.0.below(bound as u64) as usize
    }

    /// A number of milliseconds, both ends included.
    pub fn millis(&self, from: u64, to: u64) -> std::time::Duration {
        std::time::Duration::from_millis(from + self.0.below(to - from + 1))
    }

    /// True so many times of a hundred.
    pub fn percent(&self, chance: u64) -> bool {
        self.0.below(100) < chance
    }

    /// One of `these`, of which there are some.
    pub fn pick<T: Copy>(&self, these: &[T]) -> T {
        *self.pick_of(these)
    }

    /// The same of what is not copied.
    pub fn pick_of<'a, T>(&self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }

    /// A trace's identifier: 32 hexadecimal digits.
    pub fn trace(&self) -> String {
        let half = || self.0.below(u64::MAX).max(1);
        format!("{:016x}{:016x}", half(), half())
    }
}
