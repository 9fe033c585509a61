//! What is said to a telephone that rings and has offered a session already, as one must that rings reliably (RFC 3262 §5): yes to what it
//! offers, and nothing to be sent or heard until it is lifted, somebody may have the call, and there are ports.
//! Not here: the PRACK that carries it (`sip::endpoint`), and the session that comes of it (`merging`).

use super::keying::{Keying, Protection};
use crate::id::Side;
use crate::rng::Rng;
use crate::sdp::{self, Agreement, Carriage, Direction, Directions, Local, LocalStream};
use std::net::{IpAddr, SocketAddr};

/// The discard port: of a stream that is inactive nobody sends to it.
const NOWHERE: u16 = 9;

/// The number of a session of ours that a peer was told of once: it stays the same in all that we tell it later (RFC 3264 §8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// In `o=`.
    pub session_id: u64,
}

impl Spoken {
    /// The answer to an offer, from one of our addresses: its audio as it is, inactive, and nothing else. `None`: there is nothing in it that
    /// could be answered. A key of ours in it is for nothing: nobody sends.
    pub fn answer(self, offer: &[u8], from: IpAddr, keying: Keying, rng: &mut Rng) -> Option<Vec<u8>> {
        let offer = keying.read(offer).ok()?;
        let (mut carriage, mut rtcp_mux) = (Carriage::default(), false);
        let agreement = match offer.audio() {
            Some((_, audio)) => {
                Protection::of(audio).take(&mut carriage, &mut None, rng);
                rtcp_mux = audio.rtcp_mux;
                sdp::agree(&offer, &offer).ok()?
            }
            // Every line is refused, whatever we have.
            None => Agreement::by_default(),
        };
        let (address, session_id) = (SocketAddr::new(from, NOWHERE), self.session_id);
        let audio = LocalStream { address, rtcp_mux, direction: Direction::Inactive, carriage };
        let local = Local { session_id, version: 0, audio, video: None, fax: None };
        let mut out = Vec::new();
        sdp::write_answer(
            &mut out,
            &offer,
            Side::Client,
            &agreement,
            &local.changed(Directions::all(Direction::Inactive)),
        );
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(media: &str) -> Option<String> {
        let offer = format!("v=0\r\no=t 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{media}");
        let (from, rng) = ("192.0.2.1".parse().unwrap(), &mut Rng::from_seed([1; 32]));
        let answer = Spoken { session_id: 5 }.answer(offer.as_bytes(), from, Keying::allowed(), rng)?;
        String::from_utf8(answer).ok()
    }

    /// RFC 3264 §6, §6.1.
    #[test]
    fn the_audio_is_taken_as_it_is_offered_and_stays_inactive() {
        for direction in ["", "a=sendrecv\r\n", "a=sendonly\r\n", "a=inactive\r\n"] {
            let both = answer(&format!(
                "m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:96 opus/48000/2\r\n{direction}m=video 4002 RTP/AVP 97\r\n"
            ));
            let expected = "v=0\r\no=parkway 5 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 96\r\n\
                            a=rtpmap:8 PCMA/8000\r\na=rtpmap:96 opus/48000/2\r\na=inactive\r\nm=video 0 RTP/AVP 97\r\n";
            assert_eq!(both.as_deref(), Some(expected), "{direction}");
        }
    }

    #[test]
    fn a_stream_that_needs_keys_gets_one() {
        let key = "B".repeat(40);
        let answer = answer(&format!("m=audio 4000 RTP/SAVP 0\r\na=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"));
        let answer = answer.unwrap();
        let (before, own) = answer.split_once("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:").unwrap();
        assert!(before.contains("m=audio 9 RTP/SAVP 0\r\n") && own.ends_with("\r\na=inactive\r\n"), "{answer}");
        assert!(own.find('\r') == Some(40) && !own.starts_with(&key), "{answer}");
    }

    #[test]
    fn what_cannot_be_relayed_is_refused_and_what_cannot_be_read_has_no_answer() {
        for media in ["m=video 4000 RTP/AVP 97\r\n", "m=audio 4000 RTP/SAVP 0\r\n"] {
            let refused = media.replace("4000", "0");
            assert!(answer(media).is_some_and(|answer| answer.ends_with(&refused)), "{media}");
        }
        for media in ["m=audio 4000 RTP/AVP 96\r\n", "m=audio x RTP/AVP 0\r\n"] {
            assert_eq!(answer(media), None, "{media}");
        }
    }
}
