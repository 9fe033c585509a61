//! A fax in offer and answer (ITU-T T.38 annex D): its parameters cross as they are. Only where both legs have offered one, and neither can be
//! asked any more, is something put in the place of what they said.
//! Not here: reading them (`parse`), and the datagrams (`media::udptl`).

use super::media::Media;
use crate::id::Side;
use std::borrow::Cow;

/// A fax between two legs, or, before the answer, what is proposed to one of them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Fax {
    caller: Parameters,
    client: Parameters,
}

/// What a leg is told, an attribute each.
type Parameters = Box<[Box<[u8]>]>;

/// How a modem's speed is found out (T.38 §8.1); this one where nothing is said.
const TRANSFERRED: &[u8] = b"transferredTCF";
/// The repair that every gateway has (T.38 §9.1).
const REDUNDANCY: &[u8] = b"t38UDPRedundancy";

impl Fax {
    /// What a leg is told: what the other one says of itself.
    pub fn told(&self, side: Side) -> &[Box<[u8]>] {
        match side {
            Side::Caller => &self.caller,
            Side::Client => &self.client,
        }
    }

    /// Of two offers; `None` if they cannot be brought together.
    pub(super) fn agree(caller: &Media<'_>, client: &Media<'_>) -> Option<Fax> {
        let rate = |media| value(media, b"T38FaxRateManagement").unwrap_or(TRANSFERRED);
        let fits = rate(caller).eq_ignore_ascii_case(rate(client));
        fits.then(|| Fax { caller: answer(caller, client), client: answer(client, caller) })
    }

    /// Of one leg's offer.
    pub(super) fn propose(from: Side, offer: &Media<'_>) -> Fax {
        Fax::default().with(from.other(), offer)
    }

    /// The same with a leg's answer.
    pub(super) fn accept(&self, side: Side, answer: &Media<'_>) -> Fax {
        self.clone().with(side.other(), answer)
    }

    fn with(self, told: Side, media: &Media<'_>) -> Fax {
        let words = media.t38.iter().map(|word| Box::from(*word)).collect();
        match told {
            Side::Caller => Fax { caller: words, ..self },
            Side::Client => Fax { client: words, ..self },
        }
    }
}

/// What stands in the answer to an offer, by one who has said `own` of himself: no more than both can do.
fn answer(offer: &Media<'_>, own: &Media<'_>) -> Parameters {
    own.t38.iter().filter_map(|word| answered(offer, word)).map(|word| Box::from(&*word)).collect()
}

/// One parameter of it (T.38 §D.2.3): the lower of two numbers, what both can of what is optional, and the repair that all can where they want
/// different ones. All others, and those that nobody knows, are the author's own affair.
fn answered<'a>(offer: &Media<'_>, word: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let (name, own) = split(word);
    let offered = value(offer, name);
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    let with = |value: &[u8]| Cow::Owned([name, b":", value].concat());
    if is(b"T38FaxVersion") {
        // Without a word it is version 0, and so is then the answer.
        return offered.map(|offered| with(lower(offered, own)));
    }
    if is(b"T38MaxBitRate") {
        return Some(offered.map_or(Cow::Borrowed(word), |offered| with(lower(offered, own))));
    }
    if is(b"T38FaxFillBitRemoval") || is(b"T38FaxTranscodingMMR") || is(b"T38FaxTranscodingJBIG") {
        return offered.filter(|value| *value != b"0").map(|_| Cow::Borrowed(word));
    }
    let differs = offered.is_some_and(|offered| !offered.eq_ignore_ascii_case(own));
    Some(if is(b"T38FaxUdpEC") && differs { with(REDUNDANCY) } else { Cow::Borrowed(word) })
}

/// The lower of two numbers; ours where the other is none.
fn lower<'a>(offered: &'a [u8], own: &'a [u8]) -> &'a [u8] {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.trim().parse::<u32>().ok();
    match (number(offered), number(own)) {
        (Some(theirs), Some(ours)) if theirs < ours => offered,
        (Some(_), None) => offered,
        (Some(_) | None, Some(_)) | (None, None) => own,
    }
}

/// What a leg says of one parameter; nothing where there is only its name.
fn value<'a>(media: &Media<'a>, name: &[u8]) -> Option<&'a [u8]> {
    media.t38.iter().map(|word| split(word)).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// `name ":" value`.
