//! The file as it is written, before anything is checked: strings, whole numbers and lists, each with its default.
//! Not here: what a value means (`typed`). The serialised [`Raw::template`] is also the list of all keys that exist and of what
//! kind each is (`shape`), so a key is added in this file and nowhere else.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// What stands for a secret where the configuration is printed.
const MASK: &str = "********";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
pub(super) struct Raw {
    pub(super) node: Node,
    pub(super) sip: Sip,
    pub(super) tls: Tls,
    pub(super) http: Http,
    pub(super) admin: Admin,
    pub(super) media: Media,
    pub(super) park: Park,
    pub(super) dns: Dns,
    pub(super) token: Token,
    pub(super) policy: Policy,
    pub(super) digest: Digest,
    pub(super) registrar: Registrar,
    pub(super) push: Push,
    pub(super) records: Records,
    pub(super) recording: Recording,
    pub(super) log: Log,
    pub(super) drain: Drain,
    pub(super) trunk: Vec<Trunk>,
    pub(super) route: Vec<Route>,
    // Printed, an empty list would be `user = []` in the last section.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) user: Vec<User>,
}

/// A section: all its keys with their defaults.
macro_rules! section {
    ($name:ident { $($(#[$about:meta])* $key:ident: $type:ty = $default:expr),* $(,)? }) => {
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct $name { $($(#[$about])* pub(super) $key: $type,)* }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: $default.into(),)* }
            }
        }
    };
}

section!(Node { id: u64 = 1u64, state_dir: String = "" });
section!(Sip {
    listen: Vec<String> = ["0.0.0.0:5060".into()],
    advertised: String = "",
    external_address: String = "",
    local_net: Vec<String> = [],
    user_agent: String = "Parkway",
    session_expires_seconds: u64 = 1800u64,
    min_se_seconds: u64 = 90u64,
    pass_headers: Vec<String> = [],
});
section!(Http { listen: String = "127.0.0.1:8080", public_url: String = "", allowed_origins: Vec<String> = [], });
section!(Admin { listen: String = "127.0.0.1:9091" });
section!(Media {
    address: String = "",
    port_min: u64 = 30_000u64,
    port_max: u64 = 31_999u64,
    workers: u64 = 0u64,
    coalesce_us: u64 = 500u64,
    srtp: String = "tls",
    srtp_required: bool = false,
    t38: bool = true,
    tones: String = "de",
    hold_sound: String = "",
    offload: String = "off",
    digits: String = "count",
    in_band: bool = false,
    info_as: String = "rfc4733",
    warn_silent_seconds: u64 = 10u64,
    warn_unheard_seconds: u64 = 5u64,
    silence_seconds: u64 = 60u64,
    hold_silence_seconds: u64 = 3600u64,
    // As with `policy.key`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sound: Vec<SoundFile> = [],
});
section!(Park {
    seconds_max: u64 = 60u64,
    response: u64 = 180u64,
    hears: String = "",
    record: String = "off",
    reliable_response: String = "required",
    repeat_seconds: u64 = 60u64,
    fallback_status: u64 = 480u64,
    calls_max: u64 = 200_000u64,
    per_trunk_max: u64 = 100_000u64,
    per_name_max: u64 = 100u64,
    per_source_max: u64 = 50_000u64,
    retry_after_seconds: u64 = 10u64,
});
section!(Tls {
    authorities_file: String = "",
    client_authorities_file: String = "",
    // As with `policy.key`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate: Vec<Certificate> = [],
});
section!(Dns { servers: Vec<String> = [] });
section!(Token { key_file: String = "" });
section!(Policy {
    audience: String = "parkway",
    skew_seconds: u64 = 30u64,
    engines: Vec<String> = ["grants".into()],
    time_zone: String = "UTC",
    rego_file: String = "",
    http_url: String = "",
    http_timeout_ms: u64 = 1_500u64,
    cases_file: String = "",
    // Printed, an empty list would be `key = []`, after which no `[[policy.key]]` may follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key: Vec<PolicyKey> = [],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    name: Vec<PolicyName> = [],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rule: Vec<PolicyRule> = [],
});
section!(Digest { realm: String = "parkway", algorithms: Vec<String> = ["SHA-256".into(), "MD5".into()] });
section!(Registrar {
    expires_seconds_min: u64 = 60u64,
    expires_seconds_max: u64 = 3600u64,
    expires_seconds_default: u64 = 3600u64,
});
section!(Push {
    after_ms: u64 = 2_000u64,
    days_max: u64 = 30u64,
    devices_max: u64 = 10_000u64,
    per_name_max: u64 = 16u64,
    authorities_file: String = "",
    // As with `policy.key`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    provider: Vec<Provider> = [],
});
section!(Records { path: String = "" });
section!(Recording {
    directory: String = "",
    announce: String = "beep",
    beep_seconds: u64 = 15u64,
    required: bool = true,
    seconds_max: u64 = 14_400u64,
    files_max: u64 = 1_000u64,
    free_mb_min: u64 = 1_024u64,
});
section!(Log { level: String = "info", format: String = "text" });
section!(Drain { seconds_max: u64 = 30u64 });

/// Engines of one name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyName {
    pub(super) name: String,
    pub(super) engines: Vec<String>,
}

/// One of the operator's rules.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyRule {
    pub(super) id: String,
    pub(super) effect: String,
    pub(super) actions: Vec<String>,
    pub(super) who: Vec<String>,
    pub(super) names: Vec<String>,
    pub(super) from: Vec<String>,
    pub(super) called: Vec<String>,
    pub(super) hours: String,
    pub(super) media: Option<Vec<String>>,
    pub(super) concurrent: Option<u64>,
    pub(super) calls_per_hour: Option<u64>,
    pub(super) calls_per_day: Option<u64>,
    pub(super) call_seconds_max: Option<u64>,
}

/// An entry of a list; a key that is `None` falls back to a section's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Trunk {
    pub(super) name: String,
    pub(super) allow: Vec<String>,
    pub(super) tls_names: Option<Vec<String>>,
    pub(super) identity: Option<String>,
    pub(super) user: Option<String>,
    pub(super) calls_max: Option<u64>,
    pub(super) calls_per_second_max: Option<u64>,
    pub(super) rewrite_called: Option<Vec<String>>,
    pub(super) rewrite_calling: Option<Vec<String>>,
    pub(super) srtp_required: Option<bool>,
    pub(super) targets: Option<Vec<String>>,
    pub(super) health_seconds: Option<u64>,
    pub(super) register: Option<Register>,
    pub(super) messages: Option<bool>,
}

/// A table in an entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Register {
    pub(super) uri: String,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) realm: Option<String>,
    pub(super) seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) chain_file: String,
    pub(super) key_file: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SoundFile {
    pub(super) name: String,
    pub(super) file: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Route {
    pub(super) number: String,
    pub(super) name: String,
    pub(super) response: Option<u64>,
    pub(super) hears: Option<String>,
    pub(super) record: Option<String>,
    pub(super) park_seconds: Option<u64>,
    pub(super) fallback_status: Option<u64>,
    pub(super) ring: Option<String>,
    pub(super) data: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyKey {
    pub(super) kid: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) secret: Option<String>,
    pub(super) secret_file: Option<String>,
    pub(super) public_key_file: Option<String>,
    pub(super) form: Option<String>,
    pub(super) account: Option<String>,
}

/// A push service; which of the keys it needs depends on its type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Provider {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) base_url: Option<String>,
    pub(super) gone: Option<bool>,
    pub(super) tokens: Option<bool>,
    pub(super) secret_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) contact: Option<String>,
    pub(super) hosts: Option<Vec<String>>,
    pub(super) team_id: Option<String>,
    pub(super) key_id: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) service_account_file: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) secret: Option<String>,
    pub(super) secret_file: Option<String>,
    pub(super) receive: Vec<String>,
    pub(super) bridge: Vec<String>,
    pub(super) transfer: Vec<String>,
    pub(super) message: Vec<String>,
    pub(super) presence: Vec<String>,
    pub(super) media: Option<Vec<String>>,
    pub(super) dial: Option<bool>,
    pub(super) concurrent: Option<u64>,
    pub(super) ring: Option<String>,
    pub(super) record: Option<String>,
    pub(super) from: Option<Vec<String>>,
    pub(super) not_before: Option<String>,
    pub(super) not_after: Option<String>,
    pub(super) hours: Option<String>,
    pub(super) called: Option<Vec<String>>,
    pub(super) calls: Option<u64>,
    pub(super) calls_per_hour: Option<u64>,
    pub(super) calls_per_day: Option<u64>,
    pub(super) call_seconds_max: Option<u64>,
    pub(super) parameters: Option<Vec<String>>,
}

