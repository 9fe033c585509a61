//! What callers may hear: the tones of a country, silence, and the operator's files, decoded once and encoded for all who listen.
//! Not here: who hears what (`call`), and packets (`media::player`).

use crate::limits;
use crate::media::tone::SAMPLE_RATE;
use crate::media::tones::{self, Signal};
use crate::media::{Sound, SoundId};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler};
use std::fs::File;
use std::sync::Arc;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// All of them, by name.
#[derive(Clone, Debug)]
pub struct Sounds {
    names: Vec<String>,
    all: Arc<[Sound]>,
}

/// Names that mean a tone of ours.
const OWN: [&str; 4] = ["ringback", "waiting", "silence", "beep"];
/// Frames of a file that are taken from 48 kHz to 8 kHz at once.
const CHUNK_FRAMES: usize = 1_024;

impl Sounds {
    /// The tones of a country and silence, then the files, each with its name. The error says which of them (`None`: the country) and what is
    /// wrong.
    pub(super) fn load(country: &str, files: &[(&str, &str)]) -> Result<Sounds, (Option<usize>, String)> {
        let known = || tones::countries().collect::<Vec<_>>().join(", ");
        let tone = |signal| {
            let samples = tones::samples(country, signal);
            samples.ok_or_else(|| (None, format!("there are no tones for `{country}`; write one of {}", known())))
        };
        let own = [tone(Signal::Ringback)?, tone(Signal::Waiting)?, vec![0; 160], tones::beep()];
        let (mut names, mut all) = (OWN.map(str::to_owned).to_vec(), Vec::new());
        for samples in own {
            all.extend(Sound::new(&samples));
        }
        for (at, (name, file)) in files.iter().enumerate() {
            let wrong = |what: String| (Some(at), what);
            if name.is_empty() || names.iter().any(|known| known == name) {
                return Err(wrong(format!("`{name}` is no name for a sound of its own; give it another one")));
            }
            all.push(read(file).map_err(wrong)?);
            names.push((*name).to_owned());
        }
        Ok(Sounds { names, all: all.into() })
    }

    /// The one of this name; the error says which there are.
    pub(super) fn find(&self, name: &str) -> Result<SoundId, String> {
        let at = self.names.iter().position(|known| known == name).and_then(|at| u16::try_from(at).ok());
        at.map(SoundId).ok_or_else(|| format!("there is no sound `{name}`; write one of {}", self.names.join(", ")))
    }

    /// For the relay: each at the place that its id says.
    pub fn all(&self) -> Arc<[Sound]> {
        Arc::clone(&self.all)
    }
}

