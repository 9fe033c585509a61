//! A SIP message as a peer reads it (RFC 3261 §7): lines of text. No folding and no quoted commas: Parkway writes neither.

/// A message that was received, its header names in lower case and long.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub(crate) body: String,
}

impl Message {
    /// Reads a datagram; `None` for noise.
    pub(crate) fn read(datagram: &[u8]) -> Option<Message> {
        let text = std::str::from_utf8(datagram).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((long(name.trim()), value.trim().to_owned()))
        });
        Some(Message { start, headers: headers.collect::<Option<_>>()?, body: body.to_owned() })
    }

    /// Of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Of a request.
    pub(crate) fn method(&self) -> Option<&str> {
        self.start.ends_with(" SIP/2.0").then(|| self.start.split(' ').next())?
    }

    /// The first field of that name (lower case, long); empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Adds to the value of To.
    pub(crate) fn add_to(&mut self, more: &str) {
        self.headers.iter_mut().filter(|(name, _)| name == "to").for_each(|(_, value)| value.push_str(more));
    }

    /// All fields of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// What makes it one message and a repetition of it the same: the method or status, the branch, and CSeq.
    pub(crate) fn key(&self) -> String {
        let kind = self.start.get(..12).unwrap_or(&self.start);
        format!("{kind}|{}|{}", self.branch(), self.header("cseq"))
    }

    /// The branch of the topmost Via.
    pub(crate) fn branch(&self) -> &str {
        let via = self.header("via").split(',').next().unwrap_or_default();
        via.split(';').find_map(|parameter| parameter.trim().strip_prefix("branch=")).unwrap_or_default()
    }

    /// The URI in Contact.
    pub(crate) fn contact(&self) -> &str {
        let contact = self.header("contact");
        contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri)
    }

    /// The direction that its SDP names; `sendrecv` is what holds without one (RFC 3264 §5.1).
    pub(crate) fn direction(&self) -> &str {
        let known = ["sendonly", "recvonly", "inactive", "sendrecv"];
        let lines = self.body.lines().filter_map(|line| line.strip_prefix("a="));
        lines.map(str::trim).find(|line| known.contains(line)).unwrap_or("sendrecv")
    }

    /// Where its SDP wants the audio.
    pub(crate) fn audio(&self) -> Option<std::net::SocketAddr> {
        let line = |start: &str| self.body.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
        let ip = line("c=IN IP4 ").or_else(|| line("c=IN IP6 "))?.parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(std::net::SocketAddr::new(ip, port))
    }
}

fn long(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let compact = [("v", "via"), ("f", "from"), ("t", "to"), ("i", "call-id"), ("m", "contact"), ("c", "content-type")];
    compact.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| (*long).to_owned())
}