impl Raw {
    /// What holds without a file: calls from this host alone, all of them to the name `demo`.
    pub(super) fn builtin() -> Raw {
        Raw {
            trunk: vec![Trunk {
                name: "loopback".into(),
                allow: vec!["127.0.0.0/8".into(), "::1/128".into()],
                ..Trunk::default()
            }],
            route: vec![Route { number: "*".into(), name: "demo".into(), ..Route::default() }],
            ..Raw::default()
        }
    }

    /// Every key there is, with a value of its kind.
    pub(super) fn template() -> Raw {
        let text = || Some(String::new());
        let number = || Some(0);
        let key = PolicyKey {
            secret: text(),
            secret_file: text(),
            public_key_file: text(),
            form: text(),
            account: text(),
            ..PolicyKey::default()
        };
        Raw {
            media: Media { sound: vec![SoundFile::default()], ..Media::default() },
            policy: Policy {
                key: vec![key],
                name: vec![PolicyName::default()],
                rule: vec![Raw::whole_rule()],
                ..Policy::default()
            },
            push: Push { provider: vec![Raw::whole_provider()], ..Push::default() },
            tls: Tls { certificate: vec![Certificate::default()], ..Tls::default() },
            trunk: vec![Raw::whole_trunk()],
            route: vec![Route {
                response: number(),
                hears: text(),
                record: text(),
                park_seconds: number(),
                fallback_status: number(),
                ring: text(),
                data: text(),
                ..Route::default()
            }],
            user: vec![Raw::whole_user()],
            ..Raw::default()
        }
    }

