//! The DJ in the embedded host: its answers, logins, enrichment, logs and document.
//!
//! Most of these wait for simulated upstreams: in one program they do it side by
//! side, and are linked once.

mod agent;
mod auth;
mod catalogues;
mod clients;
mod enrich;
mod kept;
mod logs;
mod model;
mod openapi;
mod renewals;
mod slow;
mod stored;
