//! The component's export: the DJ on this host.

use axum::body::Body;

use crate::core::ports::Ports;
use crate::dj::App;
use crate::host::{self, IncomingBody};

async fn handle(request: http::Request<IncomingBody>, ports: Ports) -> http::Response<Body> {
    App::new(ports, host::variable).handle(request).await
}

crate::export!(handle);
