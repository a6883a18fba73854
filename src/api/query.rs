//! The query of a request.

use std::borrow::Cow;

use http::{StatusCode, Uri};

use crate::error::{ErrorObject, code};
use spinlane_http::problem::Problem;

/// Names and values, decoded.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn parse(uri: &'a Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The value of what is there exactly once.
    pub(super) fn single(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(&**value)
    }

    /// The value of what may be left out, but not be wrong.
    ///
    /// # Errors
    /// 422 when it is there and not as `expected`.
    pub(super) fn checked(
        &self,
        name: &str,
        valid: fn(&str) -> bool,
        expected: &str,
    ) -> Result<Option<String>, Problem> {
        if !self.has(name) {
            return Ok(None);
        }
        match self.single(name).filter(|value| valid(value)) {
            Some(value) => Ok(Some(value.to_owned())),
            None => {
                let message = format!("the parameter `{name}` must be {expected}");
                let error = ErrorObject::new(code::INVALID_REQUEST, message);
                let error = error.with("parameter", name);
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error))
            }
        }
    }

    /// All of it and one more, encoded.
    pub(super) fn encoded_with(&self, name: &str, value: &str) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .append_pair(name, value)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_there_once_or_not_at_all() {
        let uri = "/x?a=1&b=%2Fy%20z&c=1&c=2&d".parse().unwrap();
        let query = Query::parse(&uri);
        assert_eq!(query.single("a"), Some("1"));
        assert_eq!(query.single("b"), Some("/y z"));
        assert_eq!(query.single("c"), None);
        assert_eq!(query.single("d"), Some(""));
        assert_eq!(query.single("e"), None);
        assert!(query.has("c") && !query.has("e"));
        let wrong = |name| query.checked(name, |value| value == "1", "1").is_err();
        assert!(!wrong("a") && wrong("b") && wrong("c") && !wrong("e"));
        assert_eq!(query.encoded_with("m", "1"), "a=1&b=%2Fy+z&c=1&c=2&d=&m=1");
    }
}
