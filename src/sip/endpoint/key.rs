//! The keys of the endpoint's tables: keyed 128-bit fingerprints of what identifies a transaction or a dialog, so that a table holds no
//! text of a peer's and nobody outside can choose what collides.
//! Not here: the tables.

use super::DialogId;
use crate::rng::Rng;
use crate::sip::dialog::session_id::Uuid;
use crate::sip::wire::{Head, Header, Message, Method, Start};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::{BuildHasherDefault, Hasher};

/// The secret under which everything is fingerprinted.
pub(super) struct Keys([u8; 16]);

/// What is fingerprinted; two kinds never have the same fingerprint.
#[derive(Clone, Copy)]
enum Kind {
    /// RFC 3261 §17.2.3, with the magic cookie.
    Branch,
    /// The same without: an RFC 2543 element.
    Old,
    /// RFC 3261 §8.2.2.2: what is the same in a request that reached us twice by different ways.
    Merged,
    /// Call-ID and remote tag.
    Peer,
    /// The To tag of an answer that is not remembered.
    Tag,
    /// Our UUID in a dialog (RFC 7989).
    Session,
}

impl Keys {
    pub(super) fn new(rng: &mut Rng) -> Keys {
        let mut key = [0; 16];
        rng.fill(&mut key);
        Keys(key)
    }

    /// The server transaction that a request belongs to. `method` is the one of that transaction: a CANCEL asks for INVITE's
    /// (§9.2), and so does an ACK (§17.2.3).
    pub(super) fn transaction(&self, request: &Message<'_>, method: Method<'_>) -> u128 {
        let method = if method == Method::Ack { Method::Invite } else { method };
        let via = request.via();
        match via.branch() {
            Some(branch) if is_magic(branch) => self.hash(Kind::Branch, &[method.as_bytes(), branch, via.sent_by()]),
            Some(_) | None => self.old_transaction(request, method),
        }
    }

    /// §17.2.3, for RFC 2543 elements. The To tag is left out for INVITE: the ACK has the one that we gave, the INVITE has none,
    /// and nothing else can have the same Via and CSeq.
    fn old_transaction(&self, request: &Message<'_>, method: Method<'_>) -> u128 {
        let uri = match request.start() {
            Start::Request { uri, .. } => uri.as_bytes(),
            Start::Response { .. } => &[],
        };
        let to_tag = if method == Method::Invite { None } else { request.to().tag() };
        let (via, cseq) = (request.via(), request.cseq().number.to_be_bytes());
        let ids = [uri, to_tag.unwrap_or_default(), request.from().tag().unwrap_or_default(), request.call_id(), &cseq];
        let top_via = [via.transport, via.sent_by(), via.params.as_bytes()];
        self.hash(
            Kind::Old,
            &[method.as_bytes(), &self.hash(Kind::Old, &ids).to_be_bytes(), top_via[0], top_via[1], top_via[2]],
        )
    }

    /// What a merged request has in common with the one that came first (§8.2.2.2).
    pub(super) fn merged(&self, request: &Message<'_>) -> u128 {
        let cseq = request.cseq();
        let parts = [
            request.from().tag().unwrap_or_default(),
            request.call_id(),
            &cseq.number.to_be_bytes(),
            cseq.method.as_bytes(),
        ];
        self.hash(Kind::Merged, &parts)
    }

    /// The other side of a dialog, from a request of the peer's (§12.2.2). A peer without a tag (RFC 2543) has an empty one.
    pub(super) fn peer(&self, request: &Message<'_>) -> u128 {
        self.hash(Kind::Peer, &[request.call_id(), request.from().tag().unwrap_or_default()])
    }

    /// The other side of a dialog, from its answer to an INVITE of ours (§12.1.2).
    pub(super) fn answerer(&self, answer: &Message<'_>) -> u128 {
        self.hash(Kind::Peer, &[answer.call_id(), answer.to().tag().unwrap_or_default()])
    }

    /// The To tag of a stateless answer: the same for each repetition of the request (§8.2.7), and nobody's dialog.
    pub(super) fn tag(&self, transaction: u128) -> DialogId {
        to_id(self.hash(Kind::Tag, &[&transaction.to_be_bytes()]))
    }

    /// Our UUID in a dialog of ours: nothing that its tag, which peers know, would tell.
    pub(super) fn session(&self, dialog: DialogId) -> Uuid {
        Uuid::from_chance(self.hash(Kind::Session, &[&dialog.0.to_be_bytes()]))
    }

    /// The same for a request of which only the lines of its head can be told apart.
    pub(super) fn broken_tag(&self, request: &Head<'_>) -> DialogId {
        let raw = |header| request.header(header).unwrap_or_default();
        to_id(self.hash(Kind::Tag, &[raw(Header::Via), raw(Header::From), raw(Header::CallId), raw(Header::CSeq)]))
    }

    /// Each part goes in with its length, so that no two lists of parts run together to the same bytes.
    fn hash(&self, kind: Kind, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u8(match kind {
            Kind::Branch => 1,
            Kind::Old => 2,
            Kind::Merged => 3,
            Kind::Peer => 4,
            Kind::Tag => 5,
            Kind::Session => 6,
        });
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }
}

fn to_id(fingerprint: u128) -> DialogId {
    let [bits @ .., _, _, _, _, _, _, _, _] = fingerprint.to_be_bytes();
    DialogId::from_chance(u64::from_be_bytes(bits))
}

/// RFC 3261 §8.1.1.7: a branch with the magic cookie is unique by itself.
fn is_magic(branch: &[u8]) -> bool {
    branch.get(..7).is_some_and(|cookie| cookie.eq_ignore_ascii_case(b"z9hG4bK"))
}

/// A map by fingerprint: the key is a keyed hash already and is not hashed again.
pub(super) type ByFingerprint<V> = std::collections::HashMap<u128, V, BuildHasherDefault<Folded>>;

/// The lower half of a fingerprint.
#[derive(Default)]
pub(super) struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, fingerprint: u128) {
        self.0 = u64::try_from(fingerprint & u128::from(u64::MAX)).unwrap_or(0);
    }
}
