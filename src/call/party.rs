//! Who is at an end of a session, as far as signalling knows: where its messages come from, and how.
//! Not here: what it says of its media (`session`).

use super::keying::Keying;
use super::{Facts, Settings, Trunk, Turn};
use crate::policy::MediaKinds;
use crate::sip::endpoint::DialogId;
use crate::sip::wire::Transport;
use std::net::IpAddr;
use std::sync::Arc;

/// The peer.
#[derive(Clone, Debug)]
pub(super) struct Party {
    /// Where its messages come from.
    pub(super) address: IpAddr,
    transport: Transport,
    /// Which kinds of media policy lets it have.
    pub(super) may: MediaKinds,
    /// Of a caller.
    trunk: Option<Arc<Trunk>>,
}

impl Party {
    /// A call's caller.
    pub(super) fn caller(dialog: DialogId, address: IpAddr, facts: &Facts, turn: &Turn<'_>) -> Party {
        Party { trunk: Some(Arc::clone(&facts.trunk)), ..Party::client(dialog, address, MediaKinds::ALL, turn) }
    }

    /// A client, which may have what policy lets it.
    pub(super) fn client(dialog: DialogId, address: IpAddr, may: MediaKinds, turn: &Turn<'_>) -> Party {
        let transport = turn.endpoint.transport(dialog).unwrap_or(Transport::Udp);
        Party { address, transport, may, trunk: None }
    }

    /// What goes for its media.
    pub(super) fn keying(&self, settings: &Settings) -> Keying {
        let is_required = self.trunk.as_ref().is_some_and(|trunk| trunk.srtp_required);
        Keying::of(settings, self.transport, is_required).within(self.may)
    }

    /// Whether it comes from a trunk, which the operator has let in.
    pub(super) fn is_trunk(&self) -> bool {
        self.trunk.is_some()
    }

    /// Whether an address that it names is certainly its own and no third party's (RELIABILITY A20): of the networks that are the trunk's,
    /// or the one that its messages come from over a connection, which nobody opens in another's name.
    pub(super) fn owns(&self, named: IpAddr) -> bool {
        let connected = self.transport.is_reliable() && named.to_canonical() == self.address.to_canonical();
        self.trunk.as_ref().is_some_and(|trunk| connected || trunk.sends_from(named))
    }
}
