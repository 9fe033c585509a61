//! Dialogs (RFC 3261 §12): what two user agents remember of each other between the requests of one call leg.
//! Not here: what a request in a dialog does to the call (`call`), and transactions.

pub mod route;
pub mod session_id;

use crate::id::{CallRef, Side};
use crate::mutant::{Mutant, planted};
use crate::sip::Path;
use crate::sip::wire::Method;
use bytes::Bytes;
use std::fmt;

/// Whose a transaction or a dialog is: the leg that hears of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    /// The call.
    pub call: CallRef,
    /// Which of its legs.
    pub side: Side,
}

/// Who sent the INVITE that made a dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The peer; we are the UAS (RFC 3261 §12.1.1).
    Uas,
    /// We (§12.1.2).
    Uac,
}

/// One dialog. Identities and route set are not taken out of the message that made it but read from it again when a request is to
/// be sent, which is seldom.
pub struct Dialog {
    /// The leg.
    pub owner: Owner,
    /// Whose INVITE made it.
    pub role: Role,
    /// The peer's message that made it, whole: its INVITE, or its 2xx to ours.
    pub made_by: Bytes,
    /// The remote target, once a target refresh has replaced that message's Contact (§12.2).
    pub target: Option<Bytes>,
    /// Keyed fingerprint of Call-ID and remote tag: what a request in the dialog must have besides our tag.
    pub peer: u128,
    /// Over which path the peer's latest request came.
    pub path: Path,
    /// Whether there is a 2xx: until then the dialog is early.
    pub is_confirmed: bool,
    /// `None`: the peer has sent no request yet.
    remote_cseq: Option<u32>,
    local_cseq: u32,
}

impl Dialog {
    /// An early dialog, from an INVITE with this CSeq.
    pub fn new(owner: Owner, invite: Bytes, peer: u128, path: Path, cseq: u32) -> Dialog {
        let (role, made_by, remote_cseq) = (Role::Uas, invite, Some(cseq));
        Dialog { owner, role, made_by, target: None, peer, path, is_confirmed: false, remote_cseq, local_cseq: 0 }
    }

    /// A confirmed dialog, from the 2xx to an INVITE of ours with this CSeq.
    pub fn answered(owner: Owner, answer: Bytes, peer: u128, path: Path, cseq: u32) -> Dialog {
        let (role, made_by, remote_cseq) = (Role::Uac, answer, None);
        Dialog { owner, role, made_by, target: None, peer, path, is_confirmed: true, remote_cseq, local_cseq: cseq }
    }

    /// Whether a request from the peer is in order; if so it is the latest. Only a lower number is out of order by §12.2.2; the same
    /// one is believed of a BYE, which some devices give the number of the request before it, and which can be done only once.
    pub fn advance(&mut self, cseq: u32, method: Method<'_>) -> bool {
        let is_in_order = |latest| cseq > latest || (cseq == latest && method == Method::Bye);
        let in_order = self.remote_cseq.is_none_or(is_in_order);
        self.remote_cseq = self.remote_cseq.max(Some(cseq));
        in_order
    }

    /// The CSeq of our next request (§12.2.1.1): starts at 1. `None` when all 2^31 are used up.
    pub fn next_cseq(&mut self) -> Option<u32> {
        self.local_cseq =
            self.local_cseq.checked_add(u32::from(!planted(Mutant::OwnCSeqStuck))).filter(|cseq| *cseq < 1 << 31)?;
        Some(self.local_cseq)
    }
}

/// Names one of our dialogs: its local tag. 56 random bits under a zero shard byte, so that a guess is hopeless and a later
/// Parkway of several switches can tell from the tag alone whose dialog it is. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId(pub(in crate::sip) u64);

impl DialogId {
    /// Nobody's: no tag of ours is all zeros.
    pub const NONE: DialogId = DialogId(0);

    /// Makes an id of 64 random bits; the shard byte is cleared.
    pub(in crate::sip) fn from_chance(chance: u64) -> DialogId {
        DialogId(chance >> 8)
    }

    /// Reads a tag as we write it. Whatever is not exactly that is nobody's tag.
    pub fn parse(tag: &[u8]) -> Option<DialogId> {
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if tag.len() != 16 || !tag.iter().all(lower_hex) {
            return None;
        }
        u64::from_str_radix(std::str::from_utf8(tag).ok()?, 16).ok().map(DialogId)
    }
}

impl fmt::Display for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for DialogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Transport;

    #[test]
    fn an_id_is_its_tag_and_nothing_else_is() {
        let id = DialogId::from_chance(0xffee_ddcc_bbaa_9988);
        assert_eq!(id.to_string(), "00ffeeddccbbaa99");
        assert_eq!(DialogId::parse(b"00ffeeddccbbaa99"), Some(id));
        for tag in
            ["", "0ffeeddccbbaa99", "00FFEEDDCCBBAA99", "+0ffeeddccbbaa99", "00ffeeddccbbaa9g", "000ffeeddccbbaa99"]
        {
            assert_eq!(DialogId::parse(tag.as_bytes()), None, "{tag}");
        }
    }

    #[test]
    fn sequence_numbers_only_grow() {
        let owner = Owner { call: CallRef { slot: 0, generation: 0 }, side: Side::Caller };
        let address = "192.0.2.1:5060".parse().unwrap();
        let path = Path { transport: Transport::Udp, local: address, peer: address };
        let mut dialog = Dialog::new(owner, Bytes::new(), 0, path, 7);
        for (cseq, in_order) in [(7, false), (6, false), (9, true), (8, false), (9, false), (10, true)] {
            assert_eq!(dialog.advance(cseq, Method::Invite), in_order, "{cseq}");
        }
        for (cseq, in_order) in [(9, false), (10, true), (11, true)] {
            assert_eq!(dialog.advance(cseq, Method::Bye), in_order, "BYE {cseq}");
        }
        assert_eq!((dialog.next_cseq(), dialog.next_cseq()), (Some(1), Some(2)));
        dialog.local_cseq = (1 << 31) - 2;
        assert_eq!((dialog.next_cseq(), dialog.next_cseq()), (Some((1 << 31) - 1), None));
    }
}
