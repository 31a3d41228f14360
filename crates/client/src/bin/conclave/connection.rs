//! Where the connection's settings come from: options, a profile that was asked for, the
//! environment, the default profile, in this order. A profile that was named beats the environment,
//! so that a shell set up for one cluster does not quietly send what was meant for another.

use crate::cli::Global;
use crate::error::CliError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Everything it takes to connect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) endpoints: Vec<String>,
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) cert_key: PathBuf,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    #[serde(default)]
    endpoints: Vec<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    cert_key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    default: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// Settles what the options leave open.
pub(crate) fn resolve(global: &Global) -> Result<Settings, CliError> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let file = profile_path(&variable);
    settle(global, &variable, file.as_deref())
}

fn profile_path(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if let Some(file) = variable("CONCLAVE_CONFIG") {
        return Some(PathBuf::from(file));
    }
    let base = match variable("XDG_CONFIG_HOME") {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(variable("HOME")?).join(".config"),
    };
    Some(base.join("conclave/config.toml"))
}

fn settle(
    global: &Global,
    variable: &dyn Fn(&str) -> Option<String>,
    file: Option<&Path>,
) -> Result<Settings, CliError> {
    let options = Profile {
        endpoints: global.endpoints.clone(),
        ca: global.ca.clone(),
        cert: global.cert.clone(),
        cert_key: global.cert_key.clone(),
    };
    let named = match &global.profile {
        Some(name) => named_profile(name, file)?,
        None => Profile::default(),
    };
    let chosen = options.or(named).or(from_environment(variable));
    let chosen = if chosen.is_whole() {
        chosen
    } else {
        chosen.or(default_profile(file)?)
    };
    chosen.into_settings()
}

fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Profile {
    let endpoints = variable("CONCLAVE_ENDPOINTS").unwrap_or_default();
    let endpoints = endpoints
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty());
    Profile {
        endpoints: endpoints.map(str::to_owned).collect(),
        ca: variable("CONCLAVE_CA").map(PathBuf::from),
        cert: variable("CONCLAVE_CERT").map(PathBuf::from),
        cert_key: variable("CONCLAVE_CERT_KEY").map(PathBuf::from),
    }
}

fn named_profile(name: &str, file: Option<&Path>) -> Result<Profile, CliError> {
    let mut profiles = read(file)?.profiles;
    profiles.remove(name).ok_or_else(|| CliError::Settings {
        problem: match file {
            Some(file) => format!("there is no profile '{name}' in {}", file.display()),
            None => format!("there is no profile '{name}'"),
        },
        remedy: "add it to ~/.config/conclave/config.toml, or to the file that CONCLAVE_CONFIG names; `conclave --help` \
                 shows an example",
    })
}

fn default_profile(file: Option<&Path>) -> Result<Profile, CliError> {
    match read(file)?.default {
        Some(name) => named_profile(&name, file),
        None => Ok(Profile::default()),
    }
}

fn read(file: Option<&Path>) -> Result<ProfileFile, CliError> {
    let Some(path) = file else {
        return Ok(ProfileFile::default());
    };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ProfileFile::default()),
        Err(error) => return Err(CliError::file("read", path)(error)),
    };
    let mut parsed: ProfileFile = toml::from_str(&text).map_err(|error| CliError::Settings {
        problem: format!("{}: {}", path.display(), error.message()),
        remedy: "correct the file; `conclave --help` shows an example",
    })?;
    let base = path.parent().unwrap_or(Path::new("."));
    parsed
        .profiles
        .values_mut()
        .for_each(|profile| profile.anchor(base));
    Ok(parsed)
}

impl Profile {
    /// Paths in a profile are relative to its file.
    fn anchor(&mut self, base: &Path) {
        for path in [&mut self.ca, &mut self.cert, &mut self.cert_key]
            .into_iter()
            .flatten()
        {
            *path = base.join(&*path);
        }
    }

    fn or(self, other: Self) -> Self {
        let endpoints = if self.endpoints.is_empty() {
            other.endpoints
        } else {
            self.endpoints
        };
        Self {
            endpoints,
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            cert_key: self.cert_key.or(other.cert_key),
        }
    }

    fn is_whole(&self) -> bool {
        let files = [&self.ca, &self.cert, &self.cert_key];
        !self.endpoints.is_empty() && files.iter().all(|file| file.is_some())
    }

