//! Valid messages, answers and time in any order: whatever happens, the rules that nobody may break hold (RELIABILITY §4: I1 to I3, L2).

use super::bench::{Ask, Bench, Heard, OWNER, VIA, answer, header, plain, summary};
use super::{ClientId, DialogId, Event, Method, ServerId};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::collections::BTreeMap;

/// One thing that happens. The numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    NewInvite,
    Merged(u8),
    /// A new request in a dialog.
    Within(&'static str, u8),
    Ack(u8),
    Cancel(u8),
    /// A request that was sent in the last seconds, again.
    Again(u8),
    /// An answer to a request of ours, perhaps not the first.
    Answer(u8, u16),
    Respond(u8, u16),
    /// A ringing that has to be acknowledged, and the PRACK of the last one in a dialog.
    Ring(u8),
    Prack(u8),
    Request(bool, u8),
    Acknowledge(u8),
    Close(u8),
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![Just(100u16), Just(180), Just(200), Just(200), Just(486), Just(491), Just(503)];
    prop_oneof![
        2 => Just(Step::NewInvite),
        1 => any::<u8>().prop_map(Step::Merged),
        2 => any::<u8>().prop_map(|which| Step::Within("INVITE", which)),
        1 => any::<u8>().prop_map(|which| Step::Within("BYE", which)),
        1 => any::<u8>().prop_map(|which| Step::Within("OPTIONS", which)),
        4 => any::<u8>().prop_map(Step::Ack),
        1 => any::<u8>().prop_map(Step::Cancel),
        3 => any::<u8>().prop_map(Step::Again),
        4 => (any::<u8>(), status.clone()).prop_map(|(which, status)| Step::Answer(which, status)),
        5 => (any::<u8>(), status).prop_map(|(which, status)| Step::Respond(which, status)),
        2 => any::<u8>().prop_map(Step::Ring),
        2 => any::<u8>().prop_map(Step::Prack),
        1 => any::<u8>().prop_map(|which| Step::Within("UPDATE", which)),
        3 => (any::<bool>(), any::<u8>()).prop_map(|(bye, which)| Step::Request(bye, which)),
        2 => any::<u8>().prop_map(Step::Acknowledge),
        1 => any::<u8>().prop_map(Step::Close),
        4 => (0u32..40_000).prop_map(Step::Pass),
        4 => (0u32..600).prop_map(Step::Pass),
    ]
}

#[derive(Default)]
struct World {
    asked: Vec<(u64, Ask)>,
    servers: Vec<ServerId>,
    dialogs: Vec<(DialogId, Ask)>,
    clients: Vec<(ClientId, DialogId)>,
    ours: Vec<String>,
    cseq: u32,
    /// The final answer by top Via and method, whole.
    finals: BTreeMap<String, String>,
    /// The newest RSeq and its CSeq by dialog: a Call-ID whose dialog is over may begin another, which counts for itself.
    rings: BTreeMap<String, (u32, u32)>,
}

fn pick<T>(items: &[T], which: u8) -> Option<&T> {
    items.get(usize::from(which) % items.len().max(1))
}

impl World {
    fn send(&mut self, bench: &mut Bench, ask: Ask) {
        self.asked.push((bench.now.at.0, ask.clone()));
        self.hear(bench, &ask);
    }

    fn hear(&mut self, bench: &mut Bench, ask: &Ask) {
        let text = ask.text();
        let event = bench.endpoint.handle_datagram(bench.now, bench.path, text.as_bytes());
        match event {
            Some(Event::Invite { path, request }) => {
                if let Some((id, dialog)) = bench.endpoint.accept(bench.now, path, &request, OWNER) {
                    self.servers.push(id);
                    self.dialogs.push((dialog, ask.clone()));
                }
            }
            Some(Event::InDialog { transaction, .. }) => self.servers.push(transaction),
            Some(Event::Request { .. } | Event::Ack { .. } | Event::Cancel { .. }) | None => {}
            Some(
                Event::Response { .. } | Event::Failed { .. } | Event::Outside { .. } | Event::Unacknowledged { .. },
            ) => {
                panic!("no such event comes of a request")
            }
            Some(Event::ProvisionalUnacknowledged { .. }) => panic!("no such event comes of a request"),
        }
        self.look(bench, ask.method == "ACK");
    }

    /// I1, I2, I3: looks at all that is sent.
    fn look(&mut self, bench: &mut Bench, after_ack: bool) {
        for text in bench.sent() {
            if !text.starts_with("SIP/2.0") {
                self.ours.push(text);
                continue;
            }
            assert!(!after_ack, "ACK was answered: {text}");
            let kind = summary(&text);
            if kind.ends_with("CANCEL") || header(&text, "Via").contains("merged") {
                continue;
            }
            if let Ok(rseq) = header(&text, "RSeq").parse::<u32>() {
                let cseq = header(&text, "CSeq").split(' ').next().and_then(|cseq| cseq.parse().ok()).unwrap_or(0);
                let (_, dialog) =
                    header(&text, "To").rsplit_once("tag=").expect("what must be acknowledged has a dialog");
                let before = self.rings.insert(dialog.into(), (rseq, cseq));
                assert!(before.is_none_or(|(before, _)| rseq == before || rseq == before + 1), "RSeq grows by one");
            }
            let key = format!("{} {}", header(&text, "Via"), &kind[4..]);
            match self.finals.get(&key) {
                Some(earlier) => assert_eq!(*earlier, text, "another answer after the final one"),
                None if kind.starts_with('1') => {}
                None => drop(self.finals.insert(key, text)),
            }
        }
    }

