//! SUBSCRIBE to the event package `parkway-call` (RFC 6665): the subscriber is told of the calls of a name by NOTIFY, with the same
//! documents as by MESSAGE or over a WebSocket.
//! Not here: what is told (`tell`). There is no other package.
//!
//! ```text
//!  SUBSCRIBE ─401─▶ Event ─489─▶ policy ─403─▶ 423 / 503 ─▶ 200, NOTIFY active ─▶ NOTIFY a call … ─▶ NOTIFY terminated
//! ```

use super::Switch;
use super::admit::called_user;
use super::identity::{Identified, only};
use crate::call::{Refusal, plain};
use crate::id::BindingId;
use crate::limits;
use crate::name::Name;
use crate::policy::Action;
use crate::registrar::{Contacts, Dialog, Kind, Parcel, Unfit, Who};
use crate::sip::Path;
use crate::sip::endpoint::{DialogId, Reply};
use crate::sip::transaction::timer::T1_64;
use crate::sip::wire::{Header, Message, Scheme};
use crate::time::{Duration, Now};

/// The package.
pub(super) const PACKAGE: &str = "parkway-call";

impl Switch {
    /// A client subscribes, renews its subscription, or ends it.
    pub(super) fn handle_subscribe(&mut self, now: Now, path: Path, request: &Message<'_>) {
        let tag = request.to().tag().map(|tag| String::from_utf8_lossy(tag).into_owned());
        let there = tag.as_deref().and_then(|tag| self.subscription_of(tag, request));
        if tag.is_some() && there.is_none() {
            return self.endpoint.reply(now, path, request, &plain(481));
        }
        let identified = match self.identify(now, request) {
            Ok(identified) => identified,
            Err(refusal) => return self.refuse_unknown(now, path, request, &refusal),
        };
        let (event, seconds) = match self.asked(request) {
            Ok(asked) => asked,
            Err(refusal) => return self.refuse_identified(now, path, request, &refusal),
        };
        let lasts = Duration::from_secs(seconds.into()).min(identified.lasts(now));
        let done = match there {
            Some(id) => self.resubscribe(now, path, request, &identified, id, lasts),
            None => self.subscribe(now, path, request, &identified, event, lasts),
        };
        match done {
            Ok(id) => self.settle_subscription(now, id, seconds),
            Err(refusal) => self.refuse_identified(now, path, request, &refusal),
        }
    }

    /// The subscription whose dialog a request is in: our tag, its tag and its Call-ID (RFC 3261 §12.2.2).
    fn subscription_of(&self, tag: &str, request: &Message<'_>) -> Option<BindingId> {
        let id = self.registrar.subscription(tag)?;
        let dialog = self.registrar.get(id)?.dialog()?;
        let from = request.from().tag().unwrap_or_default();
        (dialog.call_id.as_bytes() == request.call_id() && dialog.remote_tag.as_bytes() == from).then_some(id)
    }

    /// To which event, and for how many seconds.
    fn asked(&self, request: &Message<'_>) -> Result<(String, u32), Refusal> {
        let event = only(request.headers(Header::Event)).and_then(|value| std::str::from_utf8(value).ok());
        let event = event.filter(|event| event.split(';').next().is_some_and(|package| package.trim() == PACKAGE));
        let event = event.filter(|event| event.len() <= limits::LABEL_BYTES_MAX && !event.contains('\r'));
        // RFC 6665 §4.2.1.1, §7.3.2.
        let event = event.ok_or_else(|| {
            let refusal = Refusal::warned(489, "bad_event", "there is no such event package");
            refusal.with_first("Allow-Events", [PACKAGE.to_owned()])
        })?;
        if request.header(Header::Accept).is_some() && !request.values(Header::Accept).any(accepts_json) {
            return Err(Refusal::warned(406, "not_acceptable", "events are application/json"));
        }
        let asked = match request.number(Header::Expires) {
            Some(Ok(seconds)) => Some(seconds),
            Some(Err(_)) => return Err(Refusal::warned(400, "expires_invalid", "Expires cannot be read")),
            None => None,
        };
        let seconds = self.registrar.granted(asked).map_err(|unfit| self.unfit(unfit))?;
        Ok((event.to_owned(), seconds))
    }

    fn subscribe(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        identified: &Identified,
        event: String,
        lasts: Duration,
    ) -> Result<BindingId, Refusal> {
        if self.draining {
            return Err(self.busy("draining"));
        }
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let name = called_user(request, &mut buffer).and_then(|user| Name::parse(user).ok());
        let name =
            name.ok_or_else(|| Refusal::warned(404, "no_name", "the user part of the Request-URI is no name"))?;
        self.allow(now, Action::Subscribe, identified, (&name, path))?;
        self.registrar.has_room(&name, path).map_err(|unfit| self.unfit(unfit))?;
        let contacts = self.woken_contacts(request)?;
        let dialog = self.dialog(request, event);
        let dialog = dialog.ok_or_else(|| Refusal::warned(400, "contact_invalid", "there must be one Contact"))?;
        self.tell_of_devices(request, (&name, &identified.who()), identified.lasts(now), &contacts);
        let lasts = self.accept_subscription(now, path, request, &dialog.local_tag, lasts);
        let made = self.registrar.subscribe(now.at, (&name, &identified.who(), path), lasts, dialog);
        made.map_err(|unfit| self.unfit(unfit))
    }

