//! What was heard against what a step expects: every word of the step must be in it.
//! Not here: who heard it, and when (`stage`).

use super::script::Words;
use super::wire::Text;
use parkway::call::Record;
use std::collections::VecDeque;

/// What a record says, as words.
pub(crate) fn describe(record: &Record) -> String {
    let Record { outcome, status, waited_ms, talked_ms, reason, refused_callbacks, .. } = record;
    let by = format!("{:?}", record.ended_by).to_lowercase();
    let mut out = format!(
        "outcome={} ended_by={by} status={status} waited={waited_ms} talked={talked_ms} refused={refused_callbacks} reason={reason}",
        outcome.as_str()
    );
    let failed = record.recording.as_ref().and_then(|recording| recording.failed.as_deref());
    let more = [
        ("recording", failed),
        ("winner", record.winner.as_deref()),
        ("codec", record.codec.as_deref()),
        ("fax", Some(if record.fax.is_some() { "yes" } else { "no" })),
        ("video", Some(record.video.as_ref().and_then(|video| video.codec.as_deref()).unwrap_or("none"))),
        ("permit", record.permit.as_deref()),
        ("srtp_caller", record.srtp.caller),
        ("srtp_client", record.srtp.client),
        ("last_refusal", record.last_refusal),
        ("ticket", record.parameters.as_ref().and_then(|all| Some(all.all().get("ticket")?.as_str()))),
        ("session", record.session_id.as_deref()),
        ("asserted", record.asserted_identity.as_deref()),
        ("client", record.client_sip_call_id.as_deref()),
    ];
    let transfers = record.transfers.iter().map(|one| format!(" transfer={}:{}>{}", one.by, one.from, one.to));
    out.push_str(&transfers.collect::<String>());
    out.push_str(&format!(" name={}", record.name));
    if let Some(digits) = record.digits {
        out.push_str(&format!(" digits=info:{}/{}", digits.caller.info, digits.client.info));
    }
    for (key, value) in more {
        out.push_str(&value.map(|value| format!(" {key}={value}")).unwrap_or_default());
    }
    out
}

/// Each word of the step must be in what was heard.
pub(crate) fn expect_text(who: &str, heard: &mut VecDeque<String>, words: &Words) -> Result<(), String> {
    let text = heard.pop_front().ok_or_else(|| format!("{who} heard nothing"))?;
    let padded = format!("{text} ");
    while let Some(word) = words.next() {
        if !padded.contains(&format!("{word} ")) {
            return Err(format!("{who} heard `{text}`, without {word}"));
        }
    }
    Ok(())
}

/// `Header:text`, `formats=8,101`, `sdp:text`, `empty` (no body), `no:Header`.
pub(crate) fn expect_message(message: &Text, words: &Words) -> Result<(), String> {
    if let Some(formats) = words.value("formats")
        && message.formats() != formats
    {
        return Err(format!("the formats are {}", message.formats()));
    }
    if words.has("empty") && !message.body.is_empty() {
        return Err(format!("the body is {:?}", message.body));
    }
    while let Some(word) = words.next() {
        let (name, text) = word.split_once(':').ok_or_else(|| format!("`{word}` means nothing here"))?;
        let found = match name {
            "sdp" => message.body.contains(text),
            "no" => message.header(text).is_none(),
            _ => message.all(name).iter().any(|value| value.contains(text)),
        };
        if !found {
            return Err(format!("{} without {word}: {:?}\n{}", message.start, message.headers, message.body));
        }
    }
    Ok(())
}
