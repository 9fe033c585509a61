//! All devices, by name and by their end. Bounded in all and for each name; a full table refuses and forgets nobody.
//! Not here: the file that they are kept in (`store`), and who may register one.

use super::device::{Device, DeviceId};
use crate::name::Name;
use crate::time::{Duration, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most in all.
    pub(super) total: usize,
    /// Most of one name.
    pub(super) per_name: usize,
    /// How long one is remembered that does not come back.
    pub(super) longest: Duration,
}

/// There is no room for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

/// The table. Read by the switch thread for each call, so nobody holds it for longer than a look-up or a copy of the list takes.
pub(super) struct Devices {
    book: Mutex<Book>,
    /// How many there are, for whoever wants to know whether there is any.
    count: AtomicUsize,
    /// How often the table has changed.
    changes: AtomicU64,
    bounds: Bounds,
    changed: Notify,
}

#[derive(Default)]
struct Book {
    by_id: BTreeMap<DeviceId, Arc<Device>>,
    by_name: BTreeMap<Name, BTreeSet<DeviceId>>,
    by_end: BTreeSet<(Wall, DeviceId)>,
}

impl Devices {
    /// An empty table.
    pub(super) fn new(bounds: Bounds) -> Devices {
        Devices {
            book: Mutex::default(),
            count: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
            bounds,
            changed: Notify::new(),
        }
    }

    /// When a device ends whose owner's credential ends then.
    pub(super) fn end(&self, now: Wall, credential: Wall) -> Wall {
        credential.min(now + self.bounds.longest)
    }

    /// Adds one, or renews it. What else its owner has under this name and the same instance is the same device with an older word for it.
    pub(super) fn keep(&self, now: Wall, device: Device) -> Result<(), Full> {
        let mut book = self.lock();
        book.forget_ended(now);
        let older = book.same_instance(&device);
        let is_there = book.by_id.contains_key(&device.id);
        let frees = usize::from(is_there) + older.iter().filter(|id| **id != device.id).count();
        let of_name = book.by_name.get(&device.name).map_or(0, BTreeSet::len);
        if book.by_id.len() >= self.bounds.total + frees || of_name >= self.bounds.per_name + frees {
            return Err(Full);
        }
        older.into_iter().for_each(|id| _ = book.remove(id));
        book.put(device);
        self.note(book);
        Ok(())
    }

    /// Removes one; `None` if it was not there.
    pub(super) fn remove(&self, id: DeviceId) -> Option<Arc<Device>> {
        let mut book = self.lock();
        let removed = book.remove(id);
        self.note(book);
        removed
    }

    /// Removes those of a name that are such.
    pub(super) fn remove_of(&self, name: &Name, is_such: impl Fn(&Device) -> bool) {
        let mut book = self.lock();
        let ids: Vec<DeviceId> = book.of_name(name).filter(|device| is_such(device)).map(|device| device.id).collect();
        ids.into_iter().for_each(|id| _ = book.remove(id));
        self.note(book);
    }

