//! The command line comes last.

fn main() {}
