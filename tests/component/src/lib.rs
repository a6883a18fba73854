//! What the component tests share.
