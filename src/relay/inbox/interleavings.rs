//! A worker's inbox under many orders of the two sides' steps: each message once and in order, no worker that sleeps while
//! something waits, no count that stays. If all threads wait, shuttle ends the test: so a lost wake-up shows.
//! Not here: epoll, in whose place a bell rings, and the worker's flows.
#![cfg(feature = "shuttle")]

use super::*;
use crate::id::FlowId;
use crate::sync::explore;
use crate::sync::{Mutex, MutexGuard};
use shuttle::sync::Condvar;
use shuttle::thread::{self, JoinHandle};
use std::io;

/// Stands in for epoll and its waker: rung once or often, it lets the worker out once.
#[derive(Clone, Default)]
pub(in crate::relay) struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    /// As the waker is made, so that the relay compiles; no test starts one on this bell.
    pub(in crate::relay) fn new(_poll: &crate::relay::poll::Poll) -> Bell {
        Bell::default()
    }

    pub(super) fn wake(&self) -> io::Result<()> {
        *self.rung() = true;
        self.0.1.notify_one();
        Ok(())
    }

    /// What the worker does while it has nothing to do. It is never let out by time: a tick would hide a lost wake-up.
    fn wait(&self) {
        let mut rung = self.rung();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }

    fn rung(&self) -> MutexGuard<'_, bool> {
        self.0.0.lock().unwrap()
    }
}

/// An inbox with its sender shared, as threads that send at the same time have it.
fn shared() -> (Arc<Sender>, Receiver, Bell) {
    let bell = Bell::default();
    let (sender, receiver) = inbox(bell.clone());
    (Arc::new(sender), receiver, bell)
}

fn command(number: u64) -> Message {
    Message::Command(Box::new(Command::Close { flow: FlowId(number) }))
}

fn number(message: &Message) -> Option<u64> {
    match message {
        Message::Command(command) => match **command {
            Command::Close { flow } => Some(flow.0),
            Command::Open { .. }
            | Command::Add { .. }
            | Command::Set { .. }
            | Command::Clear { .. }
            | Command::Press { .. }
            | Command::Record { .. } => {
                panic!("no test sends it")
            }
        },
        Message::Stop => None,
    }
}

/// The worker's loop: sleeps unless commands were left, begins, takes up to `batch`. Ends at [`Message::Stop`] or when it has had
/// `most`; says what it was told, and gives the inbox back.
fn work(receiver: Receiver, bell: Bell, batch: usize, most: usize) -> JoinHandle<(Vec<u64>, Receiver)> {
    thread::spawn(move || {
        let (mut told, mut left) = (Vec::new(), false);
        loop {
            if !left {
                bell.wait();
            }
            receiver.begin();
            left = true;
            for _ in 0..batch {
                match receiver.poll().as_ref().map(number) {
                    Some(Some(number)) => told.push(number),
                    Some(None) => return (told, receiver),
                    None => {
                        left = false;
                        break;
                    }
                }
                if told.len() == most {
                    return (told, receiver);
                }
            }
        }
    })
}

/// Sends `numbers`, each of which must be taken. So few that the inbox is never full of them.
fn send(sender: &Sender, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        assert!(sender.send(command(number)).is_ok(), "the worker lives");
        assert!(!sender.is_full(), "a few wait at most");
    }
}

/// Tells the worker to stop and looks at what it was told and at what is left.
fn stop(sender: &Sender, worker: JoinHandle<(Vec<u64>, Receiver)>) -> Vec<u64> {
    assert!(sender.send(Message::Stop).is_ok());
    let (told, receiver) = worker.join().unwrap();
    assert_eq!(receiver.shared.waiting.load(Ordering::SeqCst), 0, "nothing waits any more");
    told
}

#[test]
fn each_command_wakes_the_worker_and_is_taken_once_in_every_order_of_steps() {
    let schedules = explore::all(|| {
        let (sender, receiver, bell) = shared();
        let worker = work(receiver, bell, 32, 2);
        assert!(sender.send(command(1)).is_ok());
        assert!(sender.send(command(2)).is_ok());
        assert_eq!(worker.join().unwrap().0, [1, 2]);
    });
    assert!(schedules > 1_000, "{schedules}: the two sides hardly meet");
}

