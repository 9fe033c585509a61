//! Raw to typed: every value is checked, all mistakes are collected, and only then is there a [`Config`].
//! Not here: names and kinds of keys (`shape`), and what is allowed but unwise (`warn`).

use super::address::Listener;
use super::load::Places;
use super::raw::{self, Raw};
use super::sound::Sounds;
use super::users;
use super::*;
use crate::call::{DigitTerms, Identity, InfoAs, KeyReach, SessionTerms, SrtpTerms};
use crate::limits;
use crate::media::{Reporting, SoundId, WarningTerms};
use crate::name::Name;
use crate::number::Pattern;
use crate::sip::wire::Header;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::Path;

/// Longest delay that a provisional response may be repeated after: RFC 3261 §16.6 lets a proxy give up after 180 s of silence.
const REPEAT_SECONDS_MAX: u64 = 170;
/// Most calls that a limit may be set to: more than a switch's memory holds.
const CALLS_MAX: u64 = 10_000_000;
/// Highest rate that a trunk may be given: more than a switch takes.
const CALLS_PER_SECOND_MAX: u64 = 1_000_000;
const SECONDS_A_DAY: u64 = 86_400;

pub(super) fn check(raw: Raw, sources: &Sources, places: Places) -> Result<Config, Mistakes> {
    let mut check = Check { places, mistakes: Vec::new() };
    match check.config(&raw, sources) {
        Some(config) if check.mistakes.is_empty() => {
            Ok(Config { effective: raw.masked(), places: check.places, ..config })
        }
        Some(_) | None => Err(Mistakes(check.mistakes)),
    }
}

pub(super) struct Check {
    places: Places,
    mistakes: Vec<Mistake>,
}

/// Each method takes the sections' values and gives `None` when a mistake was noted; all of a section are looked at before the
/// first `?`, so that one run shows all mistakes.
impl Check {
    fn config(&mut self, raw: &Raw, sources: &Sources) -> Option<Config> {
        let (node, sip, http, admin) = (self.node(raw), self.sip(raw), self.http(raw), self.admin(raw));
        let tls = self.tls(raw);
        let (media, park, trunks) = (self.media(raw), self.park(raw), self.trunks(raw));
        let (outbound, dns) = (self.outbound(raw), self.dns(raw));
        let sounds = media.as_ref().map(|media| &media.sounds);
        let recording = sounds.and_then(|sounds| self.recording(raw, sounds));
        let routes = park.as_ref().zip(sounds).and_then(|known| self.routes(raw, known));
        let (token, policy) = (self.token(raw, sources), self.policy(raw));
        let (users, lifetimes) = (self.users(raw), self.lifetimes(raw));
        let push = self.push(raw);
        let (records, log, drain) = (self.records(raw), self.log(raw), self.drain(raw));
        Some(Config {
            node: node?,
            sip: sip?,
            tls: tls?,
            http: http?,
            admin: admin?,
            media: media?,
            park: park?,
            trunks: trunks?,
            outbound: outbound?,
            dns: dns?,
            routes: routes?,
            token: token?,
            policy: policy?,
            users: users?,
            lifetimes: lifetimes?,
            push: push?,
            records: records?,
            recording: recording?,
            log: log?,
            drain: drain?,
            sources: sources.clone(),
            effective: Raw::default(),
            places: Places::default(),
        })
    }

    fn node(&mut self, raw: &Raw) -> Option<Node> {
        Some(Node { id: raw.node.id, state_dir: path(&raw.node.state_dir) })
    }

    fn sip(&mut self, raw: &Raw) -> Option<Sip> {
        let listeners = self.each("sip.listen", &raw.sip.listen, address::listener);
        let is_udp = |listeners: &Vec<Listener>| listeners.iter().any(|listener| listener.udp().is_some());
        if listeners.as_ref().is_some_and(|listeners| !is_udp(listeners)) {
            self.note("sip.listen", "nothing listens for UDP; give at least one address and port");
        }
        if let Some(listeners) = &listeners
            && let Some(at) = listeners.iter().position(|listener| listener.tls().is_some())
            && raw.tls.certificate.is_empty()
        {
            self.note(&format!("sip.listen[{at}]"), "TLS needs a certificate; give a [[tls.certificate]]");
        }
        let advertised = self.optional("sip.advertised", &raw.sip.advertised, Advertised::parse);
        let external = self.optional("sip.external_address", &raw.sip.external_address, Advertised::parse);
        let local_nets = self.each("sip.local_net", &raw.sip.local_net, address::net);
        let user_agent = self.parsed("sip.user_agent", &raw.sip.user_agent, header_text);
        let pass_headers = self.each("sip.pass_headers", &raw.sip.pass_headers, header_name);
        let (listeners, session_timer) = (listeners?, self.session_timer(raw));
        let of = |kind: fn(Listener) -> Option<SocketAddr>| listeners.iter().copied().filter_map(kind).collect();
        Some(Sip {
            listen: of(Listener::udp),
            tcp: of(Listener::tcp),
            tls: of(Listener::tls),
            advertised: advertised?,
            external_address: external?,
            local_nets: local_nets?,
            user_agent: user_agent?,
            pass_headers: pass_headers?,
            session_timer: session_timer?,
        })
    }

