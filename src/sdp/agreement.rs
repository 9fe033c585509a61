//! Offer/answer (RFC 3264) of whole descriptions: which streams both legs have, and the codecs of each. Without audio or a fax in common there
//! is no agreement; video that they do not have in common is left out of it.
//! Not here: codecs and their numbers (`answer`), the parameters of a fax (`fax`), and who may have video or a fax (`call`).

use super::Description;
use super::answer::{self, Agreed, Codecs, LegFormat, NotAgreed, Wishes};
use super::fax::Fax;
use super::media::{Encoding, Media, Role};
use super::write::Outline;
use crate::id::Side;

/// What both legs can send and receive, or, before the answer, what is proposed to one of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// What every call has. Of one that is a fax: what it had, so that the numbers stay if it has that again (RFC 3264 §8.3.2).
    pub audio: Codecs,
    /// Whether it has it now: not while a fax is in its place.
    pub speaks: bool,
    /// What both sides have besides.
    pub video: Option<Box<Codecs>>,
    /// A fax, beside the audio or in its place.
    pub fax: Option<Box<Fax>>,
}

impl Agreement {
    /// What is proposed when neither leg has said anything: PCMU 0, PCMA 8, telephone-event 101.
    pub fn by_default() -> Agreement {
        let codecs = [("PCMU", 0, None), ("PCMA", 8, None), ("telephone-event", 101, Some(&b"0-15"[..]))];
        let agreed = |(name, number, fmtp)| {
            let encoding = Encoding { name, clock_rate: 8_000, channels: 1 };
            let leg = LegFormat::new(number, &encoding, fmtp);
            Agreed::new(&encoding, leg.clone(), leg)
        };
        let list = codecs.into_iter().map(agreed).collect();
        Agreement::of_audio(Codecs { list, caller: Wishes::default(), client: Wishes::default() })
    }

    fn of_audio(audio: Codecs) -> Agreement {
        Agreement { audio, speaks: true, video: None, fax: None }
    }

    /// The same with G.711 and keys alone for audio: what we can make words of, as we cannot of a fax. Video stays as it is.
    pub fn telephony_only(&self) -> Result<Agreement, NotAgreed> {
        if !self.speaks {
            return Err(NotAgreed::NoAudio);
        }
        Ok(Agreement { video: self.video.clone(), ..Agreement::of_audio(self.audio.telephony_only()?) })
    }
}

/// Makes one agreement of both legs' offers, with codecs in the caller's order of preference. Each leg is then answered with
/// [`super::write_answer`].
pub fn agree(caller: &Description<'_>, client: &Description<'_>) -> Result<Agreement, NotAgreed> {
    let spoken = audio(caller).and_then(|caller| answer::agree(caller, audio(client)?));
    let fax = fax(caller).zip(fax(client)).and_then(|(caller, client)| Fax::agree(caller, client));
    let (audio, speaks) = match spoken {
        Ok(audio) => (audio, true),
        Err(_) if fax.is_some() => (Codecs::none(), false),
        Err(error) => return Err(error),
    };
    let video = video(caller).zip(video(client)).and_then(|(caller, client)| answer::agree(caller, client).ok());
    Ok(Agreement { audio, speaks, video: video.map(Box::new), fax: fax.map(Box::new) })
}

/// Turns `from`'s offer into one for the other leg: for a re-INVITE that is carried across, or for a leg whose INVITE had no
/// offer. What the other leg knows from `known`, it keeps its numbers for.
pub fn propose(
    from: Side,
    offer: &Description<'_>,
    known: Option<&Agreement>,
    outline: &Outline,
) -> Result<Agreement, NotAgreed> {
    let fax = fax(offer).map(|fax| Box::new(Fax::propose(from, fax)));
    let known_audio = known.map(|known| &known.audio);
    let (audio, speaks) = match audio(offer) {
        Ok(audio) => (answer::propose(from, audio, known_audio, outline)?, true),
        Err(_) if fax.is_some() => (known_audio.cloned().unwrap_or_else(Codecs::none), false),
        Err(error) => return Err(error),
    };
    let known = known.and_then(|known| known.video.as_deref());
    let video = video(offer).and_then(|video| answer::propose(from, video, known, outline).ok());
    Ok(Agreement { audio, speaks, video: video.map(Box::new), fax })
}