fn split(word: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', word).unwrap_or(word.len());
    let (name, value) = word.split_at_checked(colon).unwrap_or_default();
    (name, value.strip_prefix(b":").unwrap_or_default().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::{
        Agreement, Description, Direction, Kind, Local, LocalStream, NotAgreed, Outline, accept_answer, agree, propose,
        write_answer, write_offer,
    };
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    const AUDIO: &str = "m=audio 4000 RTP/AVP 0";
    const IMAGE: &str = "m=image 4002 udptl t38";

    /// Lines separated by `|`: `m=` as they are, attributes without `a=`.
    fn body(lines: &str) -> String {
        let line = |line: &str| if line.starts_with("m=") { format!("{line}\r\n") } else { format!("a={line}\r\n") };
        HEAD.to_owned() + &lines.split('|').filter(|text| !text.is_empty()).map(line).collect::<String>()
    }

    /// What was written, in that form.
    fn lines(written: &[u8]) -> String {
        let text = std::str::from_utf8(written).unwrap();
        let (_, media) = text.split_once("t=0 0\r\n").unwrap();
        media.trim_end().replace("\r\na=", "|").replace("\r\n", "|")
    }

    fn parse(body: &str) -> Description<'_> {
        Description::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    fn local() -> Local {
        let stream = |port| LocalStream {
            address: ([198, 51, 100, 1], port).into(),
            rtcp_mux: false,
            direction: Direction::SendRecv,
            carriage: super::super::Carriage::default(),
        };
        Local { session_id: 7, version: 1, audio: stream(20_000), video: None, fax: Some(stream(20_002)) }
    }

    fn offered(outline: &Outline, proposed: &Agreement) -> String {
        let mut out = Vec::new();
        write_offer(&mut out, outline, Side::Client, proposed, &local());
        lines(&out)
    }

    fn answered_with(offer: &Description<'_>, agreement: &Agreement) -> String {
        let mut out = Vec::new();
        write_answer(&mut out, offer, Side::Caller, agreement, &local());
        lines(&out)
    }

    const SPOKEN: &str = "m=audio 20000 RTP/AVP 0|rtpmap:0 PCMU/8000|sendrecv";

    #[test]
    fn what_is_a_fax_that_can_be_carried() {
        let many = |count: usize| format!("{IMAGE}{}", "|T38New:1".repeat(count));
        for (lines, expected) in [
            (IMAGE.to_owned(), Some(0)),
            (IMAGE.replace("udptl t38", "UDPTL T38"), Some(0)),
            (format!("{AUDIO}|{IMAGE}"), Some(1)),
            (format!("m=image 0 udptl t38|{IMAGE}"), Some(1)),
            (many(24), Some(0)),
            // Refused: over TCP, over DTLS (RFC 7345), over RTP, of another kind, switched off, and what cannot be passed on.
            (IMAGE.replace("udptl", "TCP"), None),
            (IMAGE.replace("udptl", "UDP/TLS/UDPTL"), None),
            (IMAGE.replace("udptl t38", "RTP/AVP 98"), None),
            (IMAGE.replace("t38", "t37"), None),
            (IMAGE.replace("image", "audio"), None),
            (IMAGE.replace("4002", "0"), None),
            (many(25), None),
            (format!("{IMAGE}|T38New:{}", "x".repeat(128)), None),
            (format!("{IMAGE}|T38New:\u{e9}"), None),
            (format!("{IMAGE}|T38New:\u{1b}[2J"), None),
        ] {
            let body = body(&lines);
            assert_eq!(parse(&body).fax().map(|(index, _)| index), expected, "{lines}");
            assert_eq!(parse(&body).without(Kind::Image).fax(), None, "{lines}");
        }
    }

    #[test]
    fn parameters_cross_as_they_are_and_nothing_else_does() {
        let words = "T38FaxVersion:0|T38MaxBitRate:14400|T38FaxRateManagement:transferredTCF|T38FaxMaxBuffer:262|\
                     T38FaxMaxDatagram:90|T38FaxUdpEC:t38UDPRedundancy|T38FaxFillBitRemoval|t38modemtype: t38G3AC|T38Unheard:of it";
        let offer = body(&format!("{IMAGE}|{words}|silenceSupp:off - - - -|ptime:20|x-T38:1"));
        let offer = parse(&offer);
        let mut outline = Outline::default();
        let proposed = propose(Side::Caller, &offer, Some(&Agreement::by_default()), &outline).unwrap();
        outline.fit(&proposed);
        assert_eq!(offered(&outline, &proposed), format!("m=image 20002 udptl t38|{words}"));
        let answer = body("m=image 5002 udptl t38|T38MaxBitRate:9600|T38FaxUdpEC:t38UDPNoEC|sendrecv");
        let agreement = accept_answer(Side::Client, &proposed, &outline, &parse(&answer)).unwrap();
        assert_eq!(
            answered_with(&offer, &agreement),
            "m=image 20002 udptl t38|T38MaxBitRate:9600|T38FaxUdpEC:t38UDPNoEC"
        );
        assert_eq!(agreement.audio, Agreement::by_default().audio, "its numbers stay for later");
    }

    /// RFC 3264 §6, §8.1, §8.2, §8.3.3: shapes of a change to a fax, as the other leg sees them, which has had audio alone, or a fax once.
    #[test]
    fn a_fax_takes_the_audios_line_or_one_of_its_own() {
        let (audio, fax) = (AUDIO.to_owned(), "m=image 20002 udptl t38".to_owned());
        let (no_audio, no_fax) = ("m=audio 0 RTP/AVP 0", "m=image 0 udptl t38");
        for (rule, before, offer, expected) in [
            ("in_place_of_the_audio", &audio, IMAGE.to_owned(), fax.clone()),
            ("beside_audio_that_ends", &audio, format!("{no_audio}|{IMAGE}"), fax.clone()),
            ("beside_audio_that_goes_on", &audio, format!("{AUDIO}|{IMAGE}"), format!("{SPOKEN}|{fax}")),
            ("a_line_that_was_there", &format!("{AUDIO}|{no_fax}"), IMAGE.to_owned(), format!("{no_audio}|{fax}")),
            ("back_to_audio", &IMAGE.to_owned(), audio.clone(), SPOKEN.to_owned()),
            ("back_on_two_lines", &format!("{no_audio}|{IMAGE}"), audio.clone(), format!("{SPOKEN}|{no_fax}")),
            ("audio_joins_it", &IMAGE.to_owned(), format!("{AUDIO}|{IMAGE}"), format!("{fax}|{SPOKEN}")),
        ] {
            let (before, offer) = (body(before), body(&offer));
            let mut outline = Outline::of(&parse(&before));
            let proposed = propose(Side::Caller, &parse(&offer), None, &outline).unwrap();
            outline.fit(&proposed);
            let written = offered(&outline, &proposed);
            assert_eq!(written, expected, "{rule}");
            // Who takes all that he is offered has all of it.
            let answer = body(&written);
            let accepted = accept_answer(Side::Client, &proposed, &outline, &parse(&answer)).unwrap();
            assert_eq!((accepted.speaks, accepted.fax.is_some()), (proposed.speaks, proposed.fax.is_some()), "{rule}");
        }
    }

    #[test]
    fn an_answer_takes_audio_or_fax_or_both_and_not_neither_of_both() {
        let both = body(&format!("{AUDIO}|{IMAGE}"));
        let both = parse(&both);
        let mut outline = Outline::default();
        let proposed = propose(Side::Caller, &both, None, &outline).unwrap();
        outline.fit(&proposed);
        let fax = "m=image 20002 udptl t38";
        for (rule, answer, expected) in [
            ("both", format!("{AUDIO}|{IMAGE}"), Ok(format!("{SPOKEN}|{fax}"))),
            ("audio", format!("{AUDIO}|m=image 0 udptl t38"), Ok(format!("{SPOKEN}|m=image 0 udptl t38"))),
            ("audio, and a line is missing", AUDIO.into(), Ok(format!("{SPOKEN}|m=image 0 udptl t38"))),
            ("fax", format!("m=audio 0 RTP/AVP 0|{IMAGE}"), Ok(format!("m=audio 0 RTP/AVP 0|{fax}"))),
            ("over TCP", format!("m=audio 0 RTP/AVP 0|{}", IMAGE.replace("udptl", "TCP")), Err(NotAgreed::NoAudio)),
            ("neither", "m=audio 0 RTP/AVP 0|m=image 0 udptl t38".into(), Err(NotAgreed::NoAudio)),
        ] {
            let answer = body(&answer);
            let agreement = accept_answer(Side::Client, &proposed, &outline, &parse(&answer));
            assert_eq!(agreement.map(|agreement| answered_with(&both, &agreement)), expected, "{rule}");
        }
        // Of a fax that was offered alone nothing is left, and whoever offered it is told.
        let alone = body(IMAGE);
        let alone = parse(&alone);
        let mut outline = Outline::default();
        let proposed = propose(Side::Caller, &alone, None, &outline).unwrap();
        outline.fit(&proposed);
        let refused = body("m=image 0 udptl t38");
        let agreement = accept_answer(Side::Client, &proposed, &outline, &parse(&refused)).unwrap();
        assert_eq!(answered_with(&alone, &agreement), "m=image 0 udptl t38");
    }

    #[test]
    fn two_offers_of_a_fax_meet_where_both_can() {
        let fax = |words: &str| format!("{IMAGE}|{words}");
        for (rule, caller, client, to_caller) in [
            (
                "the_lower_version_and_rate",
                "T38FaxVersion:1|T38MaxBitRate:9600",
                "T38FaxVersion:3|T38MaxBitRate:33600",
                Some("T38FaxVersion:1|T38MaxBitRate:9600"),
            ),
            (
                "ours_if_it_is_lower",
                "T38FaxVersion:3|T38MaxBitRate:33600",
                "T38FaxVersion:0|T38MaxBitRate:14400",
                Some("T38FaxVersion:0|T38MaxBitRate:14400"),
            ),
            ("no_version_is_version_0", "", "T38FaxVersion:3|T38MaxBitRate:14400", Some("T38MaxBitRate:14400")),
            (
                "options_that_both_have",
                "T38FaxFillBitRemoval|T38FaxTranscodingMMR:0",
                "T38FaxFillBitRemoval|T38FaxTranscodingMMR|T38FaxTranscodingJBIG:1",
                Some("T38FaxFillBitRemoval"),
            ),
            ("the_same_repair", "T38FaxUdpEC:t38UDPFEC", "T38FaxUdpEC:t38UDPFEC", Some("T38FaxUdpEC:t38UDPFEC")),
            (
                "the_repair_that_all_can",
                "T38FaxUdpEC:t38UDPRedundancy",
                "T38FaxUdpEC:t38UDPFEC",
                Some("T38FaxUdpEC:t38UDPRedundancy"),
            ),
            (
                "what_each_can_take_is_its_own",
                "T38FaxMaxDatagram:72",
                "T38FaxMaxDatagram:316",
                Some("T38FaxMaxDatagram:316"),
            ),
            ("said_or_not", "", "T38FaxRateManagement:transferredTCF", Some("T38FaxRateManagement:transferredTCF")),
            (
                "no_way_to_find_out_the_speed",
                "T38FaxRateManagement:localTCF",
                "T38FaxRateManagement:transferredTCF",
                None,
            ),
            ("nor_where_one_says_nothing", "T38FaxRateManagement:localTCF", "", None),
        ] {
            let (caller, client) = (body(&fax(caller)), body(&fax(client)));
            let (caller, client) = (parse(&caller), parse(&client));
            let agreement = agree(&caller, &client);
            let expected = to_caller.map(|words| format!("m=image 20002 udptl t38|{words}")).ok_or(NotAgreed::NoAudio);
            assert_eq!(agreement.map(|agreement| answered_with(&caller, &agreement)), expected, "{rule}");
        }
        // Audio in common is enough, with a fax on one side only, or one on each that do not fit.
        for other in [AUDIO.to_owned(), format!("{AUDIO}|{IMAGE}|T38FaxRateManagement:localTCF")] {
            let (caller, client) = (body(&format!("{AUDIO}|{IMAGE}")), body(&other));
            let agreement = agree(&parse(&caller), &parse(&client)).unwrap();
            assert_eq!((agreement.speaks, agreement.fax), (true, None), "{other}");
        }
    }

    #[test]
    fn a_recorded_call_is_no_fax() {
        let both = body(&format!("{AUDIO}|{IMAGE}"));
        let both = agree(&parse(&both), &parse(&both)).unwrap();
        assert!(both.fax.is_some() && both.telephony_only().unwrap().fax.is_none());
        let alone = body(IMAGE);
        let alone = agree(&parse(&alone), &parse(&alone)).unwrap();
        assert_eq!(alone.telephony_only(), Err(NotAgreed::NoAudio));
    }
}
