//! The default engine: what the credential itself grants, and nothing more. Pure: it remembers nothing and asks nobody.
//! Not here: verifying the credential (`jwt`), counting bridges (the switch hands the number in).

use super::{Action, Claims, Decision, GRANTED, MediaKinds, PolicyEngine, Query, Reason, Subject, Verdict};
use crate::name::Name;
use crate::time::Now;

/// Decides by the grants in the client's JWT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grants {
    /// How many bridges the holder of dial tokens may have at a time: his JWT, which says it for others, is not at hand then.
    pub dial_concurrent: u32,
}

impl Default for Grants {
    fn default() -> Grants {
        Grants { dial_concurrent: 1 }
    }
}

impl PolicyEngine for Grants {
    fn decide(&self, now: Now, query: &Query<'_>) -> Decision {
        let refused = refuse_credential(now, query).or_else(|| match query.subject {
            Subject::Claims(claims) => {
                refuse_claims(claims, query).or_else(|| claims.grant().only()?.refuse(now, query))
            }
            Subject::Dial(_) => refuse_usage(self.dial_concurrent, query.usage),
            Subject::Nobody => Some(Reason::NoCredential),
        });
        Decision::Verdict(match refused {
            None => match query.subject {
                Subject::Claims(claims) => {
                    let only = claims.grant().only();
                    let (lasts, calls) = only.map(|only| (only.lasts(), only.calls)).unwrap_or_default();
                    Verdict::allow(query, GRANTED).within(lasts, calls)
                }
                Subject::Dial(_) | Subject::Nobody => Verdict::allow(query, GRANTED),
            },
            Some(reason) => Verdict::Deny(reason),
        })
    }
}

/// What holds for every engine: who proves nothing may do nothing, an expired JWT proves nothing, and a dialled URI is for answering alone.
pub(super) fn refuse_credential(now: Now, query: &Query<'_>) -> Option<Reason> {
    match query.subject {
        // A channel and a callback may outlive the JWT they came with; what it granted does not.
        Subject::Claims(claims) => (now.wall >= claims.expires()).then_some(Reason::TokenExpired),
        Subject::Dial(_) => refuse_dial(query),
        Subject::Nobody => Some(Reason::NoCredential),
    }
}

/// A softphone that dials the URI brings no JWT. Its subject was asked about ([`Action::Dial`]) when the token was issued, and the token
/// is bound to one call for the length of a ring; so it is good for answering that call, with sound alone (RELIABILITY §2.1 "confused
/// deputy"), and for nothing else.
fn refuse_dial(query: &Query<'_>) -> Option<Reason> {
    match query.action {
        Action::Bridge => refuse_media(MediaKinds::AUDIO, query.media),
        Action::Subscribe | Action::Register | Action::Receive | Action::Dial => Some(Reason::DialNotGranted),
        Action::Transfer => Some(Reason::TransferNotGranted),
        Action::Message => Some(Reason::MessageNotGranted),
        Action::Presence => Some(Reason::PresenceNotGranted),
    }
}

fn refuse_claims(claims: &Claims, query: &Query<'_>) -> Option<Reason> {
    let grant = claims.grant();
    match query.action {
        // To be reached under a name is to hear of its calls.
        Action::Subscribe | Action::Register | Action::Receive => {
            refuse_name(&grant.receive, query.name, Reason::NameNotGranted)
        }
        Action::Dial if !grant.dial => Some(Reason::DialNotGranted),
        // Whoever hands out a right must have it; how many calls there are is counted when one is answered.
        Action::Dial => refuse_name(&grant.bridge, query.name, Reason::BridgeNotGranted)
            .or_else(|| refuse_media(grant.media, query.media)),
        Action::Bridge => refuse_name(&grant.bridge, query.name, Reason::BridgeNotGranted)
            .or_else(|| refuse_media(grant.media, query.media))
            .or_else(|| refuse_usage(grant.concurrent, query.usage)),
        // Whoever hands a call on keeps nothing of it: neither media nor a place is his.
        Action::Transfer => refuse_name(&grant.transfer, query.name, Reason::TransferNotGranted),
        Action::Message => {
            let is_granted = grant.message.iter().any(|addressee| addressee.covers(query.name));
            (!is_granted).then_some(Reason::MessageNotGranted)
        }
        Action::Presence => refuse_name(&grant.presence, query.name, Reason::PresenceNotGranted),
    }
}

fn refuse_name(granted: &[Name], name: &Name, reason: Reason) -> Option<Reason> {
    (!granted.iter().any(|above| above.reaches(name))).then_some(reason)
}

