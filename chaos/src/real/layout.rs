//! The files that a cluster is made of: configurations, certificates, tokens.

use super::cluster::NODES;
use super::node::Node;
use super::pki::{Credentials, Pki};
use super::ports;
use super::token::Token;
use anyhow::{Context as _, Result};
use conclave_env::Entropy as _;
use conclave_env::os::OsEntropy;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Which HSM the nodes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HsmKind {
    /// SoftHSM through PKCS#11, the root key imported in clear.
    SoftHsm,
    /// SoftHSM through PKCS#11, the root key imported under an RSA key.
    SoftHsmUnwrapRsa,
    /// In the nodes' own memory.
    Software,
}

/// In what a cluster may differ from the usual one.
#[derive(Clone, Debug)]
pub struct Options {
    /// As `log.level`.
    pub log_level: &'static str,
    /// As `raft.snapshot_every_entries` and `raft.keep_entries`.
    pub snapshot: (u64, u64),
    /// The HSM.
    pub hsm: HsmKind,
    /// Where each node listens, in the order of their ids.
    pub hosts: [Ipv4Addr; 3],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_level: "info",
            snapshot: (20_000, 5_000),
            hsm: HsmKind::SoftHsm,
            hosts: [Ipv4Addr::LOCALHOST; 3],
        }
    }
}

/// Where everything of a cluster is.
pub struct Layout {
    dir: PathBuf,
    cluster_id: [u8; 16],
    api: Vec<String>,
    peer: Vec<String>,
    tokens: Vec<Token>,
    pki: Pki,
    options: Options,
}

impl Layout {
    /// Writes all files under `dir`, and starts nothing.
    ///
    /// # Errors
    /// If that is not possible, or SoftHSM is missing.
    pub fn create(dir: &Path, options: Options) -> Result<Self> {
        let mut cluster_id = [0; 16];
        OsEntropy::new().fill(&mut cluster_id);
        let hosts = options.hosts;
        let host = |id| hosts[place(id)];
        let address = |id| ports::draw().map(|port| format!("{}:{port}", host(id)));
        let token = |id| Token::create(&dir.join(format!("token{id}")), &format!("conclave-{id}"));
        let layout = Self {
            dir: dir.to_owned(),
            cluster_id,
            api: NODES.map(address).collect::<Result<_>>()?,
            peer: NODES.map(address).collect::<Result<_>>()?,
            tokens: NODES.map(token).collect::<Result<_>>()?,
            pki: Pki::create(&dir.join("pki"))?,
            options,
        };
        for id in NODES {
            layout.pki.node(id, host(id))?;
            fs::create_dir_all(layout.node_dir(id))?;
            fs::write(layout.config_path(id), layout.config(id)?)?;
        }
        Ok(layout)
    }

    /// The directory of it all.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of a node's configuration, log and data.
    pub fn node_dir(&self, id: u64) -> PathBuf {
        self.dir.join(format!("node{id}"))
    }

    /// A node's data directory.
    pub fn data_dir(&self, id: u64) -> PathBuf {
        self.node_dir(id).join("data")
    }

    /// A node's configuration file.
    pub fn config_path(&self, id: u64) -> PathBuf {
        self.node_dir(id).join("config.toml")
    }

    /// The cluster's id.
    pub fn cluster_id(&self) -> [u8; 16] {
        self.cluster_id
    }

    /// A node's address for clients.
    pub fn api(&self, id: u64) -> &str {
        &self.api[place(id)]
    }

    /// A node's address for other nodes.
    pub fn peer(&self, id: u64) -> &str {
        &self.peer[place(id)]
    }

    /// A node's token.
    pub fn token(&self, id: u64) -> &Token {
        &self.tokens[place(id)]
    }

    /// The cluster's authority.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// A principal's certificate, made when it is first asked for.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn principal(&self, name: &str) -> Result<Credentials> {
        let cert = self.dir.join("pki").join(format!("principal-{name}.pem"));
        let key = cert.with_extension("key");
        if cert.exists() {
            Ok(Credentials { cert, key })
        } else {
            self.pki.principal(name)
        }
    }

    /// A node, not running.
    pub fn node(&self, id: u64) -> Node {
        Node::new(id, &self.config_path(id), &self.token(id).conf)
    }

    /// Changes a node's configuration: every `from` in it becomes `to`.
    ///
    /// # Errors
    /// If there is no `from` in it.
    pub fn edit_config(&self, id: u64, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.config_path(id))?;
        anyhow::ensure!(
            text.contains(from),
            "the configuration has no {from:?}:\n{text}"
        );
        Ok(fs::write(self.config_path(id), text.replace(from, to))?)
    }

    fn config(&self, id: u64) -> Result<String> {
        let mut text = format!(
            "[cluster]\nid = \"{}\"\nadmins = [\"admin\"]\n",
            hex::encode(self.cluster_id)
        );
        for member in NODES {
            let (api, peer) = (self.api(member), self.peer(member));
            write!(
                text,
                "[[cluster.members]]\nid = {member}\nname = \"node{member}\"\napi = \"{api}\"\n\
                 peer = \"{peer}\"\n"
            )?;
        }
        let (level, (every, keep)) = (self.options.log_level, self.options.snapshot);
        let pki = self.dir.join("pki");
        write!(
            text,
            "[node]\nid = {id}\ndata_dir = \"data\"\n[log]\nlevel = \"{level}\"\n[tls]\n\
             ca = \"{pki}/ca.pem\"\ncert = \"{pki}/node{id}.pem\"\nkey = \"{pki}/node{id}.key\"\n\
             [raft]\nsnapshot_every_entries = {every}\nkeep_entries = {keep}\n",
            pki = pki.display(),
        )?;
        self.write_hsm(&mut text, id)?;
        Ok(text)
    }

    fn write_hsm(&self, text: &mut String, id: u64) -> Result<()> {
        let import = match self.options.hsm {
            HsmKind::Software => {
                return text
                    .write_str("[hsm]\nkind = \"software\"\n")
                    .context("a string");
            }
            HsmKind::SoftHsm => "create-object",
            HsmKind::SoftHsmUnwrapRsa => "unwrap-rsa",
        };
        let token = self.token(id);
        write!(
            text,
            "[hsm]\nkind = \"pkcs11\"\nmodule = \"{}\"\ntoken = \"{}\"\npin_file = \"{}\"\n\
             import = \"{import}\"\n",
            token.module.display(),
            token.label,
            token.pin_file.display(),
        )?;
        Ok(())
    }
}

/// Ids are from 1, places from 0.
fn place(id: u64) -> usize {
    usize::try_from(id - 1).expect("a test cluster is small")
}
