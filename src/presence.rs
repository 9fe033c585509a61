//! Who is there: how many clients are reached under each name, and when those who watch a name are to be told. A client that is away for a
//! moment is not gone: only that somebody comes where nobody was is told at once, all else when it has stood for a while.
//! Not here: clocks, who may watch what (`policy`), and how watchers are told (`notify`).

use crate::limits;
use crate::name::Name;
use crate::policy::MediaKinds;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// What a watcher is told of a name.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Snapshot {
    /// How many clients are reached by what is for the name: its own and those of the names below it.
    pub clients: u32,
    /// Where they are, by name; the first [`limits::PRESENCE_SCOPES_MAX`].
    pub scopes: Vec<Scope>,
    /// What one or another of those on channels may use; of telephones it is not known.
    pub media: MediaKinds,
}

/// The clients of one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// The name.
    pub name: Name,
    /// Clients on channels.
    pub channels: u32,
    /// Clients over SIP.
    pub telephones: u32,
}

/// Something to tell to all who watch a name.
pub struct News<W> {
    /// The name.
    pub name: Name,
    /// How it is now.
    pub snapshot: Snapshot,
    /// Those who watch it.
    pub watchers: Vec<W>,
}

/// There is no room for another watcher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// All names under which somebody is there, and all that are watched. `W` names a watcher.
pub struct Board<W> {
    here: BTreeMap<Name, Here>,
    watched: BTreeMap<Name, Watched<W>>,
    due: BTreeSet<(Instant, Name)>,
    watches: usize,
}

/// Who is there under one name.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Here {
    channels: u32,
    telephones: u32,
    /// How many of those on channels may use each kind of media, in the order of [`MediaKinds::WORDS`].
    media: [u32; MediaKinds::WORDS.len()],
}

struct Watched<W> {
    watchers: Vec<W>,
    /// What they know.
    told: Snapshot,
    /// How many clients there are now.
    clients: u32,
    due: Option<Instant>,
}

impl<W> Default for Board<W> {
    fn default() -> Board<W> {
        Board { here: BTreeMap::new(), watched: BTreeMap::new(), due: BTreeSet::new(), watches: 0 }
    }
}

impl<W: Clone + PartialEq> Board<W> {
    /// A client opens a channel, and may use these media.
    pub fn enter(&mut self, now: Instant, name: &Name, media: MediaKinds) {
        self.change(now, name, |here| {
            here.channels += 1;
            here.count(media, |count| count + 1);
        });
    }

    /// It is closed.
    pub fn leave(&mut self, now: Instant, name: &Name, media: MediaKinds) {
        self.change(now, name, |here| {
            here.channels = here.channels.saturating_sub(1);
            here.count(media, |count| count.saturating_sub(1));
        });
    }

    /// So many clients are reached over SIP under this name.
    pub fn telephones(&mut self, now: Instant, name: &Name, telephones: u32) {
        self.change(now, name, |here| here.telephones = telephones);
    }

    /// Somebody wants to know who is there under a name, and is told how it is.
    pub fn watch(&mut self, name: &Name, watcher: W) -> Result<Snapshot, Full> {
        if self.watches >= limits::PRESENCE_WATCHES_MAX {
            return Err(Full);
        }
        self.watches += 1;
        if !self.watched.contains_key(name) {
            let told = self.look(name);
            let (clients, watchers, due) = (told.clients, Vec::new(), None);
            self.watched.insert(name.clone(), Watched { watchers, told, clients, due });
        }
        let Some(watched) = self.watched.get_mut(name) else { return Err(Full) };
        watched.watchers.push(watcher);
        Ok(watched.told.clone())
    }

    /// And does not any more.
    pub fn unwatch(&mut self, name: &Name, watcher: &W) {
        let Some(watched) = self.watched.get_mut(name) else { return };
        let Some(at) = watched.watchers.iter().position(|one| one == watcher) else { return };
        watched.watchers.swap_remove(at);
        self.watches -= 1;
        if watched.watchers.is_empty() {
            let due = watched.due;
            self.watched.remove(name);
            due.into_iter().for_each(|due| _ = self.due.remove(&(due, name.clone())));
        }
    }

