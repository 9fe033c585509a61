//! What a whole configuration accepts and refuses, end to end: files and variables in, [`Config`] or mistakes out.
//! Not here: the small grammars, which are tested beside them (`address`).

use super::raw::Raw;
use super::*;
use crate::policy::Grant;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

pub(super) fn load(text: &str) -> Result<Config, String> {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "x.toml", text);
    let prefix = format!("{}/", dir.path().display());
    let loaded = Config::load(&Sources { file: Some(file), ..Sources::default() });
    loaded.map_err(|mistakes| mistakes.to_string().replace(&prefix, ""))
}

fn builtin() -> Config {
    Config::load(&Sources::default()).unwrap()
}

fn said(environment: &[(&str, &str)], set: &[&str]) -> Result<Config, String> {
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let set = set.iter().map(|text| (*text).to_owned()).collect();
    Config::load(&Sources { file: None, environment, set }).map_err(|mistakes| mistakes.to_string())
}

/// The first trunk that a source belongs to, as the switch finds it.
fn trunk<'a>(config: &'a Config, source: &str) -> Option<&'a Trunk> {
    let source = source.parse().unwrap();
    config.trunks.iter().find(|trunk| trunk.sends_from(source)).map(|trunk| &**trunk)
}

/// The first route of a number.
fn route<'a>(config: &'a Config, user: &str) -> Option<&'a Route> {
    config.routes.iter().find(|route| route.number.matches(user)).map(|route| &**route)
}

#[test]
fn without_a_file_only_this_host_may_call_and_reaches_demo() {
    let config = builtin();
    assert_eq!(&*trunk(&config, "127.0.0.9").unwrap().name, "loopback");
    assert_eq!(&*trunk(&config, "::1").unwrap().name, "loopback");
    assert_eq!(&*trunk(&config, "::ffff:127.0.0.1").unwrap().name, "loopback");
    assert_eq!(trunk(&config, "192.0.2.1"), None);
    assert_eq!(route(&config, "100").unwrap().name.as_str(), "demo");
    assert!(config.media.workers >= 1 && config.policy.keys.is_empty() && config.token.key.is_none());
}

#[test]
fn the_shipped_file_says_what_holds_without_it() {
    let shipped = load(include_str!("../../conf/parkway.toml")).unwrap();
    assert_eq!(shipped.to_toml(), builtin().to_toml());
}

#[test]
fn the_shipped_file_has_every_key_there_is() {
    let shipped = include_str!("../../conf/parkway.toml");
    let mut section = String::new();
    for line in Raw::template().to_toml().lines().filter(|line| !line.is_empty()) {
        let written = |line: &str| shipped.lines().any(|text| text.trim_start_matches(['#', ' ']).starts_with(line));
        if let Some(inner) = line.strip_prefix("[trunk.") {
            // A table in an entry is written in one line.
            section = format!("{} = {{", inner.trim_end_matches(']'));
            assert!(written(&section), "{line}");
        } else if line.starts_with('[') {
            section = line.to_owned();
            assert!(written(line), "{line}");
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| section.ends_with('{')) {
            let inside = |text: &str| text.contains(&section) && text.contains(&format!(" {key} = "));
            assert!(shipped.lines().any(inside), "{section} {key}");
        } else if let Some((key, _)) = line.split_once(" = ") {
            assert!(written(&format!("{key} = ")), "{section} {key}");
        }
    }
}

#[test]
fn what_is_printed_is_a_configuration_with_the_same_meaning() {
    assert_eq!(load(&builtin().to_toml()).unwrap().to_toml(), builtin().to_toml());
}

#[test]
fn an_operators_trunk_or_route_replaces_the_builtin_ones() {
    let config = load("[[trunk]]\nname = \"t\"\nallow = [\"192.0.2.0/24\"]\ncalls_max = 7\n").unwrap();
    assert_eq!(trunk(&config, "127.0.0.1"), None);
    assert_eq!(trunk(&config, "192.0.2.200").unwrap().calls_max, 7);
    assert_eq!(config.routes.len(), 1);
    let config = load("route = [{ number = \"+49*\", name = \"a/b\", park_seconds = 5, data = \"x\" }]").unwrap();
    let found = route(&config, "+4930").unwrap();
    assert_eq!((found.park, found.ring, found.data.as_deref()), (Duration::from_secs(5), 180, Some("x")));
    assert_eq!((route(&config, "0").is_none(), config.trunks.len()), (true, 1));
}

