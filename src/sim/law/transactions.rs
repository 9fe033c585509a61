//! The rules of transactions and dialogs, seen from outside: one final response a request and nothing after it (I1, I2), no answer to an ACK
//! (I3), unique tags and growing numbers (I4), repetitions until they are acknowledged and not after, no side effects of repeated
//! requests (I15, with the world), nothing to strangers but less than they sent (I10).
//! Not here: which call a message is about (`calls`).

use super::super::chance::{ByHash, Hash};
use super::super::text::{self, Seen, Verb};
use super::{Verdict, hold};
use crate::time::{Duration, Instant};

/// How long a transaction keeps what it needs to absorb repetitions: 64*T1.
const LIFE: Duration = Duration::from_secs(32);
/// Most times that one message is sent by timers: at 0, 0.5, 1.5, 3.5, 7.5, … 31.5 s.
const SENT_MAX: u32 = 11;

/// A request that a peer sent to the switch.
struct Served {
    verb: Verb,
    since: Instant,
    /// Our tag in its responses.
    tag: u64,
    /// When something provisional was sent last; for an INVITE, and how long the longest pause was.
    provisional: Option<Instant>,
    longest_pause: Duration,
    last: Option<(u16, u64)>,
    answered: Option<Instant>,
    sent: u32,
    /// The request came again since the last response, which may therefore be sent again.
    asked_again: u32,
    acknowledged: bool,
    /// It came over a connection.
    is_stream: bool,
    /// It is in a dialog that nobody knew of.
    is_early: bool,
    /// Its CSeq is not higher than the last one in its dialog.
    is_old: bool,
    /// Nobody need answer it.
    may_be_ignored: bool,
    /// It asks for a session interval below the least (RFC 4028 §5).
    is_short: bool,
    /// A PRACK's: the RSeq and the CSeq that it acknowledges.
    rack: Option<(u32, u32)>,
    dialog: u64,
}

/// The latest ringing of a dialog that has to be acknowledged (RFC 3262 §3).
struct Ring {
    rseq: u32,
    cseq: u32,
    since: Instant,
    sent: u32,
    is_acknowledged: bool,
}

/// What a dialog's session timer says (RFC 4028).
#[derive(Clone, Copy)]
struct Timer {
    since: Instant,
    interval: Duration,
    is_ours: bool,
    /// When the switch last tried to refresh it.
    tried: Option<Instant>,
}

/// A request of the switch's.
struct Asked {
    since: Instant,
    bytes: u64,
    sent: u32,
    verb: Verb,
    cseq: u32,
    /// It is in no dialog; if it makes one, `dialled` knows what has its ACK.
    is_outside: bool,
    /// The connection that it was sent over; 0 for none.
    over: u16,
    /// It has its final response.
    is_answered: bool,
    /// That was a 2xx to an INVITE, which wants an ACK.
    wants_ack: bool,
    dialog: u64,
}

/// A dialog as both sides name it.
#[derive(Default)]
struct Talk {
    /// The newest CSeq of the switch's.
    newest: u32,
    /// The peer's INVITEs whose 2xx has no ACK.
    unacknowledged: Vec<u64>,
    /// The peer's BYE reached the switch.
    has_hung_up: bool,
    /// The switch sent a BYE.
    is_ended: bool,
    timer: Option<Timer>,
    peer_tag: u64,
    /// The highest CSeq of the peer's.
    peer_newest: u32,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Transactions {
    served: ByHash<Served>,
    /// The INVITE that an ACK is for: by Call-ID, From tag and number.
    invites: ByHash<u64>,
    asked: ByHash<Asked>,
    /// By Call-ID and the switch's tag.
    talks: ByHash<Talk>,
    /// By Call-ID and the switch's tag.
    rings: ByHash<Ring>,
    /// Bytes from and to addresses that nobody has vouched for.
    balance: ByHash<(u64, u64)>,
}

/// What a datagram to the switch is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// A request that came before, and not so long ago that the transaction may be forgotten.
    pub(crate) is_repeated: bool,
}

fn transaction(seen: &Seen<'_>, verb: Verb) -> u64 {
    Hash::of(&[seen.branch(), verb.as_str().as_bytes(), seen.call_id])
}

fn invite(seen: &Seen<'_>, tag: &[u8]) -> u64 {
    Hash::of(&[seen.call_id, tag, &seen.cseq.to_le_bytes()])
}