    /// Who is there under a name now.
    pub fn look(&self, name: &Name) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, here) in self.under(name) {
            snapshot.clients = snapshot.clients.saturating_add(here.clients());
            snapshot.media = snapshot.media | here.may_use();
            if snapshot.scopes.len() < limits::PRESENCE_SCOPES_MAX {
                let Here { channels, telephones, .. } = *here;
                snapshot.scopes.push(Scope { name: name.clone(), channels, telephones });
            }
        }
        snapshot
    }

    /// What has to be told by now, one after the other.
    pub fn poll_news(&mut self, now: Instant) -> Option<News<W>> {
        while let Some((due, name)) = self.due.first().filter(|(due, _)| *due <= now).cloned() {
            self.due.remove(&(due, name.clone()));
            let snapshot = self.look(&name);
            let Some(watched) = self.watched.get_mut(&name) else { continue };
            watched.due = None;
            // Whoever left has come back.
            if watched.told == snapshot {
                continue;
            }
            watched.told = snapshot.clone();
            return Some(News { watchers: watched.watchers.clone(), name, snapshot });
        }
        None
    }

    /// When to ask for it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn change(&mut self, now: Instant, name: &Name, step: impl FnOnce(&mut Here)) {
        let here = self.here.entry(name.clone()).or_default();
        let before = here.clients();
        step(here);
        let after = here.clients();
        if *here == Here::default() {
            self.here.remove(name);
        }
        for above in name.ancestry() {
            let Some(watched) = self.watched.get_mut(above) else { continue };
            watched.clients = (watched.clients + after).saturating_sub(before);
            let is_first = watched.told.clients == 0 && watched.clients > 0;
            let due = if is_first { now } else { now + limits::PRESENCE_SETTLE };
            // What waits already waits no longer for what comes after it.
            if watched.due.is_none_or(|earlier| due < earlier)
                && let Ok(name) = Name::parse(above)
            {
                watched.due.replace(due).into_iter().for_each(|old| _ = self.due.remove(&(old, name.clone())));
                self.due.insert((due, name));
            }
        }
    }

    /// The names that what is for `name` reaches, with who is there.
    fn under(&self, name: &Name) -> impl Iterator<Item = (&Name, &Here)> {
        // `0` is the byte after `/`: names between the two begin with the name and a slash.
        let (first, behind) = (format!("{name}/"), format!("{name}0"));
        let below = self.here.range::<str, _>((Bound::Included(first.as_str()), Bound::Excluded(behind.as_str())));
        self.here.get_key_value(name).into_iter().chain(below)
    }
}

impl Here {
    fn clients(&self) -> u32 {
        self.channels.saturating_add(self.telephones)
    }

    fn count(&mut self, media: MediaKinds, step: impl Fn(u32) -> u32) {
        let counted = self.media.iter_mut().zip(MediaKinds::WORDS);
        counted.filter(|(_, (_, kind))| media.covers(*kind)).for_each(|(count, _)| *count = step(*count));
    }