/// A file as callers hear it.
fn read(file: &str) -> Result<Sound, String> {
    let (samples, rate) = decode(file)?;
    let narrow = if rate == SAMPLE_RATE { samples } else { resample(samples, rate)? };
    let linear: Vec<i16> = narrow.into_iter().map(to_linear).collect();
    Sound::new(&linear).ok_or_else(|| format!("{file} has no sound in it"))
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to what a sample can be")]
fn to_linear(sample: f32) -> i16 {
    (sample * f32::from(i16::MAX)).clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

/// WAV or MP3 to samples from -1 to 1, all channels mixed into one, and their rate.
fn decode(file: &str) -> Result<(Vec<f32>, u32), String> {
    let wrong = |what: String| format!("{file} cannot be played: {what}; give a WAV or MP3 file");
    let source = File::open(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let stream = MediaSourceStream::new(Box::new(source), Default::default());
    let options = (FormatOptions::default(), MetadataOptions::default());
    let probed = symphonia::default::get_probe().probe(&Hint::new(), stream, options.0, options.1);
    let mut format = probed.map_err(|error| wrong(error.to_string()))?;
    let track = format.default_track(TrackType::Audio).ok_or_else(|| wrong("there is no sound in it".into()))?;
    let (id, parameters) = (track.id, track.codec_params.as_ref().and_then(|parameters| parameters.audio()));
    let parameters = parameters.ok_or_else(|| wrong("its codec is not known".into()))?;
    let decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &AudioDecoderOptions::default());
    let mut decoder = decoder.map_err(|error| wrong(error.to_string()))?;
    let (mut mixed, mut rate, mut samples) = (Vec::new(), 0, Vec::<f32>::new());
    while let Some(packet) = format.next_packet().map_err(|error| wrong(error.to_string()))? {
        if packet.track_id != id {
            continue;
        }
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            // As a player does with a scratch.
            Err(Error::DecodeError(_)) => continue,
            Err(error) => return Err(wrong(error.to_string())),
        };
        rate = decoded.spec().rate();
        decoded.copy_to_vec_interleaved(&mut samples);
        let channels = decoded.spec().channels().count().max(1);
        mixed.extend(samples.chunks(channels).map(mean));
        if mixed.len() > usize::try_from(rate).unwrap_or(0).saturating_mul(limits::SOUND_SECONDS_MAX) {
            return Err(format!("{file} is longer than {} seconds; shorten it", limits::SOUND_SECONDS_MAX));
        }
    }
    if rate == 0 { Err(wrong("there is no sound in it".into())) } else { Ok((mixed, rate)) }
}

fn mean(frame: &[f32]) -> f32 {
    frame.iter().sum::<f32>() / f32::from(u16::try_from(frame.len()).unwrap_or(u16::MAX)).max(1.0)
}

/// To the sample rate of G.711, without what would be heard as something else there.
fn resample(samples: Vec<f32>, rate: u32) -> Result<Vec<f32>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("a sample rate of {rate} Hz cannot be converted: {error}");
    let [from, to] = [rate, SAMPLE_RATE].map(|rate| usize::try_from(rate).unwrap_or(0));
    let mut resampler = Fft::<f32>::new(from, to, CHUNK_FRAMES, 1, FixedSync::Both).map_err(|error| wrong(&error))?;
    let frames = samples.len();
    let input = InterleavedOwned::new_from(samples, 1, frames).map_err(|error| wrong(&error))?;
    let output = resampler.process_all(&input, frames, None).map_err(|error| wrong(&error))?;
    Ok(output.take_data())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::tone::{Law, dominant_hz};
    use std::f32::consts::TAU;
    use std::path::Path;

    /// A WAV file of 16 bits.
    fn wave(path: &Path, rate: u32, channels: u16, samples: &[i16]) {
        let bytes = u32::try_from(samples.len() * 2).unwrap();
        let block = channels * 2;
        let mut out = [b"RIFF".as_slice(), &(36 + bytes).to_le_bytes(), b"WAVEfmt ", &16u32.to_le_bytes()].concat();
        out.extend([1u16.to_le_bytes(), channels.to_le_bytes()].concat());
        out.extend([rate.to_le_bytes(), (rate * u32::from(block)).to_le_bytes()].concat());
        out.extend([block.to_le_bytes(), 16u16.to_le_bytes()].concat());
        out.extend([b"data".as_slice(), &bytes.to_le_bytes()].concat());
        samples.iter().for_each(|sample| out.extend(sample.to_le_bytes()));
        std::fs::write(path, out).unwrap();
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a short sine")]
    fn sine(hz: f32, rate: u32, seconds: u32) -> Vec<i16> {
        (0..rate * seconds).map(|n| ((hz * n as f32 / rate as f32 * TAU).sin() * 10_000.0) as i16).collect()
    }

    /// What callers hear of the last sound.
    fn heard(sounds: &Sounds) -> Vec<i16> {
        let sound = sounds.all.last().unwrap();
        (0..sound.frames()).flat_map(|n| sound.frame(Law::A, n).to_vec()).map(|octet| Law::A.decode(octet)).collect()
    }

    #[test]
    fn files_of_any_rate_sound_as_they_are() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("hold.wav");
        for (rate, channels) in [(8_000, 1), (16_000, 2), (44_100, 2), (48_000, 1), (11_025, 1)] {
            let tone = sine(600.0, rate, 2);
            let frames: Vec<i16> = tone.iter().flat_map(|s| std::iter::repeat_n(*s, channels.into())).collect();
            wave(&file, rate, channels, &frames);
            let sounds = Sounds::load("de", &[("hold", file.to_str().unwrap())]).unwrap();
            let heard = heard(&sounds);
            assert!(heard.len().abs_diff(16_000) <= 320, "{rate}: {} samples", heard.len());
            let tone = dominant_hz(&heard[4_000..4_800]).unwrap_or_default();
            assert!(tone.abs_diff(600) <= 3, "{rate} Hz, {channels} channels: {tone} Hz");
            let loudest = heard[4_000..12_000].iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!((9_000..=11_000).contains(&loudest), "{rate}: {loudest}");
        }
        // What is too high for a telephone is gone, and not heard as something else.
        wave(&file, 48_000, 1, &sine(7_400.0, 48_000, 2));
        let sounds = Sounds::load("de", &[("hold", file.to_str().unwrap())]).unwrap();
        assert!(heard(&sounds)[4_000..12_000].iter().all(|sample| sample.unsigned_abs() < 300));
    }

    /// A second of 600 Hz at 16 kHz, as another's encoder wrote it.
    #[test]
    fn mp3_is_played_too() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sounds/600hz.mp3");
        let heard = heard(&Sounds::load("de", &[("hold", file)]).unwrap());
        assert!((8_000..10_000).contains(&heard.len()), "{} samples", heard.len());
        let tone = dominant_hz(&heard[4_000..4_800]).unwrap_or_default();
        assert!(tone.abs_diff(600) <= 3, "{tone} Hz");
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_its_reason() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (text, missing) = (file("text.mp3", b"this is no music"), "there-is-no-such-file.wav");
        let empty = dir.path().join("empty.wav");
        wave(&empty, 8_000, 1, &[]);
        for (rule, files, at, needle) in [
            ("no_such_file", vec![("a", missing)], 0, "cannot be read"),
            ("no_music", vec![("a", text.as_str())], 0, "give a WAV or MP3 file"),
            ("nothing_in_it", vec![("a", empty.to_str().unwrap())], 0, "no sound in it"),
            ("a_tones_name", vec![("ringback", text.as_str())], 0, "no name for a sound of its own"),
            ("no_name", vec![("", text.as_str())], 0, "no name for a sound of its own"),
        ] {
            let (wrong, what) = Sounds::load("de", &files).unwrap_err();
            assert!(wrong == Some(at) && what.contains(needle), "{rule}: {what}");
        }
        let (wrong, what) = Sounds::load("atlantis", &[]).unwrap_err();
        assert!(wrong.is_none() && what.contains("de, dk"), "{what}");
        let sounds = Sounds::load("de", &[]).unwrap();
        assert_eq!(sounds.find("ringback"), Ok(SoundId(0)));
        assert!(sounds.find("hold").is_err_and(|what| what.contains("ringback, waiting, silence")));
    }
}
