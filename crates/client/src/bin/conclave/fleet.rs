//! The nodes of the cluster, asked one by one.

use crate::error::CliError;
use crate::limits::DISCOVERY_MAX;
use conclave_client::{Client, ClientError, v1};
use futures::future::join_all;
use std::collections::BTreeMap;

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// 0 if not known.
    pub(crate) id: u64,
    /// Its name, or its address if that is all that is known.
    pub(crate) name: String,
    /// `host:port`.
    pub(crate) address: String,
}

impl Node {
    /// One of which only the address is known.
    pub(crate) fn unknown(address: &str) -> Self {
        Self {
            id: 0,
            name: address.to_owned(),
            address: address.to_owned(),
        }
    }
}

/// What a node answered.
pub(crate) type Answer<T> = (Node, Result<T, ClientError>);

/// The members as any node tells them; if none does, the endpoints that were given.
pub(crate) async fn discover(client: &Client) -> Vec<Node> {
    let quick = client.with_deadline(client.deadline().min(DISCOVERY_MAX));
    match quick.members(v1::MembersRequest::default()).await {
        Ok(answer) if !answer.members.is_empty() => answer.members.into_iter().map(known).collect(),
        Ok(_) | Err(_) => client.endpoints().map(Node::unknown).collect(),
    }
}

/// Asks all nodes at once. Each answers for itself.
pub(crate) async fn ask_each<T, F>(
    client: &Client,
    nodes: Vec<Node>,
    ask: impl Fn(Client) -> F,
) -> Vec<Answer<T>>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let asked = nodes.into_iter().map(|node| {
        let asking = client.node(&node.address).map(&ask);
        async move {
            let answer = match asking {
                Ok(asking) => asking.await,
                Err(error) => Err(error),
            };
            (node, answer)
        }
    });
    join_all(asked).await
}

/// Two logs of one size have one root, or somebody has rewritten history.
pub(crate) fn compare_roots<'a>(
    roots: impl Iterator<Item = (&'a str, u64, &'a [u8])>,
) -> Result<(), CliError> {
    let mut seen: BTreeMap<u64, (&str, &[u8])> = BTreeMap::new();
    for (name, size, root) in roots {
        let (first, expected) = *seen.entry(size).or_insert((name, root));
        if expected != root {
            return Err(CliError::Nodes {
                problem: format!(
                    "the audit logs of {first} and {name} contradict each other at {size} records"
                ),
                remedy: "one of them was rewritten: keep both nodes' disks, and call the security \
                         officer",
            });
        }
    }
    Ok(())
}

/// An error if no node did.
pub(crate) fn someone_answered<T>(answers: &[Answer<T>]) -> Result<(), CliError> {
    if answers.iter().any(|(_, answer)| answer.is_ok()) {
        return Ok(());
    }
    Err(CliError::Nodes {
        problem: "no node answered".to_owned(),
        remedy: "check the addresses, that the nodes run, and that --ca, --cert and --cert-key \
                 belong to this cluster",
    })
}

fn known(member: v1::Member) -> Node {
    Node {
        id: member.node_id,
        name: member.name,
        address: member.api_address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_one_size_have_one_root() {
        let same = [("n1", 5, [1].as_slice()), ("n2", 4, &[2]), ("n3", 5, &[1])];
        assert!(compare_roots(same.into_iter()).is_ok());
        let forked = [("n1", 5, [1].as_slice()), ("n2", 4, &[2]), ("n3", 5, &[3])];
        let error = compare_roots(forked.into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the audit logs of n1 and n3 contradict each other at 5 records"
        );
    }
}
