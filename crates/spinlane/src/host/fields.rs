//! Header fields, as the host takes them.

use wasip2::http::types::Fields;

/// Header fields that the host owns: a component may not set them, and one of
/// them makes the host refuse all.
const HOST_OWNED: [http::HeaderName; 3] = [
    http::header::CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::HOST,
];

/// `headers` as the host takes them: all in one call, unless it refuses one of them.
pub(super) fn fields(headers: &http::HeaderMap) -> Fields {
    let ours = headers.iter().filter(|(name, _)| !is_host_owned(name));
    let list = ours.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let list: Vec<_> = list.collect();
    Fields::from_list(&list).unwrap_or_else(|_| one_by_one(&list))
}

fn is_host_owned(name: &http::HeaderName) -> bool {
    HOST_OWNED.contains(name) || name == "keep-alive"
}

/// Those that the host does not refuse.
fn one_by_one(list: &[(String, Vec<u8>)]) -> Fields {
    let fields = Fields::new();
    for (name, value) in list {
        if fields.append(name, value).is_err() {
            tracing::warn!(header = name, "the host refused a header");
        }
    }
    fields
}
