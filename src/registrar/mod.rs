//! Who is reached over SIP under which name, and how: contacts that registered (RFC 3261 §10, RFC 5626) and subscriptions (RFC 6665).
//! Each is bound to the path that it came over, and dies with it. Only those are here who proved who they are.
//! Not here: the proof and the answers (`switch`), whether a name may be used (`policy`), and the clients on WebSockets (`notify`).

mod binding;
mod contact;
mod push;
#[cfg(test)]
mod tests;
mod vector;

pub use crate::policy::Who;
pub use binding::{Binding, Contact, Dialog, Kind, Parcel};
pub use contact::{Contacts, Wanted};
pub use push::{DeviceWord, Push, Service, Services, Target, Wish};
pub use vector::Vector;

use crate::id::BindingId;
use crate::limits;
use crate::name::Name;
use crate::sip::Path;
use crate::sip::wire::Uri;
use crate::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;

/// How long a registration or subscription lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetimes {
    /// A shorter one is refused (RFC 3261 §10.3: 423).
    pub seconds_min: u32,
    /// A longer one is shortened.
    pub seconds_max: u32,
    /// What holds for a request that names none.
    pub seconds_default: u32,
}

impl Default for Lifetimes {
    fn default() -> Lifetimes {
        Lifetimes { seconds_min: 60, seconds_max: 3600, seconds_default: 3600 }
    }
}

/// Why a registration is refused; then nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// For less than [`Lifetimes::seconds_min`].
    TooBrief,
    /// An older request of the same registration came after this one (RFC 3261 §10.3 step 7).
    OutOfOrder,
    /// There is no room: the reason's id.
    Full(&'static str),
}

/// What all contacts of one request share.
#[derive(Clone, Copy)]
pub struct Order<'o> {
    /// The address of record.
    pub name: &'o Name,
    /// Who proved himself.
    pub who: &'o Who,
    /// What the request came over.
    pub path: Path,
    /// The proxies that it came by.
    pub vector: &'o Vector,
    /// Its Call-ID.
    pub call_id: &'o str,
    /// Its CSeq.
    pub cseq: u32,
    /// Its credential is good for no longer than this.
    pub longest: Duration,
}

/// All of them.
#[derive(Default)]
pub struct Registrar {
    lifetimes: Lifetimes,
    last: u64,
    bindings: BTreeMap<BindingId, Binding>,
    by_name: BTreeMap<Name, BTreeSet<BindingId>>,
    by_path: BTreeSet<(Path, BindingId)>,
    by_end: BTreeSet<(Instant, BindingId)>,
    by_tag: BTreeMap<String, BindingId>,
    sources: HashMap<IpAddr, usize>,
    /// The names whose clients may be more or less than when they were asked for last, and how many they were then.
    changed: BTreeMap<Name, usize>,
}

impl Registrar {
    /// An empty one.
    pub fn new(lifetimes: Lifetimes) -> Registrar {
        Registrar { lifetimes, ..Registrar::default() }
    }

    /// The next name under which there are more or fewer clients than were told last, and how many there are.
    pub fn poll_reachable(&mut self) -> Option<(Name, u32)> {
        loop {
            let (name, before) = self.changed.pop_first()?;
            let now = self.by_name.get(&name).map_or(0, BTreeSet::len);
            if now != before {
                return Some((name, u32::try_from(now).unwrap_or(u32::MAX)));
            }
        }
    }

    /// Notes how many there are under a name before that changes.
    fn note(&mut self, name: &Name) {
        let now = self.by_name.get(name).map_or(0, BTreeSet::len);
        self.changed.entry(name.clone()).or_insert(now);
    }

    /// How long things last here.
    pub fn lifetimes(&self) -> Lifetimes {
        self.lifetimes
    }

