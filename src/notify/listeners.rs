//! Who listens, by name. A subscriber stands under its own name and under each name above it, so a notice finds all that it
//! reaches with one look-up, however many others there are.
//! Not here: whether a subscriber may still be told (`announce`).

use crate::letter::Sender;
use crate::name::Name;
use crate::notify::closing::Closing;
use crate::notify::seat::{Parcel, Seat};
use crate::sync::DashMap;
use crate::token::SubjectHash;
use std::hash::Hash;
use std::sync::Arc;

/// Subscribers by name.
#[derive(Default)]
pub(super) struct Listeners {
    /// Sorted by seat id.
    by_name: DashMap<Name, Vec<Arc<Seat>>>,
    /// The same, by who they are.
    by_subject: DashMap<SubjectHash, Vec<Arc<Seat>>>,
}

impl Listeners {
    /// Adds a subscriber.
    pub(super) fn enter(&self, seat: &Arc<Seat>) {
        names(seat).for_each(|name| enter(&self.by_name, name, seat));
        enter(&self.by_subject, seat.subject, seat);
    }

    /// Removes a subscriber.
    pub(super) fn leave(&self, seat: &Seat) {
        names(seat).for_each(|name| leave(&self.by_name, &name, seat));
        leave(&self.by_subject, &seat.subject, seat);
    }

    /// Queues a parcel for each subscriber that `name` reaches; says how many were cut off because they do not read.
    pub(super) fn deliver(&self, name: &Name, parcel: &Parcel) -> u64 {
        let Some(seats) = self.by_name.get(name) else { return 0 };
        seats.iter().map(|seat| u64::from(seat.push(parcel.clone()))).sum()
    }

    /// The same for those subscribers of this very name who are this one.
    pub(super) fn deliver_to(&self, name: &Name, who: SubjectHash, parcel: &Parcel) -> u64 {
        let Some(seats) = self.by_name.get(name) else { return 0 };
        let own = seats.iter().filter(|seat| seat.name == *name && seat.subject == who);
        own.map(|seat| u64::from(seat.push(parcel.clone()))).sum()
    }

    /// Whether this client listens under this very name.
    pub(super) fn has(&self, name: &Name, who: SubjectHash) -> bool {
        let Some(seats) = self.by_name.get(name) else { return false };
        seats.iter().any(|seat| seat.name == *name && seat.subject == who)
    }

    /// Queues what concerns a sender alone, on each channel that it has, under whatever name.
    pub(super) fn deliver_own(&self, sender: &Sender, parcel: impl FnOnce() -> Parcel) -> u64 {
        let Sender::Client(who) = sender else { return 0 };
        let Some(seats) = self.by_subject.get(who) else { return 0 };
        let parcel = parcel();
        seats.iter().map(|seat| u64::from(seat.push(parcel.clone()))).sum()
    }

    /// Whether anybody would be reached.
    pub(super) fn any(&self, name: &Name) -> bool {
        self.by_name.contains_key(name)
    }

    /// Ends all subscriptions.
    pub(super) fn cut_all(&self, closing: Closing) {
        for seats in self.by_name.iter() {
            seats.iter().for_each(|seat| seat.cut(closing));
        }
    }

    /// How many names have an entry; a test sees by it that nothing is left behind.
    #[cfg(test)]
    pub(super) fn names_len(&self) -> usize {
        self.by_name.len()
    }
}

fn enter<K: Eq + Hash + Clone>(seats: &DashMap<K, Vec<Arc<Seat>>>, key: K, seat: &Arc<Seat>) {
    let mut seats = seats.entry(key).or_insert_with(|| Vec::with_capacity(1));
    if let Err(at) = seats.binary_search_by_key(&seat.id, |other| other.id) {
        seats.insert(at, Arc::clone(seat));
    }
}

fn leave<K: Eq + Hash + Clone>(seats: &DashMap<K, Vec<Arc<Seat>>>, key: &K, seat: &Seat) {
    let emptied = match seats.get_mut(key) {
        Some(mut seats) => {
            if let Ok(at) = seats.binary_search_by_key(&seat.id, |other| other.id) {
                seats.remove(at);
            }
            seats.is_empty()
        }
        None => false,
    };
    if emptied {
        seats.remove_if(key, |_, seats| seats.is_empty());
    }
}

/// The names under which a subscriber stands: its own and those above.
fn names(seat: &Seat) -> impl Iterator<Item = Name> {
    seat.name.ancestry().map(|text| Name::parse(text).expect("what is above a name is a name"))
}