fn talk(call_id: &[u8], tag: &[u8]) -> u64 {
    Hash::of(&[call_id, tag])
}

impl Transactions {
    /// A message is about to reach the switch. `is_listed`: from a trunk's address; `over`: which connection of its sender's, 0 for none.
    pub(crate) fn delivered(&mut self, now: Instant, seen: &Seen<'_>, (is_listed, over): (bool, u16)) -> Delivered {
        if !seen.is_request() {
            self.heard_response(now, seen, over);
            return Delivered { is_repeated: false };
        }
        let verb = seen.verb();
        if verb == Verb::Ack {
            self.heard_ack(seen);
            return Delivered { is_repeated: false };
        }
        let dialog = talk(seen.call_id, seen.tag_of_to());
        let (key, is_initial) = (transaction(seen, verb), seen.tag_of_to().is_empty());
        // Whoever uses a branch again when its transaction is long forgotten has made another request.
        let is_forgotten = |served: &Served| served.answered.is_some_and(|at| now.since(at) >= LIFE);
        if verb != Verb::Invite && self.served.get(&key).is_some_and(is_forgotten) {
            self.served.remove(&key);
        }
        // What has overtaken the 2xx that makes its dialog gets 481, and another answer when it comes again.
        let is_early = |served: &Served| served.is_early && served.last.is_some_and(|(status, _)| status == 481);
        let has_dialog = self.talks.contains_key(&dialog);
        if has_dialog && self.served.get(&key).is_some_and(is_early) {
            self.served.remove(&key);
        }
        match self.served.get_mut(&key) {
            Some(served) => {
                served.asked_again += 1;
                Delivered { is_repeated: now.since(served.since) < LIFE }
            }
            None => {
                let mut is_old = false;
                // A method that is not served is refused before anybody looks at its number.
                let from = Hash::of(&[seen.tag_of_from()]);
                let is_peers = |talk: &&mut Talk| talk.peer_tag == from && verb != Verb::Other;
                if let Some(talk) = self.talks.get_mut(&dialog).filter(is_peers) {
                    // §12.2.2: lower is out of order; the same number is believed of a BYE alone.
                    is_old = seen.cseq < talk.peer_newest || (seen.cseq == talk.peer_newest && verb != Verb::Bye);
                    talk.peer_newest = talk.peer_newest.max(seen.cseq);
                }
                let served = Served {
                    is_stream: over > 0,
                    is_early: !is_initial && !has_dialog,
                    is_old,
                    verb,
                    since: now,
                    tag: 0,
                    provisional: None,
                    longest_pause: Duration::ZERO,
                    last: None,
                    answered: None,
                    sent: 0,
                    asked_again: 0,
                    acknowledged: false,
                    // An answer to nobody's BYE or CANCEL would be larger than that.
                    may_be_ignored: is_initial && verb != Verb::Invite && !is_listed,
                    is_short: text::session(seen.session_expires).is_some_and(|(interval, _)| interval < 90),
                    rack: text::acknowledged(seen.rack),
                    dialog,
                };
                self.served.insert(key, served);
                if verb == Verb::Invite {
                    self.invites.entry(invite(seen, seen.tag_of_from())).or_insert(key);
                }
                Delivered { is_repeated: false }
            }
        }
    }

    fn heard_ack(&mut self, seen: &Seen<'_>) {
        let of_refused = transaction(seen, Verb::Invite);
        let key = match self.served.contains_key(&of_refused) {
            true => Some(of_refused),
            false => self.invites.get(&invite(seen, seen.tag_of_from())).copied(),
        };
        let Some(key) = key else { return };
        let Some(served) = self.served.get_mut(&key) else { return };
        if served.answered.is_some() && served.tag == Hash::of(&[seen.tag_of_to()]) {
            served.acknowledged = true;
            if let Some(talk) = self.talks.get_mut(&talk(seen.call_id, seen.tag_of_to())) {
                talk.unacknowledged.retain(|open| *open != key);
            }
        }
    }

