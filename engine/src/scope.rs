//! The tree of scopes: the platform, its organizations, their teams.

use crate::{id::ScopeId, name::is_label, strings::Strings};

/// One node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The bare name; empty for the platform.
    pub name: String,
    /// The node above; the platform is its own.
    pub parent: ScopeId,
    /// The last node of the subtree in pre-order, so that containment is two comparisons.
    pub last: ScopeId,
}

/// The tree in pre-order, siblings in name order; node 0 is the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeTree {
    nodes: Vec<Scope>,
    /// The node above each, close together: decisions ask for little else.
    parents: Vec<ScopeId>,
}

/// A scope and all above it: at most platform, organization, team.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Covering {
    /// Sorted; where there are fewer than three, the last is repeated.
    scopes: [ScopeId; 3],
    count: usize,
}

impl Covering {
    /// The scopes, sorted.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[ScopeId] {
        self.scopes.get(..self.count).unwrap_or_default()
    }

    /// Whether a scope is one of them.
    #[inline]
    pub(crate) fn contains(&self, scope: ScopeId) -> bool {
        let [platform, organization, team] = self.scopes;
        scope == platform || scope == organization || scope == team
    }
}

impl ScopeTree {
    /// The platform's id.
    pub const PLATFORM: ScopeId = ScopeId(0);

    /// Builds the tree of organizations and their teams. Names may come in any order.
    #[must_use]
    pub fn build<'a>(organizations: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>) -> Self {
        let mut organizations: Vec<_> = organizations.into_iter().collect();
        organizations.sort_unstable();
        let mut nodes = vec![Scope {
            name: String::new(),
            parent: Self::PLATFORM,
            last: Self::PLATFORM,
        }];
        for (organization, mut teams) in organizations {
            teams.sort_unstable();
            let id = next_id(&nodes);
            let last = ScopeId(id.0 + u32::try_from(teams.len()).unwrap_or(u32::MAX));
            nodes.push(Scope {
                name: organization.to_owned(),
                parent: Self::PLATFORM,
                last,
            });
            for team in teams {
                let last = next_id(&nodes);
                nodes.push(Scope {
                    name: team.to_owned(),
                    parent: id,
                    last,
                });
            }
        }
        let last = ScopeId(next_id(&nodes).0.saturating_sub(1));
        if let Some(platform) = nodes.first_mut() {
            platform.last = last;
        }
        Self::of(nodes)
    }

    fn of(nodes: Vec<Scope>) -> Self {
        let parents = nodes.iter().map(|node| node.parent).collect();
        Self { nodes, parents }
    }

    /// The tree of these organizations, of which each has this many of the teams; `None` unless
    /// that is all of them.
    pub(crate) fn from_names(
        organizations: &Strings,
        counts: impl Iterator<Item = u32>,
        teams: &Strings,
    ) -> Option<Self> {
        let mut nodes = Vec::with_capacity(1 + organizations.len() + teams.len());
        nodes.push(Scope {
            name: String::new(),
            parent: Self::PLATFORM,
            last: Self::PLATFORM,
        });
        let mut teams = teams.iter();
        for (organization, count) in organizations.iter().zip(counts) {
            let id = next_id(&nodes);
            nodes.push(Scope {
                name: organization.to_owned(),
                parent: Self::PLATFORM,
                last: ScopeId(id.0.checked_add(count)?),
            });
            for _ in 0..count {
                let last = next_id(&nodes);
                nodes.push(Scope {
                    name: teams.next()?.to_owned(),
                    parent: id,
                    last,
                });
            }
        }
        let last = ScopeId(next_id(&nodes).0.saturating_sub(1));
        if let Some(platform) = nodes.first_mut() {
            platform.last = last;
        }
        teams.next().is_none().then(|| Self::of(nodes))
    }

    /// The names of the organizations, and of the teams of all.
    pub(crate) fn names(&self) -> (Strings, Strings) {
        let below = self.nodes.iter().skip(1);
        let named = |teams: bool| {
            let chosen = below.clone();
            let chosen = chosen.filter(move |node| (node.parent != Self::PLATFORM) == teams);
            chosen.map(|node| node.name.as_str())
        };
        (named(false).collect(), named(true).collect())
    }

    /// How many teams each organization has.
    pub(crate) fn team_counts(&self) -> impl Iterator<Item = u32> {
        let below = self.nodes.iter().zip(0_u32..).skip(1);
        let organizations = below.filter(|(node, _)| node.parent == Self::PLATFORM);
        organizations.map(|(node, at)| node.last.0.saturating_sub(at))
    }

    /// Whether all names are legal and siblings distinct.
    pub(crate) fn is_well_formed(&self) -> bool {
        let (mut organization, mut team) = ("", "");
        self.nodes.iter().skip(1).all(|node| {
            let before = if node.parent == Self::PLATFORM {
                team = "";
                std::mem::replace(&mut organization, &node.name)
            } else {
                std::mem::replace(&mut team, &node.name)
            };
            before < node.name.as_str() && is_label(&node.name)
        })
    }

    /// All nodes in pre-order.
    #[must_use]
    pub fn nodes(&self) -> &[Scope] {
        &self.nodes
    }

    /// Whether a grant at `outer` reaches `inner`.
    #[must_use]
    pub fn covers(&self, outer: ScopeId, inner: ScopeId) -> bool {
        outer <= inner
            && self
                .nodes
                .get(outer.index())
                .is_some_and(|node| inner <= node.last)
    }

    /// Whether a grant at the scope with this path reaches a scope; without allocation.
    #[must_use]
    pub fn path_covers(&self, outer: &str, inner: ScopeId) -> bool {
        if outer == "platform" {
            return true;
        }
        let named = |scope: Option<ScopeId>, name| scope.is_some_and(|it| self.name(it) == name);
        match outer.split_once('/') {
            None => named(self.organization(inner), outer),
            Some((organization, team)) => {
                named(self.organization(inner), organization) && named(self.team(inner), team)
            }
        }
    }

    /// The node above; the platform's is itself.
    #[inline]
    #[must_use]
    pub fn parent(&self, scope: ScopeId) -> ScopeId {
        let parent = self.parents.get(scope.index());
        parent.copied().unwrap_or(Self::PLATFORM)
    }

    /// A scope and all above it.
    #[inline]
    pub(crate) fn covering(&self, scope: ScopeId) -> Covering {
        let parent = self.parent(scope);
        let (middle, count) = match (scope, parent) {
            (Self::PLATFORM, _) => (scope, 1),
            (_, Self::PLATFORM) => (scope, 2),
            _ => (parent, 3),
        };
        Covering {
            scopes: [Self::PLATFORM, middle, scope],
            count,
        }
    }

    /// The organization that a scope is or lies in; none for the platform.
    #[must_use]
    pub fn organization(&self, scope: ScopeId) -> Option<ScopeId> {
        if scope == Self::PLATFORM {
            return None;
        }
        let parent = self.parent(scope);
        Some(if parent == Self::PLATFORM {
            scope
        } else {
            parent
        })
    }

    /// The team that a scope is; none for an organization or the platform.
    #[must_use]
    pub fn team(&self, scope: ScopeId) -> Option<ScopeId> {
        self.organization(scope)
            .filter(|organization| *organization != scope)
            .map(|_| scope)
    }

    /// The bare name of a node; empty for the platform.
    #[must_use]
    pub fn name(&self, scope: ScopeId) -> &str {
        self.nodes
            .get(scope.index())
            .map_or("", |node| node.name.as_str())
    }

    /// The path as people write it: `platform`, `acme`, `acme/payments`.
    #[must_use]
    pub fn path(&self, scope: ScopeId) -> String {
        match (self.organization(scope), self.team(scope)) {
            (None, _) => "platform".to_owned(),
            (Some(organization), None) => self.name(organization).to_owned(),
            (Some(organization), Some(team)) => {
                format!("{}/{}", self.name(organization), self.name(team))
            }
        }
    }

    /// The node with this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<ScopeId> {
        if path == "platform" {
            return Some(Self::PLATFORM);
        }
        let (organization, team) = match path.split_once('/') {
            None => (path, None),
            Some((organization, team)) => (organization, Some(team)),
        };
        let organization = self.child(Self::PLATFORM, organization)?;
        match team {
            None => Some(organization),
            Some(team) => self.child(organization, team),
        }
    }

    fn child(&self, parent: ScopeId, name: &str) -> Option<ScopeId> {
        let last = self.nodes.get(parent.index())?.last;
        let mut at = parent.0.checked_add(1)?;
        while at <= last.0 {
            let node = self.nodes.get(at as usize)?;
            if node.name == name {
                return Some(ScopeId(at));
            }
            at = node.last.0.checked_add(1)?;
        }
        None
    }
}