    fn into_settings(self) -> Result<Settings, CliError> {
        let missing = |what: &str| CliError::Settings {
            problem: format!("it is not known {what}"),
            remedy: "give --endpoint, --ca, --cert and --cert-key, set the environment, or write a \
                     profile; `conclave --help` explains each",
        };
        if self.endpoints.is_empty() {
            return Err(missing("which nodes to call (--endpoint)"));
        }
        Ok(Settings {
            endpoints: self.endpoints,
            ca: self
                .ca
                .ok_or_else(|| missing("which authority to trust (--ca)"))?,
            cert: self.cert.ok_or_else(|| missing("who you are (--cert)"))?,
            cert_key: self
                .cert_key
                .ok_or_else(|| missing("how to prove who you are (--cert-key)"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        default = "dev"
        [profiles.dev]
        endpoints = ["dev:1"]
        ca = "dev-ca.pem"
        cert = "/abs/dev.pem"
        cert_key = "dev.key"
        [profiles.prod]
        endpoints = ["prod:1", "prod:2"]
        ca = "prod-ca.pem"
        cert = "prod.pem"
        cert_key = "prod.key"
    "#;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "CONCLAVE_ENDPOINTS" => "env:1, env:2,",
            "CONCLAVE_CA" => "env-ca.pem",
            "CONCLAVE_CERT" => "env.pem",
            "CONCLAVE_CERT_KEY" => "env.key",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn the_file_of_profiles_is_where_it_is_said_to_be() {
        let with = |set: &[(&str, &str)]| {
            let set: BTreeMap<_, _> = set.iter().copied().collect();
            profile_path(&|name| set.get(name).map(|&it| it.to_owned()))
        };
        let home = ("HOME", "/h");
        let xdg = ("XDG_CONFIG_HOME", "/x");
        let named = ("CONCLAVE_CONFIG", "/c/p.toml");
        for (set, path) in [
            (&[home][..], "/h/.config/conclave/config.toml"),
            (&[home, xdg], "/x/conclave/config.toml"),
            (&[home, xdg, named], "/c/p.toml"),
        ] {
            assert_eq!(with(set).as_deref(), Some(Path::new(path)));
        }
        assert_eq!(with(&[]), None);
    }

    #[test]
    fn a_profile_that_is_missing_is_missed_in_a_file() {
        let (_dir, path) = file(FILE);
        let global = Global {
            profile: Some("test".into()),
            ..Global::default()
        };
        let error = settle(&global, &|_| None, Some(&path)).unwrap_err();
        let expected = format!("there is no profile 'test' in {}", path.display());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_default_profile_fills_what_nothing_else_says() {
        let (dir, path) = file(FILE);
        let settings = settle(&Global::default(), &|_| None, Some(&path)).unwrap();
        assert_eq!(settings.endpoints, ["dev:1"]);
        assert_eq!(settings.ca, dir.path().join("dev-ca.pem"));
        assert_eq!(settings.cert, Path::new("/abs/dev.pem"));
    }

    #[test]
    fn the_environment_beats_the_default_profile() {
        let (_dir, path) = file(FILE);
        let settings = settle(&Global::default(), &environment, Some(&path)).unwrap();
        assert_eq!(settings.endpoints, ["env:1", "env:2"]);
        assert_eq!(settings.cert_key, Path::new("env.key"));
    }

    #[test]
    fn a_named_profile_beats_the_environment_and_an_option_beats_both() {
        let (dir, path) = file(FILE);
        let global = Global {
            profile: Some("prod".to_owned()),
            cert: Some(PathBuf::from("mine.pem")),
            ..Global::default()
        };
        let settings = settle(&global, &environment, Some(&path)).unwrap();
        assert_eq!(settings.endpoints, ["prod:1", "prod:2"]);
        assert_eq!(settings.ca, dir.path().join("prod-ca.pem"));
        assert_eq!(settings.cert, Path::new("mine.pem"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let error = settle(&Global::default(), &|_| None, None).unwrap_err();
        assert!(error.to_string().contains("--endpoint"));
        assert_eq!(error.exit_code(), 2);
        let (_dir, path) = file("endpoint = 3");
        assert!(settle(&Global::default(), &|_| None, Some(&path)).is_err());
        let (_dir, path) = file(FILE);
        let global = Global {
            profile: Some("nope".to_owned()),
            ..Global::default()
        };
        let error = settle(&global, &environment, Some(&path)).unwrap_err();
        assert!(error.to_string().contains("nope"));
    }
}
