//! baresip as a softphone without any sound card: it plays a tone, records what it decodes, says what it hears and takes orders.
//! Not here: what it is tried with (`baresip`, `recording`).

use super::{program, until};
use parkway::media::tone::Sine;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What it says unless it is told another voice.
pub(crate) const PHONE_HZ: u16 = 700;
/// How long it lives; it hangs up at its end.
const SECONDS: &str = "5";
/// The same of one whose reports are awaited: its first comes after five.
const SECONDS_TO_REPORT: &str = "8";
/// The account of a softphone that only dials.
pub(crate) const GUEST: &str = "<sip:phone@127.0.0.1>;regint=0;audio_codecs=PCMU/8000/1,PCMA/8000/1";

/// Where its modules are, if it is installed.
pub(crate) fn modules() -> Option<PathBuf> {
    if !program::is_installed("baresip", "baresip-core") {
        return None;
    }
    let places =
        ["/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules", "/usr/local/lib/baresip/modules"];
    let found = places.iter().map(PathBuf::from).find(|dir| dir.join("sndfile.so").exists());
    if found.is_none() {
        eprintln!("SKIPPED: baresip's modules are not in {places:?}");
    }
    found
}

/// A running baresip. Dropping it ends it, by its own id.
pub(crate) struct Softphone {
    pub(crate) child: Child,
}

impl Softphone {
    /// A softphone without any sound card: it plays a file and records what it decodes.
    pub(crate) fn dial(dir: &Path, modules: &Path, uri: &str) -> Softphone {
        Softphone::start(dir, modules, GUEST, &format!("/dial {uri}"))
    }

    /// One with an account of its own, that is told to do something once it runs.
    pub(crate) fn start(dir: &Path, modules: &Path, account: &str, order: &str) -> Softphone {
        Softphone::start_with(PHONE_HZ, dir, modules, account, order)
    }

    /// The same with another voice.
    pub(crate) fn start_with(hz: u16, dir: &Path, modules: &Path, account: &str, order: &str) -> Softphone {
        fs::create_dir(dir).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).unwrap().port();
        fs::write(dir.join("port"), port.to_string()).unwrap();
        fs::write(dir.join("config"), configuration(dir, modules, account, port)).unwrap();
        fs::write(dir.join("accounts"), format!("{account}\n")).unwrap();
        // Whom `/message` is for.
        let (_, domain) = account.split_once('@').unwrap();
        let domain = domain.split([';', '>']).next().unwrap();
        fs::write(dir.join("contacts"), format!("\"Friend\" <sip:friend@{domain}>\n")).unwrap();
        fs::write(dir.join("tone.wav"), wave(&Sine::new(hz).take(30 * 8000).collect::<Vec<i16>>())).unwrap();
        let output = fs::File::create(dir.join("output")).unwrap();
        let errors = output.try_clone().unwrap();
        let seconds = if is_muxed(account) { SECONDS_TO_REPORT } else { SECONDS };
        let mut command = Command::new("baresip");
        command.arg("-f").arg(dir).args(["-s", "-e", order, "-t", seconds]).env("HOME", dir);
        Softphone { child: command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().unwrap() }
    }
}

impl Drop for Softphone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether its reports are to come to the RTP port.
fn is_muxed(account: &str) -> bool {
    account.contains(";rtcp_mux=yes")
}

fn configuration(dir: &Path, modules: &Path, account: &str, port: u16) -> String {
    // baresip 1.0 has it for all accounts, later ones for each.
    let rtcp_mux = if is_muxed(account) { "yes" } else { "no" };

    let (dir, modules) = (dir.display(), modules.display());
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\ncall_max_calls 2\nrtcp_mux {rtcp_mux}\n\
         audio_player aubridge,sink\naudio_source aufile,{dir}/tone.wav\naudio_alert aubridge,sink\naudio_channels 1\n\
         ausrc_srate 8000\nauplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nausrc_format s16\nauplay_format s16\n\
         snd_path {dir}\nmodule_path {modules}\nmodule g711.so\nmodule aubridge.so\nmodule aufile.so\nmodule sndfile.so\nmodule srtp.so\n\
         module_tmp account.so\nmodule_app contact.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{port}\n"
    )
}

/// Samples as a WAV file: 8 kHz, one channel, 16 bits.
pub(crate) fn wave(samples: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(samples.len() * 2).unwrap();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend([1u16, 1].map(u16::to_le_bytes).as_flattened());
    file.extend([8000u32, 16_000].map(u32::to_le_bytes).as_flattened());
    file.extend([2u16, 16].map(u16::to_le_bytes).as_flattened());
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    samples.iter().for_each(|sample| file.extend(sample.to_le_bytes()));
    file
}

/// What it decoded, from the file that it wrote: a header of 44 bytes and samples of 16 bits.
pub(crate) fn recording(dir: &Path) -> Vec<i16> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let decoded = files.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
    let bytes = decoded.map(|path| fs::read(path).unwrap()).next().expect("a recording");
    bytes[44..].chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]])).collect()
}

/// What a softphone says of itself while it runs, and takes for orders (its module ctrl_tcp): JSON in netstrings.
pub(crate) struct Remote(BufReader<TcpStream>);

impl Remote {
    pub(crate) fn connect(dir: &Path) -> Remote {
        let port = fs::read_to_string(dir.join("port")).unwrap().parse::<u16>().unwrap();
        let stream = until("the softphone's own port", Duration::from_secs(10), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Remote(BufReader::new(stream))
    }

    /// The next key that it hears.
    pub(crate) fn hear_key(&mut self) -> char {
        loop {
            let mut length = Vec::new();
            self.0.read_until(b':', &mut length).unwrap();
            let digits = std::str::from_utf8(&length).unwrap().trim_end_matches(':');
            // And the comma at its end.
            let mut text = vec![0; digits.parse::<usize>().unwrap() + 1];
            self.0.read_exact(&mut text).unwrap();
            let event: Value = serde_json::from_slice(&text[..text.len() - 1]).unwrap();
            if event["type"] == "CALL_DTMF_START" {
                return event["param"].as_str().unwrap().chars().next().unwrap();
            }
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.order("sndcode", keys);
    }

    pub(crate) fn hang_up(&mut self) {
        self.order("hangup", "");
    }

    fn order(&mut self, command: &str, parameters: &str) {
        let text = serde_json::json!({"command": command, "params": parameters}).to_string();
        write!(self.0.get_mut(), "{}:{text},", text.len()).unwrap();
    }
}
