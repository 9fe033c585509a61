//! The keys a running node has: the operator's, else those kept in the state directory, else new ones in memory.
//! Not here: what they sign or seal (`token`, `policy`).

use super::{Config, Mistake};
use crate::policy::{Algorithm, BadKey, Form, Keyring, SigningKey, VerifyingKey};
use crate::secret::Secret;
use crate::token;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroize;

/// In the state directory: the master of bridge tokens, 64 hexadecimal digits.
const NODE_KEY: &str = "node.key";
/// In the state directory: the HS256 secret, taken as it is written, so that it can also serve as a `secret_file`.
const POLICY_KEY: &str = "policy.key";

/// A key whose signature under a client's JWT is believed.
#[derive(Clone, Debug)]
pub struct PolicyKey {
    /// What the JWT's header calls it.
    pub kid: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// What [`VerifyingKey::new`] takes; it was tried at load.
    pub material: Secret<Vec<u8>>,
    /// What the tokens look like that it signs.
    pub form: Form,
}

impl PolicyKey {
    /// With what a token of ours can be signed.
    fn mints(&self) -> bool {
        is_secret(self.algorithm) && self.form == Form::Own
    }
}

/// All keys of this node.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Seals and opens bridge tokens: what [`token::Keys::new`] takes.
    pub master: Secret<[u8; 32]>,
    /// Verify clients' JWTs; at least one. A key made by us has the kid [`Keys::OWN_KID`].
    pub policy: Vec<PolicyKey>,
    /// Whether either was made for this run only, so that tokens and JWTs end with the process: worth a line in the log.
    pub ephemeral: bool,
}

impl Keys {
    /// The key id of the HS256 key that we make when the operator gives none.
    pub const OWN_KID: &'static str = "node";

    /// Finds the keys that `config` names or, in its state directory, those made at an earlier start; makes what is missing.
    /// A mistake when the state directory cannot be used, or a key in it is damaged or readable by others.
    pub fn open(config: &Config) -> Result<Keys, Mistake> {
        let dir = config.node.state_dir.as_deref();
        let wrong = |what| config.places.mistake("node.state_dir", what);
        let master = match (&config.token.key, dir) {
            (Some(key), _) => key.clone(),
            (None, Some(dir)) => {
                kept(dir, NODE_KEY, || hexadecimal(random().expose())).and_then(|_| own_master(dir)).map_err(wrong)?
            }
            (None, None) => random(),
        };
        let policy = match (config.policy.keys.is_empty(), dir) {
            (false, _) => config.policy.keys.clone(),
            (true, Some(dir)) => {
                kept(dir, POLICY_KEY, || URL_SAFE_NO_PAD.encode(random().expose())).map_err(wrong)?;
                vec![own_policy(dir).map_err(wrong)?]
            }
            (true, None) => vec![own_key(URL_SAFE_NO_PAD.encode(random().expose()).into_bytes())],
        };
        let ephemeral = dir.is_none() && (config.token.key.is_none() || config.policy.keys.is_empty());
        Ok(Keys { master, policy, ephemeral })
    }

    /// The key that `parkway token mint` signs with: the first secret among the operator's keys, else the one in the state
    /// directory. Makes none: a key that the daemon does not know is of no use.
    pub fn signing(config: &Config) -> Result<SigningKey, Mistake> {
        let key = match (config.policy.keys.iter().find(|key| key.mints()), &config.node.state_dir) {
            (Some(key), _) => key.clone(),
            (None, Some(dir)) if config.policy.keys.is_empty() => {
                own_policy(dir).map_err(|what| config.places.mistake("node.state_dir", what))?
            }
            (None, Some(_) | None) => {
                let what = "there is no secret to sign with; set node.state_dir, or give a [[policy.key]] of type hs256 and form jwt";
                return Err(config.places.mistake("policy.key", what));
            }
        };
        SigningKey::new(key.algorithm, key.material.expose(), Some(&key.kid))
            .map_err(|error| config.places.mistake("policy.key", format!("{error}; give another secret")))
    }

    /// The masters of bridge tokens, for `switch`.
    pub fn tokens(&self, config: &Config) -> token::Keys {
        token::Keys::new(config.node.id, *self.master.expose())
    }

