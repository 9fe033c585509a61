//! `--route-test`: what would become of a call, trunk by trunk, without making one.
//! Not here: the limits, which depend on what else there is.

use super::Config;
use crate::call::Route;
use crate::limits;
use crate::sip::wire::Uri;
use std::fmt;
use std::sync::Arc;

/// What would become of a call of one trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The trunk.
    pub trunk: Arc<str>,
    /// The called number, as the trunk's rules leave it.
    pub number: String,
    /// The route that it takes; `None`: 404.
    pub route: Option<Arc<Route>>,
}

impl Config {
    /// What would become of a call to a URI, for each trunk that it could come from.
    pub fn route_test(&self, uri: &str) -> Result<Vec<Tested>, String> {
        let bad = || format!("`{uri}` is no SIP URI with a user; write for example sip:+4930123@host");
        let parsed = Uri::parse(uri.as_bytes()).map_err(|_| bad())?;
        let mut buffer = [0; limits::NAME_BYTES_MAX];
        let user = parsed.host.and_then(|_| parsed.user_unescaped(&mut buffer)).ok_or_else(bad)?;
        let user = std::str::from_utf8(user).map_err(|_| bad())?;
        let tested = |trunk: &Arc<crate::call::Trunk>| {
            let number = trunk.called.apply(user).into_owned();
            let route = self.routes.iter().find(|route| route.number.matches(&number)).cloned();
            Tested { trunk: Arc::clone(&trunk.name), number, route }
        };
        Ok(self.trunks.iter().map(tested).collect())
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tested { trunk, number, route } = self;
        write!(f, "trunk {trunk}: number {number}: ")?;
        match route {
            None => f.write_str("no route, 404"),
            Some(route) => {
                let Route { number, name, ring, park, fallback_status, .. } = &**route;
                write!(f, "route {number} to name {name}, {ring}, waits {} s, then {fallback_status}", park.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn a_call_is_followed_through_each_trunks_rules_to_its_route() {
        let config = load(
            "[[trunk]]\nname = \"a\"\nallow = [\"192.0.2.0/24\"]\nrewrite_called = [\"0* -> +49*\"]\n\
             [[trunk]]\nname = \"b\"\nallow = [\"198.51.100.0/24\"]\n\
             [[route]]\nnumber = \"+4930*\"\nname = \"alice/web\"\npark_seconds = 5\n",
        )
        .unwrap();
        let lines: Vec<String> =
            config.route_test("sip:030%31@host").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "trunk a: number +49301: route +4930* to name alice/web, 180, waits 5 s, then 480",
                "trunk b: number 0301: no route, 404"
            ]
        );
        for bad in ["", "030", "sip:host", "tel:+4930"] {
            assert!(config.route_test(bad).is_err(), "{bad:?}");
        }
    }
}
