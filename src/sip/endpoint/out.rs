//! What leaves: one queue, one pool of buffers, and the headers that all our messages have.
//! Not here: when to send, and what the call wants said.

use super::check::{ALLOW, CONTENT, SUPPORTED, SUPPORTED_IN_REQUESTS, is_offering};
use super::traffic::Traffic;
use super::way::Way;
use super::{DialogId, EndpointSettings, Reply, Transmit};
use crate::limits;
use crate::sip::dialog::session_id::SESSION_ID;
use crate::sip::wire::Method;
use crate::sip::wire::write::{self, Answerable, RequestHead, Tag};
use crate::sip::{Path, Transport};
use arrayvec::ArrayVec;
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// How much the pool takes at a time; some dozens of messages.
const POOL_BYTES: usize = 65_536;
/// Room that most messages of ours fit in without growing.
const MESSAGE_BYTES: usize = 2048;

/// Headers of one message, ours and the call's.
pub(super) type Headers<'h> = ArrayVec<(&'h str, &'h str), { limits::SIP_ADDED_HEADERS_MAX }>;

/// Bytes to be sent, and how we present ourselves in them. The queue is as long as what one input or one moment's
/// timers made: the shell drains it after each.
pub(super) struct Output {
    queue: VecDeque<Transmit>,
    pool: BytesMut,
    settings: EndpointSettings,
    contact: String,
    pub(super) traffic: Traffic,
}

/// Which answer is written, besides what it says.
#[derive(Clone, Copy)]
pub(super) struct Worded<'r> {
    /// The request's method.
    pub(super) method: Method<'r>,
    /// The tag for To, if To has none.
    pub(super) tag: DialogId,
    /// Whether a dialog hangs on the answer, so that it needs our Contact and the Record-Route (§12.1.1).
    pub(super) in_dialog: bool,
    /// Without a phrase, and with as many of its headers as have room in so many bytes, in their order.
    pub(super) room: Option<usize>,
    /// The value of Session-ID (RFC 7989), in a dialog.
    pub(super) session: Option<&'r str>,
    /// What the call says.
    pub(super) reply: &'r Reply<'r>,
}

impl Output {
    pub(super) fn new(settings: EndpointSettings) -> Output {
        Output {
            queue: VecDeque::new(),
            pool: BytesMut::new(),
            settings,
            contact: String::new(),
            traffic: Traffic::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn poll(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }

    pub(super) fn send(&mut self, way: impl Into<Way>, bytes: Bytes) {
        let way = way.into();
        self.queue.push_back(Transmit { path: way.path, reopen: way.reopen, bytes });
    }

    /// Whether requests from a listener may go by TCP instead of UDP.
    pub(super) fn has_tcp(&self, local: SocketAddr) -> bool {
        self.settings.tcp.contains(&local)
    }

    /// What the peer at the other end of a path reaches our end at.
    pub(super) fn advertised(&self, path: Path) -> Cow<'_, str> {
        let settings = &self.settings;
        let peer = path.peer.ip().to_canonical();
        let is_outside = !settings.external.is_empty() && !settings.local_nets.iter().any(|net| net.contains(&peer));
        let external = settings.external.iter().filter(|_| is_outside);
        match external.chain(&settings.advertised).find(|(address, _)| *address == path.local) {
            Some((_, advertised)) => Cow::Borrowed(advertised),
            None => Cow::Owned(path.local.to_string()),
        }
    }

    /// Whether a source address may be believed: a connection has proven it.
    pub(super) fn trusts(&self, path: Path) -> bool {
        path.transport.is_reliable() || self.lists(path.peer.ip())
    }

    /// Whether the operator has listed a source address.
    fn lists(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.settings.trusted.iter().any(|network| network.contains(&source))
    }

    /// Writes the answer to a request that came over `path`, and counts it.
    pub(super) fn reply<'m, 'a: 'm>(
        &mut self,
        request: impl Into<Answerable<'m, 'a>>,
        path: &Path,
        worded: &Worded<'_>,
    ) -> Bytes {
        self.traffic.count_response(worded.reply.status);
        self.draft(request, path, worded)
    }

