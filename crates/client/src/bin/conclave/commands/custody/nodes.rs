//! `conclave custody status`, `cancel` and `seal`: node by node.

use crate::error::CliError;
use crate::fleet::{self, Answer, Node};
use crate::session::Session;
use crate::{show, table};
use clap::Args;
use conclave_client::{Client, ClientError, v1};
use serde_json::{Value, json};

const SEAL_HELP: &str = "\
Examples:
  conclave custody seal --node 2
  conclave custody seal --all --reason 'drill'

A sealed node replicates and votes, but uses no key until custodians unseal it.";

#[derive(Debug, Args)]
#[command(after_help = SEAL_HELP)]
pub(crate) struct SealArgs {
    /// The node with this id [default: the one endpoint that was given]
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    node: Option<u64>,
    /// Every node
    #[arg(long)]
    all: bool,
    /// Why, for the audit log and for whoever wonders
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Shows every node's seal.
pub(crate) async fn status(session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    let nodes = fleet::discover(&client).await;
    let ask = |node: Client| async move { node.custody_status(v1::CustodyStatusRequest {}).await };
    let answers = fleet::ask_each(&client, nodes, ask).await;
    show(&answers, session)?;
    fleet::someone_answered(&answers)
}

/// Forgets the shares given so far, on every sealed node.
pub(crate) async fn cancel(session: &Session) -> Result<(), CliError> {
    let client = session.custody_client()?;
    let nodes = fleet::discover(&client).await;
    let answers = fleet::ask_each(&client, nodes, forget).await;
    show(&answers, session)?;
    everyone_answered(&answers)
}

async fn forget(node: Client) -> Result<v1::CustodyStatus, ClientError> {
    let before = node.custody_status(v1::CustodyStatusRequest {}).await?;
    let Some(attempt) = &before.attempt else {
        return Ok(before);
    };
    let attempt_id = attempt.attempt_id.clone();
    let request = v1::CancelRequest {
        request_id: Vec::new(),
        attempt_id,
    };
    node.cancel_unseal(request)
        .await?
        .status
        .ok_or(NOTHING_SAID)
}

/// Seals what was asked for.
pub(crate) async fn seal(args: SealArgs, session: &Session) -> Result<(), CliError> {
    let client = session.custody_client()?;
    let nodes = choose(&args, &client).await?;
    let reason = &args.reason;
    let ask = |node: Client| async move {
        let request = v1::SealRequest {
            request_id: Vec::new(),
            reason: reason.clone(),
        };
        node.seal(request).await?.status.ok_or(NOTHING_SAID)
    };
    let answers = fleet::ask_each(&client, nodes, ask).await;
    show(&answers, session)?;
    everyone_answered(&answers)
}

const NOTHING_SAID: ClientError = ClientError::BadAnswer {
    what: "it does not say how its seal is",
};

async fn choose(args: &SealArgs, client: &Client) -> Result<Vec<Node>, CliError> {
    if args.all {
        return Ok(fleet::discover(client).await);
    }
    let Some(id) = args.node else {
        let mut given = client.endpoints();
        return match (given.next(), given.next()) {
            (Some(address), None) => Ok(vec![Node::unknown(address)]),
            _ => Err(CliError::Usage {
                problem: "it is not said which node to seal".to_owned(),
                remedy: "add --node ID or --all; `conclave cluster members` shows the ids",
            }),
        };
    };
    let nodes = fleet::discover(client).await;
    match nodes.into_iter().find(|node| node.id == id) {
        Some(node) => Ok(vec![node]),
        None => Err(CliError::Usage {
            problem: format!("there is no node {id}, or no node could be asked for the members"),
            remedy: "see `conclave cluster members`",
        }),
    }
}

/// What was to be done on each node must have been done on each.
fn everyone_answered<T>(answers: &[Answer<T>]) -> Result<(), CliError> {
    let failed = answers.iter().filter(|(_, answer)| answer.is_err());
    let names: Vec<&str> = failed.map(|(node, _)| node.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(CliError::Nodes {
        problem: format!("not done on {}", names.join(", ")),
        remedy: "see above what each said, and repeat it",
    })
}

fn show(answers: &[Answer<v1::CustodyStatus>], session: &Session) -> Result<(), CliError> {
    session.output.print(|| text(answers), || json(answers))
}

fn text(answers: &[Answer<v1::CustodyStatus>]) -> String {
    let row = |(node, answer): &Answer<v1::CustodyStatus>| match answer {
        Ok(status) => {
            let sealed = status.state() == v1::SealState::Sealed;
            let shares = if sealed {
                attempt_text(status)
            } else {
                "-".to_owned()
            };
            vec![
                node.name.clone(),
                show::seal(status.state),
                shares,
                status.seal_reason.clone(),
            ]
        }
        Err(error) => {
            let texts = [&node.name, "unreachable", "-", &error.to_string()];
            texts.map(str::to_owned).to_vec()
        }
    };
    let rows: Vec<_> = answers.iter().map(row).collect();
    let nodes = table::render(&["NODE", "SEAL", "SHARES", "WHY"], &rows);
    let custody = answers
        .iter()
        .filter_map(|(_, answer)| answer.as_ref().ok());
    match custody.max_by_key(|status| status.generation) {
        Some(status) if !status.custodians.is_empty() => {
            format!("{nodes}\n\n{}", custodians_text(status))
        }
        Some(_) | None => nodes,
    }
}

fn custodians_text(status: &v1::CustodyStatus) -> String {
    let names: Vec<&str> = status
        .custodians
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let (threshold, count) = (status.threshold, names.len());
    let generation = status.generation;
    format!(
        "custodians: {} ({threshold} of {count} unseal; generation {generation}, set {})",
        names.join(", "),
        hex::encode(&status.set_id)
    )
}

/// How far an unseal is, `2 of 3 (alice, bob)`.
pub(super) fn attempt_text(status: &v1::CustodyStatus) -> String {
    let names = status
        .attempt
        .as_ref()
        .map_or(&[][..], |attempt| &attempt.submitted_by);
    let count = format!("{} of {}", names.len(), status.threshold);
    if names.is_empty() {
        count
    } else {
        format!("{count} ({})", names.join(", "))
    }
}

/// A node's seal.
pub(super) fn status_json(status: &v1::CustodyStatus) -> Value {
    let attempt = status.attempt.as_ref();
    let custodians = status
        .custodians
        .iter()
        .map(|custodian| json!({ "name": custodian.name, "recipient": custodian.recipient }));
    json!({
        "node_id": status.node_id,
        "state": show::seal(status.state),
        "seal_reason": status.seal_reason,
        "threshold": status.threshold,
        "generation": status.generation,
        "set_id": hex::encode(&status.set_id),
        "cluster_id": hex::encode(&status.cluster_id),
        "custodians": custodians.collect::<Vec<_>>(),
        "submitted_by": attempt.map(|attempt| attempt.submitted_by.clone()).unwrap_or_default(),
        "attempt_id": attempt.map(|attempt| hex::encode(&attempt.attempt_id)),
        "attempt_expires_at": attempt.map(|attempt| show::time(attempt.expires_at.as_ref())),
    })
}

fn json(answers: &[Answer<v1::CustodyStatus>]) -> Value {
    let nodes = answers.iter().map(|(node, answer)| {
        let mut shown = match answer {
            Ok(status) => status_json(status),
            Err(error) => json!({ "error": error.to_string(), "reason": error.reason() }),
        };
        shown["node"] = json!(node.name);
        shown
    });
    json!({ "nodes": nodes.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_are_a_table() {
        let node = |id| Node {
            id,
            name: format!("node{id}"),
            address: "a:1".into(),
        };
        let custodian = |name: &str| v1::Custodian {
            name: name.into(),
            recipient: "age1".into(),
        };
        let status = v1::CustodyStatus {
            state: v1::SealState::Sealed.into(),
            threshold: 2,
            generation: 1,
            set_id: vec![0xcd; 2],
            custodians: vec![custodian("alice"), custodian("bob")],
            seal_reason: "start".into(),
            ..v1::CustodyStatus::default()
        };
        let answers = [(node(1), Ok(status)), (node(2), Err(NOTHING_SAID))];
        assert_eq!(
            text(&answers),
            "NODE   SEAL         SHARES  WHY\n\
             node1  sealed       0 of 2  start\n\
             node2  unreachable  -       the node's answer makes no sense: it does not say how its \
             seal is\n\n\
             custodians: alice, bob (2 of 2 unseal; generation 1, set cdcd)"
        );
        assert!(everyone_answered(&answers).is_err());
    }
}
