//! One client that is reached over SIP: who it is, over which path, until when, and what it has to be told.
//! Not here: finding it (`registrar`), and writing what it is told (`event`).

use super::{Order, Vector, Wanted};
use crate::call::{Gone, Personal};
use crate::id::{BindingId, CallId};
use crate::letter::Letter;
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::name::Name;
use crate::policy::Who;
use crate::sip::Path;
use crate::sip::endpoint::ClientId;
use crate::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// A contact or a subscription.
#[derive(Debug)]
pub struct Binding {
    /// Names it, and nothing else before or after it.
    pub id: BindingId,
    /// Under which name it is reached.
    pub name: Name,
    /// Who made it.
    pub who: Who,
    /// The way to it, which is the way it came (RFC 5626 §5.3).
    pub path: Path,
    /// When it ends.
    pub expires: Instant,
    /// What it is.
    pub kind: Kind,
    parcels: VecDeque<Parcel>,
    /// The request that it was sent last and that has no answer yet, and what is in it: one at a time (RFC 3428 §8).
    sending: Option<(ClientId, Parcel)>,
    /// Whether its turn to be told something will come by itself.
    pub queued: bool,
}

/// What a binding is.
#[derive(Debug)]
pub enum Kind {
    /// It registered; it is told by MESSAGE.
    Contact(Contact),
    /// It subscribed; it is told by NOTIFY in the dialog.
    Subscription(Box<Dialog>),
}

/// A registered contact.
#[derive(Debug)]
pub struct Contact {
    /// Its URI, for requests to it.
    pub uri: String,
    /// The proxies that requests to it go by.
    pub vector: Vector,
    /// Preference in thousandths (RFC 3261 §20.10).
    pub q: u16,
    /// `+sip.instance` with its quotes (RFC 5626 §4.1).
    pub instance: Option<String>,
    /// `reg-id`: which of a device's flows it is.
    pub reg_id: Option<u32>,
    /// It takes no JSON by that name, but text (RFC 3261 §21.4.13).
    pub text_only: bool,
    call_id: String,
    cseq: u32,
}

impl Contact {
    pub(super) fn new(wanted: &Wanted, order: &Order<'_>) -> Contact {
        let Wanted { uri, q, instance, reg_id, .. } = wanted.clone();
        let (text_only, vector, call_id) = (false, order.vector.clone(), order.call_id.to_owned());
        Contact { uri, vector, q, instance, reg_id, text_only, call_id, cseq: order.cseq }
    }

    /// A later request says the same contact anew; what it was found to take holds on.
    pub(super) fn renew(&mut self, newer: Contact) {
        *self = Contact { text_only: self.text_only, ..newer };
    }

    /// Whether it was made by a later request of the same registration than this, or by this one.
    pub(super) fn is_newer(&self, order: &Order<'_>) -> bool {
        self.call_id == order.call_id && self.cseq >= order.cseq
    }
}

/// The dialog of a subscription (RFC 6665 §4.4.1), from our side.
#[derive(Debug)]
pub struct Dialog {
    /// Its Call-ID.
    pub call_id: String,
    /// The value of our From, with our tag.
    pub local: String,
    /// Our tag.
    pub local_tag: String,
    /// The value of our To, which was the subscriber's From.
    pub remote: String,
    /// Its tag.
    pub remote_tag: String,
    /// The subscriber's Contact.
    pub target: String,
    /// The value of Route: its Record-Route; empty for none.
    pub route: String,
    /// The value of Event, with the `id` that the subscriber gave it.
    pub event: String,
    /// CSeq of our last NOTIFY.
    pub local_cseq: u32,
    /// CSeq of its last SUBSCRIBE.
    pub remote_cseq: u32,
}