    fn tls(&mut self, raw: &Raw) -> Option<Tls> {
        let client_authorities =
            self.optional("tls.client_authorities_file", &raw.tls.client_authorities_file, certificate::chain);
        let authorities = self.optional("tls.authorities_file", &raw.tls.authorities_file, certificate::chain);
        let mut certificates = Vec::new();
        for (at, entry) in raw.tls.certificate.iter().enumerate() {
            let read = Certificate::read(&entry.chain_file, &entry.key_file);
            certificates.push(read.map_err(|what| self.note(&format!("tls.certificate[{at}]"), what)).ok());
        }
        let certificates = certificates.into_iter().collect::<Option<_>>()?;
        let (authorities, client_authorities) =
            (authorities?.unwrap_or_default(), client_authorities?.unwrap_or_default());
        Some(Tls { certificates, authorities, client_authorities })
    }

    fn session_timer(&mut self, raw: &Raw) -> Option<SessionTerms> {
        let least = u64::from(limits::SESSION_SECONDS_MIN);
        let min = self.number("sip.min_se_seconds", raw.sip.min_se_seconds, least..=SECONDS_A_DAY)?;
        let key = "sip.session_expires_seconds";
        let expires = match raw.sip.session_expires_seconds {
            0 => 0,
            seconds if seconds < u64::from(min) => {
                return self.wrong(key, format!("{seconds} is less than sip.min_se_seconds, which is {min}; write {min} or more, or 0 for no session timers of ours"));
            }
            seconds => self.number(key, seconds, least..=SECONDS_A_DAY)?,
        };
        Some(SessionTerms { expires_seconds: expires, min_seconds: min })
    }

    fn dns(&mut self, raw: &Raw) -> Option<Dns> {
        let server = |text: &str| address::socket(text).or_else(|_| address::ip(text).map(|ip| (ip, 53).into()));
        Some(Dns { servers: self.each("dns.servers", &raw.dns.servers, server)? })
    }

    fn http(&mut self, raw: &Raw) -> Option<Http> {
        let listen = self.parsed("http.listen", &raw.http.listen, address::socket);
        let public_url = self.optional("http.public_url", &raw.http.public_url, public_url);
        let allowed_origins = self.each("http.allowed_origins", &raw.http.allowed_origins, origin);
        Some(Http { listen: listen?, public_url: public_url?, allowed_origins: allowed_origins? })
    }

    fn admin(&mut self, raw: &Raw) -> Option<Admin> {
        let listen = self.parsed("admin.listen", &raw.admin.listen, address::socket)?;
        if listen.port() != 0 && raw.http.listen.parse() == Ok(listen) {
            self.note("admin.listen", "the same as http.listen; health and metrics need a listener of their own");
        }
        Some(Admin { listen })
    }

