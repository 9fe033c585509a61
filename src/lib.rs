#![doc = include_str!("architecture.md")]

pub mod id;
pub mod limits;
pub mod mutant;
pub mod name;
pub mod number;
pub mod rng;
pub mod secret;
pub mod time;

pub mod sdp;
pub mod sip;

pub mod media;
pub mod token;

pub mod letter;
pub mod policy;
pub mod trunk;

pub mod call;
pub mod presence;

pub mod event;
pub mod registrar;

pub mod switch;

#[cfg(feature = "sim")]
pub mod sim;

#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;

pub mod bench;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod http;
pub mod inquire;
pub mod net;
pub mod notify;
pub mod push;
pub mod relay;
pub mod resolve;
mod sync;
pub mod telemetry;