    fn may_use(&self) -> MediaKinds {
        let counted = self.media.iter().zip(MediaKinds::WORDS);
        counted.filter(|(count, _)| **count > 0).map(|(_, (_, kind))| kind).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const SETTLE: Duration = limits::PRESENCE_SETTLE;
    const AUDIO: MediaKinds = MediaKinds::AUDIO;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// Name, clients, and how many hear of it.
    fn news(board: &mut Board<u32>, now: Instant) -> Vec<(String, u32, usize)> {
        let news = std::iter::from_fn(|| board.poll_news(now));
        news.map(|news| (news.name.to_string(), news.snapshot.clients, news.watchers.len())).collect()
    }

    #[test]
    fn who_comes_first_is_told_at_once_and_who_leaves_when_he_has_stayed_away() {
        let (mut board, start) = (Board::default(), Instant(7));
        assert_eq!(board.watch(&name("foo"), 1).unwrap(), Snapshot::default());
        board.enter(start, &name("foo/web"), AUDIO);
        board.enter(start, &name("foobar"), AUDIO);
        assert_eq!(board.poll_timeout(), Some(start));
        assert_eq!(news(&mut board, start), [("foo".into(), 1, 1)]);
        board.leave(start, &name("foo/web"), AUDIO);
        assert_eq!((news(&mut board, start), board.poll_timeout()), (vec![], Some(start + SETTLE)));
        assert_eq!(news(&mut board, start + SETTLE), [("foo".into(), 0, 1)]);
        assert_eq!(board.poll_timeout(), None);
    }

    #[test]
    fn a_client_that_comes_back_in_time_is_no_news() {
        let (mut board, start) = (Board::default(), Instant(0));
        board.enter(start, &name("foo"), AUDIO);
        assert_eq!(board.watch(&name("foo"), 1).unwrap().clients, 1);
        for second in 1..60 {
            let now = start + Duration::from_secs(second);
            board.leave(now, &name("foo"), AUDIO);
            board.enter(now + Duration::from_millis(900), &name("foo"), AUDIO);
            assert_eq!(news(&mut board, now + Duration::from_millis(900)), []);
        }
        // Another client beside it is, after a while; and one that only moved to another name.
        let now = start + Duration::from_secs(100);
        assert_eq!(news(&mut board, now), []);
        board.telephones(now, &name("foo/desk"), 1);
        assert_eq!(news(&mut board, now + SETTLE), [("foo".into(), 2, 1)]);
        board.leave(now + SETTLE, &name("foo"), AUDIO);
        board.enter(now + SETTLE, &name("foo/web"), AUDIO);
        assert_eq!(news(&mut board, now + 2 * SETTLE), [("foo".into(), 2, 1)]);
    }

    #[test]
    fn a_snapshot_has_the_names_below_and_what_their_clients_may_use() {
        let (mut board, now) = (Board::<u32>::default(), Instant(0));
        board.enter(now, &name("foo"), AUDIO);
        board.enter(now, &name("foo/web"), AUDIO | MediaKinds::VIDEO);
        board.telephones(now, &name("foo/desk"), 2);
        board.telephones(now, &name("foobar"), 2);
        let seen = board.look(&name("foo"));
        let scopes: Vec<_> = seen.scopes.iter().map(|at| (at.name.as_str(), at.channels, at.telephones)).collect();
        assert_eq!(scopes, [("foo", 1, 0), ("foo/desk", 0, 2), ("foo/web", 1, 0)]);
        assert_eq!((seen.clients, seen.media), (4, AUDIO | MediaKinds::VIDEO));
        assert_eq!(board.look(&name("foo/web/1")), Snapshot::default());
        board.leave(now, &name("foo/web"), AUDIO | MediaKinds::VIDEO);
        assert_eq!(board.look(&name("foo")).media, AUDIO);
        for at in 0..2 * limits::PRESENCE_SCOPES_MAX {
            board.enter(now, &name(&format!("foo/{at}")), AUDIO);
        }
        let seen = board.look(&name("foo"));
        assert_eq!((seen.clients, seen.scopes.len()), (35, limits::PRESENCE_SCOPES_MAX));
    }

    #[test]
    fn each_who_watches_is_told_as_long_as_he_watches_and_nothing_is_left_of_who_is_gone() {
        let (mut board, now) = (Board::default(), Instant(0));
        board.watch(&name("foo"), 1).unwrap();
        board.watch(&name("foo"), 2).unwrap();
        board.watch(&name("foo/web"), 2).unwrap();
        board.enter(now, &name("foo/web"), AUDIO);
        assert_eq!(news(&mut board, now), [("foo".into(), 1, 2), ("foo/web".into(), 1, 1)]);
        board.leave(now, &name("foo/web"), AUDIO);
        board.unwatch(&name("foo"), &1);
        board.unwatch(&name("foo"), &1);
        board.unwatch(&name("foo/web"), &2);
        assert_eq!(news(&mut board, now + SETTLE), [("foo".into(), 0, 1)]);
        board.unwatch(&name("foo"), &2);
        assert!(board.here.is_empty() && board.watched.is_empty() && board.due.is_empty() && board.watches == 0);
    }

    #[test]
    fn there_is_room_for_so_many_watchers() {
        let mut board = Board { watches: limits::PRESENCE_WATCHES_MAX - 1, ..Board::default() };
        assert!(board.watch(&name("foo"), 1).is_ok());
        assert_eq!(board.watch(&name("foo"), 2), Err(Full));
    }
}
