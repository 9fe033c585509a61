//! The ladder: one line a message, drawn when it is sent or heard, with the time since the call began.
//! Not here: what is drawn (`agent`, `subscription`, `talk`) and the table after it (`report`).

use std::io::{IsTerminal as _, Write as _};
use tokio::time::Instant;

/// Columns between two lifelines.
const GAP: usize = 32;

/// Which of the two parties that are not Parkway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Lane {
    /// The caller, left of Parkway.
    Trunk,
    /// The client, right of Parkway.
    Client,
}

impl Lane {
    /// As failures and tables call it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Lane::Trunk => "trunk",
            Lane::Client => "client",
        }
    }
}

/// Which way an arrow points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// From the party to Parkway.
    Sent,
    /// From Parkway to the party.
    Heard,
}

/// What kind of line it is: chooses the stroke and the colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ink {
    /// SIP.
    Signalling,
    /// The WebSocket.
    Event,
    /// RTP.
    Media,
}

impl Ink {
    fn stroke(self) -> char {
        match self {
            Ink::Signalling => '─',
            Ink::Event => '┄',
            Ink::Media => '═',
        }
    }

    /// SGR colour: cyan, yellow, green.
    fn colour(self) -> &'static str {
        match self {
            Ink::Signalling => "\x1b[36m",
            Ink::Event => "\x1b[33m",
            Ink::Media => "\x1b[32m",
        }
    }
}

/// Where lines are drawn, or nowhere: of many calls at once nobody could read the ladders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ladder {
    start: Instant,
    drawn: bool,
    coloured: bool,
}

impl Ladder {
    /// Draws on standard output, in colour if that is a terminal; the clock starts now.
    pub(super) fn drawn() -> Ladder {
        Ladder { start: Instant::now(), drawn: true, coloured: std::io::stdout().is_terminal() }
    }

    /// Draws nothing.
    pub(super) fn silent() -> Ladder {
        Ladder { start: Instant::now(), drawn: false, coloured: false }
    }

    /// The names of the three columns.
    pub(super) fn head(&self) {
        self.print(&format!("{:12}trunk{:26}parkway{:26}client", "", "", ""));
    }

    /// One arrow between a party and Parkway.
    pub(super) fn arrow(&self, at: Instant, lane: Lane, way: Way, ink: Ink, text: &str) {
        if self.drawn {
            let ms = at.saturating_duration_since(self.start).as_secs_f64() * 1000.0;
            let colour = if self.coloured { ink.colour() } else { "" };
            self.print(&line(ms, lane, way, ink, text, colour));
        }
    }

    /// A reader that went away (`| head`) is no reason to fail a call.
    fn print(&self, text: &str) {
        if self.drawn {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }
}

fn line(ms: f64, lane: Lane, way: Way, ink: Ink, text: &str, colour: &str) -> String {
    let rightwards = matches!((lane, way), (Lane::Trunk, Way::Sent) | (Lane::Client, Way::Heard));
    let text: String = text.chars().take(GAP - 5).collect();
    let run: String = std::iter::repeat_n(ink.stroke(), GAP - 4 - text.chars().count()).collect();
    let (stroke, reset) = (ink.stroke(), if colour.is_empty() { "" } else { "\x1b[0m" });
    let arrow = if rightwards {
        format!("├{colour}{stroke} {text} {run}▶{reset}│")
    } else {
        format!("│{colour}◀{run} {text} {stroke}{reset}┤")
    };
    match lane {
        Lane::Trunk => format!("{ms:>9.1} ms  {arrow}{:GAP$}│", ""),
        Lane::Client => format!("{ms:>9.1} ms  │{:GAP$}{arrow}", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_from_who_speaks_to_who_hears_and_columns_stay_aligned() {
        for (lane, way, ink, expected) in [
            (
                Lane::Trunk,
                Way::Sent,
                Ink::Signalling,
                "├─ INVITE ──────────────────────▶│                                │",
            ),
            (
                Lane::Trunk,
                Way::Heard,
                Ink::Signalling,
                "│◀────────────────────── INVITE ─┤                                │",
            ),
            (
                Lane::Client,
                Way::Sent,
                Ink::Media,
                "│                                │◀══════════════════════ INVITE ═┤",
            ),
            (
                Lane::Client,
                Way::Heard,
                Ink::Event,
                "│                                ├┄ INVITE ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄▶│",
            ),
        ] {
            let drawn = line(12.34, lane, way, ink, "INVITE", "");
            assert_eq!(drawn, format!("     12.3 ms  {expected}"));
        }
    }

    #[test]
    fn a_long_text_is_cut_and_colour_takes_no_columns() {
        let long = line(0.0, Lane::Trunk, Way::Heard, Ink::Signalling, &"x".repeat(90), "");
        let short = line(0.0, Lane::Client, Way::Sent, Ink::Event, "", "");
        assert_eq!(long.chars().count(), short.chars().count());
        let coloured = line(0.0, Lane::Client, Way::Sent, Ink::Event, "x", "\x1b[36m");
        assert!(coloured.contains("\x1b[36m◀") && coloured.contains("\x1b[0m┤"));
    }
}
