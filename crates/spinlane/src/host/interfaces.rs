//! What modules with interfaces of `wit` have in common.

/// The interfaces of a world of `wit`, in a module `bindings`.
macro_rules! bindings {
    ($world:tt) => {
        /// Generated code, which cannot answer for this crate's lints.
        #[allow(
            unsafe_code,
            missing_docs,
            missing_debug_implementations,
            unreachable_pub,
            clippy::all
        )]
        mod bindings {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                generate_all,
            });
        }
    };
}

/// What a `wasi:keyvalue/store` says of itself, whichever version it is of, in our words.
macro_rules! store_errors {
    ($Error:ident) => {
        impl From<$Error> for StoreError {
            fn from(error: $Error) -> Self {
                Self::unavailable(match &error {
                    $Error::NoSuchStore => "no such store",
                    $Error::AccessDenied => "access denied",
                    $Error::Other(message) => message,
                })
            }
        }
    };
}

pub(super) use {bindings, store_errors};
