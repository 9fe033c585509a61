//! The messages that are kept, by their names and senders: what waits for a client that comes, and what became of what somebody sent.
//! The switch has one, and the connections' tasks another that is told the same in the same order, so that both forget the same.
//! Not here: when a message has waited long enough (`switch`).

use super::{Change, Letter, Sender, State};
use crate::id::LetterId;
use crate::limits;
use crate::name::Name;
use crate::time::{Instant, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All of them. The oldest that nobody waits for makes room for a new one.
#[derive(Default)]
pub struct Letters {
    kept: BTreeMap<LetterId, Kept>,
    /// The number of each one's notice and its id, in the order in which they came.
    order: BTreeMap<u64, LetterId>,
    by_name: BTreeMap<Name, BTreeSet<u64>>,
    by_sender: BTreeMap<Sender, BTreeSet<u64>>,
    /// How many nobody has taken, in all, by name and by sender.
    untaken: usize,
    untaken_of: BTreeMap<Name, usize>,
    untaken_by: BTreeMap<Sender, usize>,
    /// The newest notice of one that is not kept any more.
    forgotten: u64,
}

/// A message and what became of it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The message.
    pub letter: Arc<Letter>,
    /// The number of its notice.
    pub sequence: u64,
    /// What became of it.
    pub state: State,
    /// The number of the notice that said so last.
    pub changed: u64,
    /// When that was.
    pub at: Wall,
    /// When it came here.
    pub came: Instant,
}

/// There is no room for another message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl Letters {
    /// Whether there is room for one more to this name by this sender. Asked where a message comes in, before it is promised to anybody.
    pub fn room(&self, name: &Name, sender: &Sender) -> Result<(), Full> {
        let of = self.untaken_of.get(name).copied().unwrap_or(0);
        let by = self.untaken_by.get(sender).copied().unwrap_or(0);
        let is_full = self.untaken >= limits::MESSAGES_KEPT_MAX
            || of >= limits::MESSAGES_PER_NAME_MAX
            || by >= limits::MESSAGES_PER_SENDER_MAX;
        if is_full { Err(Full) } else { Ok(()) }
    }

    /// One more, the notice of that number. One that is there already stays as it is.
    pub fn add(&mut self, now: Instant, letter: Arc<Letter>, sequence: u64) {
        if self.kept.contains_key(&letter.id) {
            return;
        }
        if self.kept.len() >= limits::MESSAGES_KEPT_MAX {
            self.make_room();
        }
        self.order.insert(sequence, letter.id);
        self.by_name.entry(letter.name.clone()).or_default().insert(sequence);
        self.by_sender.entry(letter.sender.clone()).or_default().insert(sequence);
        self.count(&letter, true);
        let (state, id, at) = (State::Accepted, letter.id, letter.at);
        self.kept.insert(id, Kept { letter, sequence, state, changed: sequence, at, came: now });
    }

    /// One of them.
    pub fn get(&self, id: LetterId) -> Option<&Kept> {
        self.kept.get(&id)
    }

    /// The oldest that came after that notice.
    pub fn after(&self, sequence: u64) -> Option<&Kept> {
        let (_, id) = self.order.range(sequence.saturating_add(1)..).next()?;
        self.kept.get(id)
    }

    /// What became of one, the notice of that number.
    pub fn advance(&mut self, change: &Change, sequence: u64) {
        let Change { id, state, at, .. } = *change;
        let Some(kept) = self.kept.get_mut(&id).filter(|kept| kept.state.may_become(state)) else { return };
        let was = std::mem::replace(&mut kept.state, state);
        (kept.changed, kept.at) = (sequence, at);
        if was == State::Accepted {
            let letter = Arc::clone(&kept.letter);
            self.count(&letter, false);
        }
    }

    /// Forgets one.
    pub fn remove(&mut self, id: LetterId) {
        let Some(kept) = self.kept.remove(&id) else { return };
        let Kept { letter, sequence, state, .. } = kept;
        self.order.remove(&sequence);
        take(&mut self.by_name, &letter.name, sequence);
        take(&mut self.by_sender, &letter.sender, sequence);
        if state == State::Accepted {
            self.count(&letter, false);
        }
        self.forgotten = self.forgotten.max(sequence);
    }

    /// What no client has said that it has, for a client of this name: the notice's number and the message, the oldest first.
    pub fn waiting_for(&self, client: &Name) -> Vec<(u64, Arc<Letter>)> {
        self.reaching(client, 0).filter(|kept| kept.state.is_open()).map(of).collect()
    }

    /// What came after that notice for a client of this name; `None` if something may be forgotten.
    pub fn since(&self, last: u64, client: &Name) -> Option<Vec<(u64, Arc<Letter>)>> {
        (last >= self.forgotten).then(|| self.reaching(client, last).map(of).collect())
    }

    /// What became after that notice of what somebody sent.
    pub fn changed_since<'l>(&'l self, last: u64, sender: &Sender) -> impl Iterator<Item = &'l Kept> {
        let sent = self.by_sender.get(sender).into_iter().flatten();
        let sent = sent.filter_map(|sequence| self.kept.get(self.order.get(sequence)?));
        sent.filter(move |kept| kept.changed > last && kept.changed != kept.sequence)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Those that reach a client of this name and came after that notice, the oldest first.
    fn reaching(&self, client: &Name, last: u64) -> impl Iterator<Item = &Kept> {
        let names = client.ancestry().filter_map(|name| self.by_name.get(name));
        let mut found: Vec<u64> = names.flat_map(|of| of.range(last.saturating_add(1)..)).copied().collect();
        found.sort_unstable();
        let kept = found.into_iter().filter_map(|sequence| self.kept.get(self.order.get(&sequence)?));
        kept.filter(|kept| !kept.letter.leaves)
    }

    /// The oldest goes that somebody has taken; if there is none, the oldest of all.
    fn make_room(&mut self) {
        let is_taken = |id: &&LetterId| self.kept.get(id).is_some_and(|kept| kept.state != State::Accepted);
        let found = self.order.values().find(is_taken).or(self.order.values().next()).copied();
        found.into_iter().for_each(|id| self.remove(id));
    }

    fn count(&mut self, letter: &Letter, is_more: bool) {
        self.untaken = stepped(self.untaken, is_more);
        count(&mut self.untaken_of, &letter.name, is_more);
        count(&mut self.untaken_by, &letter.sender, is_more);
    }
}

