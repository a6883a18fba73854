//! `cargo bench --package spinlane-bench-limits`: what a limit costs, beside
//! `governor`'s and tower's.