/// What is wrong in a file, and how what is said about it begins.
const MISTAKES: &[(&str, &str)] = &[
    (
        "[sip]\nlisten = [\n  \"0.0.0.0:5060\",\n  \"5060\",\n]",
        "x.toml:4: sip.listen[1]: `5060` is no address and port",
    ),
    ("\n[sip]\nlistn = []", "x.toml:3: sip.listn: unknown key; did you mean `listen`?"),
    ("[media]\nworker = 1\n", "x.toml:2: media.worker: unknown key; did you mean `workers`?"),
    ("[qqqqqqqq]", "x.toml:1: qqqqqqqq: unknown key; there are node, sip,"),
    ("[sip]\nlisten = \"0.0.0.0:5060\"", "x.toml:2: sip.listen: a text where a list of texts"),
    ("[media]\nport_min = \"30000\"", "x.toml:2: media.port_min: a text where a whole number"),
    ("[media]\nport_min = 30000.7", "x.toml:2: media.port_min: a number with a fraction where"),
    ("[media]\nport_min = -2", "x.toml:2: media.port_min: a number below 0"),
    ("[media]\nport_min = true", "x.toml:2: media.port_min: true or false where"),
    ("[media]\nport_min = 30001", "x.toml:2: media.port_min: 30001 is odd"),
    ("[media]\nport_max = 31998", "x.toml:2: media.port_max: 31998 is even"),
    ("[media]\nport_min = 32000", "x.toml:1: media.port_max: 31999 leaves fewer than 4 ports"),
    ("[media]\nport_max = 70001", "x.toml:2: media.port_max: 70001 is out of range; write 1027 to 65535"),
    ("[media]\ncoalesce_us = 1001", "x.toml:2: media.coalesce_us: 1001 is out of range; write 0 to 1000"),
    ("[media]\nsrtp = \"yes\"", "x.toml:2: media.srtp: `yes` is neither off nor tls nor any"),
    ("[media]\nsrtp = \"off\"\nsrtp_required = true", "x.toml:3: media.srtp_required: no call can have SRTP"),
    (
        "[media]\nsrtp = \"off\"\n[[trunk]]\nname = \"a\"\nallow = [\"192.0.2.1\"]\nsrtp_required = true",
        "x.toml:6: trunk[0].srtp_required: no call can have SRTP",
    ),
    ("[media]\ntones = \"atlantis\"", "x.toml:2: media.tones: there are no tones for `atlantis`; write one of at, au,"),
    ("[media]\nhold_sound = \"jazz\"", "x.toml:2: media.hold_sound: there is no sound `jazz`; write one of ringback,"),
    ("[park]\nhears = \"jazz\"", "x.toml:2: park.hears: there is no sound `jazz`"),
    (
        "[[media.sound]]\nname = \"jazz\"\nfile = \"there-is-none.wav\"",
        "x.toml:3: media.sound[0].file: there-is-none.wav cannot be read",
    ),
    ("[[route]]\nnumber = \"1\"\nname = \"a\"\nhears = \"jazz\"", "x.toml:4: route[0].hears: there is no sound `jazz`"),
    ("[park]\nrecord = \"all\"", "x.toml:2: park.record: `all` is neither off nor caller nor client nor both"),
    ("[park]\nrecord = \"both\"", "x.toml:2: park.record: there is nowhere to record to; give recording.directory"),
    (
        "[[route]]\nnumber = \"1\"\nname = \"a\"\nrecord = \"client\"",
        "x.toml:4: route[0].record: there is nowhere to record to; give recording.directory",
    ),
    (
        "[[user]]\nname = \"a\"\nsecret = \"s\"\nrecord = \"require\"",
        "x.toml:4: user[0].record: there is nowhere to record to",
    ),
    (
        "[[user]]\nname = \"a\"\nsecret = \"s\"\nrecord = \"yes\"",
        "x.toml:4: user[0].record: `yes` is neither require nor forbid",
    ),
    (
        "[recording]\nannounce = \"jazz\"",
        "x.toml:2: recording.announce: there is no sound `jazz`; write one of ringback,",
    ),
    ("[recording]\nannounce = \"\"", "x.toml:2: recording.announce: empty; write the name of a sound, or none"),
    ("[recording]\nbeep_seconds = 3601", "x.toml:2: recording.beep_seconds: 3601 is out of range; write 0 to 3600"),
    ("[recording]\nseconds_max = 86401", "x.toml:2: recording.seconds_max: 86401 is out of range; write 1 to 86400"),
    ("[recording]\nfiles_max = 0", "x.toml:2: recording.files_max: 0 is out of range"),
    ("[media]\ndigits = \"yes\"", "x.toml:2: media.digits: `yes` is neither off nor count nor tell"),
    ("[media]\ndigits = \"off\"\nin_band = true", "x.toml:3: media.in_band: nothing is made of keys"),
    ("[media]\ninfo_as = \"sip\"", "x.toml:2: media.info_as: `sip` is neither info nor rfc4733"),
    ("[media]\noffload = \"yes\"", "x.toml:2: media.offload: `yes` is neither auto nor off nor required"),
    ("[media]\naddress = \"eth0\"", "x.toml:2: media.address: `eth0` is no address"),
    ("[park]\nseconds_max = 0", "x.toml:2: park.seconds_max: 0 is out of range; write 1 to 3600"),
    ("[park]\nresponse = 200", "x.toml:2: park.response: 200 does not ring"),
    ("[park]\nfallback_status = 200", "x.toml:2: park.fallback_status: 200 is out of range"),
    ("park = 5", "x.toml:1: park: a number below 0 or too large where a section"),
    ("[[trunk]]\nname = \"a\"", "x.toml:1: trunk[0].allow: missing or empty"),
    ("[[trunk]]\nallow = [\"1.2.3\"]\nname = \"a\"", "x.toml:2: trunk[0].allow[0]: `1.2.3` is no address list entry"),
    (
        "[[route]]\nnumber = \"1\"\nname = \"a\"\n[[route]]\nname = \"a//b\"\nnumber = \"2\"",
        "x.toml:5: route[1].name: a segment",
    ),
    ("[[route]]\nnumber = \"1\"\nnam = \"a\"", "x.toml:3: route[0].nam: unknown key; did you mean `name`?"),
    ("[[route]]\nname = \"a\"", "x.toml:1: route[0].number: empty; write a number"),
    ("[log]\nlevel = \"loud\"", "x.toml:2: log.level: `loud` is no level"),
    ("[log]\nformat = \"xml\"", "x.toml:2: log.format: `xml` is no format"),
    ("[http]\npublic_url = \"calls.example\"", "x.toml:2: http.public_url: `calls.example` is no URL"),
    ("[http]\nallowed_origins = [\"https://a/b\"]", "x.toml:2: http.allowed_origins[0]: `https://a/b` is no origin"),
    ("[admin]\nlisten = \"127.0.0.1:8080\"", "x.toml:2: admin.listen: the same as http.listen"),
    ("[sip]\nadvertised = \"0.0.0.0\"", "x.toml:2: sip.advertised: nobody can reach `0.0.0.0`"),
    (
        "[park]\nreliable_response = \"yes\"",
        "x.toml:2: park.reliable_response: `yes` is neither required nor supported",
    ),
    ("[sip]\nmin_se_seconds = 89", "x.toml:2: sip.min_se_seconds: 89 is out of range; write 90 to 86400"),
    (
        "[sip]\nsession_expires_seconds = 300\nmin_se_seconds = 400",
        "x.toml:2: sip.session_expires_seconds: 300 is less than sip.min_se_seconds",
    ),
    ("[sip]\nuser_agent = \"a\\r\\nb\"", "x.toml:2: sip.user_agent: has control characters"),
    ("[token]\nkey_file = \"/nonexistent/k\"", "x.toml:2: token.key_file: /nonexistent/k cannot be read"),
    ("[policy]\nskew_seconds = 301", "x.toml:2: policy.skew_seconds: 301 is out of range"),
    (
        "[policy]\nengines = [\"oracle\"]",
        "x.toml:2: policy.engines[0]: `oracle` is no engine; write grants, rules, rego or http",
    ),
    ("[policy]\nengines = []", "x.toml:2: policy.engines: empty, so nobody could do anything"),
    ("[policy]\nengines = [\"rules\"]", "x.toml:2: policy.engines: there are no rules"),
    ("[policy]\ncases_file = \"/nonexistent/c\"", "x.toml:2: policy.cases_file: /nonexistent/c: cannot be read"),
    ("[[policy.name]]\nname = \"a\"\nengines = []", "x.toml:3: policy.name[0].engines: empty"),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"maybe\"",
        "x.toml:3: policy.rule[0].effect: `maybe` is neither allow nor deny",
    ),
    ("[[policy.rule]]\neffect = \"deny\"", "x.toml:1: policy.rule[0].id: empty"),
    (
        "[[policy.rule]]\nid = \"no_rule\"\neffect = \"deny\"",
        "x.toml:2: policy.rule[0].id: `no_rule` is a word of ours",
    ),
    ("[[policy.rule]]\nid = \"a b\"\neffect = \"deny\"", "x.toml:2: policy.rule[0].id: `a b` has other characters"),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"deny\"\nconcurrent = 1",
        "x.toml:4: policy.rule[0].concurrent: a denial has no limits",
    ),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"deny\"\ncall_seconds_max = 1",
        "x.toml:4: policy.rule[0].call_seconds_max: a denial has no limits",
    ),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"allow\"\ncalled = [\"sip:1@h\"]",
        "x.toml:4: policy.rule[0].called[0]: `sip:1@h` can match no number",
    ),
    (
        "[[user]]\nname = \"a\"\nsecret = \"x\"\nnot_before = \"soon\"",
        "x.toml:4: user[0].not_before: `soon` is no time",
    ),
    ("[policy]\nengines = [\"http\"]", "x.toml:2: policy.engines: http is asked about callbacks alone"),
    ("[policy]\nengines = [\"grants\", \"http\"]", "x.toml:2: policy.engines[1]: there is nobody to ask"),
    ("[policy]\nengines = [\"rego\"]", "x.toml:2: policy.engines[0]: there is no policy; give policy.rego_file"),
    ("[policy]\nrego_file = \"/nowhere/p.rego\"", "x.toml:2: policy.rego_file: /nowhere/p.rego cannot be read"),
    ("[policy]\nhttp_url = \"opa:8181\"", "x.toml:2: policy.http_url: `opa:8181` is no URL"),
    ("[policy]\nhttp_url = \"ftp://opa/\"", "x.toml:2: policy.http_url: `ftp://opa/` is no URL"),
    ("[policy]\nhttp_url = \"http://a:b@opa/\"", "x.toml:2: policy.http_url: `http://a:b@opa/` is no URL"),
    ("[policy]\nhttp_timeout_ms = 2001", "x.toml:2: policy.http_timeout_ms: 2001 is out of range"),
    ("[[user]]\nname = \"a\"\nsecret = \"x\"\nparameters = [\"a\"]", "x.toml:4: user[0].parameters[0]: `a` has no ="),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"allow\"\nactions = [\"fly\"]",
        "x.toml:4: policy.rule[0].actions[0]: `fly` is no action; write subscribe, register",
    ),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"allow\"\nhours = \"always\"",
        "x.toml:4: policy.rule[0].hours: `always` are no hours; write for example mon-fri 08:00-18:00",
    ),
    (
        "[policy]\ntime_zone = \"Mars/North\"\n[[policy.rule]]\nid = \"a\"\neffect = \"allow\"\nhours = \"daily 08:00-18:00\"",
        "x.toml:6: policy.rule[0].hours: `Mars/North` is no time zone",
    ),
    (
        "[[policy.rule]]\nid = \"a\"\neffect = \"deny\"\n[[policy.rule]]\nid = \"a\"\neffect = \"deny\"",
        "x.toml:5: policy.rule[1].id: `a` is taken",
    ),
    ("[[policy.key]]\nkid = \"a\"\ntype = \"rs256\"", "x.toml:3: policy.key[0].type: `rs256` is no type of key"),
    ("[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"", "x.toml:1: policy.key[0]: give exactly one of secret_file"),
    ("[[policy.key]]\nkid = \"a\"\ntype = \"es256\"\nsecret = \"x\"", "x.toml:1: policy.key[0]: give public_key_file"),
    ("[digest]\nrealm = \"a\\\"b\"", "x.toml:2: digest.realm: has quotes"),
    ("[digest]\nalgorithms = [\"SHA-1\"]", "x.toml:2: digest.algorithms[0]: `SHA-1` is no algorithm"),
    (
        "[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"\nsecret = \"0123456789012345678901234567890123456789\"\nform = \"x\"",
        "x.toml:5: policy.key[0].form: `x` is no form; write jwt, access or capability",
    ),
    (
        "[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"\nsecret = \"0123456789012345678901234567890123456789\"\nform = \"access\"",
        "x.toml:1: policy.key[0]: give account",
    ),
    (
        "[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"\nsecret = \"0123456789012345678901234567890123456789\"\nform = \"capability\"\naccount = \"AC1\"",
        "x.toml:6: policy.key[0].account: only a key of form access has one",
    ),
    (
        "[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"\nsecret = \"0123456789012345678901234567890123456789\"\nform = \"access\"\naccount = \"\"",
        "x.toml:6: policy.key[0].account: ",
    ),
    ("[[user]]\nname = \"a\"", "x.toml:1: user[0]: give exactly one of secret_file and secret"),
    ("[[user]]\nname = \"a:b\"\nsecret = \"x\"", "x.toml:2: user[0].name: `a:b` has a colon"),
    ("[[user]]\nname = \"a\"\nsecret = \"\"", "x.toml:3: user[0].secret: empty"),
    ("[[user]]\nname = \"a\"\nsecret = \"x\"\nbridge = [\"a//b\"]", "x.toml:4: user[0].bridge[0]: a segment"),
    ("[[user]]\nname = \"a\"\nsecret = \"x\"\nmedia = [\"smell\"]", "x.toml:4: user[0].media[0]: `smell` is no kind"),
    (
        "[[user]]\nname = \"a\"\nsecret = \"x\"\ndial = 1",
        "x.toml:4: user[0].dial: a number below 0 or too large where true or",
    ),
    (
        "[registrar]\nexpires_seconds_min = 0",
        "x.toml:2: registrar.expires_seconds_min: 0 is out of range; write 1 to 86400",
    ),
    (
        "[registrar]\nexpires_seconds_max = 59",
        "x.toml:2: registrar.expires_seconds_max: 59 is out of range; write 60 to",
    ),
    (
        "[registrar]\nexpires_seconds_default = 3601",
        "x.toml:2: registrar.expires_seconds_default: 3601 is out of range; write 60 to 3600",
    ),
    (
        "[[trunk]]\nname = \"a\"\nallow = [\"192.0.2.1\"]\nidentity = \"pai\"",
        "x.toml:4: trunk[0].identity: `pai` is neither from nor asserted",
    ),
    (
        "[sip]\npass_headers = [\"X-Account\", \"p-asserted-identity\"]",
        "x.toml:2: sip.pass_headers[1]: `p-asserted-identity` has",
    ),
    ("[sip]\npass_headers = [\"a b\"]", "x.toml:2: sip.pass_headers[0]: `a b` is no header's name"),
    ("[sip\nlisten = 1", "x.toml:1: not TOML: "),
    ("[sip]\nuser_agent = \"a\"\nuser_agent = \"b\"", "x.toml:3: not TOML: "),
];

