//! The file as it is written, and the rules that its values obey.

use super::{Hsm, Keys, Log, Member, Raft, Tls};
use conclave_core::{ClusterId, NodeId};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) cluster: FileCluster,
    pub(super) node: FileNode,
    #[serde(default)]
    pub(super) log: Log,
    pub(super) tls: Tls,
    pub(super) hsm: Hsm,
    #[serde(default)]
    pub(super) raft: Raft,
    #[serde(default)]
    pub(super) keys: Keys,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileCluster {
    pub(super) id: String,
    pub(super) admins: Vec<String>,
    pub(super) members: Vec<FileMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMember {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) api: String,
    pub(super) peer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileNode {
    pub(super) id: u64,
    pub(super) data_dir: PathBuf,
    #[serde(default)]
    pub(super) reflection: bool,
    #[serde(default = "connections_max_default")]
    pub(super) connections_max: usize,
}

fn connections_max_default() -> usize {
    4_096
}

pub(super) fn parse_cluster_id(text: &str) -> Option<ClusterId> {
    ClusterId::from_slice(&hex::decode(text).ok()?)
}

pub(super) fn check_members(listed: Vec<FileMember>) -> Result<BTreeMap<NodeId, Member>, String> {
    let count = listed.len();
    if !(1..=9).contains(&count) || count.is_multiple_of(2) {
        return Err(format!(
            "an odd number of members up to 9, {count} are listed"
        ));
    }
    let addresses: BTreeSet<_> = listed
        .iter()
        .flat_map(|m| [&m.api, &m.peer])
        .cloned()
        .collect();
    if addresses.len() != count * 2 {
        return Err("every api and peer address must be given once".to_owned());
    }
    if let Some(bad) = addresses.iter().find(|address| !is_address(address)) {
        return Err(format!("an address is host:port, and {bad:?} is not"));
    }
    let named = |m: FileMember| {
        (
            NodeId(m.id),
            Member {
                name: m.name,
                api: m.api,
                peer: m.peer,
            },
        )
    };
    let members: BTreeMap<_, _> = listed.into_iter().map(named).collect();
    if members.len() != count || members.contains_key(&NodeId(0)) {
        return Err("ids are from 1, and each is given once".to_owned());
    }
    Ok(members)
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    })
}

pub(super) fn check_raft(raft: &Raft) -> Result<(), String> {
    let timing = raft.heartbeat_ms >= 10
        && raft.election_timeout_min_ms >= raft.heartbeat_ms * 3
        && raft.election_timeout_max_ms > raft.election_timeout_min_ms;
    if !timing {
        return Err(
            "heartbeat_ms is at least 10, election_timeout_min_ms at least three \
                    heartbeats, and election_timeout_max_ms more than that"
                .to_owned(),
        );
    }
    if raft.snapshot_every_entries < 10 || raft.keep_entries > raft.snapshot_every_entries {
        return Err("snapshot_every_entries is at least 10, and keep_entries not more".to_owned());
    }
    Ok(())
}

pub(super) fn locate(hsm: Hsm, base: &Path) -> Hsm {
    match hsm {
        Hsm::Pkcs11 {
            module,
            token,
            pin_file,
            residency,
            import,
        } => {
            let (module, pin_file) = (base.join(module), base.join(pin_file));
            Hsm::Pkcs11 {
                module,
                token,
                pin_file,
                residency,
                import,
            }
        }
        Hsm::Software => Hsm::Software,
    }
}