    /// Adds, renews and removes the contacts of a request, all of them or none (RFC 3261 §10.3). What is new, or comes over another
    /// path than before, is returned: it has to be told of what waits.
    pub fn register(&mut self, now: Instant, order: &Order<'_>, wanted: &[Wanted]) -> Result<Vec<BindingId>, Unfit> {
        let mut changes = Vec::new();
        for one in wanted {
            let seconds = self.granted(one.expires)?;
            let there = self.find(order.name, one);
            if there.and_then(|id| self.contact(id)).is_some_and(|contact| contact.is_newer(order)) {
                return Err(Unfit::OutOfOrder);
            }
            changes.push((one, seconds, there));
        }
        let made = changes.iter().filter(|(_, seconds, there)| *seconds > 0 && there.is_none()).count();
        self.check_room(order.name, order.path, made)?;
        let mut fresh = Vec::new();
        for (one, seconds, _) in changes {
            // Looked for again: a request may name a contact twice, and the first may have made or removed it.
            let there = self.find(order.name, one);
            if seconds == 0 {
                there.into_iter().for_each(|id| _ = self.remove(id));
                continue;
            }
            let (contact, expires) = (Contact::new(one, order), now + lasting(seconds, order.longest));
            match there {
                Some(id) => {
                    let moved = self.bindings.get(&id).is_some_and(|binding| binding.path != order.path);
                    self.renew(id, order.who, order.path, expires);
                    if moved && let Some(binding) = self.bindings.get_mut(&id) {
                        binding.forget_parcels();
                    }
                    if let Some(Kind::Contact(kept)) = self.bindings.get_mut(&id).map(|binding| &mut binding.kind) {
                        kept.renew(contact);
                    }
                    fresh.extend(moved.then_some(id));
                }
                None => {
                    let kind = Kind::Contact(contact);
                    fresh.push(self.insert(order.name, order.who, order.path, expires, kind));
                }
            }
        }
        Ok(fresh)
    }

    /// Removes all contacts of a name (`Contact: *`).
    pub fn clear(&mut self, order: &Order<'_>) -> Result<(), Unfit> {
        let ids: Vec<BindingId> = self.contacts_of(order.name).map(|(binding, _)| binding.id).collect();
        if ids.iter().filter_map(|id| self.contact(*id)).any(|contact| contact.is_newer(order)) {
            return Err(Unfit::OutOfOrder);
        }
        ids.into_iter().for_each(|id| _ = self.remove(id));
        Ok(())
    }

    /// The contacts of a name, the one that came first first.
    pub fn contacts_of(&self, name: &Name) -> impl Iterator<Item = (&Binding, &Contact)> {
        self.of_name(name).filter_map(|binding| Some((binding, binding.contact()?)))
    }

    /// Adds a subscription.
    pub fn subscribe(
        &mut self,
        now: Instant,
        (name, who, path): (&Name, &Who, Path),
        lasts: Duration,
        dialog: Dialog,
    ) -> Result<BindingId, Unfit> {
        self.check_room(name, path, 1)?;
        Ok(self.insert(name, who, path, now + lasts, Kind::Subscription(Box::new(dialog))))
    }

    /// The subscription whose dialog has this tag of ours.
    pub fn subscription(&self, tag: &str) -> Option<BindingId> {
        self.by_tag.get(tag).copied()
    }

    /// Whether there is room for one more: asked before an answer promises it.
    pub fn has_room(&self, name: &Name, path: Path) -> Result<(), Unfit> {
        self.check_room(name, path, 1)
    }

    /// Lets one live until another time, over another path perhaps.
    pub fn renew(&mut self, id: BindingId, who: &Who, path: Path, expires: Instant) {
        let Some(mut binding) = self.take(id) else { return };
        binding.who = who.clone();
        binding.path = path;
        binding.expires = expires;
        self.put(binding);
    }

    /// One of them.
    pub fn get(&self, id: BindingId) -> Option<&Binding> {
        self.bindings.get(&id)
    }

    /// One of them, for its queue and its numbers.
    pub fn get_mut(&mut self, id: BindingId) -> Option<&mut Binding> {
        self.bindings.get_mut(&id)
    }

    /// Ends one.
    pub fn remove(&mut self, id: BindingId) -> Option<Binding> {
        self.take(id)
    }

    /// Whoever hears of calls for a name: those under it and under the names below it.
    pub fn reached(&self, name: &Name) -> Vec<BindingId> {
        let exact = self.by_name.get(name).into_iter();
        // `0` is the byte after `/`: names between the two begin with the name and a slash.
        let (first, behind) = (format!("{name}/"), format!("{name}0"));
        let bounds = (Bound::Included(first.as_str()), Bound::Excluded(behind.as_str()));
        let below = self.by_name.range::<str, _>(bounds).map(|(_, ids)| ids);
        exact.chain(below).flatten().copied().collect()
    }

    /// Whoever came over a path.
    pub fn over(&self, path: Path) -> Vec<BindingId> {
        let from = (path, BindingId(0));
        self.by_path.range(from..).take_while(|(over, _)| *over == path).map(|(_, id)| *id).collect()
    }

    /// A path is gone, and with it whoever came over it (RFC 5626 §5.3). Whoever came by a proxy stays, if that can be told where to be
    /// reached: the connection was the proxy's, and it carries others.
    pub fn lose(&mut self, path: Path) {
        for id in self.over(path) {
            let Some(mut binding) = self.take(id) else { continue };
            if let Some(peer) = binding.contact().and_then(|contact| contact.vector.listens) {
                binding.path = Path { peer, ..path };
                self.put(binding);
            }
        }
    }

