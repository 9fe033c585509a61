//! The admin listener's pages, asked for as a load balancer or Prometheus would: HTTP/1.1, one question a connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer's status and body; `None` if there is none.
pub(crate) fn get(admin: SocketAddr, path: &str) -> Option<(u16, String)> {
    ask(admin, &format!("GET {path}"), "", "")
}

/// The answer to any request: method and path, headers as whole lines, and a body.
pub(crate) fn ask(address: SocketAddr, head: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let length = format!("Content-Length: {}\r\n", body.len());
    let length = if body.is_empty() { "" } else { &length };
    write!(stream, "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}{length}\r\n{body}").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// What `/metrics` says, by name with labels.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Fetches the page.
    pub(crate) fn of(admin: SocketAddr) -> Option<Metrics> {
        get(admin, "/metrics").filter(|(status, _)| *status == 200).map(|(_, page)| Metrics(page))
    }

    /// One sample's value, 0 if there is no such sample.
    pub(crate) fn value(&self, sample: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    /// What it says of calls, SIP and ports that are there now.
    pub(crate) fn left(&self) -> String {
        let families = [
            "parkway_calls{",
            "parkway_sip_dialogs ",
            "parkway_sip_transactions ",
            "parkway_rtp_port_pairs{state=\"used\"}",
        ];
        let is_left = |line: &&str| families.iter().any(|family| line.starts_with(family)) && !line.ends_with(" 0");
        self.0.lines().filter(is_left).collect::<Vec<_>>().join(", ")
    }

    /// All samples of a family, added up; a family that is not there is the test's mistake.
    pub(crate) fn sum(&self, family: &str) -> f64 {
        assert!(self.0.contains(&format!("# TYPE {family} ")), "no {family} in\n{}", self.0);
        let samples = self.0.lines().filter_map(|line| line.strip_prefix(family));
        let values = samples.filter(|rest| rest.starts_with(['{', ' '])).filter_map(|rest| rest.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum()
    }
}
