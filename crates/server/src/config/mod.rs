//! The configuration file of a node, parsed and checked at the door (docs/configuration.md).

mod file;

use conclave_core::{ClusterId, NodeId, PrincipalName};
use file::File;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not the TOML that it should be.
    #[error("the configuration {path} is malformed: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value is outside its rules.
    #[error("the configuration {path} is wrong at {field}: {rule}")]
    Value {
        /// The file.
        path: PathBuf,
        /// As written in the file.
        field: &'static str,
        /// What it must be.
        rule: String,
    },
}

/// A node's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Granted admin on everything when the cluster is formed.
    pub admins: Vec<PrincipalName>,
    /// All members that form the cluster.
    pub members: BTreeMap<NodeId, Member>,
    /// Which of them this is.
    pub node: NodeId,
    /// Where its databases are.
    pub data_dir: PathBuf,
    /// Whether gRPC reflection is on.
    pub reflection: bool,
    /// Open client connections at most.
    pub connections_max: usize,
    /// How it logs.
    pub log: Log,
    /// Its certificate.
    pub tls: Tls,
    /// Its HSM.
    pub hsm: Hsm,
    /// Timing of replication.
    pub raft: Raft,
    /// What is asked of those who change keys.
    pub keys: Keys,
}

/// `[keys]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// What was used in so many days before is not destroyed, unless whoever asks for it insists.
    pub unused_before_destruction_days: u16,
    /// Registered data keys that this node wraps anew in a second, at most: 1 to 20,000. 0 counts as 1.
    pub rewraps_per_second: u16,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            unused_before_destruction_days: 7,
            rewraps_per_second: 1_000,
        }
    }
}

impl Keys {
    /// In milliseconds.
    pub(crate) fn unused_before_destruction(&self) -> u64 {
        u64::from(self.unused_before_destruction_days) * 86_400_000
    }

    /// At least one.
    pub(crate) fn rewraps_per_second(&self) -> u32 {
        u32::from(self.rewraps_per_second.max(1))
    }
}

/// A node as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// For people.
    pub name: String,
    /// `host:port` for clients.
    pub api: String,
    /// `host:port` for nodes.
    pub peer: String,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Of each line.
    pub format: LogFormat,
    /// As `tracing` filters are written: `info`, `conclave=debug,warn`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `[tls]`: PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Authorities that both nodes and clients must be certified by.
    pub ca: PathBuf,
    /// The node's chain, its own certificate first.
    pub cert: PathBuf,
    /// The node's private key.
    pub key: PathBuf,
}

/// `[hsm]`
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Hsm {
    /// A PKCS#11 module.
    Pkcs11 {
        /// The shared library.
        module: PathBuf,
        /// The token's label.
        token: String,
        /// A file that holds the user PIN and nothing else.
        pin_file: PathBuf,
        /// What a restart needs.
        #[serde(default)]
        residency: Residency,
        /// How the root key gets in.
        #[serde(default)]
        import: Import,
    },
    /// In the node's own process: no hardware protects the root key.
    Software,
}

/// Where the root key lives while the node is unsealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residency {
    /// A session object: a restart needs the custodians.
    #[default]
    Session,
    /// A token object: a restart needs only the PIN.
    Token,
}

/// How the root key gets into the HSM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Import {
    /// `C_CreateObject`.
    #[default]
    CreateObject,
    /// `C_UnwrapKey` under an RSA key made in the HSM, for modules that refuse secrets in clear.
    UnwrapRsa,
}

/// `[raft]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raft {
    /// Between heartbeats of the leader.
    pub heartbeat_ms: u64,
    /// Silence after which a follower may stand for election.
    pub election_timeout_min_ms: u64,
    /// Silence after which it surely does.
    pub election_timeout_max_ms: u64,
    /// Entries between snapshots.
    pub snapshot_every_entries: u64,
    /// Entries kept behind a snapshot, for followers that lag a little.
    pub keep_entries: u64,
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat_ms: 100,
            election_timeout_min_ms: 500,
            election_timeout_max_ms: 1_000,
            snapshot_every_entries: 20_000,
            keep_entries: 5_000,
        }
    }
}