    fn media(&mut self, raw: &Raw) -> Option<Media> {
        let address = self.optional("media.address", &raw.media.address, address::ip);
        let port_min = self.number("media.port_min", raw.media.port_min, 1024..=65_532);
        let port_max = self.number("media.port_max", raw.media.port_max, 1027..=65_535);
        let workers = self.number("media.workers", raw.media.workers, 0..=256);
        let coalesce = self.number("media.coalesce_us", raw.media.coalesce_us, 0..=1_000);
        let offload = self.parsed("media.offload", &raw.media.offload, |text| match text {
            "auto" => Ok(Offload::Auto),
            "off" => Ok(Offload::Off),
            "required" => Ok(Offload::Required),
            _ => Err(format!("`{text}` is neither auto nor off nor required")),
        });
        let silence = self.seconds("media.silence_seconds", raw.media.silence_seconds, 1..=SECONDS_A_DAY);
        let hold = self.seconds("media.hold_silence_seconds", raw.media.hold_silence_seconds, 1..=SECONDS_A_DAY);
        let srtp = self.srtp(raw);
        let digits = self.digits(raw);
        let warnings = self.warnings(raw);
        let (port_min, port_max) = self.ports(port_min?, port_max?)?;
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = Some(workers?).filter(|workers| *workers > 0).unwrap_or_else(cores);
        let (address, coalesce) = (address?, Duration::from_micros(coalesce?));
        let (srtp, silence, hold_silence) = (srtp?, silence?, hold?);
        let sounds = self.sounds(raw)?;
        let hold_sound = self.sound("media.hold_sound", &raw.media.hold_sound, &sounds)?;
        let offload = offload?;
        Some(Media {
            address,
            port_min,
            port_max,
            workers,
            coalesce,
            srtp,
            t38: raw.media.t38,
            sounds,
            hold_sound,
            offload,
            digits: digits?,
            warnings: warnings?,
            silence,
            hold_silence,
        })
    }

    fn warnings(&mut self, raw: &Raw) -> Option<WarningTerms> {
        let media = &raw.media;
        let silent = self.seconds("media.warn_silent_seconds", media.warn_silent_seconds, 0..=SECONDS_A_DAY);
        let unheard = self.seconds("media.warn_unheard_seconds", media.warn_unheard_seconds, 0..=SECONDS_A_DAY);
        let unless_zero = |after: Duration| Some(after).filter(|after| !after.is_zero());
        Some(WarningTerms { silent: unless_zero(silent?), unheard: unless_zero(unheard?) })
    }

    fn digits(&mut self, raw: &Raw) -> Option<DigitTerms> {
        let reporting = self.parsed("media.digits", &raw.media.digits, |text| match text {
            "off" => Ok(Reporting::Off),
            "count" => Ok(Reporting::Count),
            "tell" => Ok(Reporting::Tell),
            _ => Err(format!("`{text}` is neither off nor count nor tell")),
        });
        let info_as = self.parsed("media.info_as", &raw.media.info_as, |text| match text {
            "info" => Ok(InfoAs::Info),
            "rfc4733" => Ok(InfoAs::Rfc4733),
            _ => Err(format!("`{text}` is neither info nor rfc4733")),
        });
        let (reporting, in_band) = (reporting?, raw.media.in_band);
        if in_band && reporting == Reporting::Off {
            return self
                .wrong("media.in_band", "nothing is made of keys, because media.digits is off; write count there");
        }
        Some(DigitTerms { reporting, in_band, info_as: info_as? })
    }

    fn sounds(&mut self, raw: &Raw) -> Option<Sounds> {
        let files: Vec<_> = raw.media.sound.iter().map(|sound| (&*sound.name, &*sound.file)).collect();
        match Sounds::load(&raw.media.tones, &files) {
            Ok(sounds) => Some(sounds),
            Err((None, what)) => self.wrong("media.tones", what),
            Err((Some(at), what)) => self.wrong(&format!("media.sound[{at}].file"), what),
        }
    }

    /// The sound of a name; of none for nothing.
    pub(super) fn sound(&mut self, key: &str, name: &str, sounds: &Sounds) -> Option<Option<SoundId>> {
        if name.is_empty() { Some(None) } else { self.parsed(key, name, |name| sounds.find(name)).map(Some) }
    }

    fn srtp(&mut self, raw: &Raw) -> Option<SrtpTerms> {
        let reach = self.parsed("media.srtp", &raw.media.srtp, |text| match text {
            "off" => Ok(KeyReach::Nowhere),
            "tls" => Ok(KeyReach::Encrypted),
            "any" => Ok(KeyReach::Anywhere),
            _ => Err(format!("`{text}` is neither off nor tls nor any")),
        })?;
        let required = std::iter::once(("media.srtp_required".to_owned(), raw.media.srtp_required));
        let of_trunk = |(at, trunk): (usize, &raw::Trunk)| {
            (format!("trunk[{at}].srtp_required"), trunk.srtp_required.unwrap_or_default())
        };
        let mut required = required.chain(raw.trunk.iter().enumerate().map(of_trunk));
        if reach == KeyReach::Nowhere
            && let Some((key, _)) = required.find(|(_, required)| *required)
        {
            return self
                .wrong(&key, "no call can have SRTP, because media.srtp is off; write tls there, or false here");
        }
        Some(SrtpTerms { reach, is_required: raw.media.srtp_required })
    }

