//! Bytes as text.

use std::fmt::Write;

/// `bytes` in lower-case hexadecimal, two digits each.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Cannot fail: it writes into memory.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(encode(&[]), "");
        assert_eq!(encode(&[0x00, 0x0a, 0xa0, 0xff]), "000aa0ff");
    }
}
