//! Who is at an end of a session, as far as signalling knows: where its messages come from, and how.
//! Not here: what it says of its media (`session`).

use super::keying::Keying;
use super::{Facts, Settings, Trunk, Turn};
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
    /// Whether it may have video.
    pub(super) sees: bool,
    /// Of a caller.
    trunk: Option<Arc<Trunk>>,
}

impl Party {
    /// A call's caller.
    pub(super) fn caller(dialog: DialogId, address: IpAddr, facts: &Facts, turn: &Turn<'_>) -> Party {
        Party { trunk: Some(Arc::clone(&facts.trunk)), ..Party::client(dialog, address, true, turn) }
    }

    /// A client, which `sees` where policy lets it have video.
    pub(super) fn client(dialog: DialogId, address: IpAddr, sees: bool, turn: &Turn<'_>) -> Party {
        let transport = turn.endpoint.transport(dialog).unwrap_or(Transport::Udp);
        Party { address, transport, sees, trunk: None }
    }

    /// What goes for its media.
    pub(super) fn keying(&self, settings: &Settings) -> Keying {
        let is_required = self.trunk.as_ref().is_some_and(|trunk| trunk.srtp_required);
        Keying::of(settings, self.transport, is_required).seeing(self.sees)
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
