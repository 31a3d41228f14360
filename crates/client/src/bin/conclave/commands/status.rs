//! `conclave status`.

use crate::error::CliError;
use crate::fleet::{self, Answer};
use crate::limits::STATUS_MAX;
use crate::session::Session;
use crate::{show, table};
use conclave_client::{Client, v1};
use serde_json::{Value, json};

pub(crate) const HELP: &str = "\
Examples:
  conclave status
  conclave status --output json

Every node is asked by itself; one that does not answer is a row saying so. APPLIED is the
last log entry that the node has applied, LAG how many committed entries it is behind. Where
two audit logs have the same size, they have the same root: if not, the exit code is 1.";

pub(crate) async fn run(session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    let nodes = fleet::discover(&client).await;
    let quick = client.with_deadline(client.deadline().min(STATUS_MAX));
    let ask = |node: Client| async move { node.cluster_status(v1::ClusterStatusRequest {}).await };
    let answers = fleet::ask_each(&quick, nodes, ask).await;
    session.output.print(|| text(&answers), || json(&answers))?;
    let known = answers
        .iter()
        .filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?)));
    for (node, status) in known
        .clone()
        .filter(|(_, status)| !status.storage_fault.is_empty())
    {
        session.output.note(&format!(
            "warning: storage of {}: {}",
            node.name, status.storage_fault
        ));
    }
    let roots =
        known.map(|(node, status)| (node.name.as_str(), status.audit_size, &*status.audit_root));
    fleet::compare_roots(roots)?;
    fleet::someone_answered(&answers)
}

fn committed(answers: &[Answer<v1::NodeStatus>]) -> u64 {
    let statuses = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    statuses
        .map(|status| status.committed_index)
        .max()
        .unwrap_or(0)
}

fn text(answers: &[Answer<v1::NodeStatus>]) -> String {
    let committed = committed(answers);
    let row = |(node, answer): &Answer<v1::NodeStatus>| match answer {
        Ok(status) => vec![
            node.name.clone(),
            status.node_id.to_string(),
            show::raft_role(status.role),
            show::seal(status.seal),
            status.applied_index.to_string(),
            committed.saturating_sub(status.applied_index).to_string(),
            status.audit_size.to_string(),
            show::short(&status.audit_root),
            status.hsm.clone(),
        ],
        Err(error) => {
            let id = if node.id == 0 {
                "-".to_owned()
            } else {
                node.id.to_string()
            };
            let blank = || "-".to_owned();
            let mut row = vec![node.name.clone(), id, "unreachable".to_owned()];
            row.extend([
                blank(),
                blank(),
                blank(),
                blank(),
                blank(),
                error.to_string(),
            ]);
            row
        }
    };
    let headings = [
        "NODE", "ID", "ROLE", "SEAL", "APPLIED", "LAG", "AUDIT", "ROOT", "HSM",
    ];
    table::render(&headings, &answers.iter().map(row).collect::<Vec<_>>())
}

fn json(answers: &[Answer<v1::NodeStatus>]) -> Value {
    let committed = committed(answers);
    let nodes = answers.iter().map(|(node, answer)| match answer {
        Ok(status) => {
            let lag = committed.saturating_sub(status.applied_index);
            json!({
                "name": node.name,
                "address": node.address,
                "reachable": true,
                "node_id": status.node_id,
                "version": status.version,
                "role": show::raft_role(status.role),
                "term": status.term,
                "leader_id": status.leader_id,
                "seal": show::seal(status.seal),
                "last_log_index": status.last_log_index,
                "committed_index": status.committed_index,
                "applied_index": status.applied_index,
                "snapshot_index": status.snapshot_index,
                "lag": lag,
                "audit_size": status.audit_size,
                "audit_root": hex::encode(&status.audit_root),
                "hsm": status.hsm,
                "storage_fault": status.storage_fault,
                "uptime_ms": status.uptime_ms,
                "uses_total": status.uses_total,
                "log_syncs_total": status.log_syncs_total,
                "refused_connections_total": status.refused_connections_total,
            })
        }
        Err(error) => json!({
            "name": node.name,
            "address": node.address,
            "reachable": false,
            "node_id": node.id,
            "error": error.to_string(),
        }),
    });
    json!({ "nodes": nodes.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_client::ClientError;

    #[test]
    fn a_node_that_does_not_answer_is_a_row_too() {
        let node = |id, name: &str| fleet::Node {
            id,
            name: name.into(),
            address: "a:1".into(),
        };
        let status = v1::NodeStatus {
            node_id: 1,
            role: 1,
            seal: 3,
            committed_index: 20,
            applied_index: 18,
            audit_size: 7,
            audit_root: vec![0xab; 32],
            hsm: "SoftHSM".into(),
            ..v1::NodeStatus::default()
        };
        let lost = ClientError::EndpointCount { actual: 0 };
        let answers = [
            (node(1, "node1"), Ok(status)),
            (node(2, "node2"), Err(lost)),
        ];
        assert_eq!(
            text(&answers),
            "NODE   ID  ROLE         SEAL      APPLIED  LAG  AUDIT  ROOT          HSM\n\
             node1  1   leader       unsealed  18       2    7      abababababab  SoftHSM\n\
             node2  2   unreachable  -         -        -    -      -             \
             a client is given 1 to 255 endpoints, not 0"
        );
        let json = json(&answers);
        assert_eq!(json["nodes"][0]["lag"], 2);
        assert_eq!(json["nodes"][1]["reachable"], false);
    }
}
