//! A trunk's caller and a client that calls back, over real SIP: how a session is made with Parkway.
//! Not here: their audio (`rtp`).

use super::failed;
use super::leg::{self, Leg};
use super::parkway::Parkway;
use super::rtp::Ends;
use super::secure::Master;
use super::subscription::{Invitation, Subscription};
use crate::daemon::Failure;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// The client's own calls are told from the trunk's by this.
const CLIENT_NUMBERS: u64 = 1 << 40;
/// How long one step of a call's beginning may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A caller and a client for each call, one call after the other.
pub(super) struct Phones {
    server: SocketAddr,
    trunk: Phone,
    client: Phone,
    subscription: Subscription,
}

impl Phones {
    pub(super) fn new(parkway: &Parkway) -> Result<Phones, Failure> {
        let subscription = Subscription::open(parkway.http, 0)?;
        let phone = || Phone::new(parkway.sip).map_err(|error| failed(format!("no socket for SIP: {error}")));
        Ok(Phones { server: parkway.sip, trunk: phone()?, client: phone()?, subscription })
    }

    /// Makes a call between two ends; says where each of them is to send its audio.
    pub(super) fn bridge(&mut self, session: u16, own: &Ends) -> Result<Ends, Failure> {
        let (number, of_client) = (u64::from(session), CLIENT_NUMBERS + u64::from(session));
        let target = format!("sip:+493000{session:05}@{}", self.server);
        let mut caller = self.trunk.leg(number, &target, own.at[0]);
        self.trunk.send(&caller.invite(""))?;
        let Invitation { uri, token } = self.invitation()?;
        let crypto = own.key.as_ref().map(Master::attribute).unwrap_or_default();
        let mut client = self.client.leg(of_client, &uri, own.at[1]).with_key(crypto);
        let jwt = &self.subscription.jwt;
        self.client.send(&client.invite(&format!("Authorization: Bearer {jwt}\r\nX-Bridge-Token: {token}\r\n")))?;
        let for_client = self.client.answered(&mut client)?;
        let for_caller = self.trunk.answered(&mut caller)?;
        let key = own.key.as_ref().map(|own| {
            let key = Master::read(own.suite(), &for_client);
            key.ok_or_else(|| failed("a call is answered without a key; `media.srtp` is on, so this is a fault"))
        });
        let address = |answer: &str| leg::media_address(answer).ok_or_else(|| failed("a 200 has no description"));
        Ok(Ends { at: [address(&for_caller)?, address(&for_client)?], key: key.transpose()? })
    }

    fn invitation(&mut self) -> Result<Invitation, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(invitation) = self.subscription.poll() {
                return Ok(invitation);
            }
            std::thread::yield_now();
        }
        Err(failed("the client is told of no call"))
    }
}

/// One end's socket for SIP.
struct Phone {
    socket: UdpSocket,
    own: SocketAddr,
}

impl Phone {
    fn new(server: SocketAddr) -> std::io::Result<Phone> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let own = socket.local_addr()?;
        Ok(Phone { socket, own })
    }

    fn leg(&self, number: u64, target: &str, media: SocketAddrV4) -> Leg {
        Leg::new(number, self.own, target).with_media(SocketAddr::V4(media))
    }

    fn send(&self, message: &str) -> Result<(), Failure> {
        let sent = self.socket.send(message.as_bytes());
        sent.map(|_| ()).map_err(|error| failed(format!("SIP cannot be sent: {error}")))
    }

    /// Waits for the 200 and acknowledges it.
    fn answered(&self, leg: &mut Leg) -> Result<String, Failure> {
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.socket.recv(&mut buffer).map_err(|error| failed(format!("no answer to a call: {error}")))?;
            let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            match leg::status(&message, "INVITE") {
                Some(100..=199) | None => {}
                Some(200) => {
                    leg.hear(&message);
                    self.send(&leg.acknowledge())?;
                    return Ok(message.into_owned());
                }
                Some(_) => {
                    return Err(failed(format!("a call is refused: {}", message.lines().next().unwrap_or_default())));
                }
            }
        }
    }
}
