//! One instance: its state, and what it may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter, Store};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::engine::MAX_MEMORY;
use crate::logs::Logs;
use crate::outbound::{AllowedHosts, Outbound};
use crate::wit::{self, Capabilities, HasView, View};

/// What all instances of a host share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) capabilities: Capabilities,
    pub(crate) allowed_hosts: Arc<AllowedHosts>,
    pub(crate) logs: Logs,
    pub(crate) wall_clock: WallClock,
    /// The largest linear memory that any instance has had.
    pub(crate) peak_memory: Arc<AtomicUsize>,
}

/// The data of one instance's store.
pub(crate) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outbound: Outbound,
    capabilities: Capabilities,
    open_stores: usize,
    meter: Meter,
}

/// Everything that a component can import here.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wit::add_to_linker(&mut linker)?;
    Ok(linker)
}

impl World {
    /// A store for a new instance.
    pub(crate) fn store(&self, engine: &Engine) -> Store<Guest> {
        let wasi = WasiCtx::builder()
            .stdout(self.logs.stream())
            .stderr(self.logs.stream())
            .wall_clock(self.wall_clock.clone())
            .build();
        let guest = Guest {
            wasi,
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outbound: Outbound {
                allowed: Arc::clone(&self.allowed_hosts),
                logs: self.logs.clone(),
            },
            capabilities: self.capabilities.clone(),
            open_stores: 0,
            meter: Meter(Arc::clone(&self.peak_memory)),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.meter);
        store.set_epoch_deadline(1);
        // A guest that computes for long gives way, as under Spin.
        store.epoch_deadline_async_yield_and_update(1);
        store
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outbound,
        }
    }
}

impl HasView for Guest {
    fn view(&mut self) -> View<'_> {
        View {
            capabilities: &self.capabilities,
            table: &mut self.table,
            open: &mut self.open_stores,
        }
    }
}

/// Notes how large linear memories get.
struct Meter(Arc<AtomicUsize>);

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= MAX_MEMORY;
        if allowed {
            self.0.fetch_max(desired, Ordering::Relaxed);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }
}

/// The machine's wall clock, moved forwards by tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct WallClock(Arc<AtomicU64>);

impl WallClock {
    pub(crate) fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap_or_default() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}