    fn happen(&mut self, bench: &mut Bench, step: &Step) {
        self.cseq += 1;
        match step {
            Step::NewInvite => {
                let n = self.cseq;
                self.send(bench, Ask { call_id: format!("call-{n}"), via: format!("{VIA}new{n}"), ..Ask::invite() });
            }
            Step::Merged(which) => {
                let Some((_, ask)) = pick(&self.dialogs, *which).cloned() else { return };
                let via = format!("{VIA}merged{}", self.cseq);
                self.hear(bench, &Ask { via, ..ask });
            }
            Step::Within(method, which) => {
                let Some((dialog, ask)) = pick(&self.dialogs, *which).cloned() else { return };
                let n = 100 + self.cseq;
                self.send(bench, Ask { call_id: ask.call_id, ..Ask::within(method, n, dialog) });
            }
            Step::Ack(which) => self.ack(bench, *which),
            Step::Cancel(which) => {
                let Some((_, ask)) = pick(&self.dialogs, *which).cloned() else { return };
                self.hear(bench, &Ask { method: "CANCEL", ..ask });
            }
            Step::Again(which) => {
                // Older ones no client would repeat, and our transaction may be gone.
                let recent = bench.now.at.0.saturating_sub(4_900_000);
                let recent: Vec<_> = self.asked.iter().filter(|(at, _)| *at >= recent).cloned().collect();
                let Some((_, ask)) = pick(&recent, *which).cloned() else { return };
                self.hear(bench, &ask);
            }
            Step::Answer(which, status) => {
                let Some(text) = pick(&self.ours, *which).filter(|text| !text.starts_with("ACK")) else { return };
                let text = answer(text, *status, "");
                let heard = bench.hear(&text);
                assert!(matches!(heard, None | Some(Heard::Response(..))), "{heard:?}");
                self.look(bench, false);
            }
            Step::Respond(which, status) => {
                let Some(id) = pick(&self.servers, *which).copied() else { return };
                bench.endpoint.respond(bench.now, id, &plain(*status));
                self.look(bench, false);
            }
            Step::Ring(which) => {
                let Some(id) = pick(&self.servers, *which).copied() else { return };
                bench.endpoint.respond_reliably(bench.now, id, 180, None);
                self.look(bench, false);
            }
            Step::Prack(which) => {
                let Some((dialog, ask)) = pick(&self.dialogs, *which).cloned() else { return };
                let Some((rseq, cseq)) = self.rings.get(&dialog.to_string()).copied() else { return };
                let extra = format!("RAck: {rseq} {cseq} INVITE\r\n");
                let n = 100 + self.cseq;
                self.send(bench, Ask { call_id: ask.call_id, extra, ..Ask::within("PRACK", n, dialog) });
            }
            Step::Request(..) | Step::Acknowledge(_) | Step::Close(_) => self.act(bench, step),
            Step::Pass(millis) => {
                bench.pass(u64::from(*millis));
                self.look(bench, false);
            }
        }
    }

    /// What the call does in a dialog.
    fn act(&mut self, bench: &mut Bench, step: &Step) {
        if let Step::Request(bye, which) = step
            && let Some((dialog, _)) = pick(&self.dialogs, *which)
        {
            let method = if *bye { Method::Bye } else { Method::Invite };
            let sent = bench.endpoint.request(bench.now, *dialog, method, &[], None);
            self.clients.extend(sent.map(|id| (id, *dialog)));
        }
        if let Step::Acknowledge(which) = step
            && let Some((id, dialog)) = pick(&self.clients, *which)
        {
            bench.endpoint.acknowledge(bench.now, *dialog, *id, None);
        }
        if let Step::Close(which) = step
            && let Some((dialog, _)) = pick(&self.dialogs, *which)
        {
            bench.endpoint.close(bench.now, *dialog);
        }
        self.look(bench, false);
    }

    /// An ACK for some request that was sent: with its branch, or with one of its own.
    fn ack(&mut self, bench: &mut Bench, which: u8) {
        let Some((_, ask)) = pick(&self.asked, which).filter(|(_, ask)| ask.method == "INVITE").cloned() else {
            return;
        };
        let own = self.dialogs.iter().find(|(_, invite)| invite.call_id == ask.call_id);
        let Some(to_tag) = own.map(|(dialog, _)| dialog.to_string()) else { return };
        let via = if which.is_multiple_of(2) { ask.via.clone() } else { format!("{VIA}ack{}", self.cseq) };
        self.hear(bench, &Ask { method: "ACK", via, to_tag, ..ask });
    }
}

proptest! {
    #[test]
    fn nothing_breaks_the_rules_and_nothing_is_left(steps in proptest::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new();
        let mut world = World::default();
        for step in &steps {
            world.happen(&mut bench, step);
        }
        bench.endpoint.abandon(bench.now, OWNER.call);
        world.look(&mut bench, false);
        while let Some(at) = bench.endpoint.poll_timeout() {
            bench.pass(u64::try_from((at - bench.now.at).as_millis()).unwrap());
            world.look(&mut bench, false);
        }
        bench.assert_empty();
    }
}