    /// RTP on an even port and RTCP on the odd one above it (RFC 3550 §11), two pairs a call.
    fn ports(&mut self, min: u16, max: u16) -> Option<(u16, u16)> {
        if !min.is_multiple_of(2) {
            return self
                .wrong("media.port_min", format!("{min} is odd, but RTP takes the even port; write {}", min + 1));
        }
        if max.is_multiple_of(2) {
            return self
                .wrong("media.port_max", format!("{max} is even, but RTCP takes the odd port; write {}", max - 1));
        }
        if max < min || max - min < 3 {
            let what =
                format!("{max} leaves fewer than 4 ports above {min}, and a call needs 4; write {min} + 3 or more");
            return self.wrong("media.port_max", what);
        }
        Some((min, max))
    }

    fn park(&mut self, raw: &Raw) -> Option<Park> {
        let park = &raw.park;
        let deadline = self.seconds("park.seconds_max", park.seconds_max, park_seconds());
        let response = self.response("park.response", park.response);
        let rings_reliably = self.parsed("park.reliable_response", &park.reliable_response, |text| match text {
            "required" => Ok(false),
            "supported" => Ok(true),
            _ => Err(format!("`{text}` is neither required nor supported")),
        });
        let repeat = self.seconds("park.repeat_seconds", park.repeat_seconds, 1..=REPEAT_SECONDS_MAX);
        let fallback_status = self.number("park.fallback_status", park.fallback_status, 300..=699);
        let calls_max = self.number("park.calls_max", park.calls_max, 1..=CALLS_MAX);
        let per_trunk_max = self.number("park.per_trunk_max", park.per_trunk_max, 1..=CALLS_MAX);
        let per_name_max = self.number("park.per_name_max", park.per_name_max, 1..=CALLS_MAX);
        let per_source_max = self.number("park.per_source_max", park.per_source_max, 1..=CALLS_MAX);
        let retry_after = self.seconds("park.retry_after_seconds", park.retry_after_seconds, 1..=SECONDS_A_DAY);
        Some(Park {
            deadline: deadline?,
            response: response?,
            rings_reliably: rings_reliably?,
            repeat_every: repeat?,
            fallback_status: fallback_status?,
            calls_max: calls_max?,
            per_trunk_max: per_trunk_max?,
            per_name_max: per_name_max?,
            per_source_max: per_source_max?,
            retry_after: retry_after?,
        })
    }

    fn trunks(&mut self, raw: &Raw) -> Option<Vec<Arc<Trunk>>> {
        let entries = raw.trunk.iter().enumerate();
        let trunks: Vec<_> = entries.map(|(at, trunk)| self.trunk(&format!("trunk[{at}]"), trunk, raw)).collect();
        trunks.into_iter().collect()
    }

    fn trunk(&mut self, key: &str, trunk: &raw::Trunk, raw: &Raw) -> Option<Arc<Trunk>> {
        let name = self.parsed(&format!("{key}.name"), &trunk.name, label);
        let allow_key = format!("{key}.allow");
        let allow = self.each(&allow_key, &trunk.allow, address::net);
        let listed = trunk.tls_names.as_deref().unwrap_or_default();
        let tls_names = self.each(&format!("{key}.tls_names"), listed, address::host_name);
        if !listed.is_empty() && raw.tls.client_authorities_file.is_empty() {
            self.note(&format!("{key}.tls_names"), "nobody vouches for these names; give tls.client_authorities_file");
        }
        let user = trunk.user.clone().filter(|user| !user.is_empty());
        if user.as_ref().is_some_and(|user| !raw.user.iter().any(|listed| listed.name == *user)) {
            self.note(&format!("{key}.user"), "there is no [[user]] of this name, who would have a password");
        }
        if user.is_some() && raw.trunk.iter().filter(|other| other.user == trunk.user).count() > 1 {
            self.note(&format!("{key}.user"), "another trunk has this user too; give each its own");
        }
        if trunk.allow.is_empty() && listed.is_empty() && user.is_none() {
            self.note(
                &allow_key,
                "missing or empty; list the addresses this trunk calls from, for example 192.0.2.0/24",
            );
        }
        let calls_max = trunk.calls_max.unwrap_or(raw.park.per_trunk_max);
        let calls_max = self.number(&format!("{key}.calls_max"), calls_max, 1..=CALLS_MAX);
        let identity = trunk.identity.as_deref().unwrap_or("from");
        let identity = self.parsed(&format!("{key}.identity"), identity, |text| match text {
            "from" => Ok(Identity::From),
            "asserted" => Ok(Identity::Asserted),
            _ => Err(format!("`{text}` is neither from nor asserted")),
        });
        let rate = trunk.calls_per_second_max;
        let rate = rate.map(|rate| self.number(&format!("{key}.calls_per_second_max"), rate, 1..=CALLS_PER_SECOND_MAX));
        let called = self.rewrite(&format!("{key}.rewrite_called"), trunk.rewrite_called.as_ref());
        let calling = self.rewrite(&format!("{key}.rewrite_calling"), trunk.rewrite_calling.as_ref());
        Some(Arc::new(Trunk {
            name: name?.into(),
            allow: allow?,
            tls_names: tls_names?,
            user,
            calls_max: calls_max?,
            identity: identity?,
            calls_per_second_max: rate.map_or(Some(None), |rate| rate.map(Some))?,
            called: called?,
            calling: calling?,
            srtp_required: trunk.srtp_required.unwrap_or_default(),
        }))
    }

