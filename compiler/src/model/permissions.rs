//! What is granted, or spoken of.

use super::Permission;
use crate::source::Span;

/// Permissions, each with the place of the words that mean it: sorted, none twice, and no larger
/// than what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(Box<[(Permission, Span)]>);

impl Permissions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with its place, in order.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(|(permission, span)| (permission, span))
    }

    /// Each, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &Permission> + ExactSizeIterator + Clone {
        self.0.iter().map(|(permission, _)| permission)
    }

    /// The place of one.
    pub fn get(&self, permission: &Permission) -> Option<&Span> {
        let at = self.find(permission).ok()?;
        self.0.get(at).map(|(_, span)| span)
    }

    /// Whether it is among them.
    pub fn contains_key(&self, permission: &Permission) -> bool {
        self.find(permission).is_ok()
    }

    /// Adds one, or gives it another place.
    pub fn insert(&mut self, permission: Permission, span: Span) {
        let all = std::mem::take(&mut self.0).into_vec();
        *self = all.into_iter().chain([(permission, span)]).collect();
    }

    /// Takes one away.
    pub fn remove(&mut self, permission: &Permission) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        all.retain(|(it, _)| it != permission);
        self.0 = all.into_boxed_slice();
    }

    fn find(&self, permission: &Permission) -> Result<usize, usize> {
        self.0.binary_search_by(|(it, _)| it.cmp(permission))
    }
}

/// Of one that comes twice the last place counts.
impl FromIterator<(Permission, Span)> for Permissions {
    fn from_iter<I: IntoIterator<Item = (Permission, Span)>>(items: I) -> Self {
        let mut all: Vec<_> = items.into_iter().collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 = later.1;
            }
            same
        });
        Self(all.into_boxed_slice())
    }
}

/// See [`Permissions::iter`].
type Iter<'a> = std::iter::Map<
    std::slice::Iter<'a, (Permission, Span)>,
    fn(&'a (Permission, Span)) -> (&'a Permission, &'a Span),
>;

impl<'a> IntoIterator for &'a Permissions {
    type Item = (&'a Permission, &'a Span);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::SurfaceName, source::FileId};

    #[test]
    fn they_are_sorted_and_the_last_place_counts() {
        let permission = |name: &str| Permission {
            surface: SurfaceName {
                server: "s".into(),
                name: name.into(),
            },
            operation: None,
        };
        let at = |start: usize| Span::new(FileId(0), start..start + 1);
        let listed = [("b", 0), ("a", 1), ("b", 2)];
        let mut all: Permissions = { listed.iter() }
            .map(|(name, place)| (permission(name), at(*place)))
            .collect();
        assert_eq!(all.get(&permission("b")), Some(&at(2)));
        all.insert(permission("a"), at(3));
        all.remove(&permission("b"));
        all.insert(permission("c"), at(4));
        let left: Vec<_> = all
            .iter()
            .map(|(it, span)| (it.to_string(), span.start))
            .collect();
        assert_eq!(left, [("s/a".to_owned(), 3), ("s/c".to_owned(), 4)]);
        assert!(!all.contains_key(&permission("b")) && all.len() == 2 && !all.is_empty());
    }
}
