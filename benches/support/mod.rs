//! What the benches share: a trunk and a client that follow a script, a counting allocator, a real daemon as a child process, and the
//! table that they print.
//! Not here: what is measured; each bench says that itself.
#![allow(dead_code, reason = "every bench is a program of its own and uses its part of this")]

pub(crate) mod counting;
pub(crate) mod daemon;
pub(crate) mod leg;

/// Whether everything is to run once only, to see that it works: `cargo bench -- --test`, and `cargo test --benches`.
pub(crate) fn is_test() -> bool {
    let given = |flag| std::env::args().any(|argument| argument == flag);
    given("--test") || !given("--bench")
}

/// Prints what was measured beside the goals, as a table that the README can take over.
pub(crate) fn print_table(rows: &[[String; 3]]) {
    println!("\n| what | measured | goal |\n|---|---|---|");
    for [what, measured, goal] in rows {
        println!("| {what} | {measured} | {goal} |");
    }
}
