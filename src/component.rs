//! The component's export: the DJ on this host.

use axum::body::Body;

use crate::core::ports::Ports;
use crate::dj::App;
use crate::host::{self, IncomingBody};

async fn handle(request: http::Request<IncomingBody>, ports: Ports) -> http::Response<Body> {
    let app = App::from_variables(ports, host::variable);
    if let Some(errors) = app.config_errors() {
        tracing::error!(%errors, "the configuration is not valid");
    }
    app.handle(request).await
}

crate::export!(handle);