#[test]
fn commands_that_were_left_are_taken_in_their_place_with_the_one_that_wakes() {
    let schedules = explore::all(|| {
        let (sender, receiver, bell) = shared();
        let worker = work(receiver, bell, 32, 3);
        assert!(sender.leave(command(1)).is_ok());
        assert!(sender.leave(command(2)).is_ok());
        assert!(sender.send(command(3)).is_ok());
        assert_eq!(worker.join().unwrap().0, [1, 2, 3]);
    });
    assert!(schedules > 10, "{schedules}: the two sides hardly meet");
}

#[test]
fn many_commands_that_were_left_wake_the_worker_by_their_number() {
    explore::many(400, || {
        let (sender, receiver, bell) = shared();
        let most = limits::RELAY_BATCH_MAX as u64 + 1;
        let worker = work(receiver, bell, limits::RELAY_BATCH_MAX, limits::RELAY_BATCH_MAX + 1);
        (1..=most).for_each(|number| assert!(sender.leave(command(number)).is_ok()));
        assert_eq!(worker.join().unwrap().0, (1..=most).collect::<Vec<_>>());
    });
}

#[test]
fn commands_of_two_threads_keep_the_order_of_each() {
    explore::many(8_000, || {
        let (sender, receiver, bell) = shared();
        let worker = work(receiver, bell, 2, usize::MAX);
        let other = {
            let sender = Arc::clone(&sender);
            thread::spawn(move || send(&sender, 101..104))
        };
        send(&sender, 1..4);
        other.join().unwrap();
        let told = stop(&sender, worker);
        let of = |sent: std::ops::Range<u64>| told.iter().copied().filter(|it| sent.contains(it)).collect::<Vec<_>>();
        assert_eq!((told.len(), of(1..4), of(101..104)), (6, vec![1, 2, 3], vec![101, 102, 103]));
    });
}

#[test]
fn a_worker_that_was_idle_is_woken_by_the_only_command_without_a_stop_behind_it() {
    explore::many(8_000, || {
        let (sender, receiver, bell) = shared();
        let worker = work(receiver, bell, 2, 3);
        let other = {
            let sender = Arc::clone(&sender);
            thread::spawn(move || send(&sender, [2]))
        };
        send(&sender, [1]);
        other.join().unwrap();
        send(&sender, [3]);
        let (told, _receiver) = worker.join().unwrap();
        assert_eq!((told.len(), told.last()), (3, Some(&3)));
    });
}

#[test]
fn an_inbox_with_as_many_commands_as_it_may_have_is_full_until_the_worker_takes_one() {
    explore::many(10, || {
        let (sender, receiver, bell) = shared();
        let most = limits::RELAY_COMMANDS_MAX as u64;
        send(&sender, 1..most);
        let other = {
            let sender = Arc::clone(&sender);
            thread::spawn(move || assert!(sender.send(command(most)).is_ok()))
        };
        other.join().unwrap();
        assert!(sender.is_full());
        let worker = work(receiver, bell, 32, usize::MAX);
        assert_eq!(stop(&sender, worker).len() as u64, most);
        assert!(!sender.is_full());
    });
}

#[test]
fn what_is_sent_after_the_worker_has_ended_comes_back() {
    explore::many(4_000, || {
        let (sender, receiver, bell) = shared();
        let worker = work(receiver, bell, 32, 1);
        let ended = thread::spawn(move || drop(worker.join().unwrap()));
        let mut accepted = 0;
        for sent in 1..=4 {
            match sender.send(command(sent)) {
                Ok(()) => assert_eq!(std::mem::replace(&mut accepted, sent), sent - 1, "the end is the end"),
                Err(message) => assert_eq!(number(&message), Some(sent), "it is the one that was sent"),
            }
        }
        ended.join().unwrap();
        assert_eq!(sender.send(command(5)).err().as_deref().and_then(number), Some(5));
    });
}
