//! What the host gives beyond `wasi:http`: Spin's variables and key-value
//! stores, and `wasi:keyvalue` on the same stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::kv::{Found, Store};
use crate::variables::is_variable_name;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        // Whatever the component takes, and what Spin gives beside it.
        inline: "
            package spinlane:host;
            world given {
                include spinlane:component/spin;
                import wasi:keyvalue/batch@0.2.0-draft2;
            }
        ",
        world: "spinlane:host/given",
        imports: { default: async | trappable },
        with: {
            "fermyon:spin/key-value.store": super::OpenStore,
            "wasi:keyvalue/store.bucket": super::OpenStore,
            "wasi:keyvalue/atomics.cas": super::Cas,
        },
        require_store_data_send: true,
    });
}

use generated::fermyon::spin::key_value::{self as spin_kv, Error as SpinError};
use generated::fermyon::spin::variables::{self, Error as VariableError};
use generated::wasi::keyvalue0_2_0_draft2::atomics::{self, CasError};
use generated::wasi::keyvalue0_2_0_draft2::batch;
use generated::wasi::keyvalue0_2_0_draft2::store::{self, Error as StoreError, KeyResponse};

/// How many stores an instance may have open, as under Spin.
const MAX_OPEN: usize = 256;

/// A store that a component has opened, by its label.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct OpenStore(String);

/// Compare-and-swap: not given, as it does not work under Spin either.
#[expect(unreachable_pub, reason = "the generated code exports it again")]
pub struct Cas;

/// What one component may see.
#[derive(Clone)]
pub(crate) struct Capabilities {
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    pub(crate) stores: Arc<[String]>,
    pub(crate) store: Store,
}

/// The capabilities of the instance that calls, and its resources.
pub(crate) struct View<'a> {
    pub(crate) capabilities: &'a Capabilities,
    pub(crate) table: &'a mut ResourceTable,
    /// Stores that the instance has open.
    pub(crate) open: &'a mut usize,
}

/// How to get at a [`View`].
pub(crate) trait HasView: Send {
    fn view(&mut self) -> View<'_>;
}

struct Ours;

impl HasData for Ours {
    type Data<'a> = View<'a>;
}

/// Adds all of it to `linker`.
pub(crate) fn add_to_linker<T: HasView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    variables::add_to_linker::<T, Ours>(linker, T::view)?;
    spin_kv::add_to_linker::<T, Ours>(linker, T::view)?;
    store::add_to_linker::<T, Ours>(linker, T::view)?;
    atomics::add_to_linker::<T, Ours>(linker, T::view)?;
    batch::add_to_linker::<T, Ours>(linker, T::view)
}

/// Why a store was not opened.
enum Refused {
    Denied,
    TooMany,
    /// A test wants it so.
    OutOfOrder,
}

impl View<'_> {
    /// Opens the store `label` when the manifest names it.
    fn open(&mut self, label: String) -> wasmtime::Result<Result<Resource<OpenStore>, Refused>> {
        if !self.capabilities.stores.contains(&label) {
            return Ok(Err(Refused::Denied));
        }
        if *self.open == MAX_OPEN {
            return Ok(Err(Refused::TooMany));
        }
        if !self.capabilities.store.control().opens() {
            return Ok(Err(Refused::OutOfOrder));
        }
        let store = self.table.push(OpenStore(label))?;
        *self.open += 1;
        Ok(Ok(store))
    }

    fn close(&mut self, open: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.table.delete(open)?;
        *self.open -= 1;
        Ok(())
    }

    /// The opened store's label, and the store.
    fn store(&self, open: &Resource<OpenStore>) -> wasmtime::Result<(&str, &Store)> {
        let OpenStore(label) = self.table.get(open)?;
        Ok((label, &self.capabilities.store))
    }
}

impl variables::Host for View<'_> {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, VariableError>> {
        if !is_variable_name(&name) {
            let text = format!("{name:?}: lower-case letters, digits and underscores only");
            return Ok(Err(VariableError::InvalidName(text)));
        }
        let value = self.capabilities.variables.get(&name).cloned();
        Ok(value.ok_or_else(|| {
            VariableError::Undefined(format!("no variable {name:?} for this component"))
        }))
    }
}

