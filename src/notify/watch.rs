//! Presence as the registry has it: every channel counts as a client of its name, so does every telephone, and subscriptions may watch names.
//! The fan-out task alone tells watchers, so what they hear of one name is in order, and nobody who comes or goes waits for it.
//! Not here: when something is news (`presence`).

use crate::event::{self, Hearer};
use crate::limits;
use crate::name::Name;
use crate::notify::registry::Registry;
use crate::notify::seat::{Parcel, Seat, Seen};
use crate::policy::{Action, MediaKinds, Reason};
use crate::presence::{Board, Snapshot};
use crate::sync::tokio;
use crate::sync::tokio::sync::Notify;
use crate::sync::{Mutex, MutexGuard};
use crate::time::{Instant, Now};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

/// Why names are not watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotWatched {
    /// Policy says no to one of them.
    Refused(Reason),
    /// There is no room.
    Full,
}

/// Who is there. Written by whoever comes and goes, read by the fan-out task.
#[derive(Default)]
pub(super) struct Presence {
    board: Mutex<Board<Arc<Seat>>>,
    /// Wakes the fan-out task: there is something to tell, now or later.
    wake: Notify,
}

impl Presence {
    /// A poisoned lock is as good as any: no code between lock and unlock can leave the board half changed.
    fn lock(&self) -> MutexGuard<'_, Board<Arc<Seat>>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, step: impl FnOnce(&mut Board<Arc<Seat>>)) {
        let mut board = self.lock();
        let before = board.poll_timeout();
        step(&mut board);
        let is_news = board.poll_timeout() != before;
        drop(board);
        if is_news {
            self.wake.notify_one();
        }
    }

    pub(super) fn enter(&self, now: Instant, name: &Name, media: MediaKinds) {
        self.change(|board| board.enter(now, name, media));
    }

    pub(super) fn leave(&self, now: Instant, name: &Name, media: MediaKinds) {
        self.change(|board| board.leave(now, name, media));
    }

    pub(super) fn telephones(&self, now: Instant, name: &Name, count: u32) {
        self.change(|board| board.telephones(now, name, count));
    }

    pub(super) fn unwatch(&self, seat: &Arc<Seat>, names: &[Name]) {
        if !names.is_empty() {
            self.change(|board| names.iter().for_each(|name| board.unwatch(name, seat)));
        }
    }
}

impl Registry {
    /// Returns when there may be something to tell.
    pub(super) async fn presence_due(&self) {
        loop {
            let due = self.presence.lock().poll_timeout();
            let left = due.map(|due| due - self.clock.now().at);
            match left {
                Some(left) if left.is_zero() => return,
                Some(left) => tokio::select! {
                    () = tokio::time::sleep(left) => return,
                    () = self.presence.wake.notified() => {}
                },
                None => self.presence.wake.notified().await,
            }
        }
    }

    /// Tells all who watch what has changed.
    pub(super) fn tell_presence(&self) -> u64 {
        let now = self.clock.now();
        let mut slow = 0;
        loop {
            let Some(news) = self.presence.lock().poll_news(now.at) else { return slow };
            let parcel = seen(now, &news.name, &news.snapshot);
            slow += news.watchers.iter().map(|seat| u64::from(seat.push(parcel.clone()))).sum::<u64>();
        }
    }

    /// Lets a subscriber watch these names; how they are now, for it to be told.
    pub(super) fn watch(&self, seat: &Arc<Seat>, names: &[Name]) -> Result<Vec<Parcel>, NotWatched> {
        let (now, claims) = (self.clock.now(), seat.claims());
        for name in names {
            let hearer = Hearer { name, claims: &claims, source: seat.source };
            self.announcer.may(now, Action::Presence, hearer).map_err(NotWatched::Refused)?;
        }
        let mut board = self.presence.lock();
        let mut told = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match board.watch(name, Arc::clone(seat)) {
                Ok(snapshot) => told.push(seen(now, name, &snapshot)),
                Err(_) => {
                    names.iter().take(at).for_each(|name| board.unwatch(name, seat));
                    return Err(NotWatched::Full);
                }
            }
        }
        Ok(told)
    }

    /// Who is there under a name now, as a document, for the bearer of a JWT.
    pub fn presence(&self, jwt: &[u8], source: Option<IpAddr>, name: &Name) -> Result<String, Reason> {
        let now = self.clock.now();
        let claims = self.announcer.identify(now, jwt)?;
        self.announcer.may(now, Action::Presence, Hearer { name, claims: &claims, source })?;
        Ok(event::presence(name, &self.presence.lock().look(name), now.wall))
    }
}

/// The names in a query, if they are such and not too many.
pub fn contacts(text: &str) -> Option<Vec<Name>> {
    let mut names = text.split(',').map(|name| Name::parse(name).ok()).collect::<Option<Vec<_>>>()?;
    names.sort_unstable();
    names.dedup();
    (names.len() <= limits::PRESENCE_CONTACTS_MAX).then_some(names)
}

fn seen(now: Now, name: &Name, snapshot: &Snapshot) -> Parcel {
    let text = event::presence(name, snapshot, now.wall).into();
    Parcel::Presence(Arc::new(Seen { name: name.clone(), text }))
}
