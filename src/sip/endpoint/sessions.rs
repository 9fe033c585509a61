//! Which UUIDs the messages of a dialog carry (RFC 7989 §6, §7). A dialog alone has ours and its peer's. Two that are joined carry the
//! same pair: each peer is told the other's UUID as ours.
//! Not here: how a UUID is written (`sip::dialog::session_id`).

use super::{DialogId, Endpoint};
use crate::mutant::{Mutant, planted};
use crate::sip::dialog::session_id::{SessionId, Uuid};
use crate::sip::wire::{Head, Message};
use arrayvec::ArrayString;

impl Endpoint {
    /// The pair of a dialog that is being made by an INVITE.
    pub(super) fn session_of(&self, dialog: DialogId, invite: &Message<'_>) -> SessionId {
        SessionId { local: self.keys.session(dialog), remote: Uuid::of_sender(invite).unwrap_or_default() }
    }

    /// The value of Session-ID in a dialog; `None` when it is gone.
    pub fn session_id(&self, dialog: DialogId) -> Option<ArrayString<72>> {
        self.dialogs.get(&dialog).map(|held| held.session.text())
    }

    /// The two peers of these dialogs talk to each other from now on. One that has no UUID of its own is spoken for by the one that its
    /// dialog has had of us so far.
    pub fn join_sessions(&mut self, dialogs: [DialogId; 2]) {
        let ours = dialogs.map(|dialog| self.keys.session(dialog));
        let theirs = dialogs.map(|dialog| self.dialogs.get(&dialog).map(|held| held.session.remote));
        let named = |remote: Option<Uuid>, stand_in: Uuid| remote.filter(|uuid| !uuid.is_null()).unwrap_or(stand_in);
        // Each one's stand-in is what the other side knows us by already.
        let ends = [named(theirs[0], ours[1]), named(theirs[1], ours[0])];
        let pairs = [(dialogs[0], dialogs[1], ends[1], ends[0]), (dialogs[1], dialogs[0], ends[0], ends[1])];
        for (dialog, other, local, remote) in pairs {
            if let Some(held) = self.dialogs.get_mut(&dialog) {
                held.session = SessionId { local, remote };
                held.joined = Some(other);
            }
        }
    }

    /// The two peers do not talk to each other any more: what becomes of one does not concern the other.
    pub fn part_sessions(&mut self, dialogs: [DialogId; 2]) {
        for dialog in dialogs {
            self.dialogs.get_mut(&dialog).into_iter().for_each(|held| held.joined = None);
        }
    }

    /// A message of the peer's in a dialog: a peer may become another (§7, a transfer beyond it), and the other leg is told.
    pub(super) fn hear_session(&mut self, dialog: DialogId, message: &Head<'_>) {
        let Some(uuid) = Uuid::of_sender(message) else { return };
        let Some(held) = self.dialogs.get_mut(&dialog) else { return };
        held.session.remote = uuid;
        let joined = held.joined.filter(|_| !planted(Mutant::SessionIdKept));
        if let Some(other) = joined.and_then(|joined| self.dialogs.get_mut(&joined)) {
            other.session.local = uuid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Ask, Bench, Heard, answer, header, plain, summary};
    use crate::sip::wire::Method;

    const A: &str = "aaaaaaaaaaaa4aaa8aaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbb4bbb8bbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccc4ccc8ccccccccccccccc";

    fn invite(number: u32, uuid: Option<&str>) -> Ask {
        let session = uuid.map(|uuid| format!("Session-ID: {uuid};remote={}\r\n", "0".repeat(32))).unwrap_or_default();
        Ask {
            extra: format!("Contact: <sip:gw@192.0.2.1:5070>\r\n{session}"),
            call_id: format!("call-{number}"),
            via: format!("SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bKs{number}"),
            ..Ask::invite()
        }
    }

    fn ends(text: &str) -> (String, String) {
        let (local, remote) = header(text, "Session-ID").split_once(";remote=").unwrap();
        (local.into(), remote.into())
    }

    #[test]
    fn every_message_in_a_dialog_names_both_ends() {
        let mut bench = Bench::new();
        let (id, dialog) = bench.accept(&invite(1, Some(A)));
        assert!(bench.endpoint.respond(bench.now, id, &plain(180)));
        assert!(bench.endpoint.respond(bench.now, id, &plain(200)));
        let ack = Ask { call_id: "call-1".into(), ..Ask::within("ACK", 7, dialog) };
        assert_eq!(bench.hear(&ack.text()), Some(Heard::Ack(dialog)));
        bench.endpoint.request(bench.now, dialog, Method::Invite, &[], None).unwrap();
        let sent = bench.sent();
        let kinds: Vec<_> = sent.iter().map(|text| summary(text)).collect();
        assert_eq!(kinds, ["180 INVITE", "200 INVITE", "INVITE"]);
        let ours = ends(&sent[0]).0;
        assert!(sent.iter().all(|text| ends(text) == (ours.clone(), A.into())));
        bench.hear(&answer(&sent[2], 486, ""));
        assert_eq!(ends(&bench.sent()[0]), (ours, A.into()), "the ACK of a refusal");
    }

    #[test]
    fn two_that_are_joined_carry_the_same_pair_whoever_has_a_uuid() {
        for (caller, client) in [(Some(A), Some(B)), (None, Some(B)), (Some(A), None), (None, None)] {
            let mut bench = Bench::new();
            let (first, caller_dialog) = bench.accept(&invite(1, caller));
            let (second, client_dialog) = bench.accept(&invite(2, client));
            bench.endpoint.respond(bench.now, first, &plain(180));
            let before = ends(&bench.sent()[0]);
            assert_eq!(before.1, caller.map_or("0".repeat(32), String::from));
            bench.endpoint.join_sessions([caller_dialog, client_dialog]);
            assert!(bench.endpoint.respond(bench.now, first, &plain(200)));
            assert!(bench.endpoint.respond(bench.now, second, &plain(200)));
            let sent = bench.sent();
            let (to_caller, to_client) = (ends(&sent[0]), ends(&sent[1]));
            assert_eq!(to_caller, (to_client.1.clone(), to_client.0.clone()));
            assert_eq!(to_caller.1, caller.map_or(to_client.0, String::from));
            assert_eq!(
                to_caller.0,
                client.map_or(before.0, String::from),
                "what we were before stands in for a client without one"
            );
        }
    }

    #[test]
    fn a_peer_that_becomes_another_is_told_to_the_other_leg() {
        let mut bench = Bench::new();
        let (first, caller) = bench.accept(&invite(1, Some(A)));
        let (_, client) = bench.accept(&invite(2, Some(B)));
        bench.endpoint.join_sessions([caller, client]);
        assert!(bench.endpoint.respond(bench.now, first, &plain(200)));
        let extra = format!("Session-ID: {C};remote={B}\r\n");
        let update = Ask { extra, call_id: "call-1".into(), ..Ask::within("UPDATE", 8, caller) };
        assert!(matches!(bench.hear(&update.text()), Some(Heard::InDialog(_))));
        assert_eq!(bench.endpoint.session_id(client).unwrap().as_str(), format!("{C};remote={B}"));
        assert_eq!(bench.endpoint.session_id(caller).unwrap().as_str(), format!("{B};remote={C}"));
    }
}
