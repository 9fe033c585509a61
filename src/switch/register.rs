//! REGISTER (RFC 3261 §10.3, RFC 5626 §6): who is it, may it be reached under that name, and then its contacts. In that order; nothing is
//! kept of a request before.
//! Not here: the table (`registrar`), and telling those who are in it (`tell`).

use super::Switch;
use super::identity::Identified;
use crate::call::Refusal;
use crate::event::{Authority, Hearer};
use crate::id::BindingId;
use crate::limits;
use crate::name::Name;
use crate::policy::{Action, MediaKinds, Reason};
use crate::registrar::{Binding, Contact, Contacts, Order, Unfit, Vector};
use crate::sip::Path;
use crate::sip::endpoint::Reply;
use crate::sip::wire::{Header, Message};
use crate::time::{Duration, Now};
use std::fmt::Write as _;

impl Switch {
    /// A client registers, or asks what is registered.
    pub(super) fn handle_register(&mut self, now: Now, path: Path, request: &Message<'_>) {
        let identified = match self.identify(now, request) {
            Ok(identified) => identified,
            Err(refusal) => return self.refuse_unknown(now, path, request, &refusal),
        };
        match self.register(now, path, request, &identified) {
            Ok((name, fresh)) => {
                self.stats.registrations.note("accepted");
                self.confirm(now, path, request, &name);
                fresh.into_iter().for_each(|id| self.introduce(now, id));
            }
            Err(refusal) => self.refuse_identified(now, path, request, &refusal),
        }
    }

    /// Whoever has not proved who he is.
    pub(super) fn refuse_unknown(&mut self, now: Now, path: Path, request: &Message<'_>, refusal: &Refusal) {
        tracing::debug!(peer = %path, reason = refusal.id, "a client has to prove who it is");
        self.stats.registrations.note("unauthorized");
        refusal.write(|reply| self.endpoint.reply(now, path, request, reply));
    }

    /// Whoever has. The answer is kept: a proof is good once, and the repetition of the request must not be told that it is used up.
    pub(super) fn refuse_identified(&mut self, now: Now, path: Path, request: &Message<'_>, refusal: &Refusal) {
        tracing::debug!(peer = %path, status = refusal.status, reason = refusal.id, "a registration was refused");
        self.stats.registrations.note("refused");
        refusal.write(|reply| self.endpoint.reply_known(now, path, request, reply));
    }

    fn register(
        &mut self,
        now: Now,
        path: Path,
        request: &Message<'_>,
        identified: &Identified,
    ) -> Result<(Name, Vec<BindingId>), Refusal> {
        if self.draining {
            return Err(self.busy("draining"));
        }
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let user = request.to().uri.user_unescaped(&mut buffer).and_then(|user| std::str::from_utf8(user).ok());
        // §10.3 step 5: an address of record that is none here is not found.
        let name = user.and_then(|user| Name::parse(user).ok());
        let name = name.ok_or_else(|| Refusal::warned(404, "no_name", "the user part of To is no name"))?;
        self.allow(now, Action::Register, identified, (&name, path))?;
        let contacts = Contacts::read(request);
        let contacts = contacts.ok_or_else(|| Refusal::warned(400, "contact_invalid", "a Contact cannot be read"))?;
        self.check_services(&contacts)?;
        let vector = Vector::read(request, path.peer);
        let vector =
            vector.ok_or_else(|| Refusal::warned(400, "path_invalid", "a Path cannot be read or is too long"))?;
        let call_id = String::from_utf8_lossy(request.call_id());
        let (who, longest) = (identified.who(), identified.lasts(now));
        let cseq = request.cseq().number;
        let order = Order { name: &name, who: &who, path, vector: &vector, call_id: &call_id, cseq, longest };
        let fresh = match &contacts {
            Contacts::None => Ok(Vec::new()),
            Contacts::All => self.registrar.clear(&order).map(|()| Vec::new()),
            Contacts::Some(wanted) => self.registrar.register(now.at, &order, wanted),
        };
        let fresh = fresh.map_err(|unfit| self.unfit(unfit))?;
        self.tell_of_devices(request, (&name, &who), longest, &contacts);
        Ok((name, fresh))
    }

