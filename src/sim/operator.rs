//! What operators do: drain, stop, end, replace keys, set the clock; and what their machines do: fall behind.
//! Not here: when (`plan`).

use super::law::{Verdict, hold};
use super::plan::Word;
use super::world::World;
use crate::event::Authority;
use crate::switch::Input;
use std::sync::Arc;

impl World<'_> {
    /// What an operator does, to all nodes.
    pub(super) fn obey(&mut self, word: usize) -> Verdict {
        let word = self.plan.words[word].1;
        self.note(|| format!("operator: {word:?}"));
        if let Word::Jump(seconds) = word {
            self.jumped += i64::from(seconds) * 1000;
        }
        for node in 0..self.nodes.len() {
            match word {
                Word::Drain => {
                    self.nodes[node].calls.drain();
                    self.input(node, Input::Drain)?;
                }
                Word::Stop => {
                    self.nodes[node].calls.drain();
                    self.nodes[node].is_stopped = true;
                    self.input(node, Input::Stop)?;
                }
                Word::Behind(is_behind) => {
                    self.nodes[node].calls.is_behind = is_behind;
                    self.input(node, Input::Behind(is_behind))?;
                }
                Word::Abandon => self.abandon(node)?,
                Word::Rotate => self.rotate(node)?,
                Word::Jump(_) | Word::Nothing => {}
            }
        }
        Ok(())
    }

    pub(super) fn abandon(&mut self, node: usize) -> Verdict {
        self.nodes[node].is_stopped = true;
        self.input(node, Input::Abandon)?;
        self.nodes[node].is_gone = true;
        self.nodes[node].due = None;
        hold(self.nodes[node].switch.calls() == 0, || "L7: a call is left when the daemon ends".into())
    }

    pub(super) fn rotate(&mut self, node: usize) -> Verdict {
        let mut master = [0; 32];
        self.rng.fill(&mut master);
        let keys = Arc::new(self.nodes[node].keys.rotate(master, self.clock().wall));
        self.nodes[node].keys = Arc::clone(&keys);
        let authority = Authority { keys, ..self.nodes[node].switch.authority() };
        self.input(node, Input::Authority(authority))
    }
}