    fn routes(&mut self, raw: &Raw, known: (&Park, &Sounds)) -> Option<Vec<Arc<Route>>> {
        let entries = raw.route.iter().enumerate();
        let routes: Vec<_> =
            entries.map(|(at, route)| self.route(&format!("route[{at}]"), route, raw, known)).collect();
        routes.into_iter().collect()
    }

    fn route(
        &mut self,
        key: &str,
        route: &raw::Route,
        raw: &Raw,
        (park, sounds): (&Park, &Sounds),
    ) -> Option<Arc<Route>> {
        let at = |name: &str| format!("{key}.{name}");
        let number = self.parsed(&at("number"), &route.number, Pattern::parse);
        let name = self.parsed(&at("name"), &route.name, |text| Name::parse(text).map_err(|error| error.to_string()));
        let response = route.response.map_or(Some(park.response), |code| self.response(&at("response"), code));
        let hears = match &route.hears {
            Some(sound) => self.sound(&at("hears"), sound, sounds),
            None => self.sound("park.hears", &raw.park.hears, sounds),
        };
        let deadline = match route.park_seconds {
            Some(seconds) => self.seconds(&at("park_seconds"), seconds, park_seconds()),
            None => Some(park.deadline),
        };
        let fallback_status = match route.fallback_status {
            Some(code) => self.number(&at("fallback_status"), code, 300..=699),
            None => Some(park.fallback_status),
        };
        let record = match &route.record {
            Some(word) => self.sides(&at("record"), word),
            None => self.sides("park.record", &raw.park.record),
        };
        let data = route.data.clone().filter(|data| !data.is_empty());
        if data.as_ref().is_some_and(|data| data.len() > limits::ROUTE_DATA_BYTES_MAX) {
            self.note(
                &at("data"),
                format!("longer than {} bytes; hand over a key instead", limits::ROUTE_DATA_BYTES_MAX),
            );
        }
        let invites = route.ring.as_deref().map_or(Some(false), |text| self.parsed(&at("ring"), text, users::ring));
        let (ring, park, data) = (response?, deadline?, data.map(Into::into));
        let (number, name, fallback_status) = (number?, name?, fallback_status?);
        let (hears, record, invites) = (hears?, record?, invites?);
        Some(Arc::new(Route { number, name, ring, hears, record, park, fallback_status, invites, data }))
    }

    fn token(&mut self, raw: &Raw, sources: &Sources) -> Option<Token> {
        let credential = sources.environment.get("CREDENTIALS_DIRECTORY").map(|dir| Path::new(dir).join("token-key"));
        let file = path(&raw.token.key_file).or_else(|| credential.filter(|file| file.exists()));
        let Some(file) = file else { return Some(Token { key: None }) };
        match keys::read_master(&file) {
            Ok(key) => Some(Token { key: Some(key) }),
            Err(what) => self.wrong("token.key_file", what),
        }
    }

    fn records(&mut self, raw: &Raw) -> Option<Records> {
        Some(Records { path: path(&raw.records.path) })
    }