    /// The seed of the key that signs notifications: derived from the master, so that it lives as long and needs no file of its own.
    pub fn signing_seed(&self) -> Secret<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.master.expose());
        let mut seed = [0; 32];
        seed.copy_from_slice(hmac::sign(&key, b"parkway notification signing key").as_ref());
        Secret::new(seed)
    }

    /// The keys of JWTs, for whoever lets clients in.
    pub fn keyring(&self, config: &Config) -> Result<Keyring, BadKey> {
        keyring_of(&self.policy, config)
    }

    /// What `parkway policy explain` verifies with: the operator's keys, else the one in the state directory. Makes none.
    pub fn verifying(config: &Config) -> Result<Keyring, Mistake> {
        let own = match (config.policy.keys.is_empty(), &config.node.state_dir) {
            (true, Some(dir)) => Some(own_policy(dir).map_err(|what| config.places.mistake("node.state_dir", what))?),
            (true, None) | (false, _) => None,
        };
        let keys: Vec<PolicyKey> = config.policy.keys.iter().cloned().chain(own).collect();
        keyring_of(&keys, config).map_err(|error| config.places.mistake("policy.key", error.to_string()))
    }
}

fn keyring_of(keys: &[PolicyKey], config: &Config) -> Result<Keyring, BadKey> {
    let mut ring = Keyring::new(&config.policy.audience).with_skew(config.policy.skew).with_users(config.users.clone());
    for key in keys {
        let verifying = VerifyingKey::new(key.algorithm, key.material.expose())?;
        ring.add(&key.kid, verifying.with_form(key.form.clone()))?;
    }
    Ok(ring)
}

fn own_key(secret: Vec<u8>) -> PolicyKey {
    PolicyKey {
        kid: Keys::OWN_KID.to_owned(),
        algorithm: Algorithm::Hs256,
        material: Secret::new(secret),
        form: Form::Own,
    }
}

fn own_policy(dir: &Path) -> Result<PolicyKey, String> {
    let file = dir.join(POLICY_KEY);
    private(&file)?;
    let secret = read_secret(&file.to_string_lossy())?;
    VerifyingKey::new(Algorithm::Hs256, secret.expose())
        .map_err(|error| format!("{}: {error}; remove it and a new one is made", file.display()))?;
    Ok(own_key(secret.expose().clone()))
}

fn own_master(dir: &Path) -> Result<Secret<[u8; 32]>, String> {
    let file = dir.join(NODE_KEY);
    private(&file)?;
    read_master(&file)
}

/// 32 bytes from the kernel's generator.
fn random() -> Secret<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("a Linux kernel has a generator");
    let secret = Secret::new(bytes);
    bytes.zeroize();
    secret
}

/// Makes the file unless it is there. It appears whole or not at all: it is written under another name and then linked, which
/// fails if another process was faster.
fn kept(dir: &Path, name: &str, make: impl Fn() -> String) -> Result<(), String> {
    let file = dir.join(name);
    if file.exists() {
        return Ok(());
    }
    let draft = dir.join(format!("{name}.{}", std::process::id()));
    let written = write_private(&draft, &make()).and_then(|()| match fs::hard_link(&draft, &file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // A draft left behind by a crash is harmless: 0600, and never read.
    let _ = fs::remove_file(&draft);
    written
        .map_err(|error| format!("{} cannot be made ({error}); the directory must exist and be ours", file.display()))
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// A key we made is nobody else's to read.
fn private(file: &Path) -> Result<(), String> {
    let mode = fs::metadata(file)
        .map_err(|error| format!("{} cannot be read ({error}); parkway makes it at its first start", file.display()))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(format!("{0} can be read by others; run `chmod 600 {0}`", file.display()))
    }
}

/// A file of 32 bytes, in hexadecimal digits or base64.
pub(super) fn read_master(file: &Path) -> Result<Secret<[u8; 32]>, String> {
    let text = read_file(&file.to_string_lossy())?;
    let text = text.expose().trim_ascii();
    let bytes = from_hexadecimal(text).or_else(|| {
        [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].iter().find_map(|base64| base64.decode(text).ok())
    });
    let key = bytes.map(Secret::new).and_then(|bytes| <[u8; 32]>::try_from(bytes.expose().as_slice()).ok());
    key.map(Secret::new).ok_or_else(|| {
        format!("{} has no 32 bytes in hexadecimal or base64; make them with `openssl rand -hex 32`", file.display())
    })
}

/// A secret as it is written, without the line's end.
pub(super) fn read_secret(file: &str) -> Result<Secret<Vec<u8>>, String> {
    let bytes = read_file(file)?;
    Ok(Secret::new(bytes.expose().trim_ascii_end().to_vec()))
}

/// A file as it is.
pub(super) fn read_file(file: &str) -> Result<Secret<Vec<u8>>, String> {
    fs::read(file)
        .map(Secret::new)
        .map_err(|error| format!("{file} cannot be read ({error}); check path and permissions"))
}

/// Whether keys of this algorithm are shared secrets, which sign as well as verify.
pub(super) fn is_secret(algorithm: Algorithm) -> bool {
    match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => true,
        Algorithm::Es256 | Algorithm::EdDsa => false,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digits = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}
