//! The nodes, and what is done to them.

use crate::command::Command;
use crate::trial;
use anyhow::Result;
use conclave_chaos::real::{Cluster, HsmKind, NODES, Options, requests};
use conclave_client::v1::Role;
use serde_json::{Value, json};

/// Who puts on load: may use keys and create them, in the keyring of the same name only.
pub(crate) const PRINCIPAL: &str = "bench";
/// The key that trials use.
pub(crate) const KEY: &str = "bench/trial";

/// Three nodes.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    trials: u32,
}

impl World {
    /// Three unsealed nodes with the settings of a node as it is shipped.
    pub(crate) async fn start(hsm: HsmKind) -> Result<Self> {
        let options = Options {
            hsm,
            ..Options::default()
        };
        let cluster = Cluster::start(options).await?;
        let admin = cluster.client("admin")?;
        for role in [Role::User, Role::Admin] {
            admin
                .grant(requests::grant(PRINCIPAL, PRINCIPAL, role))
                .await?;
        }
        admin.create_key(requests::create_key(KEY)).await?;
        Ok(Self { cluster, trials: 0 })
    }

    /// Deletes all files.
    pub(crate) fn finish(self) -> Result<()> {
        self.cluster.finish()
    }

    /// Endpoints, processes, credentials, the leader.
    pub(crate) async fn state(&mut self) -> Result<Value> {
        let leader = self.cluster.leader().await?;
        let mut nodes = Vec::new();
        for id in NODES {
            let pid = self.cluster.node(id).pid().ok();
            let endpoint = self.cluster.layout().api(id);
            nodes.push(json!({ "id": id, "endpoint": endpoint, "pid": pid }));
        }
        let layout = self.cluster.layout();
        let credentials = layout.principal(PRINCIPAL)?;
        Ok(json!({
            "dir": layout.dir(),
            "leader": leader,
            "nodes": nodes,
            "ca": layout.pki().ca(),
            "cert": credentials.cert,
            "cert_key": credentials.key,
            "key": KEY,
        }))
    }

    /// Does what it is told, and answers when it is done.
    pub(crate) async fn obey(&mut self, command: Command) -> Result<Value> {
        match command {
            Command::State => return self.state().await,
            Command::Kill(ids) => {
                for id in ids {
                    self.cluster.node(id).kill()?;
                }
            }
            Command::Terminate(ids) => {
                for id in ids {
                    self.cluster.node(id).terminate().await?;
                }
            }
            Command::Start(ids) => {
                for id in &ids {
                    self.cluster.node(*id).spawn()?;
                }
                for id in ids {
                    self.cluster.answers(id).await?;
                }
            }
            Command::Unseal(ids) => {
                for id in ids {
                    self.cluster.unseal(id).await?;
                }
            }
            Command::Failover => return trial::lose_leader(self, trial::Way::Kill).await,
            Command::Handover => return trial::lose_leader(self, trial::Way::Terminate).await,
            Command::ColdStart => return trial::cold_start(self).await,
        }
        Ok(json!({}))
    }

    /// A new beginning for names of keys.
    pub(crate) fn next_prefix(&mut self) -> String {
        self.trials += 1;
        format!("{PRINCIPAL}/trial-{}", self.trials)
    }
}