    /// One of them.
    pub(super) fn get(&self, id: DeviceId) -> Option<Arc<Device>> {
        self.lock().by_id.get(&id).cloned()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Those that hear of calls for a name: under it and under the names below it.
    pub(super) fn reached(&self, name: &Name) -> Vec<Arc<Device>> {
        if self.is_empty() {
            return Vec::new();
        }
        let book = self.lock();
        // `0` is the byte after `/`: names between the two begin with the name and a slash.
        let (first, behind) = (format!("{name}/"), format!("{name}0"));
        let bounds = (Bound::Included(first.as_str()), Bound::Excluded(behind.as_str()));
        let below = book.by_name.range::<str, _>(bounds).map(|(name, _)| name);
        let names: Vec<&Name> =
            book.by_name.get_key_value(name).map(|(name, _)| name).into_iter().chain(below).collect();
        names.into_iter().flat_map(|name| book.of_name(name)).cloned().collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<Device>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// How often the table has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Returns when something has changed since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn note(&self, book: MutexGuard<'_, Book>) {
        self.count.store(book.by_id.len(), Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Relaxed);
        drop(book);
        self.changed.notify_one();
    }

    /// A poisoned lock is as good as any: what can panic between lock and unlock is memory running out.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn of_name(&self, name: &Name) -> impl Iterator<Item = &Arc<Device>> {
        self.by_name.get(name).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    fn same_instance(&self, device: &Device) -> Vec<DeviceId> {
        let is_same = |other: &&Arc<Device>| {
            other.instance.is_some() && other.instance == device.instance && other.subject == device.subject
        };
        self.of_name(&device.name).filter(is_same).map(|other| other.id).collect()
    }

    fn forget_ended(&mut self, now: Wall) {
        while let Some((_, id)) = self.by_end.first().copied().filter(|(end, _)| *end <= now) {
            self.remove(id);
        }
    }

    fn put(&mut self, device: Device) {
        self.remove(device.id);
        self.by_name.entry(device.name.clone()).or_default().insert(device.id);
        self.by_end.insert((device.expires, device.id));
        self.by_id.insert(device.id, Arc::new(device));
    }

    fn remove(&mut self, id: DeviceId) -> Option<Arc<Device>> {
        let device = self.by_id.remove(&id)?;
        self.by_end.remove(&(device.expires, id));
        if let Some(ids) = self.by_name.get_mut(&device.name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_name.remove(&device.name);
            }
        }
        Some(device)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::policy::Proof;
    use crate::registrar::Target;

    /// A device of ann's.
    pub(in crate::push) fn device(name: &str, prid: &str, expires: u64) -> Device {
        let name = Name::parse(name).unwrap();
        let target = Target { provider: "hook".into(), prid: prid.into(), param: None };
        let (proof, subject) = (Proof::User("ann".into()), "ann".to_owned());
        let id = DeviceId::of(&name, &target);
        Device { id, name, target, keys: None, subject, proof, instance: None, by_sip: false, expires: Wall(expires) }
    }

    fn devices(total: usize, per_name: usize) -> Devices {
        Devices::new(Bounds { total, per_name, longest: Duration::from_secs(60) })
    }

    fn prids(devices: &Devices, name: &str) -> Vec<String> {
        let mut found: Vec<String> =
            devices.reached(&Name::parse(name).unwrap()).iter().map(|device| device.target.prid.clone()).collect();
        found.sort();
        found
    }

    #[test]
    fn a_call_reaches_the_devices_of_its_name_and_below() {
        let devices = devices(10, 10);
        for (name, prid) in [("foo", "a"), ("foo/web", "b"), ("foo/web/one", "c"), ("foobar", "d"), ("foo-x", "e")] {
            devices.keep(Wall(0), device(name, prid, 9)).unwrap();
        }
        for (name, expected) in [("foo", vec!["a", "b", "c"]), ("foo/web", vec!["b", "c"]), ("bar", vec![])] {
            assert_eq!(prids(&devices, name), expected, "{name}");
        }
    }

    #[test]
    fn a_full_table_refuses_and_forgets_nobody_before_his_time() {
        let devices = devices(3, 2);
        let keep = |now, name: &str, prid: &str, expires| devices.keep(Wall(now), device(name, prid, expires));
        assert_eq!(keep(0, "foo", "a", 10), Ok(()));
        assert_eq!(keep(0, "foo", "b", 20), Ok(()));
        assert_eq!(keep(0, "foo", "c", 20), Err(Full), "of this name");
        assert_eq!(keep(0, "foo", "a", 30), Ok(()), "it is there already");
        assert_eq!(keep(0, "bar", "d", 20), Ok(()));
        assert_eq!(keep(0, "baz", "e", 20), Err(Full), "in all");
        assert_eq!(keep(20, "baz", "e", 40), Ok(()), "others have ended");
        assert_eq!((prids(&devices, "foo"), devices.len()), (vec!["a".to_owned()], 2));
    }

    #[test]
    fn a_device_that_has_a_new_word_for_itself_is_there_once() {
        let devices = devices(2, 1);
        let of = |prid: &str| Device { instance: Some("<urn:uuid:1>".into()), ..device("foo", prid, 9) };
        devices.keep(Wall(0), of("old")).unwrap();
        devices.keep(Wall(0), of("new")).unwrap();
        assert_eq!(prids(&devices, "foo"), ["new"]);
        devices.remove_of(&Name::parse("foo").unwrap(), |device| device.instance.is_none());
        assert_eq!(devices.len(), 1);
        devices.remove_of(&Name::parse("foo").unwrap(), |device| device.instance.is_some());
        assert!(devices.is_empty());
    }
}
