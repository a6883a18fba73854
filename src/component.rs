//! The component's export: the DJ on this host.

use axum::body::Body;
use spinlane::core::ports::Ports;
use spinlane::host::{self, IncomingBody};

use crate::App;

async fn handle(request: http::Request<IncomingBody>, ports: Ports) -> http::Response<Body> {
    App::new(ports, host::variable).handle(request).await
}

spinlane::export!(handle);
