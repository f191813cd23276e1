//! Where settings come from: the file, then the environment, then flags; the later goes first.
//!
//! All three fill one table, which is read as one [`Config`]: a setting is typed, named and
//! checked in one place, whoever sets it.

use std::{collections::BTreeMap, ffi::OsString, fmt::Write as _, path::Path};

use toml::{Table, Value};

use super::{Config, ConfigError};

/// What the variables of the environment begin with.
const PREFIX: &str = "LATCHKEY_";
/// The sections that variables and flags can set.
const SECTIONS: [&str; 18] = [
    "admin",
    "audit",
    "bounds",
    "bundle",
    "decision",
    "handles",
    "identity",
    "listen",
    "log",
    "overlay",
    "profile",
    "state",
    "stdio",
    "store",
    "telemetry",
    "token",
    "trust",
    "upstream",
];

/// Settings that are put together, and where each came from.
#[derive(Debug, Default)]
pub struct Sources {
    table: Table,
    /// The file as it stands, so that an error can show its line, and its name.
    file: Option<(String, String)>,
    origins: BTreeMap<(String, String), String>,
}

impl Sources {
    /// The settings of a file.
    pub fn file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!(
                "{}: cannot read the settings: {error}: name a readable TOML file after --config",
                path.display()
            ))
        })?;
        let mut sources = Self::text(&text, &path.display().to_string())
            .map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
        if let Some((name, _)) = &mut sources.file {
            *name = format!("{}: ", path.display());
        }
        Ok(sources)
    }

    /// The settings of a TOML text.
    pub fn text(text: &str, origin: &str) -> Result<Self, ConfigError> {
        // Read once as settings, so that an error shows its line.
        let table: Table = toml::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
        let mut sources = Self::default();
        for (section, value) in &table {
            let Some(keys) = value.as_table() else {
                return Err(ConfigError(format!(
                    "`{section}` is not a section: write `[{section}]`, with its keys below"
                )));
            };
            for key in keys.keys() {
                sources.note(section, key, origin);
            }
        }
        sources.table = table;
        sources.file = Some((String::new(), text.to_owned()));
        Ok(sources)
    }

    /// Adds the variables `LATCHKEY_<SECTION>_<KEY>`. Others that begin so are not settings.
    pub fn environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let lower = rest.to_ascii_lowercase();
            let Some((section, key)) = lower.split_once('_') else {
                continue;
            };
            if !SECTIONS.contains(&section) || key.is_empty() {
                continue;
            }
            let Some(value) = value.to_str() else {
                return Err(ConfigError(format!(
                    "{name}: the value is not UTF-8: write it in UTF-8"
                )));
            };
            self.set(section, key, value, name);
        }
        Ok(())
    }

    /// Adds a flag, `section.key=value`.
    pub fn flag(&mut self, text: &str) -> Result<(), ConfigError> {
        let named = text.split_once('=').and_then(|(name, value)| {
            let (section, key) = name.split_once('.')?;
            Some((section, key, value))
        });
        let Some((section, key, value)) = named else {
            return Err(ConfigError(format!(
                "--set {text}: write section.key=value, such as listen.address=127.0.0.1:8080"
            )));
        };
        if !SECTIONS.contains(&section) {
            return Err(ConfigError(format!(
                "--set {text}: there is no section `{section}`: the sections are {}",
                SECTIONS.join(", ")
            )));
        }
        self.set(section, key, value, &format!("--set {section}.{key}"));
        Ok(())
    }

    /// Reads and checks all of it; relative paths are relative to `base`.
    pub fn read(&self, base: &Path) -> Result<Config, ConfigError> {
        let mut config: Config = self
            .table
            .clone()
            .try_into()
            .map_err(|error| ConfigError(self.explain(&error)))?;
        config.resolve(base);
        config
            .check()
            .map_err(|ConfigError(what)| ConfigError(self.placed(&what)))?;
        Ok(config)
    }

    /// The settings as TOML, each with where it comes from. What looks like a secret is not shown;
    /// secrets belong in files, which are only named.
    #[must_use]
    pub fn show(&self) -> String {
        let mut out = String::new();
        for (section, keys) in &self.table {
            let _ = writeln!(out, "[{section}]");
            for (key, value) in keys.as_table().into_iter().flatten() {
                let place = (section.clone(), key.clone());
                let origin = self.origins.get(&place).map_or("", String::as_str);
                let _ = writeln!(out, "{key} = {}  # {origin}", shown(key, value));
            }
            out.push('\n');
        }
        out.push_str("# All other settings have their defaults, which docs/operating.md lists.\n");
        out
    }

    /// The value is TOML where it can be read as such, and else a text.
    fn set(&mut self, section: &str, key: &str, text: &str, origin: &str) {
        let value = toml::from_str::<Table>(&format!("value = {text}"));
        let value = value.ok().and_then(|mut table| {
            let value = table.remove("value");
            value.filter(|_| table.is_empty())
        });
        let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
        let entry = self.table.entry(section);
        let keys = entry.or_insert_with(|| Value::Table(Table::new()));
        if let Some(keys) = keys.as_table_mut() {
            keys.insert(key.to_owned(), value);
            self.note(section, key, origin);
        }
    }

    fn note(&mut self, section: &str, key: &str, origin: &str) {
        let place = (section.to_owned(), key.to_owned());
        self.origins.insert(place, origin.to_owned());
    }

    /// Names the variable or flag that an error is about.
    fn explain(&self, error: &toml::de::Error) -> String {
        let text = error.to_string();
        let text = text.trim_end();
        let named = self.set_by(|section, key| {
            let names = [format!("`{key}`"), format!("in `{section}.{key}`")];
            names.iter().any(|name| text.contains(name))
        });
        if let Some(origin) = named {
            return format!("{origin}: {text}");
        }
        let Some((name, file)) = &self.file else {
            return format!("{text}: name a file of settings after --config, or set it by a flag");
        };
        match toml::from_str::<Config>(file) {
            Err(alone) => format!("{name}{alone}"),
            Ok(_) => format!("{name}{text}"),
        }
    }

    /// Names the variable, flag or file that sets what a fault is about: it begins with the setting,
    /// as `[section] key`.
    fn placed(&self, fault: &str) -> String {
        let named = self.set_by(|section, key| {
            let rest = fault.strip_prefix(&format!("[{section}] {key}"));
            rest.is_some_and(|rest| rest.starts_with([' ', ':', ',']))
        });
        let file = self.file.as_ref().map_or("", |(name, _)| name.as_str());
        named.map_or_else(
            || format!("{file}{fault}"),
            |origin| format!("{origin}: {fault}"),
        )
    }

    /// The variable or flag that sets the first such setting.
    fn set_by(&self, is_it: impl Fn(&str, &str) -> bool) -> Option<&str> {
        let mut set = self
            .origins
            .iter()
            .filter(|(_, origin)| origin.starts_with(PREFIX) || origin.starts_with("--set"));
        let found = set.find(|((section, key), _)| is_it(section, key));
        found.map(|(_, origin)| origin.as_str())
    }
}