/// Reads `side`'s answer to the offer that was written from `proposed` and `outline`: what of it stands. The answered streams are at
/// [`Outline::audio_index`], [`Outline::video_index`] and [`Outline::fax_index`] of the answer. Who was offered a fax alone and refuses it so has
/// left nothing in the session, and whoever offered it hears that.
pub fn accept_answer(
    side: Side,
    proposed: &Agreement,
    outline: &Outline,
    answer: &Description<'_>,
) -> Result<Agreement, NotAgreed> {
    let answered = |index: usize| answer.media.get(index).filter(|media| media.is_relayed());
    let fax = proposed.fax.as_deref().zip(outline.fax_index().and_then(answered));
    let fax = fax.filter(|(_, media)| media.is_t38()).map(|(proposed, media)| Box::new(proposed.accept(side, media)));
    let spoken = outline.audio_index().filter(|_| proposed.speaks).and_then(answered);
    let (audio, speaks) = match spoken {
        Some(media) => (answer::accept(side, &proposed.audio, media)?, true),
        None if fax.is_some() || !proposed.speaks => (proposed.audio.clone(), false),
        None => return Err(NotAgreed::NoAudio),
    };
    let video = proposed.video.as_deref().zip(outline.video_index().and_then(answered));
    let video = video.and_then(|(proposed, media)| answer::accept(side, proposed, media).ok());
    Ok(Agreement { audio, speaks, video: video.map(Box::new), fax })
}

fn audio<'d, 'a>(description: &'d Description<'a>) -> Result<&'d Media<'a>, NotAgreed> {
    description.audio().map(|(_, media)| media).ok_or(NotAgreed::NoAudio)
}

fn video<'d, 'a>(description: &'d Description<'a>) -> Option<&'d Media<'a>> {
    description.video().map(|(_, media)| media)
}

fn fax<'d, 'a>(description: &'d Description<'a>) -> Option<&'d Media<'a>> {
    description.fax().map(|(_, media)| media)
}

