//! What the benches share: a trunk and a client that follow a script, a counting allocator, a real daemon and its peer as child
//! processes, a generator of calls, and the table that they print.
//! Not here: what is measured; each bench says that itself.
#![allow(dead_code, reason = "every bench is a program of its own and uses its part of this")]

pub(crate) mod counting;
pub(crate) mod cpu;
pub(crate) mod daemon;
pub(crate) mod generator;
pub(crate) mod kamailio;
pub(crate) mod kernel;
pub(crate) mod leg;
pub(crate) mod subscription;

/// Whether everything is to run once only, to see that it works: `cargo bench -- --test`, and `cargo test --benches`.
pub(crate) fn is_test() -> bool {
    let given = |flag| std::env::args().any(|argument| argument == flag);
    given("--test") || !given("--bench")
}

/// Prints what was measured beside the goals, as a table that the README can take over.
pub(crate) fn print_table(rows: &[[String; 3]]) {
    print_rows(["what", "measured", "goal"], rows);
}

/// The same with any columns.
pub(crate) fn print_rows<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    println!("\n| {} |\n|{}", head.join(" | "), "---|".repeat(N));
    rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
}

/// The value in the middle; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
