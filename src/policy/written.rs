//! A grant as JWTs and tables of cases write it, read into what is decided by, and back for whoever mints.
//! Not here: what a restriction means (`restrictions`).
//!
//! ```json
//! {"receive":["foo","foo/web"], "bridge":["foo"], "transfer":["bar"], "message":["bar","+49*"], "presence":["bar"], "dial":false, "media":["audio"], "concurrent":2, "record":"require",
//!  "from":["192.0.2.0/24"], "not_before":"2026-11-23T08:00:00Z", "not_after":"2026-12-24T00:00:00Z",
//!  "hours":"mon-fri 08:00-18:00", "time_zone":"Europe/Berlin", "called":["+4930*"],
//!  "calls":100, "calls_per_hour":5, "calls_per_day":20, "call_seconds_max":600, "parameters":{"ticket":"4711"}}
//! ```
//! A granted name covers itself and the names below it: `foo` covers `foo/web`, never `foobar`. A member that is not one of these is refused,
//! and so is a value that cannot be read: a misspelt restriction must not be taken for none.

use super::case::parse_instant;
use super::jwt::some;
use super::{Addressee, Allowance, Grant, Hours, MediaKinds, Parameters, RecordRule, Restrictions};
use crate::name::Name;
use crate::number::Pattern;
use crate::time::Wall;
use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// The members, flat: whoever writes them thinks of one list.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(serialize_with = "write_texts", deserialize_with = "names")]
    receive: Vec<Name>,
    #[serde(serialize_with = "write_texts", deserialize_with = "names")]
    bridge: Vec<Name>,
    #[serde(serialize_with = "write_texts", deserialize_with = "names")]
    transfer: Vec<Name>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_texts", deserialize_with = "addressees")]
    message: Vec<Addressee>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_texts", deserialize_with = "names")]
    presence: Vec<Name>,
    dial: bool,
    #[serde(serialize_with = "write_media", deserialize_with = "media")]
    media: MediaKinds,
    concurrent: u32,
    ring: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordRule>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_texts", deserialize_with = "networks")]
    from: Vec<IpNet>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_instant", deserialize_with = "instant")]
    not_before: Option<Wall>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_instant", deserialize_with = "instant")]
    not_after: Option<Wall>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    hours: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    time_zone: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_texts", deserialize_with = "numbers")]
    called: Vec<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    calls: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    calls_per_hour: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    calls_per_day: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    call_seconds_max: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<String, String>,
}

impl Default for Written {
    fn default() -> Written {
        Written::of(Grant::default())
    }
}

impl Written {
    fn of(grant: Grant) -> Written {
        let Grant { receive, bridge, transfer, message, presence, dial, media, concurrent, ring, record, .. } = grant;
        let (only, parameters) = (grant.only, grant.parameters);
        let only = only.map(|only| *only).unwrap_or_default();
        let Restrictions { from, not_before, not_after, hours, called, calls, call_seconds_max } = only;
        let hours = hours.as_ref().map(Hours::written);
        Written {
            receive,
            bridge,
            transfer,
            message,
            presence,
            dial,
            media,
            concurrent,
            ring,
            record,
            from,
            not_before,
            not_after,
            hours: hours.map(|(text, _)| text.to_owned()),
            time_zone: hours.map(|(_, zone)| zone.to_owned()),
            called,
            calls: calls.in_all,
            calls_per_hour: calls.per_hour,
            calls_per_day: calls.per_day,
            call_seconds_max,
            parameters: parameters.map(|all| all.all().clone()).unwrap_or_default(),
        }
    }

    fn read(self) -> Result<Grant, String> {
        let Written { receive, bridge, transfer, message, presence, dial, media, concurrent, ring, record, .. } = self;
        let hours = match (&self.hours, &self.time_zone) {
            (Some(text), zone) => Some(Hours::parse(text, zone.as_deref().unwrap_or("UTC"))),
            (None, None) => None,
            (None, Some(_)) => return Err("a time_zone without hours".into()),
        };
        let only = Restrictions {
            from: self.from,
            not_before: self.not_before,
            not_after: self.not_after,
            hours: hours.transpose().map_err(|error| error.to_string())?,
            called: self.called,
            calls: Allowance { in_all: self.calls, per_hour: self.calls_per_hour, per_day: self.calls_per_day },
            call_seconds_max: self.call_seconds_max,
        };
        let only = (!only.is_none()).then(|| Box::new(only));
        let parameters = Parameters::new(self.parameters)?;
        Ok(Grant {
            receive,
            bridge,
            transfer,
            message,
            presence,
            dial,
            media,
            concurrent,
            ring,
            record,
            only,
            parameters,
        })
    }
}

