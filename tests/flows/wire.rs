//! SIP and SDP as the actors write and read them: plain text, and none of the code that is under test.

use std::fmt::Write as _;

/// A message, as an actor reads it.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Text {
    pub(crate) fn read(bytes: &[u8]) -> Result<Text, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no end of the header")?;
        let mut lines = head.split("\r\n").map(String::from);
        let start = lines.next().unwrap_or_default();
        let pair = |line: String| line.split_once(':').map(|(name, value)| (name.trim().into(), value.trim().into()));
        let headers = lines.map(|line| pair(line).ok_or("a header without a colon")).collect::<Result<_, _>>()?;
        let message = Text { start, headers, body: body.into() };
        match message.header("Content-Length") {
            Some(length) if length == message.body.len().to_string() => Ok(message),
            _ => Err("Content-Length is not the body's".into()),
        }
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// What an expectation calls it: `200` or `BYE`.
    pub(crate) fn title(&self) -> String {
        let word = self.start.strip_prefix("SIP/2.0 ").unwrap_or(&self.start);
        word.split(' ').next().unwrap_or_default().into()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let same = |(there, _): &&(String, String)| there.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }

    /// The number and the method of CSeq.
    pub(crate) fn cseq(&self) -> (u32, &str) {
        let (number, method) = self.header("CSeq").and_then(|cseq| cseq.split_once(' ')).unwrap_or(("0", ""));
        (number.parse().unwrap_or(0), method.trim())
    }

    /// The branch of the first Via.
    pub(crate) fn branch(&self) -> &str {
        let via = self.header("Via").unwrap_or_default();
        param(via, "branch").unwrap_or_default()
    }

    /// The tag of From or To.
    pub(crate) fn tag(&self, header: &str) -> Option<&str> {
        param(self.header(header)?.rsplit('>').next()?, "tag")
    }

    /// The URI in the Contact.
    pub(crate) fn contact(&self) -> Option<&str> {
        self.header("Contact")?.split_once('<')?.1.split('>').next()
    }

    /// The payload types of the first stream, as `8,0,101`.
    pub(crate) fn formats(&self) -> String {
        let line = self.body.lines().find(|line| line.starts_with("m=")).unwrap_or_default();
        line.split(' ').skip(3).collect::<Vec<_>>().join(",")
    }
}

fn param<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut params = text.split(';').skip(1).filter_map(|param| param.split_once('='));
    params.find(|(there, _)| there.trim() == name).map(|(_, value)| value.trim())
}

/// Between the parts of a multipart body.
pub(crate) const BOUNDARY: &str = "a boundary";

/// Writes a message; Content-Length is added, and Content-Type where a body needs one.
pub(crate) fn write(start: &str, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let mut out = format!("{start}\r\n");
    for (name, value) in headers {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    let has_type = headers.iter().any(|(name, _)| *name == "Content-Type");
    if body.starts_with("--") {
        let _ = write!(out, "Content-Type: multipart/mixed;boundary=\"{BOUNDARY}\"\r\n");
    } else if !body.is_empty() && !has_type {
        out.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
    out.into_bytes()
}

/// What an actor says of its session.
pub(crate) struct Said<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) version: u32,
    /// `pcma,pcmu,te101`: a codec, for a dynamic payload type with its number.
    pub(crate) codecs: &'a str,
    pub(crate) direction: &'a str,
    /// Whether its audio is RTP/SAVP.
    pub(crate) is_secure: bool,
    /// `1:aes:B,2:gcm:C`: tag, suite, and a letter for the key.
    pub(crate) crypto: Option<&'a str>,
    /// The port of a second stream, and its payload type.
    pub(crate) video: Option<(u16, u8)>,
    /// Keys of that, as `crypto`.
    pub(crate) video_keys: Option<&'a str>,
    /// How a fax is offered, if one is: `udptl`, `tcp`, `dtls`, or `refused`. With `fax` for codecs there is nothing else.
    pub(crate) fax: Option<&'a str>,
}

impl Said<'_> {
    pub(crate) fn write(&self) -> Result<String, String> {
        let Said { host, port, version, codecs, direction, is_secure, crypto, video, video_keys, fax } = self;
        let speaks = *codecs != "fax";
        let codecs = codecs.split(',').filter(|_| speaks).map(codec).collect::<Result<Vec<_>, _>>()?;
        let mut out = format!("v=0\r\no=- 1 {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n");
        if speaks {
            let _ = write!(out, "m=audio {port} {}", if *is_secure { "RTP/SAVP" } else { "RTP/AVP" });
            let _ = codecs.iter().try_for_each(|(number, _)| write!(out, " {number}"));
            out.push_str("\r\n");
        }
        for (number, encoding) in &codecs {
            let _ = write!(out, "a=rtpmap:{number} {encoding}\r\n");
        }
        for line in crypto.iter().flat_map(|crypto| crypto.split(',')) {
            let _ = write!(out, "a=crypto:{}\r\n", key_line(line)?);
        }
        if speaks {
            let _ = write!(out, "a={direction}\r\n");
        }
        if let Some((port, number)) = video {
            let protocol = if video_keys.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
            let _ = write!(out, "m=video {port} {protocol} {number}\r\na=rtpmap:{number} H264/90000\r\n");
            for line in video_keys.iter().flat_map(|keys| keys.split(',')) {
                let _ = write!(out, "a=crypto:{}\r\n", key_line(line)?);
            }
            let _ = write!(out, "a={direction}\r\n");
        }
        if let Some(how) = fax.or_else(|| (!speaks).then_some("udptl")) {
            let (port, protocol) = match how {
                "udptl" => (50_002, "udptl"),
                "refused" => (0, "udptl"),
                "tcp" => (50_002, "TCP"),
                "dtls" => (50_002, "UDP/TLS/UDPTL"),
                _ => return Err(format!("`{how}` is no way to carry a fax")),
            };
            let _ = write!(out, "m=image {port} {protocol} t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n");
        }
        Ok(out)
    }
}

/// What `a=crypto` says for `1:aes:B`. The letter is what all of the key's base64 is, so it is the key's first letter for a reader, too.
fn key_line(word: &str) -> Result<String, String> {
    let parts: Vec<&str> = word.split(':').collect();
    let [tag, suite, letter] = parts[..] else { return Err(format!("`{word}` is no tag, suite and letter")) };
    let (suite, key) = match suite {
        "aes" => ("AES_CM_128_HMAC_SHA1_80", letter.repeat(40)),
        "gcm" => ("AEAD_AES_128_GCM", letter.repeat(36) + "AA=="),
        "f8" => ("F8_128_HMAC_SHA1_80", letter.repeat(40)),
        _ => return Err(format!("`{suite}` is no suite that the actors know")),
    };
    Ok(format!("{tag} {suite} inline:{key}"))
}

fn codec(word: &str) -> Result<(u8, &'static str), String> {
    let (name, number) = word.split_at(word.find(|c: char| c.is_ascii_digit() && word != "g722").unwrap_or(word.len()));
    let (usual, encoding) = match name {
        "pcmu" => (0, "PCMU/8000"),
        "pcma" => (8, "PCMA/8000"),
        "g722" => (9, "G722/8000"),
        "te" => (101, "telephone-event/8000"),
        "opus" => (111, "opus/48000/2"),
        _ => return Err(format!("`{word}` is no codec that the actors know")),
    };
    Ok((number.parse().unwrap_or(usual), encoding))
}
