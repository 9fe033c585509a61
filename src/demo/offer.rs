//! The session descriptions of the two endpoints (RFC 8866, RFC 3264): what each offers, and what it reads from the answer.
//! Not `sdp`, for the reason given in `message`. Not here: packets (`audio`).

use std::net::{IpAddr, SocketAddr};

/// PCMU's static payload type (RFC 3551 §6).
pub(super) const PCMU: u8 = 0;

/// What the other end answered, as far as one audio stream with key presses needs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Where audio is to be sent, and where it must come from.
    pub(super) remote: SocketAddr,
    /// The number that telephone-event is to be sent with.
    pub(super) events: u8,
}

/// An offer of G.711 in both laws and of telephone-event (RFC 4733) under the offerer's own number.
pub(super) fn offer(local: SocketAddr, events: u8) -> String {
    let (ip, port) = (local.ip(), local.port());
    let family = match ip {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    format!(
        "v=0\r\n\
         o=- {port} 1 IN {family} {ip}\r\n\
         s=-\r\n\
         c=IN {family} {ip}\r\n\
         t=0 0\r\n\
         m=audio {port} RTP/AVP 0 8 {events}\r\n\
         a=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:{events} telephone-event/8000\r\n\
         a=fmtp:{events} 0-15\r\n\
         a=ptime:20\r\n\
         a=sendrecv\r\n"
    )
}

impl Answer {
    /// Reads an answer; the error says what a phone would stumble over.
    pub(super) fn read(body: &str) -> Result<Answer, &'static str> {
        let audio_at = body.find("m=audio ").ok_or("the answer has no audio")?;
        let (session, audio) = body.split_at(audio_at);
        let audio = audio.split("\nm=").next().unwrap_or(audio);
        let mut fields = audio.lines().next().unwrap_or_default().trim_start_matches("m=audio ").split(' ');
        let port: u16 = fields.next().and_then(|port| port.parse().ok()).ok_or("the answer's m= line has no port")?;
        if port == 0 {
            return Err("the answer refuses the audio (port 0)");
        }
        if fields.next() != Some("RTP/AVP") {
            return Err("the answer is not RTP/AVP");
        }
        // RFC 3264 §6.1: the answerer's first format is the one it would rather receive.
        if fields.next() != Some("0") {
            return Err("the answer does not start with PCMU");
        }
        if ["a=inactive", "a=sendonly", "a=recvonly"].iter().any(|direction| body.contains(direction)) {
            return Err("the answer is not both ways");
        }
        let ip = connection(audio).or_else(|| connection(session)).ok_or("the answer has no c= address")?;
        let events = telephone_event(audio).ok_or("the answer has no telephone-event")?;
        Ok(Answer { remote: SocketAddr::new(ip, port), events })
    }
}

fn connection(section: &str) -> Option<IpAddr> {
    let line = section.lines().find_map(|line| line.strip_prefix("c=IN IP"))?;
    line.split(' ').nth(1)?.trim().parse().ok()
}

fn telephone_event(section: &str) -> Option<u8> {
    section.lines().find_map(|line| {
        let (number, encoding) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        let is_event = encoding.trim().eq_ignore_ascii_case("telephone-event/8000");
        is_event.then(|| number.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_reads_back_as_an_answer_would() {
        let local: SocketAddr = "127.0.0.1:30000".parse().unwrap();
        for events in [96, 101] {
            assert_eq!(Answer::read(&offer(local, events)), Ok(Answer { remote: local, events }));
        }
    }

    #[test]
    fn an_answer_that_cannot_carry_the_call_is_refused_with_its_reason() {
        let good = offer("127.0.0.1:30000".parse().unwrap(), 101);
        for (from, to, reason) in [
            ("m=audio", "m=video", "the answer has no audio"),
            ("30000 RTP", "0 RTP", "the answer refuses the audio (port 0)"),
            ("AVP 0 8", "AVP 8 0", "the answer does not start with PCMU"),
            ("RTP/AVP", "RTP/SAVP", "the answer is not RTP/AVP"),
            ("sendrecv", "sendonly", "the answer is not both ways"),
            ("c=IN", "b=AS", "the answer has no c= address"),
            ("telephone-event", "CN", "the answer has no telephone-event"),
        ] {
            assert_eq!(Answer::read(&good.replace(from, to)), Err(reason));
        }
    }
}