impl Serialize for Grant {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Written::of(self.clone()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Grant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Grant, D::Error> {
        Written::deserialize(from)?.read().map_err(D::Error::custom)
    }
}

/// A list of texts, each of which is read.
fn each<'de, D: Deserializer<'de>, T, E: std::fmt::Display>(
    from: D,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| read(text).map_err(D::Error::custom)).collect()
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Name>, D::Error> {
    each(from, Name::parse)
}

fn addressees<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Addressee>, D::Error> {
    each(from, Addressee::parse)
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
    each(from, str::parse::<IpNet>)
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Pattern>, D::Error> {
    each(from, Pattern::parse)
}

pub(super) fn media<'de, D: Deserializer<'de>>(from: D) -> Result<MediaKinds, D::Error> {
    let kinds = each(from, |word| MediaKinds::from_word(word).ok_or("no kind of media"))?;
    Ok(kinds.into_iter().collect())
}

/// An instant as RFC 3339 writes it.
pub(super) fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Wall>, D::Error> {
    parse_instant(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

fn write_texts<T: std::fmt::Display, S: Serializer>(all: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(all.iter().map(ToString::to_string))
}

fn write_media<S: Serializer>(kinds: &MediaKinds, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(kinds.words())
}

fn write_instant<S: Serializer>(at: &Option<Wall>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.collect_str(at),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"{"receive":["foo","foo/web"],"bridge":["foo"],"transfer":["bar"],"dial":true,"media":["audio","video"],
        "concurrent":2,"ring":false,"record":"require","from":["192.0.2.0/24","2001:db8::/32"],
        "not_before":"2026-11-23T08:00:00Z","not_after":"2026-12-24T00:00:00.000Z","hours":"mon-fri 08:00-18:00",
        "time_zone":"Europe/Berlin","called":["+4930*"],"calls":100,"calls_per_hour":5,"calls_per_day":20,
        "call_seconds_max":600,"parameters":{"ticket":"4711"}}"#;

    fn read(json: &str) -> Result<Grant, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_is_written_is_read_and_written_again() {
        let grant = read(ALL).unwrap();
        let only = grant.only().unwrap();
        assert_eq!((only.from.len(), only.called.len(), only.call_seconds_max), (2, 1, Some(600)));
        assert_eq!(only.calls, Allowance { in_all: Some(100), per_hour: Some(5), per_day: Some(20) });
        assert_eq!(only.hours, Some(Hours::parse("mon-fri 08:00-18:00", "Europe/Berlin").unwrap()));
        assert_eq!(grant.parameters.as_ref().unwrap().all().get("ticket").map(String::as_str), Some("4711"));
        for grant in [grant, Grant::default()] {
            assert_eq!(read(&serde_json::to_string(&grant).unwrap()).unwrap(), grant);
        }
        let plain = serde_json::to_string(&Grant::default()).unwrap();
        assert!(!plain.contains("calls") && !plain.contains("null"), "{plain}");
    }

    #[test]
    fn a_restriction_that_cannot_be_read_is_not_taken_for_none() {
        for bad in [
            r#"{"call_second_max":600}"#,
            r#"{"from":"192.0.2.0/24"}"#,
            r#"{"from":["192.0.2.0/33"]}"#,
            r#"{"from":null}"#,
            r#"{"not_before":1795000000}"#,
            r#"{"not_after":"tomorrow"}"#,
            r#"{"hours":"office"}"#,
            r#"{"hours":"daily 08:00-18:00","time_zone":"Europe/Nowhere"}"#,
            r#"{"time_zone":"UTC"}"#,
            r#"{"called":[""]}"#,
            r#"{"calls":-1}"#,
            r#"{"calls":null}"#,
            r#"{"calls_per_hour":1.5}"#,
            r#"{"call_seconds_max":4294967296}"#,
            r#"{"parameters":{"a":1}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_have_a_length() {
        for (length, good) in [(511, true), (512, false)] {
            let json = format!(r#"{{"parameters":{{"a":"{}"}}}}"#, "x".repeat(length));
            assert_eq!(read(&json).is_ok(), good, "{length}");
        }
        assert_eq!(read(r#"{"parameters":{}}"#).unwrap().parameters, None);
    }
}
