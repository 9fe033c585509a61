//! How a trunk's numbers become ours: `00* -> +*`, first rule that fits. A trunk that writes numbers as they are dialled in its country
//! is brought to E.164 here, so that routes and clients see one form.
//! Not here: whose numbers are rewritten (`call::Trunk`), and routes.

use crate::limits;
use crate::number::Pattern;
use std::borrow::Cow;
use std::fmt;

/// Rules for one trunk's numbers, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    from: Pattern,
    /// What stands in place of the number, or of its beginning.
    to: String,
    /// Whether what the star stood for follows.
    keeps_rest: bool,
}

impl Rewrite {
    /// From rules as the operator writes them. The error says which one is wrong, and what to write instead.
    pub fn parse(rules: &[String]) -> Result<Rewrite, (usize, String)> {
        if rules.len() > limits::REWRITES_MAX {
            return Err((limits::REWRITES_MAX, format!("more than {} rules", limits::REWRITES_MAX)));
        }
        let each = rules.iter().enumerate().map(|(at, text)| Rule::parse(text).map_err(|what| (at, what)));
        each.collect::<Result<_, _>>().map(Rewrite)
    }

    /// The number as we call it: by the first rule that fits, or as it is.
    pub fn apply<'n>(&self, number: &'n str) -> Cow<'n, str> {
        let Some(rule) = self.0.iter().find(|rule| rule.from.matches(number)) else { return Cow::Borrowed(number) };
        match &rule.from {
            Pattern::Prefix(prefix) if rule.keeps_rest => {
                Cow::Owned(format!("{}{}", rule.to, number.get(prefix.len()..).unwrap_or_default()))
            }
            Pattern::Prefix(_) | Pattern::Exact(_) => Cow::Owned(rule.to.clone()),
        }
    }

    /// The same for the user part of a SIP URI, as events and records have it; any other URI stays as it is.
    pub(super) fn apply_in(&self, uri: String) -> String {
        let Some((before, host)) = uri.split_once('@').filter(|_| !self.is_empty()) else { return uri };
        match before.split_once(':') {
            Some((scheme @ ("sip" | "sips"), user)) => format!("{scheme}:{}@{host}", self.apply(user)),
            Some(_) | None => uri,
        }
    }

    /// The rules that can never be used, because one before them takes all their numbers.
    pub fn unreachable(&self) -> impl Iterator<Item = usize> {
        let covered = |at: usize, rule: &Rule| self.0.iter().take(at).any(|earlier| earlier.from.covers(&rule.from));
        self.0.iter().enumerate().filter(move |(at, rule)| covered(*at, rule)).map(|(at, _)| at)
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Rule, String> {
        let bad = || format!("`{text}` is no rule; write for example `00* -> +*`, or `110 -> +49110`");
        let (from, to) = text.split_once("->").ok_or_else(bad)?;
        let (from, to) = (Pattern::parse(from.trim())?, to.trim());
        let (to, keeps_rest) = to.strip_suffix('*').map_or((to, false), |to| (to, true));
        if keeps_rest && matches!(from, Pattern::Exact(_)) {
            return Err(format!("`{text}`: the star on the right stands for nothing; put one on the left too"));
        }
        // RFC 3261 §25.1 `user`, without what would have to be escaped in a URI.
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~'()+$,;?/&=#*".contains(&byte);
        let fits = to.bytes().all(fit) && !to.contains('*') && (keeps_rest || !to.is_empty());
        if fits { Ok(Rule { from, to: to.to_owned(), keeps_rest }) } else { Err(bad()) }
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Rule { from, to, keeps_rest }) in self.0.iter().enumerate() {
            let (comma, star) = (if at > 0 { ", " } else { "" }, if *keeps_rest { "*" } else { "" });
            write!(f, "{comma}{from} -> {to}{star}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Result<Rewrite, (usize, String)> {
        Rewrite::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_first_rule_that_fits_is_applied_once() {
        let rewrite =
            rules(&["00* -> +*", "0*->+49*", "110 -> +49110", "+* -> +*", "123#* -> *", "* -> +4930*"]).unwrap();
        for (number, expected) in [
            ("004420123", "+4420123"),
            ("030123", "+4930123"),
            ("110", "+49110"),
            ("1101", "+49301101"),
            ("+4930123", "+4930123"),
            ("123#0301", "0301"),
            ("123", "+4930123"),
            ("", "+4930"),
        ] {
            assert_eq!(rewrite.apply(number), expected, "{number}");
        }
        for (uri, expected) in [
            ("sip:0301@trunk.example", "sip:+49301@trunk.example"),
            ("sips:+4930@t;user=phone", "sips:+4930@t;user=phone"),
            ("sip:trunk.example", "sip:trunk.example"),
            ("tel:0301", "tel:0301"),
        ] {
            assert_eq!(rewrite.apply_in(uri.to_owned()), expected);
        }
        assert_eq!(Rewrite::default().apply("0301"), "0301");
        assert_eq!(rules(&["0* -> x"]).unwrap().apply("030"), "x");
        assert_eq!(rewrite.to_string().split(", ").nth(1), Some("0* -> +49*"));
    }

    #[test]
    fn what_is_no_rule_is_refused_and_what_is_never_used_is_found() {
        for bad in
            ["", "00*", "00 -> ", "00 -> +*", "00* -> a*b", "sip:0@x -> 1", "0* -> 1 2", "0* -> a@b", "0* -> \u{e9}"]
        {
            assert_eq!(rules(&["1 -> 2", bad]).err().map(|(at, _)| at), Some(1), "{bad:?}");
        }
        let many: Vec<String> = (0..=limits::REWRITES_MAX).map(|at| format!("{at} -> x")).collect();
        assert!(Rewrite::parse(&many).is_err() && Rewrite::parse(&many[1..]).is_ok());
        let shadowed = rules(&["0* -> +49*", "00* -> +*", "1 -> 2", "1 -> 3"]).unwrap();
        assert_eq!(shadowed.unreachable().collect::<Vec<_>>(), [1, 3]);
    }
}