/// What we can say to an offerer ourselves, without anybody behind us: in its first G.711 (which every telephone has), with its keys.
/// `None` if it has none. Both legs of the agreement are the offerer's.
pub fn telephony(offer: &Description<'_>) -> Option<Agreement> {
    let (_, audio) = offer.audio()?;
    let mut own = audio.clone();
    let mut has_audio = false;
    own.formats.retain(|format| {
        let role = format.encoding.map(|encoding| encoding.role());
        let is_first = !has_audio && format.encoding.is_some_and(|encoding| encoding.is_g711());
        has_audio |= is_first;
        is_first || role == Some(Role::TelephoneEvent)
    });
    Some(Agreement::of_audio(answer::agree(&own, &own).ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::{Carriage, Direction, Local, LocalStream, write_answer, write_offer};
    use super::*;

    const HEAD: &str =
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    const H264: &str = "rtpmap:99 H264/90000|fmtp:99 profile-level-id=42e01f;packetization-mode=1";

    /// Audio, and lines separated by `|`: `m=` and `b=` as they are, attributes without `a=`.
    fn body(video: &str) -> String {
        let line = |line: &str| match line.as_bytes() {
            [_, b'=', ..] => format!("{line}\r\n"),
            _ => format!("a={line}\r\n"),
        };
        HEAD.to_owned() + &video.split('|').filter(|text| !text.is_empty()).map(line).collect::<String>()
    }

    fn parse(body: &str) -> Description<'_> {
        Description::parse(body.as_bytes()).unwrap()
    }

    fn local(offer: Option<&Description<'_>>) -> Local {
        let stream = |port, has_feedback| LocalStream {
            address: ([198, 51, 100, 1], port).into(),
            rtcp_mux: false,
            direction: Direction::SendRecv,
            carriage: Carriage { has_feedback, ..Carriage::default() },
        };
        let has_feedback = offer.and_then(video).is_some_and(|media| media.protocol.has_feedback());
        Local {
            session_id: 7,
            version: 1,
            audio: stream(20_000, false),
            video: Some(stream(20_002, has_feedback)),
            fax: None,
        }
    }

    /// What stands behind the audio, in the form of [`body`].
    fn behind_audio(written: &[u8]) -> String {
        let text = String::from_utf8(written.to_vec()).unwrap();
        let (_, video) = text.split_once("a=sendrecv\r\n").unwrap();
        video.trim_end().replace("\r\na=", "|").replace("\r\n", "|")
    }

    #[test]
    fn video_is_agreed_where_both_have_it_and_refused_to_both_where_not() {
        let h264 = format!("m=video 5000 RTP/AVP 99|{H264}");
        let other = h264.replace("99", "102").replace("42e01f", "42e00a");
        let refused = "m=video 0 RTP/AVP 99";
        for (rule, caller, client, expected) in [
            (
                "in_each_leg's_numbers_with_the_other's_wishes",
                h264.clone(),
                other.clone() + "|b=AS:512",
                "m=video 20002 RTP/AVP 99|b=AS:512|rtpmap:99 H264/90000|fmtp:99 profile-level-id=42e00a;packetization-mode=1|sendrecv",
            ),
            (
                "no_direction_that_was_not_offered",
                sendonly(&h264),
                other.clone(),
                "m=video 20002 RTP/AVP 99|rtpmap:99 H264/90000|fmtp:99 profile-level-id=42e00a;packetization-mode=1|recvonly",
            ),
            ("one_side_without", h264.clone(), String::new(), refused),
            ("one_side_refuses", h264.clone(), other.replace("5000", "0"), refused),
            ("nothing_alike", h264.clone(), "m=video 5000 RTP/AVP 96|rtpmap:96 VP8/90000".into(), refused),
            ("another_way_to_cut_pictures", h264.clone(), h264.replace("mode=1", "mode=0"), refused),
            (
                "keys_by_dtls",
                h264.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"),
                other.clone(),
                "m=video 0 UDP/TLS/RTP/SAVPF 99",
            ),
            ("a_line_that_cannot_be_read_costs_no_audio", h264.replace("H264/90000", "H264"), other.clone(), refused),
            (
                "two_of_one_side",
                h264.clone() + "|m=video 5002 RTP/AVP 31",
                "m=video 6000 RTP/AVP 31".into(),
                "m=video 0 RTP/AVP 99|m=video 0 RTP/AVP 31",
            ),
            (
                "redundancy_hides_payload_types_from_the_relay",
                "m=video 5000 RTP/AVP 96 97|rtpmap:96 VP8/90000|rtpmap:97 rtx/90000|fmtp:97 apt=96".into(),
                "m=video 5000 RTP/AVP 97 96|rtpmap:97 VP8/90000|rtpmap:96 rtx/90000|fmtp:96 apt=97".into(),
                "m=video 20002 RTP/AVP 96|rtpmap:96 VP8/90000|sendrecv",
            ),
            (
                "feedback_that_both_can_do",
                "m=video 5000 RTP/AVPF 96|rtpmap:96 VP8/90000|rtcp-fb:* nack|rtcp-fb:96 nack pli|rtcp-fb:96 ccm fir"
                    .into(),
                "m=video 5000 RTP/AVPF 97|rtpmap:97 VP8/90000|rtcp-fb:97 nack|rtcp-fb:* ccm fir|rtcp-fb:97 goog-remb"
                    .into(),
                "m=video 20002 RTP/AVPF 96|rtpmap:96 VP8/90000|rtcp-fb:96 nack|rtcp-fb:96 ccm fir|sendrecv",
            ),
            (
                "no_feedback_without_its_profile",
                "m=video 5000 RTP/AVP 96|rtpmap:96 VP8/90000|rtcp-fb:* nack".into(),
                "m=video 5000 RTP/AVPF 97|rtpmap:97 VP8/90000|rtcp-fb:97 nack".into(),
                "m=video 20002 RTP/AVP 96|rtpmap:96 VP8/90000|sendrecv",
            ),
        ] {
            let [caller, client] = [body(&caller), body(&client)];
            let [caller, client] = [parse(&caller), parse(&client)];
            let agreement = agree(&caller, &client).unwrap();
            let mut out = Vec::new();
            write_answer(&mut out, &caller, Side::Caller, &agreement, &local(Some(&caller)));
            assert_eq!(behind_audio(&out), expected, "{rule}");
            assert_eq!(agreement.video.is_some(), expected.contains("20002"), "{rule}");
            let mut out = Vec::new();
            let without_ports = Local { video: None, ..local(None) };
            write_answer(&mut out, &caller, Side::Caller, &agreement, &without_ports);
            assert!(!behind_audio(&out).contains(" 2000"), "{rule}: no ports");
        }
    }

    fn sendonly(h264: &str) -> String {
        format!("{h264}|sendonly")
    }

    #[test]
    fn video_that_is_new_is_offered_on_a_new_line_and_stands_if_it_is_answered() {
        let offer = body(&format!("m=video 5000 RTP/AVP 99|{H264}|b=TIAS:300000"));
        let offer = parse(&offer);
        for (rule, before, line) in
            [("a_new_line", "", 1), ("in_place_of_a_refused_one", "m=image 0 udptl t38|m=video 0 RTP/AVP 31", 2)]
        {
            let mut outline = Outline::of(&parse(&body(before)));
            let proposed = propose(Side::Caller, &offer, None, &outline).unwrap();
            outline.fit(&proposed);
            assert_eq!((outline.audio_index(), outline.video_index()), (Some(0), Some(line)), "{rule}");
            let mut out = Vec::new();
            write_offer(&mut out, &outline, Side::Client, &proposed, &local(None));
            let written = String::from_utf8(out.clone()).unwrap();
            assert!(written.ends_with(
                "m=video 20002 RTP/AVP 99\r\nb=TIAS:300000\r\na=rtpmap:99 H264/90000\r\na=fmtp:99 profile-level-id=42e01f;packetization-mode=1\r\na=sendrecv\r\n"
            ), "{rule}: {written}");
            let told = parse(&written);
            let stands =
                |answer: &Description<'_>| accept_answer(Side::Client, &proposed, &outline, answer).unwrap().video;
            assert!(stands(&told).is_some(), "{rule}");
            assert!(stands(&told.clone().without(super::super::Kind::Video)).is_none(), "{rule}");
            let other = written.replace("H264", "H263");
            assert!(stands(&parse(&other)).is_none(), "{rule}");
            // Dropped again, its line stays.
            let without = Agreement { video: None, ..proposed.clone() };
            let mut out = Vec::new();
            write_offer(&mut out, &outline, Side::Client, &without, &local(None));
            assert!(String::from_utf8(out).unwrap().ends_with("m=video 0 RTP/AVP 31\r\n"), "{rule}");
        }
    }

    #[test]
    fn there_is_no_room_for_more_lines_than_a_description_may_have() {
        let full = body(&["m=image 0 udptl t38"; crate::limits::SDP_MEDIA_MAX - 1].join("|"));
        let mut outline = Outline::of(&parse(&full));
        let offer = body(&format!("m=video 5000 RTP/AVP 99|{H264}"));
        outline.fit(&propose(Side::Caller, &parse(&offer), None, &outline).unwrap());
        assert_eq!(outline.video_index(), None);
    }
}
