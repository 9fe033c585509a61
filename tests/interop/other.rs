//! The other side of a scenario's call: a telephone that says yes to whatever comes, and does its one deed.
//! Not here: the scenario, and who is told of the call (`play`).

use crate::common::{Message, Phone, Voice};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long it listens before it looks whether there is something to do.
const GLANCE: Duration = Duration::from_millis(50);
/// How long it stays for repetitions when its call is over.
const LINGER: Duration = Duration::from_millis(700);
/// How long it waits for the last answers when the scenario is over.
const PATIENCE: Duration = Duration::from_secs(3);

/// Something that it does of its own accord.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// Sends BYE.
    HangsUp,
    /// Sends an INVITE in the dialog, with that direction.
    Reinvites(&'static str),
}

/// How it behaves once both talk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Manner {
    /// What it does, and how many milliseconds after the beginning, in order.
    pub(crate) deeds: &'static [(u64, Deed)],
    /// What it says to an INVITE in the dialog.
    pub(crate) reinvite: u16,
}

/// Attends to a call whose INVITE it has sent until the call is over, or the scenario is.
pub(crate) fn attend(mut phone: Phone, voice: &Voice, manner: Manner, is_over: &AtomicBool) {
    let mut call = Call { deeds: manner.deeds.iter().copied().collect(), version: 1, began: None };
    loop {
        if let Some(message) = phone.poll(GLANCE) {
            match message.status() {
                Some(status) if status >= 300 && call.began.is_none() => break,
                // RFC 3261 §14.1: whoever has the Call-ID of its own waits 2.1 to 4 seconds.
                Some(491) => call.deeds.push_front((call.age() + 2500, Deed::Reinvites("sendrecv"))),
                Some(status) if status >= 200 => call.began = call.began.or(Some(Instant::now())),
                Some(_) => {}
                None if answer(&mut phone, voice, &message, manner) => break,
                None => {}
            }
        }
        if is_over.load(Ordering::Relaxed) {
            leave(&mut phone, call.began.is_some());
            break;
        }
        match call.due() {
            Some(Deed::HangsUp) => {
                leave(&mut phone, true);
                break;
            }
            Some(Deed::Reinvites(direction)) => {
                call.version += 1;
                let sdp = offer(voice.address(), call.version).replace("sendrecv", direction);
                phone.request("INVITE", &sdp);
            }
            None => {}
        }
    }
    while phone.poll(LINGER).is_some() {}
}

/// Hears it ring for a moment and cancels.
pub(crate) fn give_up(mut phone: Phone) {
    let rings = Instant::now();
    while rings.elapsed() < Duration::from_secs(1) {
        phone.poll(GLANCE);
    }
    leave(&mut phone, false);
    while phone.poll(LINGER).is_some() {}
}

/// What is left to do in a call.
struct Call {
    deeds: VecDeque<(u64, Deed)>,
    /// Of its session description.
    version: u32,
    /// Since when both talk.
    began: Option<Instant>,
}

impl Call {
    fn age(&self) -> u64 {
        self.began.map_or(0, |began| u64::try_from(began.elapsed().as_millis()).unwrap())
    }

    fn due(&mut self) -> Option<Deed> {
        let age = self.age();
        let is_due = self.began.is_some() && self.deeds.front().is_some_and(|(after, _)| *after <= age);
        if is_due { self.deeds.pop_front().map(|(_, deed)| deed) } else { None }
    }
}

/// Says yes, or to an INVITE what its manner is; `true` if that was the end of the call.
fn answer(phone: &mut Phone, voice: &Voice, request: &Message, manner: Manner) -> bool {
    if request.method() == Some("ACK") {
        return false;
    }
    let is_bye = request.method() == Some("BYE");
    if request.method() == Some("INVITE") && manner.reinvite != 200 {
        phone.answer(request, manner.reinvite, "");
        return false;
    }
    let sdp = match request.method() {
        Some("INVITE") if request.body.is_empty() => offer(voice.address(), 3),
        Some("INVITE" | "UPDATE") if !request.body.is_empty() => answer_to(&request.body, voice.address()),
        _ => String::new(),
    };
    phone.answer(request, 200, &sdp);
    is_bye
}

/// Ends the call from this side.
fn leave(phone: &mut Phone, talks: bool) {
    if talks {
        phone.request("BYE", "");
    } else {
        phone.cancel();
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match phone.poll(GLANCE) {
            Some(message) if message.status().is_some_and(|status| status >= 200) && talks => return,
            Some(message) if message.status().is_some_and(|status| status >= 300) => return,
            Some(message) if message.method().is_some_and(|method| method != "ACK") => phone.answer(&message, 200, ""),
            Some(_) | None => {}
        }
    }
}

/// An offer of all audio that the scenarios have.
pub(crate) fn offer(local: SocketAddr, version: u32) -> String {
    let formats = [
        (0, "PCMU/8000"),
        (8, "PCMA/8000"),
        (9, "G722/8000"),
        (18, "G729/8000"),
        (3, "GSM/8000"),
        (107, "opus/48000/2"),
        (97, "speex/8000"),
        (98, "iLBC/8000"),
        (99, "AMR/8000"),
        (100, "AMR-WB/16000"),
        (101, "telephone-event/8000"),
        (102, "telephone-event/48000"),
    ];
    let sdp = crate::common::voice::describe(local, "sendrecv", version, &formats);
    sdp.replace("a=ptime", "a=fmtp:101 0-16\r\na=ptime")
}

/// The answer to an offer (RFC 3264 §6): the first audio stream as it was offered, every other stream refused.
pub(crate) fn answer_to(offer: &str, local: SocketAddr) -> String {
    let (ip, port, kind) = (local.ip(), local.port(), if local.is_ipv4() { "IP4" } else { "IP6" });
    let mut answer = format!("v=0\r\no=other {port} 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\n");
    let (mut has_audio, mut is_taken) = (false, false);
    for line in offer.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            let words: Vec<&str> = media.split(' ').collect();
            is_taken = !has_audio && words[0] == "audio" && words[1] != "0" && words[2] == "RTP/AVP";
            has_audio |= is_taken;
            let port = if is_taken { port } else { 0 };
            answer += &format!("m={} {port} {}\r\n", words[0], words[2..].join(" "));
        } else if is_taken && (line.starts_with("a=rtpmap:") || line.starts_with("a=fmtp:")) {
            answer += &format!("{line}\r\n");
        } else if is_taken && ["a=sendonly", "a=recvonly", "a=inactive"].contains(&line) {
            let mirrored = match line {
                "a=sendonly" => "recvonly",
                "a=recvonly" => "sendonly",
                _ => "inactive",
            };
            answer += &format!("a={mirrored}\r\n");
        }
    }
    answer
}
