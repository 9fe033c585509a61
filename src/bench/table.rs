//! What a bench prints: medians beside each other, as a table that the README can take over.
//! Not here: what is measured.

use std::process::{Command, Stdio};

/// Whether the program that we are measured beside is installed; says so if it is not.
pub fn is_installed(program: &str, version: &str) -> bool {
    let found = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let installed = found.is_ok_and(|status| status.success());
    if !installed {
        println!("{program} is not installed: there is nothing to compare with");
    }
    installed
}

/// A row with what both servers took, medians of some runs, and the ratio of the two.
pub fn compare(what: &str, ours: &[f64], theirs: &[f64], goal: &str, digits: usize) -> [String; 5] {
    let [one, other] = [ours, theirs].map(|values| (!values.is_empty()).then(|| median(values)));
    let text = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
    [what.into(), text(one), text(other), ratio(ours, theirs), goal.into()]
}

/// What is ours as a part of what is theirs, by their medians; a dash if there is nothing to compare.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> String {
    let (one, other) = (median(ours), median(theirs));
    if ours.is_empty() || other <= 0.0 { "–".to_owned() } else { format!("{:.2}", one / other) }
}

/// Median, least and most: `8,657 (8,400–9,100)`.
pub fn spread(values: &[f64], digits: usize) -> String {
    let [least, most] = ends(values);
    match values {
        [] => "–".to_owned(),
        [one] => format!("{one:.digits$}"),
        _ => format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(values)),
    }
}

/// The least and the most; 0 of none.
pub fn ends(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().min_by(f64::total_cmp);
    let most = values.iter().copied().max_by(f64::total_cmp);
    [least, most].map(Option::unwrap_or_default)
}

/// Prints rows below their heads.
pub fn print_rows<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    println!("\n| {} |\n|{}", head.join(" | "), "---|".repeat(N));
    rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
}

/// The value in the middle; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ends() {
        for (values, middle, text) in [
            (&[][..], 0.0, "–"),
            (&[3.0], 3.0, "3"),
            (&[5.0, 1.0, 2.0], 2.0, "2 (1–5)"),
            (&[-1.0, 4.0, 2.0, 3.0], 3.0, "3 (-1–4)"),
        ] {
            assert_eq!((median(values), spread(values, 0).as_str()), (middle, text), "{values:?}");
        }
        assert_eq!(ends(&[2.0, -7.5, 1.0]), [-7.5, 2.0]);
    }

    #[test]
    fn a_ratio_is_of_two() {
        assert_eq!(ratio(&[1.0, 9.0, 3.0], &[4.0]), "0.75");
        for (ours, theirs) in [(&[1.0][..], &[][..]), (&[], &[1.0]), (&[1.0], &[0.0])] {
            assert_eq!(ratio(ours, theirs), "–", "{ours:?} {theirs:?}");
        }
        assert_eq!(compare("x", &[1.0], &[2.0], "≤ 1", 1), ["x", "1.0", "2.0", "0.50", "≤ 1"]);
    }
}