/// Counts one more or one less; nothing is kept of nothing.
fn count<K: Ord + Clone>(counts: &mut BTreeMap<K, usize>, key: &K, is_more: bool) {
    let count = counts.entry(key.clone()).or_default();
    *count = stepped(*count, is_more);
    if *count == 0 {
        counts.remove(key);
    }
}

fn stepped(count: usize, is_more: bool) -> usize {
    if is_more { count + 1 } else { count.saturating_sub(1) }
}

fn of(kept: &Kept) -> (u64, Arc<Letter>) {
    (kept.sequence, Arc::clone(&kept.letter))
}

fn take<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, sequence: u64) {
    let is_empty = sets.get_mut(key).is_some_and(|set| set.remove(&sequence) && set.is_empty());
    if is_empty {
        sets.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;
    use crate::token::SubjectHash;

    fn sender(number: usize) -> Sender {
        Sender::Client(SubjectHash::of(&number.to_string()))
    }

    fn letter(id: usize, name: &str, from: usize) -> Arc<Letter> {
        let (id, name) = (LetterId(id.try_into().unwrap()), Name::parse(name).unwrap());
        let (from, sender) = (from.to_string().into(), sender(from));
        Arc::new(Letter { id, name, from, sender, text: "hi".into(), at: Wall(0), leaves: false })
    }

    fn ids(found: Vec<(u64, Arc<Letter>)>) -> Vec<u128> {
        found.iter().map(|(_, letter)| letter.id.0).collect()
    }

    fn advance(letters: &mut Letters, id: LetterId, state: State, sequence: u64) {
        let (sender, name) = (sender(0), name("any"));
        letters.advance(&Change { id, sender, name, state, at: Wall(0) }, sequence);
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_client_finds_what_nobody_has_yet_and_one_that_comes_back_what_it_missed() {
        let mut letters = Letters::default();
        for (id, to, sequence) in [(1, "foo", 10), (2, "foo/web", 11), (3, "foobar", 12), (4, "foo", 13)] {
            letters.add(Instant(0), letter(id, to, 1), sequence);
        }
        letters.add(Instant(0), Arc::new(Letter { leaves: true, ..Letter::clone(&letter(5, "foo", 1)) }), 14);
        assert_eq!(ids(letters.waiting_for(&name("foo/web"))), [1, 2, 4]);
        assert_eq!(ids(letters.waiting_for(&name("foo"))), [1, 4]);
        advance(&mut letters, LetterId(1), State::Delivered, 15);
        advance(&mut letters, LetterId(4), State::Sent, 16);
        assert_eq!(
            ids(letters.waiting_for(&name("foo"))),
            [4],
            "a channel took it, and no client has said that it has it"
        );
        assert_eq!(letters.since(9, &name("foo")).map(ids), Some(vec![1, 4]));
        assert_eq!(letters.since(10, &name("foo/web")).map(ids), Some(vec![2, 4]));
        letters.remove(LetterId(1));
        assert_eq!(letters.since(9, &name("foo")).map(ids), None, "one is forgotten");
        assert_eq!(letters.since(10, &name("foo")).map(ids), Some(vec![4]));
    }

    #[test]
    fn a_sender_finds_what_became_of_its_own_since_it_left() {
        let mut letters = Letters::default();
        letters.add(Instant(0), letter(1, "foo", 1), 1);
        letters.add(Instant(0), letter(2, "foo", 2), 2);
        letters.add(Instant(0), letter(3, "foo", 1), 3);
        advance(&mut letters, LetterId(1), State::Sent, 4);
        advance(&mut letters, LetterId(2), State::Sent, 5);
        advance(&mut letters, LetterId(1), State::Delivered, 6);
        advance(&mut letters, LetterId(1), State::Sent, 7);
        let own = sender(1);
        let changed = |last| {
            let changed = letters.changed_since(last, &own).map(|kept| (kept.letter.id.0, kept.state));
            changed.collect::<Vec<_>>()
        };
        assert_eq!(changed(0), [(1, State::Delivered)]);
        assert_eq!(changed(6), []);
    }

    #[test]
    fn there_is_room_for_so_many_of_a_name_and_of_a_sender_that_nobody_took() {
        let mut letters = Letters::default();
        for id in 0..limits::MESSAGES_PER_NAME_MAX {
            assert_eq!(letters.room(&name("foo"), &sender(id)), Ok(()));
            letters.add(Instant(0), letter(id, "foo", id), id.try_into().unwrap());
        }
        assert_eq!(letters.room(&name("foo"), &sender(0)), Err(Full));
        assert_eq!(letters.room(&name("bar"), &sender(0)), Ok(()));
        advance(&mut letters, LetterId(0), State::Sent, 1_000);
        letters.remove(LetterId(1));
        assert_eq!(
            (letters.untaken, letters.room(&name("foo"), &sender(0))),
            (limits::MESSAGES_PER_NAME_MAX - 2, Ok(()))
        );
        let mut letters = Letters::default();
        for id in 0..limits::MESSAGES_PER_SENDER_MAX {
            assert_eq!(letters.room(&name("foo"), &sender(0)), Ok(()));
            letters.add(Instant(0), letter(id, &format!("n{id}"), 0), id.try_into().unwrap());
        }
        assert_eq!(letters.room(&name("foo"), &sender(0)), Err(Full));
        assert_eq!(letters.room(&name("foo"), &sender(1)), Ok(()));
    }

    #[test]
    fn the_oldest_that_somebody_took_makes_room_and_nothing_is_left_of_what_is_gone() {
        let mut letters = Letters::default();
        for id in 0..limits::MESSAGES_KEPT_MAX {
            letters.add(Instant(0), letter(id, &format!("n{id}"), id), id.try_into().unwrap());
        }
        assert_eq!(letters.room(&name("foo"), &sender(0)), Err(Full));
        advance(&mut letters, LetterId(7), State::Failed(Failure::Nobody), 100_000);
        letters.add(Instant(0), letter(99_999, "foo", 1), 100_001);
        assert!(letters.get(LetterId(7)).is_none() && letters.get(LetterId(0)).is_some());
        letters.add(Instant(0), letter(99_998, "foo", 1), 100_002);
        assert!(letters.get(LetterId(0)).is_none(), "none was taken");
        let all: Vec<LetterId> = letters.order.values().copied().collect();
        all.into_iter().for_each(|id| letters.remove(id));
        let left =
            letters.by_name.len() + letters.by_sender.len() + letters.untaken_of.len() + letters.untaken_by.len();
        assert_eq!((letters.len(), letters.untaken, left), (0, 0, 0));
    }
}
