//! Header fields, as the host takes them.

use wasip2::http::types::Fields;

/// Header fields that the host owns: a component may not set them, and one of
/// them makes the host refuse all.
const HOST_OWNED: [http::HeaderName; 3] = [
    http::header::CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::HOST,
];

/// `headers` as the host takes them.
pub(super) fn fields(headers: &http::HeaderMap) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        if HOST_OWNED.contains(name) || name.as_str() == "keep-alive" {
            continue;
        }
        if fields.append(name.as_str(), value.as_bytes()).is_err() {
            tracing::warn!(header = name.as_str(), "the host refused a header");
        }
    }
    fields
}