impl spin_kv::Host for View<'_> {}

impl spin_kv::HostStore for View<'_> {
    async fn open(
        &mut self,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, SpinError>> {
        let opened = self.open(label)?;
        Ok(opened.map_err(|refused| match refused {
            Refused::Denied => SpinError::AccessDenied,
            Refused::TooMany => SpinError::StoreTableFull,
            Refused::OutOfOrder => SpinError::Other("out of order".into()),
        }))
    }

    async fn get(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, SpinError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.get(label, &key).await.map_err(SpinError::Other))
    }

    async fn set(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), SpinError>> {
        let (label, store) = self.store(&open)?;
        Ok(store
            .set(label, &key, value)
            .await
            .map_err(SpinError::Other))
    }

    async fn delete(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), SpinError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.delete(label, &key).await.map_err(SpinError::Other))
    }

    async fn exists(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, SpinError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.exists(label, &key).await.map_err(SpinError::Other))
    }

    async fn get_keys(
        &mut self,
        open: Resource<OpenStore>,
    ) -> wasmtime::Result<Result<Vec<String>, SpinError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.keys(label).await.map_err(SpinError::Other))
    }

    async fn drop(&mut self, open: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(open)
    }
}

impl store::Host for View<'_> {
    async fn open(
        &mut self,
        label: String,
    ) -> wasmtime::Result<Result<Resource<OpenStore>, StoreError>> {
        let opened = self.open(label)?;
        Ok(opened.map_err(|refused| match refused {
            Refused::Denied => StoreError::AccessDenied,
            Refused::TooMany => StoreError::Other("store table full".into()),
            Refused::OutOfOrder => StoreError::Other("out of order".into()),
        }))
    }
}

impl store::HostBucket for View<'_> {
    async fn get(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, StoreError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.get(label, &key).await.map_err(StoreError::Other))
    }

    async fn set(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), StoreError>> {
        let (label, store) = self.store(&open)?;
        Ok(store
            .set(label, &key, value)
            .await
            .map_err(StoreError::Other))
    }

    async fn delete(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<(), StoreError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.delete(label, &key).await.map_err(StoreError::Other))
    }

    async fn exists(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
    ) -> wasmtime::Result<Result<bool, StoreError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.exists(label, &key).await.map_err(StoreError::Other))
    }

    /// Everything at once, as under Spin.
    async fn list_keys(
        &mut self,
        open: Resource<OpenStore>,
        cursor: Option<String>,
    ) -> wasmtime::Result<Result<KeyResponse, StoreError>> {
        if cursor.is_some() {
            let text = "list_keys: cursor not supported".into();
            return Ok(Err(StoreError::Other(text)));
        }
        let (label, store) = self.store(&open)?;
        let keys = store.keys(label).await;
        Ok(keys
            .map(|keys| KeyResponse { keys, cursor: None })
            .map_err(StoreError::Other))
    }

    async fn drop(&mut self, open: Resource<OpenStore>) -> wasmtime::Result<()> {
        self.close(open)
    }
}

impl atomics::Host for View<'_> {
    async fn increment(
        &mut self,
        open: Resource<OpenStore>,
        key: String,
        delta: i64,
    ) -> wasmtime::Result<Result<i64, StoreError>> {
        let (label, store) = self.store(&open)?;
        let value = store.increment(label, &key, delta).await;
        Ok(value.map_err(StoreError::Other))
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        _: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CasError>> {
        self.table.delete(cas)?;
        Ok(Err(CasError::StoreError(no_cas())))
    }
}

impl batch::Host for View<'_> {
    async fn get_many(
        &mut self,
        open: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Found, StoreError>> {
        let (label, store) = self.store(&open)?;
        Ok(store.get_many(label, keys).await.map_err(StoreError::Other))
    }

    async fn set_many(
        &mut self,
        open: Resource<OpenStore>,
        values: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), StoreError>> {
        let (label, store) = self.store(&open)?;
        let set = store.set_many(label, values).await;
        Ok(set.map_err(StoreError::Other))
    }

    async fn delete_many(
        &mut self,
        open: Resource<OpenStore>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), StoreError>> {
        let (label, store) = self.store(&open)?;
        let deleted = store.delete_many(label, keys).await;
        Ok(deleted.map_err(StoreError::Other))
    }
}