pub(super) fn refuse_media(granted: MediaKinds, wanted: MediaKinds) -> Option<Reason> {
    (wanted.is_empty() || !granted.covers(wanted)).then_some(Reason::MediaNotGranted)
}

pub(super) fn refuse_usage(granted: u32, usage: u32) -> Option<Reason> {
    (usage >= granted).then_some(Reason::ConcurrencyExceeded)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, name};
    use super::super::{Addressee, Grant};
    use super::*;
    use crate::time::{Instant, Wall};
    use crate::token::SubjectHash;

    const NOW: Now = Now { at: Instant(0), wall: Wall(1_000_000) };
    const AUDIO: MediaKinds = MediaKinds::AUDIO;
    const DIALLED: Subject<'static> = Subject::Dial(SubjectHash([0; 16]));

    /// May hear of `foo` and `bar`, may answer `foo` alone, two calls at a time.
    fn grant() -> Grant {
        Grant { receive: vec![name("foo"), name("bar")], bridge: vec![name("foo")], concurrent: 2, ..Grant::default() }
    }

    fn claims(grant: Grant) -> Claims {
        Claims { expires: Wall(1_000_001), ..testing::claims("alice-web", grant) }
    }

    fn decided(now: Now, subject: Subject<'_>, action: Action, text: &str, media: MediaKinds, usage: u32) -> String {
        let name = name(text);
        testing::verdict(&Grants::default(), now, &Query { media, usage, ..testing::query(action, subject, &name) })
    }

    #[test]
    fn each_action_has_its_own_grant() {
        let (plain, dialler) = (claims(grant()), claims(Grant { dial: true, ..grant() }));
        for (claims, action, text, expected) in [
            (&plain, Action::Subscribe, "foo", "granted"),
            (&plain, Action::Subscribe, "foo/web", "granted"),
            (&plain, Action::Subscribe, "foobar", "name_not_granted"),
            (&plain, Action::Subscribe, "other", "name_not_granted"),
            (&plain, Action::Receive, "bar", "granted"),
            (&plain, Action::Receive, "other", "name_not_granted"),
            (&plain, Action::Bridge, "foo", "granted"),
            (&plain, Action::Bridge, "foo/web", "granted"),
            (&plain, Action::Bridge, "bar", "bridge_not_granted"),
            (&plain, Action::Bridge, "other", "bridge_not_granted"),
            (&plain, Action::Dial, "foo", "dial_not_granted"),
            (&dialler, Action::Dial, "foo", "granted"),
            (&dialler, Action::Dial, "bar", "bridge_not_granted"),
        ] {
            let subject = Subject::Claims(claims);
            assert_eq!(decided(NOW, subject, action, text, AUDIO, 0), expected, "{action:?} {text}");
        }
    }

    #[test]
    fn to_write_and_to_know_who_is_there_are_granted_apart_and_numbers_by_how_they_begin() {
        let message = ["sales", "+49*"].map(|text| Addressee::parse(text).unwrap()).to_vec();
        let writing = claims(Grant { message, presence: vec![name("sales")], ..grant() });
        for (action, text, expected) in [
            (Action::Message, "sales/web", "granted"),
            (Action::Message, "+4930", "granted"),
            (Action::Message, "+49x", "message_not_granted"),
            (Action::Message, "+43", "message_not_granted"),
            (Action::Message, "foo", "message_not_granted"),
            (Action::Presence, "sales/web", "granted"),
            (Action::Presence, "salesforce", "presence_not_granted"),
            (Action::Presence, "foo", "presence_not_granted"),
        ] {
            let subject = Subject::Claims(&writing);
            assert_eq!(decided(NOW, subject, action, text, MediaKinds::NONE, 0), expected, "{action:?} {text}");
        }
        for bad in ["", "49*", "+49x*", "a*", "+4*9"] {
            assert!(Addressee::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_may_be_handed_to_the_names_that_are_granted_for_that() {
        let handing = claims(Grant { transfer: vec![name("sales")], ..grant() });
        for (subject, text, expected) in [
            (Subject::Claims(&handing), "sales", "granted"),
            (Subject::Claims(&handing), "sales/web", "granted"),
            (Subject::Claims(&handing), "foo", "transfer_not_granted"),
            (Subject::Claims(&claims(grant())), "foo", "transfer_not_granted"),
            (DIALLED, "sales", "transfer_not_granted"),
            (Subject::Nobody, "sales", "no_credential"),
        ] {
            assert_eq!(decided(NOW, subject, Action::Transfer, text, MediaKinds::NONE, 9), expected, "{text}");
        }
        let end = Now { wall: handing.expires(), ..NOW };
        let late = decided(end, Subject::Claims(&handing), Action::Transfer, "sales", MediaKinds::NONE, 0);
        assert_eq!(late, "token_expired");
    }

    #[test]
    fn a_grant_below_does_not_reach_up() {
        let web = claims(Grant { receive: vec![name("foo/web")], bridge: vec![name("foo/web")], ..Grant::default() });
        for (action, text, expected) in [
            (Action::Subscribe, "foo/web", "granted"),
            (Action::Subscribe, "foo", "name_not_granted"),
            (Action::Subscribe, "foo/mobile", "name_not_granted"),
            (Action::Bridge, "foo", "bridge_not_granted"),
        ] {
            assert_eq!(decided(NOW, Subject::Claims(&web), action, text, AUDIO, 0), expected, "{action:?} {text}");
        }
    }

    #[test]
    fn media_and_number_are_kept_when_a_call_is_answered() {
        let both = MediaKinds::AUDIO | MediaKinds::VIDEO;
        let (plain, seeing) = (claims(grant()), claims(Grant { media: both, ..grant() }));
        let none = claims(Grant { concurrent: 0, ..grant() });
        for (claims, media, usage, expected) in [
            (&plain, AUDIO, 0, "granted"),
            (&plain, both, 0, "media_not_granted"),
            (&plain, MediaKinds::VIDEO, 0, "media_not_granted"),
            (&plain, MediaKinds::NONE, 0, "media_not_granted"),
            (&seeing, both, 0, "granted"),
            (&seeing, MediaKinds::VIDEO, 0, "granted"),
            (&plain, AUDIO, 1, "granted"),
            (&plain, AUDIO, 2, "concurrency_exceeded"),
            (&plain, AUDIO, u32::MAX, "concurrency_exceeded"),
            (&none, AUDIO, 0, "concurrency_exceeded"),
        ] {
            let subject = Subject::Claims(claims);
            assert_eq!(decided(NOW, subject, Action::Bridge, "foo", media, usage), expected, "{media:?} {usage}");
        }
    }

    #[test]
    fn nothing_is_granted_from_the_expiry_on() {
        let claims = claims(Grant { dial: true, ..grant() });
        let end = Now { wall: claims.expires(), ..NOW };
        for action in [Action::Subscribe, Action::Receive, Action::Dial, Action::Bridge] {
            assert_eq!(decided(NOW, Subject::Claims(&claims), action, "foo", AUDIO, 0), "granted", "{action:?}");
            assert_eq!(decided(end, Subject::Claims(&claims), action, "foo", AUDIO, 0), "token_expired", "{action:?}");
        }
    }

    #[test]
    fn a_dialled_token_answers_one_call_with_sound_and_does_nothing_else() {
        for (action, media, usage, expected) in [
            (Action::Bridge, AUDIO, 0, "granted"),
            (Action::Bridge, AUDIO, 1, "concurrency_exceeded"),
            (Action::Bridge, MediaKinds::VIDEO, 0, "media_not_granted"),
            (Action::Bridge, AUDIO | MediaKinds::VIDEO, 0, "media_not_granted"),
            (Action::Subscribe, AUDIO, 0, "dial_not_granted"),
            (Action::Receive, AUDIO, 0, "dial_not_granted"),
            (Action::Dial, AUDIO, 0, "dial_not_granted"),
        ] {
            assert_eq!(decided(NOW, DIALLED, action, "foo", media, usage), expected, "{action:?} {media:?} {usage}");
        }
    }

    #[test]
    fn nobody_may_do_anything_and_neither_may_who_was_granted_nothing() {
        let poor = claims(Grant::default());
        for (action, expected) in [
            (Action::Subscribe, "name_not_granted"),
            (Action::Receive, "name_not_granted"),
            (Action::Dial, "dial_not_granted"),
            (Action::Bridge, "bridge_not_granted"),
        ] {
            assert_eq!(decided(NOW, Subject::Nobody, action, "foo", AUDIO, 0), "no_credential", "{action:?}");
            assert_eq!(decided(NOW, Subject::Claims(&poor), action, "foo", AUDIO, 0), expected, "{action:?}");
        }
    }

    #[test]
    fn the_same_engine_says_no_when_its_server_would_have_been_asked() {
        let name = name("foo");
        let query = testing::query(Action::Bridge, DIALLED, &name);
        let verdict = Grants::default().answered(NOW, &query, super::super::Answer::Reply(b"yes".to_vec()));
        assert_eq!(verdict.id(), "policy_unavailable");
    }
}