impl Config {
    /// Reads and checks a file. Relative paths in it are relative to its directory.
    ///
    /// # Errors
    /// [`ConfigError`] says where the file is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Checks a file's text; `path` is where it was found.
    ///
    /// # Errors
    /// [`ConfigError`] says where it is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text).map_err(|source| ConfigError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let wrong = |field, rule: String| ConfigError::Value {
            path: path.to_owned(),
            field,
            rule,
        };
        let id = file::parse_cluster_id(&file.cluster.id)
            .ok_or_else(|| wrong("cluster.id", "32 hexadecimal digits".to_owned()))?;
        let admins = file
            .cluster
            .admins
            .iter()
            .map(|name| PrincipalName::new(name));
        let admins: Vec<_> = admins
            .collect::<Result<_, _>>()
            .map_err(|e| wrong("cluster.admins", e.to_string()))?;
        if admins.is_empty() {
            let rule = "at least one principal, or nobody could administer the cluster";
            return Err(wrong("cluster.admins", rule.to_owned()));
        }
        let members = file::check_members(file.cluster.members)
            .map_err(|rule| wrong("cluster.members", rule))?;
        let node = NodeId(file.node.id);
        if !members.contains_key(&node) {
            return Err(wrong("node.id", "one of the members' ids".to_owned()));
        }
        file::check_raft(&file.raft).map_err(|rule| wrong("raft", rule))?;
        let base = path.parent().unwrap_or(Path::new("."));
        Ok(Self {
            cluster: id,
            admins,
            members,
            node,
            data_dir: base.join(file.node.data_dir),
            reflection: file.node.reflection,
            connections_max: file.node.connections_max.max(1),
            log: file.log,
            tls: Tls {
                ca: base.join(file.tls.ca),
                cert: base.join(file.tls.cert),
                key: base.join(file.tls.key),
            },
            hsm: file::locate(file.hsm, base),
            raft: file.raft,
            keys: file.keys,
        })
    }

    /// This node as the others know it.
    ///
    /// # Panics
    /// Never: a configuration without it is refused.
    pub fn this_member(&self) -> &Member {
        self.members.get(&self.node).expect("checked when parsed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        let member = |n: u64| {
            format!(
                "[[cluster.members]]\nid = {n}\nname = \"node{n}\"\napi = \"127.0.0.1:710{n}\"\n\
                 peer = \"127.0.0.1:720{n}\"\n"
            )
        };
        format!(
            "[cluster]\nid = \"{}\"\nadmins = [\"admin\"]\n{}{}{}[node]\nid = 2\n\
             data_dir = \"data\"\n[tls]\nca = \"ca.pem\"\ncert = \"c.pem\"\nkey = \"k.pem\"\n\
             [hsm]\nkind = \"software\"\n",
            "ab".repeat(16),
            member(1),
            member(2),
            member(3)
        )
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/conclave/node.toml"))
    }

    #[test]
    fn a_good_file_is_accepted_and_paths_are_relative_to_it() {
        let config = parse(&text()).unwrap();
        assert_eq!(config.this_member().api, "127.0.0.1:7102");
        assert_eq!(config.data_dir, Path::new("/etc/conclave/data"));
        assert_eq!(config.raft.heartbeat_ms, 100);
    }

    #[test]
    fn each_rule_is_enforced_and_named() {
        let cases = [
            ("id = 2\ndata_dir", "id = 7\ndata_dir", "node.id"),
            ("abab", "zz", "cluster.id"),
            ("[\"admin\"]", "[]", "cluster.admins"),
            ("[\"admin\"]", "[\"Admin\"]", "cluster.admins"),
            ("127.0.0.1:7103", "127.0.0.1:7102", "cluster.members"),
            ("127.0.0.1:7103", "127.0.0.1", "cluster.members"),
            ("id = 3", "id = 2", "cluster.members"),
            ("data_dir", "data_dirr", "data_dirr"),
            ("kind = \"software\"", "kind = \"paper\"", "paper"),
        ];
        for (from, to, named) in cases {
            let error = parse(&text().replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn an_even_number_of_members_is_refused() {
        let text = text();
        let cut = text.find("[[cluster.members]]\nid = 3").unwrap();
        let end = text.find("[node]").unwrap();
        let two = format!("{}{}", &text[..cut], &text[end..]);
        assert!(parse(&two).unwrap_err().to_string().contains("odd"));
    }
}
