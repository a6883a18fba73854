//! wasmtime, set up for many short-lived instances.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use wasmtime::component::Component;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig,
};

/// How often a guest that computes without a pause gives way to others.
const TICK: Duration = Duration::from_millis(10);

/// A component of this kind takes three core instances.
const CORE_INSTANCES: u32 = 3;

/// The largest linear memory of one instance, in bytes.
pub(crate) const MAX_MEMORY: usize = 128 << 20;

/// How many bytes of an instance's memory and tables stay with its slot. Where
/// the kernel tells which pages were written, resetting those is cheaper than
/// giving all back and faulting them in again for the next instance. It covers a
/// guest's stack, data and the beginning of its heap.
const KEPT_MEMORY: usize = 2 << 20;
const KEPT_TABLE: usize = 64 << 10;

/// How the slots of the pool are made ready for the next instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pool {
    /// Only pages that were written are reset, where the kernel can tell them.
    Sparing,
    /// As Spin sets it up: by copying all that is kept, written or not.
    Spin,
}

/// How much of tables Spin keeps. Of memory it is as much as here.
const SPIN_KEPT_TABLE: usize = 512 << 10;

/// Engines are shared by the hosts of a process that ask for the same.
static ENGINES: Mutex<Option<HashMap<Key, Shared>>> = Mutex::new(None);

type Key = (u32, Pool, Option<PathBuf>);

#[derive(Clone)]
struct Shared {
    engine: Engine,
    compiled: HashMap<(PathBuf, SystemTime), Component>,
}

/// The compiled component of `file`, on an engine that holds `max_instances`
/// instances at a time in such a `pool`. Compiled code is kept in `cache_dir` between runs.
pub(crate) fn component(
    file: &Path,
    max_instances: u32,
    pool: Pool,
    cache_dir: Option<&Path>,
) -> Result<Component> {
    let file = file
        .canonicalize()
        .with_context(|| format!("no component at {}: build it first", file.display()))?;
    let changed = std::fs::metadata(&file)?.modified()?;
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    let engines = engines.get_or_insert_default();
    let key = (max_instances, pool, cache_dir.map(Path::to_path_buf));
    let shared = match engines.entry(key) {
        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::hash_map::Entry::Vacant(new) => new.insert(Shared {
            engine: engine(max_instances, pool, cache_dir)?,
            compiled: HashMap::new(),
        }),
    };
    if let Some(component) = shared.compiled.get(&(file.clone(), changed)) {
        return Ok(component.clone());
    }
    let component = Component::from_file(&shared.engine, &file)
        .map_err(anyhow::Error::from)
        .with_context(|| format!("{} is not a component", file.display()))?;
    shared.compiled.insert((file, changed), component.clone());
    Ok(component)
}

fn engine(max_instances: u32, kept: Pool, cache_dir: Option<&Path>) -> Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    if let Some(folder) = cache_dir {
        std::fs::create_dir_all(folder)?;
        let mut cache = CacheConfig::new();
        cache.with_directory(folder.canonicalize()?);
        config.cache(Some(Cache::new(cache)?));
    }
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(max_instances)
        .total_core_instances(max_instances * CORE_INSTANCES)
        .total_memories(max_instances)
        .total_tables(max_instances * CORE_INSTANCES)
        .total_stacks(max_instances)
        .max_memory_size(MAX_MEMORY);
    match kept {
        Pool::Sparing if PoolingAllocationConfig::is_pagemap_scan_available() => {
            pool.pagemap_scan(Enabled::Yes)
                .linear_memory_keep_resident(KEPT_MEMORY)
                .table_keep_resident(KEPT_TABLE);
        }
        Pool::Sparing => {}
        Pool::Spin => {
            pool.linear_memory_keep_resident(KEPT_MEMORY)
                .table_keep_resident(SPIN_KEPT_TABLE);
        }
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let weak = engine.weak();
    std::thread::Builder::new()
        .name("epochs".into())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })?;
    Ok(engine)
}
