//! Makes a veth take packets as a network card's driver does (NAPI): only then can a thread of its own do that. It does so if it has generic
//! receive offload, and if the other end does not leave it to it to cut TCP into segments. There is a system call to say so (`SIOCETHTOOL`) that
//! no library has, and the program `ethtool` is seldom installed.
//! Not here: the thread (`wire`).
#![allow(unsafe_code, reason = "an ioctl whose argument has a pointer in it")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

/// `ETHTOOL_SGRO` and `ETHTOOL_STSO` of linux/ethtool.h.
const SET_GRO: u32 = 0x2C;
const SET_TSO: u32 = 0x1F;
/// `SIOCETHTOOL` of linux/sockios.h.
const ETHTOOL: libc::Ioctl = 0x8946;

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// For a device of this thread's network namespace; the other end needs the same.
pub(super) fn use_napi(device: &str) -> io::Result<()> {
    set(device, SET_GRO, 1)?;
    set(device, SET_TSO, 0)
}

fn set(device: &str, command: u32, data: u32) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut value = Value { command, data };
    // SAFETY: all of its fields may be zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, which ends the name.
    if device.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the kernel reads the name and the value that the request points to; both live until it returns, and it writes no more than them.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), ETHTOOL, &raw mut request) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
