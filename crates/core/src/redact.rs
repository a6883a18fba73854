//! What may not be passed on of texts that others have written.

/// `text` without what stands before the host in its URLs, `user:password@`.
///
/// All up to the last `@` before a blank or a quote: a password that is not
/// encoded may have any other character. A path that has an `@` loses its
/// beginning, which is the lesser harm.
pub fn user_info(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        let ends = |char: char| char.is_whitespace() || "\"'`<>".contains(char);
        let (url, after) = after.split_at(after.find(ends).unwrap_or(after.len()));
        redacted += before;
        match url.rsplit_once('@') {
            Some((_, host)) => {
                redacted += "***@";
                redacted += host;
            }
            None => redacted += url,
        }
        rest = after;
    }
    redacted + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_go_and_all_else_stays() {
        for (text, expected) in [
            ("", ""),
            ("no such store", "no such store"),
            ("write to a@b: c", "write to a@b: c"),
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://user:pass@host:6379/0", "redis://***@host:6379/0"),
            ("redis://:pass@host", "redis://***@host"),
            (
                "cannot reach \"redis://u:p@h\" or 'rediss://u:p@[::1]:1': refused",
                "cannot reach \"redis://***@h\" or 'rediss://***@[::1]:1': refused",
            ),
            // Not encoded, as people write them.
            ("redis://u:p@ss/w?rd#@host down", "redis://***@host down"),
            ("redis://u:é@host", "redis://***@host"),
            ("at redis://u:p", "at redis://u:p"),
            ("://", "://"),
        ] {
            assert_eq!(user_info(text), expected);
        }
    }
}
