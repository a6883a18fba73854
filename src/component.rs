//! The component's export: the DJ on this host.

use axum::body::Body;
use spinlane::core::ports::Ports;
use spinlane::host::{self, IncomingBody};

use crate::App;

async fn handle(request: http::Request<IncomingBody>, ports: Ports) -> http::Response<Body> {
    let app = App::from_variables(ports, host::variable);
    if let Some(errors) = app.config_errors() {
        tracing::error!(%errors, "the configuration is not valid");
    }
    app.handle(request).await
}

spinlane::export!(handle);