    /// One whose time is up.
    pub fn overdue(&self, now: Instant) -> Option<BindingId> {
        self.by_end.first().filter(|(end, _)| *end <= now).map(|(_, id)| *id)
    }

    /// When the next one's time is up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.by_end.first().map(|(end, _)| *end)
    }

    /// All of them, the first first.
    pub fn ids(&self) -> Vec<BindingId> {
        self.bindings.keys().copied().collect()
    }

    /// How many contacts and how many subscriptions there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.bindings.len() - self.by_tag.len(), self.by_tag.len())
    }

    /// How long a request lasts that asks for so many seconds; 0 ends it.
    pub fn granted(&self, asked: Option<u32>) -> Result<u32, Unfit> {
        let Lifetimes { seconds_min, seconds_max, seconds_default } = self.lifetimes;
        match asked.unwrap_or(seconds_default) {
            0 => Ok(0),
            seconds if seconds < seconds_min => Err(Unfit::TooBrief),
            seconds => Ok(seconds.min(seconds_max)),
        }
    }

    fn contact(&self, id: BindingId) -> Option<&Contact> {
        self.bindings.get(&id)?.contact()
    }

    /// The contact that a request means: the same flow of the same device (RFC 5626 §6), else the same URI (RFC 3261 §10.3).
    fn find(&self, name: &Name, wanted: &Wanted) -> Option<BindingId> {
        let flow = wanted.instance.as_ref().zip(wanted.reg_id);
        let is_it = |contact: &Contact| match flow {
            Some(flow) => contact.instance.as_ref().zip(contact.reg_id) == Some(flow),
            None => same_uri(&contact.uri, &wanted.uri),
        };
        self.contacts_of(name).find(|(_, contact)| is_it(contact)).map(|(binding, _)| binding.id)
    }

    fn of_name(&self, name: &Name) -> impl Iterator<Item = &Binding> {
        self.by_name.get(name).into_iter().flatten().filter_map(|id| self.bindings.get(id))
    }

    fn check_room(&self, name: &Name, path: Path, made: usize) -> Result<(), Unfit> {
        let of_name = self.by_name.get(name).map_or(0, BTreeSet::len);
        let of_source = self.sources.get(&source(path)).copied().unwrap_or(0);
        let full = [
            ("cap_total", self.bindings.len() + made > limits::BINDINGS_MAX),
            ("cap_name", of_name + made > limits::BINDINGS_PER_NAME_MAX),
            ("cap_source", of_source + made > limits::BINDINGS_PER_SOURCE_MAX),
        ];
        match full.into_iter().find(|(_, is_full)| *is_full && made > 0) {
            Some((which, _)) => Err(Unfit::Full(which)),
            None => Ok(()),
        }
    }

    fn insert(&mut self, name: &Name, who: &Who, path: Path, expires: Instant, kind: Kind) -> BindingId {
        self.last += 1;
        let id = BindingId(self.last);
        self.put(Binding::new(id, (name, who, path), expires, kind));
        id
    }

    fn put(&mut self, binding: Binding) {
        let id = binding.id;
        self.note(&binding.name);
        self.by_name.entry(binding.name.clone()).or_default().insert(id);
        self.by_path.insert((binding.path, id));
        self.by_end.insert((binding.expires, id));
        *self.sources.entry(source(binding.path)).or_default() += 1;
        if let Some(dialog) = binding.dialog() {
            self.by_tag.insert(dialog.local_tag.clone(), id);
        }
        self.bindings.insert(id, binding);
    }

    fn take(&mut self, id: BindingId) -> Option<Binding> {
        let binding = self.bindings.remove(&id)?;
        self.note(&binding.name);
        if let Some(ids) = self.by_name.get_mut(&binding.name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_name.remove(&binding.name);
            }
        }
        self.by_path.remove(&(binding.path, id));
        self.by_end.remove(&(binding.expires, id));
        let from = source(binding.path);
        if let Some(count) = self.sources.get_mut(&from) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sources.remove(&from);
            }
        }
        if let Some(dialog) = binding.dialog() {
            self.by_tag.remove(&dialog.local_tag);
        }
        Some(binding)
    }
}

fn source(path: Path) -> IpAddr {
    path.peer.ip().to_canonical()
}

fn lasting(seconds: u32, longest: Duration) -> Duration {
    Duration::from_secs(seconds.into()).min(longest)
}

fn same_uri(one: &str, other: &str) -> bool {
    match (Uri::parse(one.as_bytes()), Uri::parse(other.as_bytes())) {
        (Ok(one), Ok(other)) => one.same(&other),
        (Err(_), _) | (_, Err(_)) => false,
    }
}
