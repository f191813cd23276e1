//! SPIFFE ids in tokens: which trust domain they are of.

use crate::certificate::SpiffeId;

/// The trust domain of a workload's id, as an id itself: `spiffe://acme.example`. `None` when the
/// id is not of the one legal form, or names a whole trust domain.
#[must_use]
pub fn trust_domain(id: &str) -> Option<&str> {
    let path = SpiffeId::parse(id)?.path().len();
    id.get(..id.len().checked_sub(path)?)
}

/// Whether this is the id of a trust domain.
#[must_use]
pub fn is_trust_domain(id: &str) -> bool {
    trust_domain(&format!("{id}/a")) == Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_legal_form_names_a_workload() {
        for (id, domain) in [
            (
                "spiffe://acme.example/ns/ci/sa/bot",
                "spiffe://acme.example",
            ),
            ("spiffe://a_b-c.1/A.B", "spiffe://a_b-c.1"),
        ] {
            assert_eq!(trust_domain(id), Some(domain));
            assert!(is_trust_domain(domain));
        }
        for id in [
            "spiffe://acme.example",
            "spiffe://acme.example/",
            "spiffe://acme.example//a",
            "spiffe://acme.example/a/",
            "spiffe://acme.example/../a",
            "spiffe://acme.example/a%2fb",
            "spiffe://Acme.example/a",
            "spiffe://acme.example:80/a",
            "spiffe://u@acme.example/a",
            "spiffe:///a",
            "SPIFFE://acme.example/a",
            "https://acme.example/a",
            "",
        ] {
            assert_eq!(trust_domain(id), None, "{id}");
        }
        assert!(!is_trust_domain("spiffe://acme.example/a"));
    }
}