    fn heard_response(&mut self, now: Instant, seen: &Seen<'_>, over: u16) {
        if seen.status >= 200
            && let Some(asked) = self.asked.get_mut(&transaction(seen, seen.verb()))
        {
            // What was sent over a connection that is gone has failed (§8.1.3.1).
            let is_news = !asked.is_answered && now.since(asked.since) < LIFE && over == asked.over;
            asked.wants_ack |= is_news && !asked.is_outside && asked.verb == Verb::Invite && seen.status < 300;
            asked.is_answered = true;
            let refreshes = is_news && seen.status < 300 && matches!(asked.verb, Verb::Invite | Verb::Update);
            if refreshes {
                self.timed(now, seen, seen.tag_of_from(), false);
            }
        }
    }

    /// The switch has sent a response. Whether it is a new one.
    pub(crate) fn responded(&mut self, now: Instant, seen: &Seen<'_>, bytes: &[u8]) -> Result<bool, String> {
        let verb = seen.verb();
        hold(verb != Verb::Ack, || "I3: an ACK was answered".into())?;
        let served = self.served.get_mut(&transaction(seen, verb));
        let served = served.ok_or_else(|| format!("a {} to a request that nobody sent", seen.status))?;
        if seen.status > 100 {
            let tag = Hash::of(&[seen.tag_of_to()]);
            hold(served.tag == 0 || served.tag == tag, || "I4: two To tags in the responses to one request".into())?;
            served.tag = tag;
        }
        let taken = (200..300).contains(&seen.status);
        hold(!(taken && served.is_old), || format!("I4: {} out of order was taken", verb.as_str()))?;
        hold(!(taken && served.is_short && matches!(verb, Verb::Invite | Verb::Update)), || {
            "RFC 4028 §9: a session interval below the least was granted".into()
        })?;
        let rack = served.rack;
        if verb == Verb::Prack && seen.status == 200 && served_is_new(&self.served, seen) {
            self.pracked(seen, rack)?;
        }
        self.rung(now, seen)?;
        if taken && matches!(verb, Verb::Invite | Verb::Update) && served_is_new(&self.served, seen) {
            self.timed(now, seen, seen.tag_of_to(), true);
        }
        let served = self.served.get_mut(&transaction(seen, verb)).ok_or("it was there a moment ago")?;
        let hash = Hash::of(&[bytes]);
        match served.last {
            Some((last, kept)) if last >= 200 => {
                hold(kept == hash, || format!("I1: {} after the final response {last}", seen.status))?;
                // RFC 6026 §7.1: a repeated INVITE is absorbed once it has a 2xx, which has its own schedule.
                let absorbs = verb == Verb::Invite && last < 300;
                let asked = std::mem::take(&mut served.asked_again) > 0 && !absorbs;
                served.sent += u32::from(!asked);
                // §17.2.1: over a connection a 2xx alone is repeated, by whoever has sent it.
                let by_timer = verb == Verb::Invite && !served.acknowledged && (last < 300 || !served.is_stream);
                hold(asked || by_timer, || format!("{last} is repeated, and nobody asked"))?;
                hold(last >= 300 || !served.acknowledged, || format!("{last} is repeated after its ACK"))?;
                hold(served.sent <= SENT_MAX, || format!("{last} is repeated for ever"))?;
                Ok(false)
            }
            Some(_) | None => {
                served.last = Some((seen.status, hash));
                served.take_response(now, seen.status);
                // Of two copies that came by different ways the one that is kept counts.
                if verb == Verb::Invite && seen.status < 300 {
                    self.invites.insert(invite(seen, seen.tag_of_from()), transaction(seen, verb));
                }
                match (verb, seen.status) {
                    (Verb::Invite, 200..) => self.invite_answered(seen),
                    (Verb::Bye, 200) => {
                        self.has_hung_up(seen);
                        self.timer_ends(now, talk(seen.call_id, seen.tag_of_to()))?;
                    }
                    _ => {}
                }
                Ok(true)
            }
        }
    }