    /// Writes the answer to a request that came over `path`; perhaps it is too long and another one is sent.
    pub(super) fn draft<'m, 'a: 'm>(
        &mut self,
        request: impl Into<Answerable<'m, 'a>>,
        path: &Path,
        worded: &Worded<'_>,
    ) -> Bytes {
        let Worded { method, tag, in_dialog, room, session, reply } = *worded;
        let bare = room.is_some();
        let in_dialog = in_dialog && (101..300).contains(&reply.status);
        if in_dialog {
            self.make_contact(*path, path.transport, tag);
        }
        let tag = Tag::new(tag.0);
        let mut headers = Headers::new();
        add_fitting(&mut headers, reply.headers, room.unwrap_or(usize::MAX));
        let succeeds = (200..300).contains(&reply.status) && !bare;
        // §13.2.1, §11.2, RFC 3311 §5.2: what else may be asked of us.
        if succeeds && matches!(method, Method::Invite | Method::Update | Method::Options) {
            add(&mut headers, &[("Allow", ALLOW), ("Supported", SUPPORTED)]);
        }
        if succeeds && method == Method::Options {
            add(&mut headers, &[("Accept", CONTENT)]);
        }
        if let Some(session) = session {
            add(&mut headers, &[(SESSION_ID, session)]);
        }
        if !self.settings.product.is_empty() && !bare {
            add(&mut headers, &[("Server", &self.settings.product)]);
        }
        let words = write::Reply {
            status: reply.status,
            // RFC 3261 §25.1: the phrase may be empty.
            reason: if bare { "" } else { reply.reason.unwrap_or_else(|| write::reason_phrase(reply.status)) },
            to_tag: (reply.status > 100).then_some(tag.as_str()),
            contact: in_dialog.then_some(self.contact.as_str()),
            headers: &headers,
            body: reply.body,
        };
        write_pooled(&mut self.pool, |out| write::reply(out, request, &words, path))
    }

    /// Writes a request of ours that goes out over `path`, with Session-ID if there is one. Via, Contact (with our tag as the user, and the
    /// transport that the peer is to come by, if the request has none of its own) and User-Agent are put in here.
    pub(super) fn request(
        &mut self,
        path: Path,
        session: Option<&str>,
        contact: Option<(DialogId, Transport)>,
        request: RequestHead<'_>,
    ) -> Bytes {
        if let Some((tag, transport)) = contact {
            self.make_contact(path, transport, tag);
        }
        let sent_by = self.advertised(path).into_owned();
        let mut headers = Headers::new();
        add(&mut headers, request.headers);
        if let Some(session) = session {
            add(&mut headers, &[(SESSION_ID, session)]);
        }
        if is_offering(request.method) {
            add(&mut headers, &[("Allow", ALLOW), ("Supported", SUPPORTED_IN_REQUESTS)]);
        }
        if !self.settings.product.is_empty() {
            add(&mut headers, &[("User-Agent", &self.settings.product)]);
        }
        let contact = request.contact.or(contact.map(|_| self.contact.as_str()));
        let transport = path.transport;
        let request = RequestHead { transport, sent_by: &sent_by, headers: &headers, contact, ..request };
        write_pooled(&mut self.pool, |out| write::request(out, &request))
    }

    fn make_contact(&mut self, path: Path, transport: Transport, tag: DialogId) {
        let mut contact = std::mem::take(&mut self.contact);
        contact.clear();
        // Writing to a String cannot fail.
        write!(contact, "<sip:{tag}@{}{}>", self.advertised(path), transport.uri_parameter()).unwrap_or_default();
        self.contact = contact;
    }
}

/// Adds the call's headers, which may have several values each, while there is room for them in the message. One that does not fit is
/// left out; the next may.
fn add_fitting<'h>(headers: &mut Headers<'h>, more: &[(&'h str, &'h str)], mut room: usize) {
    for (name, value) in more {
        let bytes = name.len() + ": \r\n".len() + value.len();
        if bytes <= room && !headers.is_full() {
            room -= bytes;
            headers.push((name, value));
        }
    }
}

/// Adds headers that are not there yet; those beyond the limit are left out, the call's own come first.
fn add<'h>(headers: &mut Headers<'h>, more: &[(&'h str, &'h str)]) {
    for (name, value) in more {
        let is_new = !headers.iter().any(|(there, _)| there.eq_ignore_ascii_case(name));
        if is_new && !headers.is_full() {
            headers.push((name, value));
        }
    }
}

/// Writes into the pool and splits off what was written. The pool is used again when all that was split off is gone, so
/// what is kept for long is copied out of it: [`exact`].
fn write_pooled(pool: &mut BytesMut, message: impl FnOnce(&mut BytesMut)) -> Bytes {
    if pool.capacity() < MESSAGE_BYTES {
        pool.reserve(POOL_BYTES);
    }
    message(pool);
    pool.split().freeze()
}

/// A copy that is as large as it must be and pins nothing else.
pub(super) fn exact(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_outside_of_the_local_networks_is_told_the_external_address() {
        let local: SocketAddr = "10.0.0.9:5060".parse().unwrap();
        let other: SocketAddr = "10.0.0.9:5070".parse().unwrap();
        let settings = |external: &[SocketAddr], nets: &[&str]| EndpointSettings {
            advertised: vec![(local, "inside.example:5060".into())],
            external: external.iter().map(|listener| (*listener, "203.0.113.1:5060".into())).collect(),
            local_nets: nets.iter().map(|net| net.parse().unwrap()).collect(),
            ..EndpointSettings::default()
        };
        let nets = ["10.0.0.0/8", "2001:db8::/32"];
        for (listener, settings, peer, expected) in [
            (local, settings(&[local], &nets), "10.1.2.3:5060", "inside.example:5060"),
            (local, settings(&[local], &nets), "[::ffff:10.1.2.3]:5060", "inside.example:5060"),
            (local, settings(&[local], &nets), "[2001:db8::1]:5060", "inside.example:5060"),
            (local, settings(&[local], &nets), "198.51.100.1:5060", "203.0.113.1:5060"),
            (local, settings(&[local], &[]), "10.1.2.3:5060", "203.0.113.1:5060"),
            (local, settings(&[], &nets), "198.51.100.1:5060", "inside.example:5060"),
            (other, settings(&[local], &nets), "198.51.100.1:5060", "10.0.0.9:5070"),
        ] {
            let path = Path { transport: Transport::Udp, local: listener, peer: peer.parse().unwrap() };
            assert_eq!(Output::new(settings).advertised(path), expected, "{peer}");
        }
    }
}