    /// The dialog that this request makes (RFC 6665 §4.4.1, RFC 3261 §12.1.1).
    fn dialog(&self, request: &Message<'_>, event: String) -> Option<Dialog> {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let contact = only(request.contacts())?.ok()?;
        let is_sip = matches!(contact.uri.scheme, Scheme::Sip | Scheme::Sips);
        let routes: Vec<&[u8]> = request.values(Header::RecordRoute).collect();
        let local_tag = self.endpoint.tag_of(request)?.to_string();
        let target = contact.uri.as_bytes();
        (is_sip && target.len() <= limits::SIP_CONTACT_BYTES_MAX).then_some(())?;
        Some(Dialog {
            call_id: text(request.call_id())?,
            local: format!("{};tag={local_tag}", text(request.header(Header::To)?)?),
            local_tag,
            remote: text(request.header(Header::From)?)?,
            remote_tag: text(request.from().tag().unwrap_or_default())?,
            target: text(target)?,
            route: text(&routes.join(&b", "[..]))?,
            event,
            local_cseq: 0,
            remote_cseq: request.cseq().number,
        })
    }

    fn resubscribe(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        identified: &Identified,
        id: BindingId,
        lasts: Duration,
    ) -> Result<BindingId, Refusal> {
        let gone = || Refusal::status(481);
        let (name, who) =
            self.registrar.get(id).map(|there| (there.name.clone(), there.who.clone())).ok_or_else(gone)?;
        if !same_person(&who, &identified.who()) {
            return Err(Refusal::warned(403, "not_yours", "the subscription is somebody else's"));
        }
        self.allow(now, Action::Subscribe, identified, (&name, path))?;
        let contacts = self.woken_contacts(request)?;
        let Some(binding) = self.registrar.get_mut(id).filter(|binding| !binding.is_terminated()) else {
            return Err(gone());
        };
        let mut tag = String::new();
        if let Kind::Subscription(dialog) = &mut binding.kind {
            if request.cseq().number <= dialog.remote_cseq {
                return Err(self.unfit(Unfit::OutOfOrder));
            }
            dialog.remote_cseq = request.cseq().number;
            tag.clone_from(&dialog.local_tag);
            // §12.2: SUBSCRIBE refreshes the target (RFC 6665 §4.1.2.2).
            let target =
                request.contact().ok().and_then(|contact| String::from_utf8(contact.uri.as_bytes().to_vec()).ok());
            if let Some(target) = target.filter(|target| target.len() <= limits::SIP_CONTACT_BYTES_MAX) {
                dialog.target = target;
            }
        }
        self.tell_of_devices(request, (&name, &identified.who()), identified.lasts(now), &contacts);
        let lasts = self.accept_subscription(now, path, request, &tag, lasts);
        self.registrar.renew(id, &identified.who(), path, now.at + lasts);
        Ok(id)
    }

    /// The Contact, if it says how its client is woken. A subscription that says nothing of it takes back nothing that a registration has said.
    fn woken_contacts(&self, request: &Message<'_>) -> Result<Contacts, Refusal> {
        let contacts = match Contacts::read(request) {
            Some(Contacts::Some(wanted)) => wanted.into_iter().filter(|wanted| wanted.push.is_some()).collect(),
            Some(Contacts::None | Contacts::All) => Vec::new(),
            None => return Err(Refusal::warned(400, "contact_invalid", "a Contact cannot be read")),
        };
        let contacts = Contacts::Some(contacts);
        self.check_services(&contacts)?;
        Ok(contacts)
    }

    /// 200; for how long it is kept here: one that asks once, or leaves, until it was told (RFC 6665 §4.4.3).
    fn accept_subscription(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        tag: &str,
        lasts: Duration,
    ) -> Duration {
        let seconds = lasts.as_secs().to_string();
        let services = self.push_services(request);
        let headers = [("Expires", seconds.as_str()), ("Feature-Caps", &services)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let reply = Reply { status: 200, reason: None, headers: &headers, body: None };
        if let Some(tag) = DialogId::parse(tag.as_bytes()) {
            self.endpoint.reply_in_dialog(now, path, request, tag, &reply);
        }
        if lasts.is_zero() { T1_64 } else { lasts }
    }

    /// Each SUBSCRIBE is followed by a NOTIFY at once (RFC 6665 §4.2.1.2): how it stands, and for a new one all that waits.
    fn settle_subscription(&mut self, now: Now, id: BindingId, seconds: u32) {
        self.stats.registrations.note("accepted");
        let is_new =
            self.registrar.get(id).and_then(|there| there.dialog()).is_some_and(|dialog| dialog.local_cseq == 0);
        if seconds > 0 {
            self.push(id, Parcel::State);
        }
        if is_new {
            self.introduce(now, id);
        }
        if seconds == 0 {
            self.push(id, Parcel::Terminated("timeout"));
        }
        self.send_next(now, id);
    }
}

/// Whether a subscription that one made is the other's to change.
fn same_person(one: &Who, other: &Who) -> bool {
    let subject = |who: &Who| match who {
        Who::Bearer(claims) => claims.subject().to_owned(),
        Who::User(name) => name.to_string(),
    };
    subject(one) == subject(other)
}

fn accepts_json(range: &[u8]) -> bool {
    let kind = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    [&b"*/*"[..], b"application/*", b"application/json"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}