#[test]
fn a_trunk_is_gone_to_where_it_has_targets_or_wants_a_registration() {
    let trunk = |keys: &str| load(&format!("[[trunk]]\nname = \"t\"\nallow = [\"192.0.2.1\"]\n{keys}\n"));
    assert!(trunk("").unwrap().outbound.is_empty());
    let config = trunk("targets = [\"gw:5070\", \"192.0.2.7\"]\nhealth_seconds = 0").unwrap();
    let outbound = &config.outbound[0];
    let targets: Vec<String> = outbound.targets.iter().map(ToString::to_string).collect();
    assert_eq!((targets, outbound.health), (vec!["sip:gw:5070".to_owned(), "sip:192.0.2.7".to_owned()], None));
    let config = trunk("register = { uri = \"sip:us@r.example\", password = \"open sesame\" }").unwrap();
    let outbound = &config.outbound[0];
    assert_eq!(
        (outbound.targets[0].to_string(), outbound.health),
        ("sip:r.example".into(), Some(Duration::from_secs(30)))
    );
    let register = outbound.register.as_ref().unwrap();
    let credentials = register.credentials.as_ref().unwrap();
    assert_eq!((credentials.username.as_str(), credentials.realm.as_deref()), ("us", Some("r.example")));
    assert!(!config.to_toml().contains("sesame") && !format!("{config:?}").contains("sesame"));
    for (keys, expected) in [
        ("targets = []", "trunk[0].targets: empty"),
        ("targets = [\"gw\", \"tel:+1\"]", "trunk[0].targets[1]: `tel:+1` is no target"),
        ("targets = [\"gw\"]\nhealth_seconds = 100000", "trunk[0].health_seconds: "),
        ("register = { uri = \"us\" }", "trunk[0].register.uri: "),
        ("register = { uri = \"sip:us@r\", seconds = 1 }", "trunk[0].register.seconds: "),
        (
            "register = { uri = \"sip:us@r\", pasword = \"x\" }",
            "trunk[0].register.pasword: unknown key; did you mean `password`?",
        ),
        ("register = { uri = \"sip:us@r\", password = \"x\", password_file = \"y\" }", "give one of"),
        ("register = { uri = \"sip:us@r\", password_file = \"/nowhere\" }", "/nowhere cannot be read"),
        ("rewrite_called = [\"00* -> +*\", \"x\"]", "trunk[0].rewrite_called[1]: `x` is no rule"),
        ("calls_per_second_max = 0", "trunk[0].calls_per_second_max: "),
        ("user = \"nobody\"", "trunk[0].user: there is no [[user]]"),
    ] {
        let mistakes = trunk(keys).map(|_| ()).unwrap_err();
        assert!(mistakes.contains(expected), "{keys}: {mistakes}");
    }
}

