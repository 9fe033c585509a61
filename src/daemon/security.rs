//! Keys and engine: who is believed and who may do what. The switch and the subscribers' tasks have the same. HUP reads the keys and the users again:
//! bridge tokens are sealed with the new one from then on, and open with the old ones as long as these live.
//! Not here: where keys lie (`config`), and what they do (`token`, `policy`).

use super::{Addresses, Failure, entropy, outbound, settings};
use crate::config::{Config, Keys};
use crate::event::{Authority, Herald, Signer};
use crate::net::Clock;
use crate::notify;
use crate::policy::{Keyring, PolicyEngine};
use crate::registrar::Registrar;
use crate::rng::Rng;
use crate::secret::Secret;
use crate::sip::Endpoint;
use crate::switch::FromClient;
use crate::switch::{Parts, Switch};
use crate::token;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What a running daemon believes.
pub(super) struct Security {
    pub(super) keys: Arc<token::Keys>,
    pub(super) keyring: Arc<Keyring>,
    engine: Arc<dyn PolicyEngine>,
    /// The master that seals now: a key file that says the same changes nothing.
    master: Secret<[u8; 32]>,
}

impl Security {
    /// From the keys of the start.
    pub(super) fn of(config: &Config, keys: &Keys) -> Result<Security, Failure> {
        Ok(Security {
            keys: Arc::new(keys.tokens(config)),
            keyring: Arc::new(keyring(config, keys)?),
            engine: Arc::new(config.policy.engines.clone()),
            master: keys.master.clone(),
        })
    }

    /// Reads the keys again from where the configuration says now that they are. An error leaves everything as it was.
    pub(super) fn renew(&mut self, newer: &Config) -> Result<(), Failure> {
        let keys = Keys::open(newer).map_err(|mistake| Failure::configuration(mistake.to_string()))?;
        let engine = Arc::new(newer.policy.engines.clone());
        // Keys that live in memory only would be others at each look, and every client would be sent away.
        if keys.ephemeral {
            self.keyring = Arc::new(Keyring::clone(&self.keyring).with_users(newer.users.clone()));
            self.engine = engine;
            return Ok(());
        }
        let keyring = keyring(newer, &keys)?;
        if keys.master.expose() != self.master.expose() {
            self.keys = Arc::new(self.keys.rotate(*keys.master.expose(), Clock::start().now().wall));
            self.master = keys.master.clone();
        }
        self.keyring = Arc::new(keyring);
        self.engine = engine;
        Ok(())
    }

    /// What the subscribers' tasks go by.
    pub(super) fn authority(&self) -> Authority {
        Authority { keyring: Arc::clone(&self.keyring), engine: Arc::clone(&self.engine), keys: Arc::clone(&self.keys) }
    }

    /// Writes events, for the registry of subscribers and for the switch: they are the same, whichever way they go.
    pub(super) fn herald(config: &Config, sip: &[SocketAddr], keys: &Keys) -> Arc<Herald> {
        Arc::new(Herald {
            signer: Signer::from_seed(&keys.signing_seed()),
            epoch: Clock::start().now().wall.0,
            sip_host: sip.first().map(|listener| settings::reachable(config, *listener)).unwrap_or_default(),
        })
    }

    /// For the registry of subscribers.
    pub(super) fn registry(&self, herald: Arc<Herald>, messages: mpsc::Sender<FromClient>) -> notify::Settings {
        notify::Settings { herald, authority: self.authority(), rng: Rng::from_seed(entropy()), messages }
    }

    /// For the switch thread.
    pub(super) fn switch(&self, config: &Config, addresses: &Addresses, herald: Arc<Herald>) -> Switch {
        let switch = Switch::new(Parts {
            settings: Arc::new(settings::of_switch(config, &addresses.sip)),
            keys: Arc::clone(&self.keys),
            keyring: Arc::clone(&self.keyring),
            engine: Arc::clone(&self.engine),
            rng: Rng::from_seed(entropy()),
            endpoint: Endpoint::new(Rng::from_seed(entropy()), settings::of_endpoint(config, addresses)),
            herald,
            registrar: Registrar::new(config.lifetimes),
        });
        switch.with_trunks(outbound::trunks(config, addresses))
    }
}

fn keyring(config: &Config, keys: &Keys) -> Result<Keyring, Failure> {
    keys.keyring(config).map_err(|error| Failure::configuration(format!("policy.key: {error}")))
}
