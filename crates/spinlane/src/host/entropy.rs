//! [`Entropy`] on `wasi:random`.

use wasip2::random::random::get_random_bytes;

use spinlane_core::ports::Entropy;

#[derive(Debug)]
pub(super) struct WasiEntropy;

impl Entropy for WasiEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&get_random_bytes(buffer.len() as u64));
    }
}