#[test]
fn a_mistake_is_one_line_with_file_line_and_key() {
    for (text, expected) in MISTAKES {
        let mistakes = load(text).map(|config| config.to_toml()).unwrap_err();
        assert!(mistakes.starts_with(expected), "{text:?}\n  gave     {mistakes}\n  expected {expected}");
        assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let mistakes = load("[sip]\nlisten = [\"a\", \"b\"]\n[park]\nresponse = 1\n[log]\nformat = \"x\"").unwrap_err();
    assert_eq!(mistakes.lines().count(), 4, "{mistakes}");
    let mistakes = load("[sip]\na = 1\nb = 2\n[c]").unwrap_err();
    assert_eq!(mistakes.lines().count(), 3, "{mistakes}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing = Sources { file: Some("/nonexistent/parkway.toml".into()), ..Sources::default() };
    let mistakes = Config::load(&missing).map(|_| ()).unwrap_err().to_string();
    assert!(mistakes.starts_with("/nonexistent/parkway.toml: cannot be read"), "{mistakes}");
}

#[test]
fn the_environment_is_stronger_than_the_file_and_set_is_strongest() {
    let config = said(&[("PARKWAY_SIP__LISTEN", "127.0.0.1:5070, [::1]:5070"), ("PARKWAY_PARK__CALLS_MAX", "5")], &[]);
    let config = config.unwrap();
    assert_eq!((config.sip.listen.len(), config.park.calls_max), (2, 5));
    let config = said(&[("PARKWAY_PARK__CALLS_MAX", "5")], &["park.calls_max=6", "sip.user_agent=1.50"]).unwrap();
    assert_eq!((config.park.calls_max, config.sip.user_agent.as_str()), (6, "1.50"));
    let config = said(&[("PARKWAY_HTTP__ALLOWED_ORIGINS", ""), ("PARKWAY_PORT", "tcp://10.0.0.1:80")], &[]).unwrap();
    assert!(config.http.allowed_origins.is_empty(), "a variable without __ is not ours");
}

#[test]
fn a_mistake_in_the_environment_or_in_set_says_where() {
    for (environment, set, expected) in [
        ("PARKWAY_SIP__LISTN", "", "environment PARKWAY_SIP__LISTN: sip.listn: unknown key; did you mean `listen`?"),
        ("PARKWAY_SIP__LISTEN", "", "environment PARKWAY_SIP__LISTEN: sip.listen[0]: `x` is no address and port"),
        (
            "PARKWAY_PARK__CALLS_MAX",
            "",
            "environment PARKWAY_PARK__CALLS_MAX: park.calls_max: `x` where a whole number",
        ),
        ("", "media.port_min=30001", "--set media.port_min=30001: media.port_min: 30001 is odd"),
        ("", "media.in_band=yes", "--set media.in_band=yes: media.in_band: `yes` where true or false is expected"),
        ("", "media=1", "--set media=1: media: this is a section"),
        ("", "trunk.name=a", "--set trunk.name=a: trunk.name: this is a section"),
        ("", "node.id.x=1", "--set node.id.x=1: node.id.x: `id` has no keys below it"),
        ("", "nonsense", "--set nonsense: nonsense: unknown key"),
    ] {
        let environment: Vec<_> = [(environment, "x")].into_iter().filter(|(name, _)| !name.is_empty()).collect();
        let set: Vec<_> = [set].into_iter().filter(|text| !text.is_empty()).collect();
        let mistakes = said(&environment, &set).map(|_| ()).unwrap_err();
        assert!(mistakes.starts_with(expected), "gave {mistakes}\n expected {expected}");
    }
}

#[test]
fn keys_given_by_the_operator_are_read_and_never_shown() {
    let dir = TempDir::new().unwrap();
    let secret = "correct-horse-battery-staple-and-more";
    let master = write(&dir, "master", &format!("{}\n", "ab".repeat(32)));
    let file = write(&dir, "secret", &format!("{secret}\n"));
    let text = format!(
        "[token]\nkey_file = {master:?}\n[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"\nsecret_file = {file:?}\n\
         [[policy.key]]\nkid = \"b\"\ntype = \"HS256\"\nsecret = \"{secret}\"\n"
    );
    let config = load(&text).unwrap();
    assert_eq!(config.token.key.as_ref().unwrap().expose(), &[0xab; 32]);
    assert!(config.policy.keys.iter().all(|key| key.material.expose() == secret.as_bytes()));
    assert!(!config.to_toml().contains(secret) && !format!("{config:?}").contains(secret));
    let keys = Keys::open(&config).unwrap();
    assert!(!keys.ephemeral && keys.master.expose() == &[0xab; 32] && keys.policy.len() == 2);
    let again = load(&text.replace("\"b\"", "\"a\"")).unwrap_err();
    assert!(again.contains("policy.key[1].kid: `a` is taken"), "{again}");
}

#[test]
fn users_have_their_grants_and_their_passwords_are_never_shown() {
    let dir = TempDir::new().unwrap();
    let file = write(&dir, "secret", "open sesame\n");
    let text = format!(
        "[digest]\nalgorithms = [\"md5\", \"SHA-512-256\"]\n[[user]]\nname = \"anna\"\nsecret_file = {file:?}\n\
         [[user]]\nname = \"bob\"\nsecret = \"open sesame\"\nreceive = [\"a\", \"b\"]\nbridge = [\"a\"]\ntransfer = [\"c\"]\ndial = true\nconcurrent = 3\n"
    );
    let config = load(&text).unwrap();
    let words: Vec<_> = config.users.algorithms().iter().map(|algorithm| algorithm.as_str()).collect();
    assert_eq!((config.users.realm(), words), ("parkway", vec!["MD5", "SHA-512-256"]));
    assert_eq!(*config.users.find("anna").unwrap().claims().grant(), Grant::default());
    let grant = config.users.find("bob").unwrap().claims().grant().clone();
    assert_eq!((grant.receive.len(), grant.bridge.len(), grant.dial, grant.concurrent), (2, 1, true, 3));
    assert_eq!(grant.transfer, [crate::name::Name::parse("c").unwrap()]);
    assert!(!config.to_toml().contains("sesame") && !format!("{config:?}").contains("sesame"));
    assert!(grant.only().is_none() && grant.parameters.is_none());
    let keyring = Keys::open(&config).unwrap().keyring(&config).unwrap();
    assert!(keyring.users().find("bob").is_some() && builtin().users.algorithms().is_empty());
    let again = load(&text.replace("bob", "anna")).unwrap_err();
    assert!(again.contains("user[1].name: `anna` is taken"), "{again}");
}

#[test]
fn a_users_grant_is_narrowed_by_the_words_of_a_jwt() {
    let text = "[policy]\ntime_zone = \"Europe/Berlin\"\n[[user]]\nname = \"bob\"\nsecret = \"x\"\nfrom = [\"192.0.2.0/24\"]\n\
        not_before = \"2026-11-23T08:00:00Z\"\nnot_after = \"2026-12-24T00:00:00Z\"\nhours = \"mon-fri 08:00-18:00\"\n\
        called = [\"+4930*\"]\ncalls = 100\ncalls_per_hour = 5\ncalls_per_day = 20\ncall_seconds_max = 600\n\
        parameters = [\"ticket=4711\"]\n";
    let json = r#"{"from":["192.0.2.0/24"],"not_before":"2026-11-23T08:00:00Z","not_after":"2026-12-24T00:00:00Z",
        "hours":"mon-fri 08:00-18:00","time_zone":"Europe/Berlin","called":["+4930*"],"calls":100,"calls_per_hour":5,
        "calls_per_day":20,"call_seconds_max":600,"parameters":{"ticket":"4711"}}"#;
    let config = load(text).unwrap();
    let expected: Grant = serde_json::from_str(json).unwrap();
    assert_eq!(*config.users.find("bob").unwrap().claims().grant(), expected);
}

#[test]
fn a_secret_that_is_too_short_is_refused_without_being_repeated() {
    let mistakes = load("[[policy.key]]\nkid = \"a\"\ntype = \"hs256\"\nsecret = \"hunter2\"").unwrap_err();
    assert!(mistakes.starts_with("x.toml:4: policy.key[0].secret: ") && !mistakes.contains("hunter2"), "{mistakes}");
}

#[test]
fn a_credential_from_systemd_is_the_token_key() {
    let dir = TempDir::new().unwrap();
    let base64 = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";
    write(&dir, "token-key", base64);
    let config = said(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())], &[]).unwrap();
    assert_eq!(config.token.key.unwrap().expose(), &[0xab; 32]);
    write(&dir, "token-key", "short");
    let mistakes = said(&[("CREDENTIALS_DIRECTORY", dir.path().to_str().unwrap())], &[]).map(|_| ()).unwrap_err();
    assert!(mistakes.contains("has no 32 bytes"), "{mistakes}");
}

