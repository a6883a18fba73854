//! Media types of bodies, as far as anybody has to know them.

use http::HeaderValue;

/// The type in the header field `content-type`, without parameters and the space
/// around it; empty where there is none, or none that is text. Compare it without
/// minding capitals.
///
/// ```
/// use http::HeaderValue;
/// use spinlane_core::media_type::essence;
///
/// let field = HeaderValue::from_static("text/event-stream; charset=utf-8");
/// assert!(essence(Some(&field)).eq_ignore_ascii_case("Text/Event-Stream"));
/// assert_eq!(essence(None), "");
/// ```
pub fn essence(field: Option<&HeaderValue>) -> &str {
    let text = field.and_then(|field| field.to_str().ok());
    let text = text.unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}
