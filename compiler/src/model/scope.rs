//! Scopes by name.
use crate::text::Text;

/// The platform, an organization, or a team of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everything.
    Platform,
    /// One organization.
    Organization(Text),
    /// One team: organization, then its bare name.
    Team(Text, Text),
}

impl Scope {
    /// Whether a grant at this scope reaches `inner`.
    pub fn covers(&self, inner: &Self) -> bool {
        match self {
            Self::Platform => true,
            Self::Organization(_) => self.organization() == inner.organization(),
            Self::Team(..) => self == inner,
        }
    }

    /// The organization that it is or lies in; none for the platform.
    pub fn organization(&self) -> Option<&str> {
        match self {
            Self::Platform => None,
            Self::Organization(organization) | Self::Team(organization, _) => Some(organization),
        }
    }

    /// The bare name of the team that it is.
    pub fn team(&self) -> Option<&str> {
        match self {
            Self::Team(_, team) => Some(team),
            Self::Platform | Self::Organization(_) => None,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Organization(organization) => f.write_str(organization),
            Self::Team(organization, team) => write!(f, "{organization}/{team}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_covers_itself_and_what_lies_below() {
        let acme = Scope::Organization("acme".into());
        let payments = Scope::Team("acme".into(), "payments".into());
        let globex = Scope::Team("globex".into(), "payments".into());
        assert!(Scope::Platform.covers(&payments) && acme.covers(&payments));
        assert!(acme.covers(&acme) && payments.covers(&payments));
        assert!(!payments.covers(&acme) && !acme.covers(&globex) && !acme.covers(&Scope::Platform));
        assert_eq!(payments.to_string(), "acme/payments");
    }
}