#[test]
fn keys_made_at_the_first_start_are_there_at_the_second() {
    let dir = TempDir::new().unwrap();
    let config = said(&[], &[&format!("node.state_dir={}", dir.path().display())]).unwrap();
    assert!(Keys::signing(&config).is_err(), "minting makes no key");
    let (first, second) = (Keys::open(&config).unwrap(), Keys::open(&config).unwrap());
    assert_eq!(first.master.expose(), second.master.expose());
    assert_eq!(first.policy[0].material.expose(), second.policy[0].material.expose());
    assert!(!first.ephemeral && Keys::signing(&config).is_ok());
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["node.key", "policy.key"]);
    for name in names {
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_kept_key_that_is_damaged_or_open_to_others_is_refused() {
    let dir = TempDir::new().unwrap();
    let config = said(&[], &[&format!("node.state_dir={}", dir.path().display())]).unwrap();
    Keys::open(&config).unwrap();
    let node = dir.path().join("node.key");
    fs::set_permissions(&node, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(Keys::open(&config).unwrap_err().what.contains("chmod 600"));
    fs::set_permissions(&node, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&node, "damaged").unwrap();
    assert!(Keys::open(&config).unwrap_err().what.contains("has no 32 bytes"));
    let config = said(&[], &["node.state_dir=/nonexistent"]).unwrap();
    assert!(Keys::open(&config).unwrap_err().what.contains("cannot be made"));
}

#[test]
fn without_a_state_directory_keys_are_new_each_time_and_nothing_can_be_minted() {
    let (first, second) = (Keys::open(&builtin()).unwrap(), Keys::open(&builtin()).unwrap());
    assert!(first.ephemeral && first.master.expose() != second.master.expose());
    assert_eq!(first.policy[0].kid, Keys::OWN_KID);
    assert!(Keys::signing(&builtin()).map(|_| ()).unwrap_err().what.contains("set node.state_dir"));
}
