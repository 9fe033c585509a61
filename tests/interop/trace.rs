//! What went over the wire, by SIPp's own account of it (`-trace_msg`): each request with the final response that it got.
//! Not here: whether that is right (`table`).

/// A message in the account.
struct Traced<'a> {
    is_sent: bool,
    text: &'a str,
}

/// Each of SIPp's requests but ACK, once however often it was repeated, in order: "INVITE 480", "OPTIONS none".
pub(crate) fn answers(account: &str) -> Vec<String> {
    finals(account, true)
}

/// The same of Parkway's requests: "<INVITE 200", "<BYE 200".
pub(crate) fn heard(account: &str) -> Vec<String> {
    finals(account, false).into_iter().map(|answer| format!("<{answer}")).collect()
}

fn finals(account: &str, sent: bool) -> Vec<String> {
    let messages = messages(account);
    let mut seen = Vec::new();
    let mut answers = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let Some(request) = Request::of(message).filter(|_| message.is_sent == sent) else { continue };
        if request.method == "ACK" || seen.contains(&request) {
            continue;
        }
        let later = messages.iter().skip(at);
        let status = later.filter(|later| later.is_sent != sent).find_map(|later| request.status_in(later.text));
        answers.push(format!("{} {}", request.method, status.map_or("none".to_owned(), |status| status.to_string())));
        seen.push(request);
    }
    answers
}

fn messages(account: &str) -> Vec<Traced<'_>> {
    let blocks = account.split("-----------------------------------------------").filter_map(|block| {
        let (head, text) = block.split_once("\n\n")?;
        let is_sent = head.contains("message sent");
        (is_sent || head.contains("message received")).then(|| Traced { is_sent, text: text.trim_start() })
    });
    blocks.collect()
}

/// What tells requests from each other (RFC 3261 §17.1.3), as far as a broken one has it.
#[derive(PartialEq, Eq)]
struct Request<'a> {
    method: &'a str,
    sequence: &'a str,
    call: &'a str,
    via: &'a str,
}

impl<'a> Request<'a> {
    fn of(message: &Traced<'a>) -> Option<Request<'a>> {
        let method = message.text.split([' ', '\r', '\n']).next().filter(|word| !word.starts_with("SIP/"))?;
        let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
        let field = |long, short| header(message.text, long, short).unwrap_or_default();
        let (sequence, call, via) = (field("cseq", "cseq"), field("call-id", "i"), field("via", "v"));
        is_method.then_some(Request { method, sequence, call, via })
    }

    /// The status, if this is a final response to the request.
    fn status_in(&self, text: &str) -> Option<u16> {
        let status: u16 = text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?;
        let is_same = |long, short, value| header(text, long, short).is_some_and(|answered| answered == value);
        let is_to_this = is_same("cseq", "cseq", self.sequence) && is_same("call-id", "i", self.call);
        (status >= 200 && is_to_this).then_some(status)
    }
}

/// The value of the first header field of that name.
fn header<'a>(text: &'a str, long: &str, short: &str) -> Option<&'a str> {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let is_named = |name: &str| name.trim().eq_ignore_ascii_case(long) || name.trim().eq_ignore_ascii_case(short);
    fields.find(|(name, _)| is_named(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::answers;

    fn account(messages: &[(&str, &str, &str)]) -> String {
        let block = |(way, start, cseq): &(&str, &str, &str)| {
            format!(
                "{:->47} 2026-01-01 00:00:00.000000\nUDP message {way} (9 bytes):\n\n{start}\r\nVia: a\r\nCall-ID: 1\r\nCSeq: {cseq}\r\n\r\n\n",
                ""
            )
        };
        messages.iter().map(block).collect()
    }

    #[test]
    fn a_request_has_its_final_response_and_repetitions_are_one() {
        let text = account(&[
            ("sent", "INVITE sip:a SIP/2.0", "1 INVITE"),
            ("sent", "INVITE sip:a SIP/2.0", "1 INVITE"),
            ("received [9] bytes", "SIP/2.0 180 Ringing", "1 INVITE"),
            ("received [9] bytes", "SIP/2.0 486 Busy Here", "1 INVITE"),
            ("sent", "ACK sip:a SIP/2.0", "1 ACK"),
            ("received [9] bytes", "BYE sip:a SIP/2.0", "9 BYE"),
            ("sent", "SIP/2.0 200 OK", "9 BYE"),
        ]);
        assert_eq!(answers(&text), ["INVITE 486"]);
    }

    #[test]
    fn a_request_without_a_final_response_says_so() {
        let text = account(&[
            ("sent", "OPTIONS sip:a SIP/2.0", "1 OPTIONS"),
            ("received [9] bytes", "SIP/2.0 200 OK", "2 OPTIONS"),
            ("received [9] bytes", "SIP/2.0 100 Trying", "1 OPTIONS"),
        ]);
        assert_eq!(answers(&text), ["OPTIONS none"]);
    }
}
