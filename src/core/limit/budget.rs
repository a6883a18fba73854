//! The per-request budget of upstream calls.

/// How many upstream calls one request may make.
#[derive(Debug)]
pub struct Budget {
    total: u32,
}

impl Budget {
    /// A budget of `total` calls.
    pub const fn new(total: u32) -> Self {
        Self { total }
    }

    /// The calls it started with.
    pub const fn total(&self) -> u32 {
        self.total
    }
}
