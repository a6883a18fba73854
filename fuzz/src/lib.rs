//! What reads bytes of others, on any bytes.
//!
//! A target is a function of bytes that panics when something does not hold. Each is
//! run in two ways: by `cargo fuzz run NAME` (a nightly compiler), guided by what the
//! bytes reach; and in the tests, natively, as a loop from a seed over what is kept in
//! `corpus/NAME`. An input that has shown a fault is put there, so that it is tried
//! first from then on.

pub mod anthropic;
pub mod cookies;
pub mod decoder;
pub mod encoder;
pub mod envelope;
pub mod ids;
mod input;
pub mod json;
pub mod oauth;
pub mod peers;
#[cfg(test)]
mod seeded;
pub mod segments;

#[cfg(fuzzing)]
#[doc(hidden)]
pub use libfuzzer_sys;

/// The program of cargo fuzz for a target: `$name::target`.
#[macro_export]
macro_rules! program {
    ($name:ident) => {
        #[cfg(fuzzing)]
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::target(data));

        #[cfg(not(fuzzing))]
        fn main() {
            eprintln!("run `cargo fuzz run {}`", stringify!($name));
        }
    };
}