    /// Asks policy about a client; a no is a 403 with its reason.
    pub(super) fn allow(
        &mut self,
        now: Now,
        action: Action,
        identified: &Identified,
        (name, path): (&Name, Path),
    ) -> Result<(), Refusal> {
        let hearer = Hearer { name, claims: &identified.claims, source: Some(path.peer.ip()) };
        let decided = self.authority().decide(now, action, MediaKinds::NONE, hearer, None);
        self.stats.verdicts.note(decided.err().map_or(crate::policy::GRANTED, Reason::as_str));
        decided.map_err(|reason| Refusal::warned(403, reason.as_str(), reason.title()))
    }

    /// What policy is asked with, and what seals tokens.
    pub fn authority(&self) -> Authority {
        Authority { keyring: self.keyring.clone(), engine: self.engine.clone(), keys: self.keys.clone() }
    }

    /// What the table has against it.
    pub(super) fn unfit(&self, unfit: Unfit) -> Refusal {
        match unfit {
            Unfit::TooBrief => {
                let least = self.registrar.lifetimes().seconds_min.to_string();
                let refusal = Refusal::warned(423, "interval_too_brief", "ask for more seconds");
                refusal.with_first("Min-Expires", [least])
            }
            Unfit::OutOfOrder => Refusal::warned(500, "out_of_order", "a later request was here before"),
            Unfit::Full(which) => self.busy(which),
        }
    }

    /// 200 with all contacts of the name and how long each still lasts (§10.3 step 8).
    fn confirm(&mut self, now: Now, path: Path, request: &Message<'_>, name: &Name) {
        let mut contacts = String::new();
        for (binding, contact) in self.registrar.contacts_of(name) {
            write_contact(&mut contacts, now, binding, contact);
        }
        // RFC 3327 §5.3: for a client that can see from it whether a proxy has put itself there which it does not know.
        let vector = Vector::read(request, path.peer).unwrap_or_default();
        let shown = if request.lists(Header::Supported, PATH) { vector.route.as_str() } else { "" };
        // RFC 5626 §6: told to a client that knows of flows and has asked for one, unless a proxy that keeps none is in between.
        let flows =
            self.registrar.contacts_of(name).any(|(_, contact)| contact.instance.is_some() && contact.reg_id.is_some());
        let flows = flows && request.lists(Header::Supported, "outbound") && (vector.is_empty() || vector.keeps_flow);
        let required = if flows { "outbound" } else { "" };
        let services = self.push_services(request);
        let headers =
            [("Contact", contacts.as_str()), ("Path", shown), ("Require", required), ("Feature-Caps", &services)];
        let headers: Vec<_> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let reply = Reply { status: 200, reason: None, headers: &headers, body: None };
        self.endpoint.reply_known(now, path, request, &reply);
    }
}

/// The extension (RFC 3327 §4).
const PATH: &str = "path";

impl Identified {
    /// How long the credential is good.
    pub(super) fn lasts(&self, now: Now) -> Duration {
        Duration::from_millis(self.claims.expires().0.saturating_sub(now.wall.0))
    }
}

fn write_contact(out: &mut String, now: Now, binding: &Binding, contact: &Contact) {
    if !out.is_empty() {
        out.push_str(", ");
    }
    let left = (binding.expires - now.at).as_secs();
    let mut write = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a String takes everything");
    write(format_args!("<{}>;expires={left}", contact.uri));
    if contact.q < 1000 {
        write(format_args!(";q=0.{:03}", contact.q));
    }
    if let Some(instance) = &contact.instance {
        write(format_args!(";+sip.instance={instance}"));
    }
    if let Some(reg_id) = contact.reg_id {
        write(format_args!(";reg-id={reg_id}"));
    }
}