    fn log(&mut self, raw: &Raw) -> Option<Log> {
        let level = self.parsed("log.level", &raw.log.level, log_level);
        let format = self.parsed("log.format", &raw.log.format, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("`{text}` is no format; write text or json")),
        });
        Some(Log { level: level?, format: format? })
    }

    fn drain(&mut self, raw: &Raw) -> Option<Drain> {
        Some(Drain { deadline: self.seconds("drain.seconds_max", raw.drain.seconds_max, 0..=SECONDS_A_DAY)? })
    }

    /// Notes a mistake; `None`, so that a caller can return it.
    pub(super) fn wrong<T>(&mut self, key: &str, what: impl Into<String>) -> Option<T> {
        self.note(key, what);
        None
    }

    pub(super) fn note(&mut self, key: &str, what: impl Into<String>) {
        self.mistakes.push(self.places.mistake(key, what));
    }

    pub(super) fn parsed<T>(&mut self, key: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(what) => self.wrong(key, what),
        }
    }

    /// An empty text is `Some(None)`.
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        if text.is_empty() { Some(None) } else { self.parsed(key, text, parse).map(Some) }
    }

    pub(super) fn each<T>(
        &mut self,
        key: &str,
        texts: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let entries = texts.iter().enumerate();
        let values: Vec<_> = entries.map(|(at, text)| self.parsed(&format!("{key}[{at}]"), text, &parse)).collect();
        values.into_iter().collect()
    }

    pub(super) fn number<T: TryFrom<u64>>(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) -> Option<T> {
        match T::try_from(value) {
            Ok(number) if range.contains(&value) => Some(number),
            _ => self.wrong(key, format!("{value} is out of range; write {} to {}", range.start(), range.end())),
        }
    }

    pub(super) fn seconds(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) -> Option<Duration> {
        self.number(key, value, range).map(Duration::from_secs)
    }

    fn response(&mut self, key: &str, code: u64) -> Option<u16> {
        match code {
            180 => Some(180),
            183 => Some(183),
            _ => self.wrong(key, format!("{code} does not ring; write 180, or 183 for early media")),
        }
    }
}

/// A bridge token lives as long as the call may wait.
fn park_seconds() -> RangeInclusive<u64> {
    1..=limits::PARK_MAX.as_secs()
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty())
}

/// A word for logs, records and tokens.
pub(super) fn label(text: &str) -> Result<String, String> {
    match text {
        "" => Err("missing or empty; give it a text".into()),
        text if text.len() > limits::LABEL_BYTES_MAX => Err(format!("longer than {} bytes", limits::LABEL_BYTES_MAX)),
        text if text.chars().any(char::is_control) => Err("has control characters; leave them out".into()),
        text => Ok(text.to_owned()),
    }
}

/// A header that means nothing to SIP or to us: only such may be handed on unread.
fn header_name(text: &str) -> Result<String, String> {
    let is_token =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte));
    let is_ours = ["X-Bridge-Token", "Session-ID"].iter().any(|ours| ours.eq_ignore_ascii_case(text));
    if !is_token {
        return Err(format!("`{text}` is no header's name; write for example X-Account"));
    }
    if is_ours || Header::of(text.as_bytes()) != Header::Other {
        return Err(format!(
            "`{text}` has a meaning of its own and is not handed on; others may be, for example X-Account"
        ));
    }
    Ok(text.to_owned())
}

/// A header field's value: what `label` allows, in ASCII.
fn header_text(text: &str) -> Result<String, String> {
    if text.is_ascii() { label(text) } else { Err("has letters beyond ASCII; leave them out".into()) }
}

fn public_url(text: &str) -> Result<String, String> {
    let bad = || format!("`{text}` is no URL to build on; write for example https://calls.example, without query");
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(bad)?;
    let fit = !rest.is_empty()
        && !rest.starts_with('/')
        && rest.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b));
    if fit { Ok(text.trim_end_matches('/').to_owned()) } else { Err(bad()) }
}

/// RFC 6454 §6.2: scheme, host and port, nothing after.
fn origin(text: &str) -> Result<String, String> {
    let host = text.split_once("://").map(|(_, host)| host);
    let fit = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '*']);
    if text == "*" || host.is_some_and(fit) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(format!("`{text}` is no origin; write for example https://app.example, without a path, or * for any"))
}

fn log_level(text: &str) -> Result<String, String> {
    let directives = tracing_subscriber::EnvFilter::builder().parse(text);
    let plain = |word: &str| matches!(word, "error" | "warn" | "info" | "debug" | "trace" | "off");
    // A word that is no level would be taken for the name of a module, and all logging would be off.
    let fit = text.split(',').all(|part| part.contains('=') || plain(part.trim()));
    match directives {
        Ok(_) if fit => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no level; write error, warn, info, debug or trace")),
    }
}