impl atomics::HostCas for View<'_> {
    async fn new(
        &mut self,
        _: Resource<OpenStore>,
        _: String,
    ) -> wasmtime::Result<Result<Resource<Cas>, StoreError>> {
        Ok(Err(no_cas()))
    }

    async fn current(
        &mut self,
        _: Resource<Cas>,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, StoreError>> {
        Ok(Err(no_cas()))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

fn no_cas() -> StoreError {
    StoreError::Other("compare-and-swap is not given: it is not atomic under Spin".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Instance {
        capabilities: Capabilities,
        table: ResourceTable,
        open: usize,
    }

    impl Instance {
        fn new() -> Self {
            let variables = BTreeMap::from([("word".to_owned(), "value".to_owned())]);
            Self {
                capabilities: Capabilities {
                    variables: Arc::new(variables),
                    stores: ["default".to_owned()].into(),
                    store: Store::in_memory(),
                },
                table: ResourceTable::new(),
                open: 0,
            }
        }

        fn view(&mut self) -> View<'_> {
            View {
                capabilities: &self.capabilities,
                table: &mut self.table,
                open: &mut self.open,
            }
        }
    }

    #[tokio::test]
    async fn only_named_stores_open_and_only_so_many() {
        let mut instance = Instance::new();
        let mut view = instance.view();
        let denied = spin_kv::HostStore::open(&mut view, "cache".into()).await;
        assert!(matches!(denied, Ok(Err(SpinError::AccessDenied))));
        let denied = store::Host::open(&mut view, "cache".into()).await;
        assert!(matches!(denied, Ok(Err(StoreError::AccessDenied))));
        let mut last = None;
        for _ in 0..MAX_OPEN {
            let opened = store::Host::open(&mut view, "default".into()).await;
            last = Some(opened.unwrap().unwrap());
        }
        let full = spin_kv::HostStore::open(&mut view, "default".into()).await;
        assert!(matches!(full, Ok(Err(SpinError::StoreTableFull))));
        store::HostBucket::drop(&mut view, last.unwrap())
            .await
            .unwrap();
        let opened = spin_kv::HostStore::open(&mut view, "default".into()).await;
        assert!(opened.unwrap().is_ok());
    }

    #[tokio::test]
    async fn both_interfaces_reach_one_store() {
        let mut instance = Instance::new();
        let mut view = instance.view();
        let open = store::Host::open(&mut view, "default".into()).await;
        let bucket = open.unwrap().unwrap();
        let again = || Resource::new_borrow(bucket.rep());
        let added = atomics::Host::increment(&mut view, again(), "n".into(), 3).await;
        assert_eq!(added.unwrap().unwrap(), 3);
        let value = spin_kv::HostStore::get(&mut view, again(), "n".into()).await;
        assert_eq!(value.unwrap().unwrap(), Some(3_i64.to_le_bytes().to_vec()));
        let set = spin_kv::HostStore::set(&mut view, again(), "n".into(), vec![1]).await;
        set.unwrap().unwrap();
        // An error for the guest, and the store goes on.
        let added = atomics::Host::increment(&mut view, again(), "n".into(), 1).await;
        assert!(matches!(added, Ok(Err(StoreError::Other(_)))));
        let keys = store::HostBucket::list_keys(&mut view, again(), None).await;
        assert_eq!(keys.unwrap().unwrap().keys, ["n"]);
        let cas = atomics::HostCas::new(&mut view, again(), "n".into()).await;
        assert!(cas.unwrap().is_err());
    }

    #[tokio::test]
    async fn variables_by_name() {
        let mut instance = Instance::new();
        let mut view = instance.view();
        let mut get = async |name: &str| variables::Host::get(&mut view, name.into()).await;
        assert_eq!(get("word").await.unwrap().unwrap(), "value");
        let other = get("other").await;
        assert!(matches!(other, Ok(Err(VariableError::Undefined(_)))));
        for name in ["Word", "", "1x", "a-b"] {
            let invalid = get(name).await;
            assert!(
                matches!(invalid, Ok(Err(VariableError::InvalidName(_)))),
                "{name}"
            );
        }
    }
}