fn next_id(nodes: &[Scope]) -> ScopeId {
    ScopeId(u32::try_from(nodes.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_nodes() {
        let tree = ScopeTree::build([("globex", vec!["red"]), ("acme", vec!["red", "blue"])]);
        let paths = [
            "platform",
            "acme",
            "acme/blue",
            "acme/red",
            "globex",
            "globex/red",
        ];
        for (path, at) in paths.iter().zip(0..) {
            assert_eq!(tree.find(path), Some(ScopeId(at)), "{path}");
            assert_eq!(tree.path(ScopeId(at)), *path);
        }
        for path in [
            "",
            "acme/",
            "acme/green",
            "red",
            "blue",
            "acme/blue/x",
            "globex/blue",
        ] {
            assert_eq!(tree.find(path), None, "{path}");
        }
    }

    #[test]
    fn a_path_covers_what_its_node_covers() {
        let tree = ScopeTree::build([("globex", vec!["red"]), ("acme", vec!["red", "blue"])]);
        let all = || (0..6).map(ScopeId);
        for (outer, inner) in all().flat_map(|outer| all().map(move |inner| (outer, inner))) {
            let by_path = tree.path_covers(&tree.path(outer), inner);
            assert_eq!(by_path, tree.covers(outer, inner), "{outer:?} {inner:?}");
        }
        assert!(!tree.path_covers("", ScopeId(1)) && !tree.path_covers("acme/", ScopeId(1)));
    }

    #[test]
    fn a_tree_is_its_names_again() {
        let tree = ScopeTree::build([("globex", vec!["red"]), ("acme", vec!["red", "blue"])]);
        let (organizations, teams) = tree.names();
        let counts: Vec<u32> = tree.team_counts().collect();
        assert_eq!(counts, [2, 1]);
        let again =
            |counts: &[u32]| ScopeTree::from_names(&organizations, counts.iter().copied(), &teams);
        assert_eq!(again(&counts), Some(tree.clone()));
        for wrong in [[2, 0], [2, 2], [4, 0], [u32::MAX, 1]] {
            assert_eq!(again(&wrong), None, "{wrong:?}");
        }
        // Both teams of one organization are called red.
        assert!(again(&[1, 2]).is_some_and(|it| !it.is_well_formed()));
        for wrong in [["acme", "acme"], ["globex", "acme"], ["Acme", "globex"]] {
            let organizations: Strings = wrong.into_iter().collect();
            let tree = ScopeTree::from_names(&organizations, [2, 1].into_iter(), &teams);
            assert!(!tree.unwrap().is_well_formed(), "{wrong:?}");
        }
    }
}