    fn whole_provider() -> Provider {
        let text = || Some(String::new());
        Provider {
            name: String::new(),
            kind: String::new(),
            base_url: text(),
            gone: Some(false),
            tokens: Some(false),
            secret_file: text(),
            key_file: text(),
            contact: text(),
            hosts: Some(Vec::new()),
            team_id: text(),
            key_id: text(),
            topic: text(),
            service_account_file: text(),
        }
    }

    fn whole_rule() -> PolicyRule {
        let number = || Some(0);
        PolicyRule {
            media: Some(Vec::new()),
            concurrent: number(),
            calls_per_hour: number(),
            calls_per_day: number(),
            call_seconds_max: number(),
            ..PolicyRule::default()
        }
    }

    fn whole_user() -> User {
        let (text, texts, number) = (|| Some(String::new()), || Some(Vec::new()), || Some(0));
        User {
            secret: text(),
            secret_file: text(),
            media: texts(),
            dial: Some(false),
            concurrent: number(),
            ring: text(),
            record: text(),
            from: texts(),
            not_before: text(),
            not_after: text(),
            hours: text(),
            called: texts(),
            calls: number(),
            calls_per_hour: number(),
            calls_per_day: number(),
            call_seconds_max: number(),
            parameters: texts(),
            ..User::default()
        }
    }

    fn whole_trunk() -> Trunk {
        let (text, texts, number) = (|| Some(String::new()), || Some(Vec::new()), || Some(0));
        let register = Register {
            uri: String::new(),
            user: text(),
            password: text(),
            password_file: text(),
            realm: text(),
            seconds: number(),
        };
        Trunk {
            name: String::new(),
            allow: Vec::new(),
            tls_names: texts(),
            identity: text(),
            user: text(),
            calls_max: number(),
            calls_per_second_max: number(),
            rewrite_called: texts(),
            rewrite_calling: texts(),
            srtp_required: Some(false),
            targets: texts(),
            health_seconds: number(),
            register: Some(register),
            messages: Some(false),
        }
    }

    /// The same without its secrets; from here on it may be printed.
    pub(super) fn masked(mut self) -> Raw {
        let keys = self.policy.key.iter_mut().filter_map(|key| key.secret.as_mut());
        let passwords = self.trunk.iter_mut().filter_map(|trunk| trunk.register.as_mut()?.password.as_mut());
        let users = self.user.iter_mut().filter_map(|user| user.secret.as_mut());
        for secret in keys.chain(passwords).chain(users) {
            secret.zeroize();
            secret.push_str(MASK);
        }
        self
    }

    /// As TOML, in the order of this file.
    pub(super) fn to_toml(&self) -> String {
        toml_edit::ser::to_string_pretty(self).expect("strings, whole numbers below 2^63 and lists of these are TOML")
    }
}