/// What a client is yet to be told.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// How its subscription stands.
    State,
    /// A call, the notice of that number. Written only when it goes, if the call still waits then.
    Incoming {
        /// The call.
        call: CallId,
        /// The notice's number.
        sequence: u64,
    },
    /// A call's end.
    Gone {
        /// What was said of it.
        gone: Arc<Gone>,
        /// The notice's number.
        sequence: u64,
    },
    /// Something for it alone, of a call that it has or had.
    Personal {
        /// What is said.
        personal: Arc<Personal>,
        /// The notice's number.
        sequence: u64,
    },
    /// A message.
    Letter {
        /// The message.
        letter: Arc<Letter>,
        /// The notice's number.
        sequence: u64,
    },
    /// Its subscription is over, for this reason (RFC 6665 §4.2.2). The last one.
    Terminated(&'static str),
}

impl Binding {
    pub(super) fn new(id: BindingId, (name, who, path): (&Name, &Who, Path), expires: Instant, kind: Kind) -> Binding {
        let (name, who) = (name.clone(), who.clone());
        Binding { id, name, who, path, expires, kind, parcels: VecDeque::new(), sending: None, queued: false }
    }

    /// Whether a connection may be opened to where it is reached: not to a client, which only comes to us, but to the proxy before it.
    pub fn opens(&self) -> bool {
        self.contact().is_some_and(|contact| contact.vector.listens == Some(self.path.peer))
    }

    /// The contact, if it is one.
    pub fn contact(&self) -> Option<&Contact> {
        match &self.kind {
            Kind::Contact(contact) => Some(contact),
            Kind::Subscription(_) => None,
        }
    }

    /// The dialog of a subscription.
    pub fn dialog(&self) -> Option<&Dialog> {
        match &self.kind {
            Kind::Contact(_) => None,
            Kind::Subscription(dialog) => Some(dialog),
        }
    }

    /// Queues a parcel; `false` if there is no room for it. A call's end takes back what was not told of it, and is then no news.
    pub fn push(&mut self, parcel: Parcel) -> bool {
        if let Parcel::Gone { gone, .. } = &parcel {
            let waiting = self.parcels.iter().position(|kept| is_incoming(kept, gone.call));
            if let Some(at) = waiting.filter(|_| !planted(Mutant::EndOfNothing)) {
                self.parcels.remove(at);
                return true;
            }
        }
        let is_last = matches!(parcel, Parcel::Terminated(_));
        if self.parcels.len() >= limits::SUBSCRIBER_NOTICES_MAX && !is_last {
            return false;
        }
        self.parcels.push_back(parcel);
        true
    }

    /// The next parcel, if none is on its way.
    pub fn pop(&mut self) -> Option<Parcel> {
        if self.sending.is_some() && !planted(Mutant::ToldAtOnce) { None } else { self.parcels.pop_front() }
    }

    /// A parcel is on its way.
    pub fn sent(&mut self, transaction: ClientId, parcel: Parcel) {
        self.sending = Some((transaction, parcel));
    }

    /// What was in this request, if it is the one that is on its way; it is not any more.
    pub fn answered(&mut self, transaction: ClientId) -> Option<Parcel> {
        self.sending.take_if(|(sending, _)| *sending == transaction).map(|(_, parcel)| parcel)
    }

    /// A contact that takes text alone gets this again, as text; `false` if that was tried before.
    pub fn say_again_as_text(&mut self, parcel: Parcel) -> bool {
        match &mut self.kind {
            Kind::Contact(contact) if !contact.text_only => {
                contact.text_only = true;
                self.parcels.push_front(parcel);
                true
            }
            Kind::Contact(_) | Kind::Subscription(_) => false,
        }
    }

    /// Whether it was told that it is over, or will be.
    pub fn is_terminated(&self) -> bool {
        self.parcels.iter().any(|parcel| matches!(parcel, Parcel::Terminated(_)))
    }

    /// Forgets what was not told: the client that comes over another path is told anew.
    pub fn forget_parcels(&mut self) {
        self.parcels.clear();
        self.sending = None;
    }
}

fn is_incoming(parcel: &Parcel, wanted: CallId) -> bool {
    match parcel {
        Parcel::Incoming { call, .. } => *call == wanted,
        Parcel::State | Parcel::Gone { .. } | Parcel::Personal { .. } | Parcel::Terminated(_) => false,
        Parcel::Letter { .. } => false,
    }
}
