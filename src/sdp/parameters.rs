//! `a=fmtp`: when two sides' parameters of one encoding describe the same packets.
//! Not here: encoding names and clock rates (`answer`), and any other effect of a parameter: the endpoints read them, we pass them on.

use arrayvec::ArrayVec;

/// What becomes of two sides' parameters that go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// Each hears the other's.
    AsWritten,
    /// One of them cannot do an extension, so both are told to leave it.
    Without(&'static str),
}

/// When an encoding's parameters go together.
enum Rule {
    /// Always: they say what the receiver would like, and every decoder takes every packet.
    Any,
    /// If these are alike; beside each what holds when it is not written.
    Alike(&'static [(&'static str, &'static str)]),
    /// If the way to cut pictures into packets is alike and the profile is of one kind (RFC 6184 §8.2.2). Levels are not compared: each side
    /// hears the other's, and sends what that can take.
    H264,
    /// Always, but if one side writes this with `no`, both get that: an extension that is on by default.
    Extension(&'static str, &'static str),
}

/// AMR packets have two layouts and many modes (RFC 4867 §8.1); a decoder for one is lost in the other.
const AMR: Rule =
    Rule::Alike(&[("octet-align", "0"), ("mode-set", ""), ("crc", "0"), ("robust-sorting", "0"), ("interleaving", "")]);

const RULES: &[(&str, Rule)] = &[
    ("PCMU", Rule::Any),
    ("PCMA", Rule::Any),
    ("G722", Rule::Any),
    ("GSM", Rule::Any),
    ("L16", Rule::Any),
    ("CN", Rule::Any),
    ("telephone-event", Rule::Any),
    // RFC 7587 §7: every parameter is a wish or declares what the sender will do
    ("opus", Rule::Any),
    ("speex", Rule::Any),
    // RFC 7261 §3: absent is yes; if either side says no, no comfort noise frames are sent
    ("G729", Rule::Extension("annexb", "annexb=no")),
    ("G723", Rule::Extension("annexa", "annexa=no")),
    // RFC 3952 §5: 30 ms unless 20 is written
    ("iLBC", Rule::Alike(&[("mode", "30")])),
    ("AMR", AMR),
    ("AMR-WB", AMR),
    // RFC 7741 §6.1, RFC 4587, RFC 4629: what the receiver can take
    ("VP8", Rule::Any),
    ("H261", Rule::Any),
    ("H263", Rule::Any),
    ("H263-1998", Rule::Any),
    ("H263-2000", Rule::Any),
    ("JPEG", Rule::Any),
    ("MPV", Rule::Any),
    ("MP2T", Rule::Any),
    ("H264", Rule::H264),
    // RFC 7798 §7.1: without a profile it is Main
    ("H265", Rule::Alike(&[("profile-space", "0"), ("profile-id", "1"), ("tx-mode", "SRST")])),
    // RFC 9628 §6
    ("VP9", Rule::Alike(&[("profile-id", "0")])),
    ("AV1", Rule::Alike(&[("profile", "0")])),
    // RFC 5577 §3: one payload type a bit rate
    ("G7221", Rule::Alike(&[("bitrate", "")])),
];

/// What of one side's parameters matters for fitting together. Read once for each format, so that comparing all of one offer
/// with all of another costs little more than reading both.
#[derive(Clone, Debug)]
pub(super) enum Terms<'a> {
    Any,
    Alike(ArrayVec<&'a [u8], ALIKE_MAX>),
    Extension {
        refused: bool,
        without: &'static str,
    },
    /// Of an encoding that we do not know: all of them.
    Unknown(&'a [u8]),
}

/// What of `profile-level-id` is the profile: two digits for it, two for constraints, two for the level.
const PROFILE_DIGITS: usize = 2;

/// Most parameters of one encoding that must be alike.
const ALIKE_MAX: usize = 5;

impl<'a> Terms<'a> {
    /// Reads what matters for this encoding.
    pub(super) fn of(encoding: &str, fmtp: Option<&'a [u8]>) -> Terms<'a> {
        let fmtp = fmtp.unwrap_or_default();
        match RULES.iter().find(|(name, _)| name.eq_ignore_ascii_case(encoding)).map(|(_, rule)| rule) {
            Some(Rule::Any) => Terms::Any,
            Some(Rule::Alike(keys)) => {
                let value = |(key, default): &(&str, &'static str)| value(fmtp, key).unwrap_or(default.as_bytes());
                Terms::Alike(keys.iter().map(value).collect())
            }
            Some(Rule::H264) => {
                let mode = value(fmtp, "packetization-mode").unwrap_or(b"0");
                let profile = value(fmtp, "profile-level-id").unwrap_or(b"420010");
                Terms::Alike([mode, profile.get(..PROFILE_DIGITS).unwrap_or(profile)].into_iter().collect())
            }
            Some(Rule::Extension(key, without)) => {
                let refused = value(fmtp, key).is_some_and(|value| value.eq_ignore_ascii_case(b"no"));
                Terms::Extension { refused, without }
            }
            None => Terms::Unknown(fmtp),
        }
    }

    /// Whether packets under these are packets under those, both of one encoding.
    /// An encoding that we do not know must be described alike on both sides, word for word.
    pub(super) fn fit(&self, other: &Terms<'_>) -> Option<Fit> {
        let as_written = |fits: bool| fits.then_some(Fit::AsWritten);
        match (self, other) {
            (Terms::Any, Terms::Any) => as_written(true),
            (Terms::Alike(here), Terms::Alike(there)) => {
                as_written(here.iter().zip(there).all(|(here, there)| here.eq_ignore_ascii_case(there)))
            }
            (Terms::Extension { refused: here, without }, Terms::Extension { refused: there, .. }) => {
                Some(if *here || *there { Fit::Without(without) } else { Fit::AsWritten })
            }
            (Terms::Unknown(here), Terms::Unknown(there)) => as_written(here.eq_ignore_ascii_case(there)),
            // of two encodings
            (Terms::Any | Terms::Alike(_) | Terms::Extension { .. } | Terms::Unknown(_), _) => None,
        }
    }
}

/// The parameters, as they are separated in nearly every format: `a=1; b=2` (RFC 4855 §3).
fn parameters(fmtp: &[u8]) -> impl Iterator<Item = &[u8]> {
    fmtp.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|parameter| !parameter.is_empty())
}

fn value<'a>(fmtp: &'a [u8], key: &str) -> Option<&'a [u8]> {
    parameters(fmtp).find_map(|parameter| {
        let at = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = parameter.split_at_checked(at)?;
        let value = value.strip_prefix(b"=")?;
        name.trim_ascii().eq_ignore_ascii_case(key.as_bytes()).then_some(value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_go_together_where_they_describe_the_same_packets() {
        let yes = Some(Fit::AsWritten);
        for (encoding, here, there, expected) in [
            ("opus", "minptime=10;useinbandfec=1", "stereo=1", yes),
            ("OPUS", "useinbandfec=1", "", yes),
            ("telephone-event", "0-15", "0-16,66", yes),
            ("PCMU", "", "nonsense", yes),
            ("G729", "", "annexb=yes", yes),
            ("G729", "annexb=no", "", Some(Fit::Without("annexb=no"))),
            ("g729", "", "AnnexB = NO", Some(Fit::Without("annexb=no"))),
            ("G723", "annexa=no;bitrate=6.3", "", Some(Fit::Without("annexa=no"))),
            ("iLBC", "", "mode=30", yes),
            ("iLBC", "mode=20", "mode=30", None),
            ("iLBC", "mode=20", "", None),
            ("AMR", "octet-align=0", "", yes),
            ("AMR", "octet-align=1", "", None),
            ("AMR", "octet-align=1; mode-change-period=2", "octet-align=1", yes),
            ("AMR-WB", "mode-set=0,1,2", "mode-set=0,1,2,8", None),
            ("AMR-WB", "mode-set=0,1,2", "mode-set=0,1,2", yes),
            ("G7221", "bitrate=24000", "bitrate=32000", None),
            ("EVS", "br=5.9-24.4; bw=nb-swb", "br=5.9-24.4; BW=nb-swb", yes),
            ("EVS", "br=5.9-24.4; bw=nb-swb", "bw=nb-swb;br=5.9-24.4", None),
            ("EVS", "br=5.9-24.4", "", None),
            ("x-own", "", "", yes),
            ("VP8", "max-fr=30", "", yes),
            (
                "H264",
                "profile-level-id=42e01f;packetization-mode=1",
                "packetization-mode=1; profile-level-id=42801E",
                yes,
            ),
            ("H264", "profile-level-id=42e01f", "", yes),
            ("H264", "profile-level-id=42e01f;packetization-mode=1", "profile-level-id=42e01f", None),
            ("H264", "profile-level-id=64001f", "profile-level-id=42001f", None),
            ("H264", "profile-level-id=6", "profile-level-id=64001f", None),
            ("H265", "profile-id=1;level-id=93", "", yes),
            ("H265", "profile-id=2", "", None),
            ("VP9", "profile-id=2", "profile-id=0", None),
            ("AV1", "profile=0;level-idx=5", "", yes),
        ] {
            let (left, right) = (here.as_bytes(), there.as_bytes());
            let [left, right] = [left, right].map(|fmtp| Terms::of(encoding, Some(fmtp)));
            assert_eq!(left.fit(&right), expected, "{encoding} {here:?} {there:?}");
            assert_eq!(right.fit(&left), expected, "{encoding} {there:?} {here:?}");
        }
        assert_eq!(Terms::of("iLBC", None).fit(&Terms::of("iLBC", Some(b"mode=30"))), yes);
        assert_eq!(Terms::of("PCMU", None).fit(&Terms::of("iLBC", None)), None);
    }
}
