//! Messages as the connections' tasks see them: who may write one, what became of it, and what a client says that it has.
//! Not here: the switch's own table, which decides (`switch`), and the table itself (`letter`).

use crate::event::Hearer;
use crate::id::LetterId;
use crate::letter::{Change, Kept, Letter, Letters, Sender, State};
use crate::name::Name;
use crate::notify::registry::{NotPassed, Registry};
use crate::notify::seat::Seat;
use crate::policy::{Action, Reason};
use crate::switch::FromClient;
use crate::sync::{Mutex, MutexGuard};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

/// What a client wants sent.
pub struct Draft {
    /// Names the message: of chance, or what [`LetterId::of`] makes of a word of the client's own.
    pub id: DraftId,
    /// Whom it is for: a name, or a number with its `+`.
    pub to: Name,
    /// The name that the client writes under; without, its readers see its subject.
    pub from: Option<Name>,
    /// What it says.
    pub text: Box<str>,
}

/// How a message is to be named.
pub enum DraftId {
    /// So.
    Fresh(LetterId),
    /// By the client's own word: the same word again is the same message.
    Own(String),
}

/// Why a message is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotSent {
    /// The credential, or policy, says no.
    Refused(Reason),
    /// There is no room for it.
    Full,
}

/// The switch's table once more. Written by the switch thread, read by the connections' tasks.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Letters>);

impl Shelf {
    /// A poisoned lock is as good as any: no code between lock and unlock can leave the table half changed.
    pub(super) fn lock(&self) -> MutexGuard<'_, Letters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Hands a message to the switch, for the bearer of a JWT.
    pub fn send_letter(&self, jwt: &[u8], source: Option<IpAddr>, draft: Draft) -> Result<LetterId, NotSent> {
        let now = self.clock.now();
        let claims = self.announcer.identify(now, jwt).map_err(NotSent::Refused)?;
        let may = |action, name| self.announcer.may(now, action, Hearer { name, claims: &claims, source });
        may(Action::Message, &draft.to).map_err(NotSent::Refused)?;
        draft.from.as_ref().map_or(Ok(()), |from| may(Action::Receive, from)).map_err(NotSent::Refused)?;
        let id = match &draft.id {
            DraftId::Fresh(id) => *id,
            DraftId::Own(word) => LetterId::of(claims.subject(), word),
        };
        let (sender, at) = (Sender::Client(claims.subject_hash()), now.wall);
        let shelf = self.letters.lock();
        if shelf.get(id).is_some() {
            return Ok(id);
        }
        shelf.room(&draft.to, &sender).map_err(|_| NotSent::Full)?;
        drop(shelf);
        let from = draft.from.as_ref().map_or(claims.subject(), Name::as_str).into();
        let letter = Letter { id, name: draft.to, from, sender, text: draft.text, at, leaves: false };
        self.say(FromClient::Letter(Box::new(letter))).map_err(|_| NotSent::Full)?;
        Ok(id)
    }

    /// What became of a message, for its sender; `None` for one that is nobody's, somebody else's, or forgotten.
    pub fn letter_status(&self, jwt: &[u8], id: LetterId) -> Result<Option<Change>, Reason> {
        let claims = self.announcer.identify(self.clock.now(), jwt)?;
        let sender = Sender::Client(claims.subject_hash());
        Ok(self.letters.lock().get(id).filter(|kept| kept.letter.sender == sender).map(change))
    }

    /// A client says that it has a message that it was told of, or that somebody has read it.
    pub(super) fn receipt(&self, seat: &Seat, id: LetterId, state: State) -> Result<(), NotPassed> {
        let shelf = self.letters.lock();
        let kept = shelf.get(id).filter(|kept| kept.letter.name.reaches(&seat.name) && !kept.letter.leaves);
        let may_become = kept.ok_or(NotPassed::UnknownMessage)?.state.may_become(state);
        drop(shelf);
        // Said before, by this client or by another.
        if !may_become {
            return Ok(());
        }
        self.say(FromClient::Receipt { letter: id, state })
    }

    /// A message was handed to a channel: the first one counts.
    pub(super) fn handed_over(&self, id: LetterId) {
        let is_first = self.letters.lock().get(id).is_some_and(|kept| kept.state == State::Accepted);
        if is_first {
            // Whoever has it may say so; a word that is lost here is said by that.
            let _ = self.say(FromClient::Receipt { letter: id, state: State::Sent });
        }
    }
}

/// What is known of a message, as its sender is told.
pub(super) fn change(kept: &Kept) -> Change {
    let Letter { id, sender, name, .. } = Letter::clone(&kept.letter);
    Change { id, sender, name, state: kept.state, at: kept.at }
}

/// A message with the number of its notice.
pub(super) type Numbered = (u64, Arc<Letter>);
