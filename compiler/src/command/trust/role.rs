//! Roles as the command line spells them.

use std::str::FromStr;

/// `root`, `release`, `release:CHANNEL`, `freshness` or `freshness:CHANNEL`; without a channel, of
/// every channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RoleName {
    Root,
    Release(Option<String>),
    Freshness(Option<String>),
}

impl FromStr for RoleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, channel) = match text.split_once(':') {
            Some((kind, channel)) if !channel.is_empty() => (kind, Some(channel.to_owned())),
            Some(_) | None => (text, None),
        };
        match kind {
            "root" if channel.is_none() => Ok(Self::Root),
            "release" => Ok(Self::Release(channel)),
            "freshness" => Ok(Self::Freshness(channel)),
            _ => Err(format!(
                "{text:?} is no role; write root, release, release:CHANNEL, freshness or \
                 freshness:CHANNEL"
            )),
        }
    }
}

/// Reads `ROLE=NAME`.
pub(super) fn member(text: &str) -> Result<(RoleName, String), String> {
    let (role, name) = super::super::supply::pair(text)?;
    Ok((role.parse()?, name))
}

/// Reads `ROLE=N`.
pub(super) fn threshold(text: &str) -> Result<(RoleName, usize), String> {
    let (role, count) = super::super::supply::pair(text)?;
    let count = count
        .parse()
        .map_err(|_| format!("{count:?} is no number"))?;
    Ok((role.parse()?, count))
}

/// Reads `CHANNEL=N`.
pub(super) fn version(text: &str) -> Result<(String, u64), String> {
    let (channel, version) = super::super::supply::pair(text)?;
    let version = version
        .parse()
        .map_err(|_| format!("{version:?} is no number"))?;
    Ok((channel, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_spelled_one_way() {
        assert_eq!("root".parse(), Ok(RoleName::Root));
        let main = Some("main".to_owned());
        assert_eq!("release:main".parse(), Ok(RoleName::Release(main)));
        assert_eq!("freshness".parse(), Ok(RoleName::Freshness(None)));
        for bad in ["", "Root", "root:main", "release:", "targets"] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad}");
        }
        assert!(member("release=").is_err() && threshold("root=two").is_err());
    }
}
