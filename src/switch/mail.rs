//! What becomes of messages: they are announced to whoever is there for their name, wait for those who are not, and their senders hear of it.
//! Not here: who may write (`message` for SIP, `http` for the others), the way to a number (`outgoing`), and how clients over SIP are
//! told (`tell`).

use super::{Effect, FromClient, Switch};
use crate::call::Notice;
use crate::id::LetterId;
use crate::letter::{Change, Failure, Kept, Letter, Letters, State};
use crate::limits;
use crate::time::{Instant, Now};
use std::sync::Arc;

/// The messages that are kept.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) letters: Letters,
    /// The number of the notice up to which messages have waited long enough.
    waited: u64,
}

impl Mail {
    /// When [`Switch::handle_mail_due`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waits = self.letters.after(self.waited).map(|kept| kept.came + limits::MESSAGE_WAIT_MAX);
        let is_kept = self.letters.after(0).map(|kept| kept.came + limits::MESSAGE_KEPT_MAX);
        waits.into_iter().chain(is_kept).min()
    }
}

impl Switch {
    /// A client on a channel has something to say.
    pub(super) fn handle_from_client(&mut self, now: Now, word: FromClient) {
        match word {
            FromClient::Call(message) => self.handle_client(now, message),
            FromClient::Letter(letter) => self.post(now, *letter),
            FromClient::Receipt { letter, state } => self.advance(now, letter, state),
        }
    }

    /// A message that may be sent. One that came before is the same one.
    pub(super) fn post(&mut self, now: Now, mut letter: Letter) {
        if self.mail.letters.get(letter.id).is_some() {
            return;
        }
        letter.leaves = letter.name.is_number() && self.trunks.takes_messages();
        tracing::debug!(message = %letter.id, name = %letter.name, leaves = letter.leaves, "a message");
        self.stats.messages.note(State::Accepted.as_str());
        let letter = Arc::new(letter);
        self.announce(now, Notice::Letter(Arc::clone(&letter)));
        if letter.leaves {
            self.send_away(now, &letter);
        }
    }

    /// More is known of a message, unless that was known before.
    pub(super) fn advance(&mut self, now: Now, id: LetterId, state: State) {
        let Some(kept) = self.mail.letters.get(id).filter(|kept| kept.state.may_become(state)) else { return };
        self.stats.messages.note(state.as_str());
        let (sender, name) = (kept.letter.sender.clone(), kept.letter.name.clone());
        self.announce(now, Notice::Changed(Box::new(Change { id, sender, name, state, at: now.wall })));
    }

    /// Messages that nobody came for are given up, and those that are old are forgotten.
    pub(super) fn handle_mail_due(&mut self, now: Now) {
        let over = |kept: Option<&Kept>, after| {
            kept.filter(|kept| kept.came + after <= now.at).map(|kept| (kept.sequence, kept.letter.id, kept.state))
        };
        while let Some((sequence, id, state)) =
            over(self.mail.letters.after(self.mail.waited), limits::MESSAGE_WAIT_MAX)
        {
            self.mail.waited = sequence;
            if state == State::Accepted {
                self.advance(now, id, State::Failed(Failure::Nobody));
            }
        }
        while let Some((_, id, _)) = over(self.mail.letters.after(0), limits::MESSAGE_KEPT_MAX) {
            self.announce(now, Notice::Forgotten(id));
        }
    }

    /// Tells whoever is to hear of it, over SIP here and over channels by the shell.
    pub(super) fn announce(&mut self, now: Now, notice: Notice) {
        self.tell(now, &notice);
        self.effects.push_back(Effect::Notify(notice));
    }
}