    /// A provisional response that must be acknowledged, and the end of it.
    fn rung(&mut self, now: Instant, seen: &Seen<'_>) -> Verdict {
        let dialog = talk(seen.call_id, seen.tag_of_to());
        if seen.verb() != Verb::Invite {
            return Ok(());
        }
        match self.rings.get_mut(&dialog) {
            Some(ring) if seen.rseq > 0 && seen.rseq == ring.rseq => ring.sent += 1,
            Some(ring) if seen.rseq > 0 => {
                hold(ring.is_acknowledged && seen.rseq == ring.rseq + 1, || {
                    "RFC 3262 §3: another ringing before the PRACK of the last, or with a wrong RSeq".into()
                })?;
                *ring = Ring { rseq: seen.rseq, cseq: seen.cseq, since: now, sent: 1, is_acknowledged: false };
            }
            None if seen.rseq > 0 => {
                let ring = Ring { rseq: seen.rseq, cseq: seen.cseq, since: now, sent: 1, is_acknowledged: false };
                self.rings.insert(dialog, ring);
            }
            // §3: at T1, and again.
            Some(ring) if seen.status >= 200 && seen.cseq == ring.cseq => {
                let overdue = !ring.is_acknowledged && now.since(ring.since) > Duration::from_millis(600);
                hold(!overdue || ring.sent > 1, || "RFC 3262 §3: a ringing without PRACK was sent once".into())?;
                ring.is_acknowledged = true;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// A PRACK was taken.
    fn pracked(&mut self, seen: &Seen<'_>, rack: Option<(u32, u32)>) -> Verdict {
        let ring = self.rings.get_mut(&talk(seen.call_id, seen.tag_of_to())).ok_or("a PRACK for nothing was taken")?;
        hold(rack == Some((ring.rseq, ring.cseq)), || "RFC 3262 §3: a PRACK for another ringing was taken".into())?;
        ring.is_acknowledged = true;
        Ok(())
    }

    /// A 2xx to an INVITE or UPDATE: what it says of the session timer. `is_answer`: it is the switch's, so that `uas` is the switch.
    fn timed(&mut self, now: Instant, seen: &Seen<'_>, tag: &[u8], is_answer: bool) {
        let talk = self.talks.entry(talk(seen.call_id, tag)).or_default();
        talk.timer = text::session(seen.session_expires).map(|(interval, by_sender)| Timer {
            since: now,
            interval: Duration::from_secs(interval.into()),
            is_ours: by_sender != is_answer,
            tried: None,
        });
    }

    /// A dialog ends: its session was refreshed by whoever had to, and did not outlive its interval.
    fn timer_ends(&self, now: Instant, dialog: u64) -> Verdict {
        let live = self.talks.get(&dialog).filter(|talk| !talk.is_ended);
        let Some(timer) = live.and_then(|talk| talk.timer) else { return Ok(()) };
        let (age, slack) = (now.since(timer.since), Duration::from_secs(3));
        // One change of a call at a time: a refresh waits while the other side does not answer its own, however long it says 100, and the
        // call ends by the rule below.
        let is_open = |asked: &Asked| asked.verb == Verb::Invite && !asked.is_outside && !asked.is_answered;
        let waits = || self.asked.values().any(is_open);
        hold(!timer.is_ours || timer.tried.is_some() || age <= timer.interval / 2 + slack || waits(), || {
            format!("RFC 4028 §7.4: a session of {:?} was not refreshed in {age:?}", timer.interval)
        })?;
        hold(age <= timer.interval * 2 / 3 + slack, || {
            format!("RFC 4028 §10: a session of {:?} went on for {age:?}", timer.interval)
        })
    }

    fn has_hung_up(&mut self, seen: &Seen<'_>) {
        if let Some(talk) = self.talks.get_mut(&talk(seen.call_id, seen.tag_of_to())) {
            talk.has_hung_up = true;
        }
    }

    fn invite_answered(&mut self, seen: &Seen<'_>) {
        if seen.status < 300 {
            let talk = self.talks.entry(talk(seen.call_id, seen.tag_of_to())).or_default();
            talk.unacknowledged.push(transaction(seen, Verb::Invite));
            talk.peer_tag = Hash::of(&[seen.tag_of_from()]);
            talk.peer_newest = talk.peer_newest.max(seen.cseq);
        }
        let dialog = talk(seen.call_id, seen.tag_of_to());
        if let Some(served) = self.served.get_mut(&transaction(seen, Verb::Invite)) {
            served.dialog = dialog;
        }
    }

    /// The switch has sent a request that is in no dialog: an INVITE, its CANCEL, or what a telephone is told by. Whether it is a new one.
    pub(crate) fn began(&mut self, now: Instant, seen: &Seen<'_>, bytes: &[u8], over: u16) -> Result<bool, String> {
        let (key, hash) = (transaction(seen, seen.verb()), Hash::of(&[bytes]));
        if self.asked.contains_key(&key) {
            return self.repeated(key, hash, over).map(|()| false);
        }
        let asked = Asked {
            since: now,
            bytes: hash,
            sent: 1,
            verb: seen.verb(),
            cseq: seen.cseq,
            is_outside: true,
            over,
            is_answered: false,
            wants_ack: false,
            dialog: talk(seen.call_id, seen.tag_of_from()),
        };
        self.asked.insert(key, asked);
        Ok(true)
    }

    /// The first 2xx to an INVITE of the switch's has come: there is a dialog.
    pub(crate) fn dialled(&mut self, seen: &Seen<'_>) {
        let talk = self.talks.entry(talk(seen.call_id, seen.tag_of_from())).or_default();
        (talk.newest, talk.peer_tag) = (seen.cseq, Hash::of(&[seen.tag_of_to()]));
    }

    /// Whether neither side has said BYE in the dialog that an INVITE of the switch's made.
    pub(crate) fn is_open(&self, call_id: &[u8], tag: &[u8]) -> bool {
        self.talks.get(&talk(call_id, tag)).is_some_and(|talk| !talk.is_ended && !talk.has_hung_up)
    }

    /// A request goes once more.
    fn repeated(&mut self, key: u64, hash: u64, over: u16) -> Verdict {
        let asked = self.asked.get_mut(&key).ok_or("it was there a moment ago")?;
        let verb = asked.verb;
        asked.sent += 1;
        hold(over == 0, || format!("§17.1: {} is repeated over a connection", verb.as_str()))?;
        hold(asked.bytes == hash, || "another request with the same branch".into())?;
        hold(!asked.is_answered, || format!("{} is repeated after its answer", verb.as_str()))?;
        hold(asked.sent <= SENT_MAX, || format!("{} is repeated for ever", verb.as_str()))
    }

    /// The switch has sent a request.
    pub(crate) fn requested(&mut self, now: Instant, seen: &Seen<'_>, bytes: &[u8], over: u16) -> Verdict {
        let (verb, dialog) = (seen.verb(), talk(seen.call_id, seen.tag_of_from()));
        let talk = self.talks.get_mut(&dialog);
        let talk = talk.ok_or_else(|| format!("{} in a dialog that is none", verb.as_str()))?;
        hold(talk.peer_tag == Hash::of(&[seen.tag_of_to()]), || "I4: a request with another peer's tag".into())?;
        if verb == Verb::Ack {
            return self.acknowledged(seen, dialog);
        }
        let (key, hash) = (transaction(seen, verb), Hash::of(&[bytes]));
        if self.asked.contains_key(&key) {
            return self.repeated(key, hash, over);
        }
        hold(seen.cseq > talk.newest, || format!("I4: CSeq {} after {}", seen.cseq, talk.newest))?;
        talk.newest = seen.cseq;
        if verb == Verb::Bye {
            let mut open = talk.unacknowledged.iter().filter_map(|key| self.served.get(key)?.answered);
            let early = open.any(|at| now.since(at) < LIFE);
            hold(!early, || "§15: a BYE before the ACK of our 2xx".into())?;
            hold(!talk.has_hung_up, || "a BYE to whoever has hung up".into())?;
            hold(!talk.is_ended, || "a second BYE in one dialog".into())?;
            self.timer_ends(now, dialog)?;
            self.talks.entry(dialog).or_default().is_ended = true;
        } else if matches!(verb, Verb::Invite | Verb::Update)
            && let Some(timer) = &mut talk.timer
        {
            timer.tried = Some(now);
        }
        let asked = Asked {
            since: now,
            bytes: hash,
            sent: 1,
            verb,
            cseq: seen.cseq,
            is_outside: false,
            over,
            is_answered: false,
            wants_ack: false,
            dialog,
        };
        self.asked.insert(key, asked);
        Ok(())
    }

    fn acknowledged(&mut self, seen: &Seen<'_>, dialog: u64) -> Verdict {
        // One ACK has the branch of its INVITE (§17.1.1.3), the other one of its own (§13.2.2.4).
        let of_refused = self.asked.get(&transaction(seen, Verb::Invite)).is_some_and(|asked| asked.is_answered);
        let of_2xx = self
            .asked
            .values_mut()
            .find(|asked| asked.dialog == dialog && asked.cseq == seen.cseq && asked.verb == Verb::Invite);
        let found = of_2xx.is_some_and(|asked| {
            asked.wants_ack = false;
            asked.is_answered
        });
        hold(of_refused || found, || "an ACK for nothing".into())
    }

    /// Bytes from a stranger and to it.
    pub(crate) fn balance(&mut self, agent: u32, received: usize, sent: usize) -> Verdict {
        let (from, to) = self.balance.entry(agent.into()).or_default();
        *from += received as u64;
        *to += sent as u64;
        hold(*to <= *from, || format!("I10: {to} bytes to a stranger that sent {from}"))
    }

    /// How the INVITE with this From tag and number is doing: its final response, and the longest pause between provisional ones.
    pub(crate) fn outcome(&self, call_id: &[u8], from_tag: &[u8], cseq: u32) -> Option<(u16, Duration)> {
        let key = self.invites.get(&Hash::of(&[call_id, from_tag, &cseq.to_le_bytes()]))?;
        let served = self.served.get(key)?;
        Some((served.last.map_or(0, |(status, _)| status), served.longest_pause))
    }

    /// Whether a change of the session is under way in a dialog: an INVITE of the switch's without its answer, or a 2xx without its ACK.
    pub(crate) fn is_changing(&self, now: Instant, call_id: &[u8], tag: &[u8]) -> bool {
        let dialog = talk(call_id, tag);
        let unacknowledged = self.talks.get(&dialog).is_some_and(|talk| !talk.unacknowledged.is_empty());
        let offers = |asked: &Asked| matches!(asked.verb, Verb::Invite | Verb::Update);
        let open = |asked: &Asked| offers(asked) && !asked.is_answered && now.since(asked.since) < LIFE;
        unacknowledged || self.asked.values().any(|asked| asked.dialog == dialog && open(asked))
    }

    /// Whether the switch has sent a BYE in the dialog that a request of the peer's is in.
    pub(crate) fn is_hung_up_on(&self, seen: &Seen<'_>) -> bool {
        self.talks.get(&talk(seen.call_id, seen.tag_of_to())).is_some_and(|talk| talk.is_ended)
    }

    /// It is all over. `was_stopped`: the operator did not let everything run out.
    pub(crate) fn settled(&self, was_stopped: bool) -> Verdict {
        let mut broken: Vec<String> = self.served.values().filter_map(|served| served.unsettled()).collect();
        broken.extend(self.asked.values().filter(|asked| asked.wants_ack).map(|_| "a 2xx was not acknowledged".into()));
        if !was_stopped {
            broken.extend(self.served.values().filter_map(|served| served.given_up(&self.talks)));
        }
        // Whichever order the tables have.
        broken.sort();
        broken.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Whether a request has no final response yet.
fn served_is_new(served: &ByHash<Served>, seen: &Seen<'_>) -> bool {
    let served = served.get(&transaction(seen, seen.verb()));
    served.is_some_and(|served| served.last.is_none_or(|(status, _)| status < 200))
}

impl Served {
    fn take_response(&mut self, now: Instant, status: u16) {
        self.sent = 1;
        self.asked_again = 0;
        if status >= 200 {
            self.answered = Some(now);
        }
        if let Some(before) = self.provisional.replace(now) {
            self.longest_pause = self.longest_pause.max(now.since(before));
        }
    }

    fn unsettled(&self) -> Option<String> {
        let answered = self.last.is_some_and(|(status, _)| status >= 200);
        (!answered && !self.may_be_ignored).then(|| format!("I1: no final response to {}", self.verb.as_str()))
    }

    /// §13.3.1.4: a 2xx that nobody acknowledges is repeated for 64*T1, unless the peer hangs up.
    fn given_up(&self, talks: &ByHash<Talk>) -> Option<String> {
        let (status, _) = self.last?;
        let is_2xx = self.verb == Verb::Invite && (200..300).contains(&status);
        let hung_up = talks.get(&self.dialog).is_none_or(|talk| talk.has_hung_up);
        (is_2xx && !self.acknowledged && !hung_up && self.sent < SENT_MAX - 1)
            .then(|| format!("§13.3.1.4: a {status} without ACK was sent {} times only", self.sent))
    }
}
