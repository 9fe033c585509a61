//! The node's masters: the newest seals, all that are in date open.
//! Not here: where masters come from and where they are kept (the shell reads them from the credential store or the kernel).

use crate::limits;
use crate::secret::Secret;
use crate::time::Wall;
use ring::aead::{AES_256_GCM, UnboundKey};
use ring::{digest, hkdf};
use std::fmt;

pub(super) const KID_BYTES: usize = 4;
pub(super) const SALT_BYTES: usize = 16;
/// HKDF's `info` (RFC 5869 §3.2): these keys are for this and for nothing else.
const INFO: &[u8] = b"parkway-bridge v1";

/// A ring of masters of one node. Shared by `Arc` and never changed: a rotation makes another ring and replaces the Arc.
pub struct Keys {
    node: u64,
    newest: Master,
    /// Those that were replaced, newest first, each with the instant from which it opens nothing.
    replaced: Vec<(Master, Wall)>,
}

impl Keys {
    /// A ring of one master: 32 bytes from the kernel's generator, the same after a restart so that tokens stay good.
    pub fn new(node: u64, master: [u8; 32]) -> Keys {
        Keys { node, newest: Master::new(node, master), replaced: Vec::new() }
    }

    /// The node these masters belong to, which every token says inside.
    pub fn node(&self) -> u64 {
        self.node
    }

    /// The ring with another master that seals from now on. The others open for [`limits::TOKEN_LIFE_MAX`] more; those past
    /// that are left out, and so are the oldest beyond [`limits::TOKEN_MASTERS_MAX`].
    /// With the master that already seals, nothing changes: a reload may hand in what it finds.
    pub fn rotate(&self, master: [u8; 32], now: Wall) -> Keys {
        let newest = Master::new(self.node, master);
        let mut ring = self.retire(now);
        if !newest.is(&ring.newest) {
            let last = std::mem::replace(&mut ring.newest, newest);
            ring.replaced.retain(|(older, _)| !older.is(&ring.newest));
            ring.replaced.insert(0, (last, now + limits::TOKEN_LIFE_MAX));
            ring.replaced.truncate(limits::TOKEN_MASTERS_MAX - 1);
        }
        ring
    }

    /// The ring without the masters that open nothing any more, so that they leave memory.
    pub fn retire(&self, now: Wall) -> Keys {
        let replaced = self.replaced.iter().filter(|(_, until)| now < *until).cloned().collect();
        Keys { node: self.node, newest: self.newest.clone(), replaced }
    }

    /// The master that seals.
    pub(super) fn newest(&self) -> &Master {
        &self.newest
    }

    /// The masters that open tokens of this kid now: one or none, but for one pair of masters in 65,536.
    pub(super) fn opening(&self, kid: [u8; KID_BYTES], now: Wall) -> impl Iterator<Item = &Master> {
        let in_date = self.replaced.iter().filter(move |(_, until)| now < *until).map(|(master, _)| master);
        std::iter::once(&self.newest).chain(in_date).filter(move |master| master.kid == kid)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masters = 1 + self.replaced.len();
        f.debug_struct("Keys").field("node", &self.node).field("masters", &masters).finish_non_exhaustive()
    }
}

/// One master, and the id under which its tokens name it.
#[derive(Clone)]
pub(super) struct Master {
    kid: [u8; KID_BYTES],
    secret: Secret<[u8; 32]>,
}

impl Master {
    fn new(node: u64, secret: [u8; 32]) -> Master {
        Master { kid: kid_of(node, &secret), secret: Secret::new(secret) }
    }

    fn is(&self, other: &Master) -> bool {
        self.secret.expose() == other.secret.expose()
    }

    pub(super) fn kid(&self) -> [u8; KID_BYTES] {
        self.kid
    }

    /// The key of the one token that has this salt.
    pub(super) fn token_key(&self, salt: &[u8; SALT_BYTES]) -> UnboundKey {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(self.secret.expose());
        let key = extracted.expand(&[INFO], &AES_256_GCM).expect("32 bytes are far below HKDF's limit");
        UnboundKey::from(key)
    }
}

/// Two bytes for the node and two for the master, both from hashes: node ids may be small numbers, and a master that is read
/// back after a restart must have the kid it had before, whatever was rotated in between. Two bytes of a hash of 256 random
/// bits give nothing away.
fn kid_of(node: u64, secret: &[u8; 32]) -> [u8; KID_BYTES] {
    let of_node = hash(&[b"parkway-node", &node.to_be_bytes()]);
    let of_master = hash(&[b"parkway-master", &node.to_be_bytes(), secret]);
    let mut kid = [0; KID_BYTES];
    let halves = of_node.as_ref().iter().take(2).chain(of_master.as_ref().iter().take(2));
    kid.iter_mut().zip(halves).for_each(|(byte, half)| *byte = *half);
    kid
}

fn hash(parts: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}