fn shown(key: &str, value: &Value) -> String {
    let names_a_file = key.ends_with("_file") || key.ends_with("_env") || key == "file";
    let secret = ["token", "secret", "password", "key"]
        .iter()
        .any(|word| key.contains(word));
    if secret && !names_a_file && value.is_str() {
        return "\"(not shown)\"".to_owned();
    }
    let text = value.to_string();
    // A user name and password in a URL.
    match (text.find("://"), text.find('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let before = text.get(..scheme + 3).unwrap_or_default();
            let after = text.get(at..).unwrap_or_default();
            format!("{before}(not shown){after}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[bundle]\nsource = \"bundle\"\nserver = \"github\"\n\
        [trust]\nfile = \"trust.json\"\n[listen]\naddress = \"127.0.0.1:8080\"\n\
        [admin]\naddress = \"127.0.0.1:0\"\n[state]\ndirectory = \"state\"\n\
        [audit]\nfile = \"-\"\n";

    fn sources() -> Sources {
        Sources::text(FILE, "sidecar.toml").unwrap()
    }

    fn environment(pairs: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        pairs.collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn flags_go_before_the_environment_and_that_before_the_file() {
        let mut sources = sources();
        let variables = environment(&[
            ("LATCHKEY_LISTEN_ADDRESS", "127.0.0.1:1"),
            ("LATCHKEY_LISTEN_HEAD_TIMEOUT", "3s"),
            ("LATCHKEY_LISTEN_HOSTS", "[\"a.example\"]"),
            ("LATCHKEY_BUNDLE_SERVER", "desk"),
            ("LATCHKEY_LOG", "debug"),
            ("LATCHKEY_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ]);
        sources.environment(variables).unwrap();
        sources.flag("listen.workers=3").unwrap();
        sources.flag("bundle.server=ledger").unwrap();
        let config = sources.read(Path::new("/etc/latchkey")).unwrap();
        assert_eq!(config.listen.addresses.len(), 1);
        assert_eq!(config.listen.addresses[0].to_string(), "127.0.0.1:1");
        assert_eq!(config.listen.head_timeout.0.as_secs(), 3);
        assert_eq!(config.listen.hosts.unwrap(), ["a.example"]);
        assert_eq!(config.listen.workers, 3);
        assert_eq!(config.bundle.server, "ledger");
        assert_eq!(config.state.directory, Path::new("/etc/latchkey/state"));
        let shown = sources.show();
        for line in [
            "workers = 3  # --set listen.workers",
            "address = \"127.0.0.1:1\"  # LATCHKEY_LISTEN_ADDRESS",
            "directory = \"state\"  # sidecar.toml",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
    }

    #[test]
    fn every_section_can_be_set() {
        let error = toml::from_str::<Config>("[nope]").unwrap_err().to_string();
        let known = error.split_once("expected one of").unwrap().1;
        let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        known.sort_unstable();
        assert_eq!(known, SECTIONS);
    }

    #[test]
    fn who_names_no_settings_is_told_how() {
        let error = Sources::default().read(Path::new("")).unwrap_err();
        assert!(error.to_string().contains("after --config"), "{error}");
    }

    #[test]
    fn a_wrong_setting_is_named_by_where_it_was_set() {
        let mut sources = sources();
        let variables = environment(&[("LATCHKEY_LISTEN_ADRESS", "127.0.0.1:1")]);
        sources.environment(variables).unwrap();
        let error = sources.read(Path::new("")).unwrap_err().to_string();
        assert!(error.contains("LATCHKEY_LISTEN_ADRESS"), "{error}");
        assert!(error.contains("expected one of"), "{error}");
        let mut sources = self::sources();
        sources.flag("bounds.tokens=1").unwrap();
        let error = sources.read(Path::new("")).unwrap_err().to_string();
        let begins = "--set bounds.tokens: [bounds] tokens is 1: ";
        assert!(error.starts_with(begins), "{error}");
        for (flag, says) in [
            ("listen", "section.key=value"),
            ("lisen.address=x", "the sections are"),
        ] {
            let error = sources.flag(flag).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut sources = sources();
        sources.flag("bundle.token=s3cret").unwrap();
        sources
            .flag("telemetry.endpoint=http://me:s3cret@host/")
            .unwrap();
        sources.flag("bundle.token_file=/run/token").unwrap();
        let shown = sources.show();
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("/run/token"), "{shown}");
    }
}
