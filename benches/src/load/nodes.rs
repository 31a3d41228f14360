//! What the nodes themselves count.

use super::real;
use conclave_client::v1::{ClusterStatusRequest, NodeStatus};
use conclave_client::{Client, ClientError};
use std::time::Instant;

/// The counters of the nodes at one instant. One that does not answer is left out.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    read: Instant,
    nodes: Vec<NodeStatus>,
}

/// What was counted between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counted {
    /// Entries that were applied.
    pub(super) entries: u64,
    /// Audit records in them.
    pub(super) records: u64,
    /// Syncs of disks a second, all nodes together that were seen in both looks.
    pub(super) syncs_per_second: f64,
}

impl Counters {
    /// Asks all nodes that the client was given.
    pub(super) async fn read(client: &Client) -> Self {
        let ask = async |address: &str| -> Result<NodeStatus, ClientError> {
            client
                .node(address)?
                .cluster_status(ClusterStatusRequest::default())
                .await
        };
        let mut nodes = Vec::new();
        for address in client.endpoints() {
            nodes.extend(ask(address).await.ok());
        }
        Self {
            read: Instant::now(),
            nodes,
        }
    }

    /// What came since an earlier look, by the node that is furthest of those seen in both; none if there is none.
    pub(super) fn since(&self, earlier: &Self) -> Option<Counted> {
        let before = |now: &NodeStatus| earlier.nodes.iter().find(|it| it.node_id == now.node_id);
        let pairs = self
            .nodes
            .iter()
            .filter_map(|now| Some((now, before(now)?)));
        let pairs: Vec<_> = pairs.collect();
        let syncs = |(now, then): &(&NodeStatus, &NodeStatus)| {
            now.log_syncs_total.saturating_sub(then.log_syncs_total)
        };
        let syncs: u64 = pairs.iter().map(syncs).sum();
        let (now, then) = pairs.into_iter().max_by_key(|(now, _)| now.applied_index)?;
        let seconds = self.read.duration_since(earlier.read).as_secs_f64();
        Some(Counted {
            entries: now.applied_index.saturating_sub(then.applied_index),
            records: now.audit_size.saturating_sub(then.audit_size),
            syncs_per_second: real(syncs) / seconds.max(f64::MIN_POSITIVE),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn counters(nodes: &[(u64, u64, u64)]) -> Counters {
        let status = |(node_id, applied_index, audit_size): &(u64, u64, u64)| NodeStatus {
            node_id: *node_id,
            log_syncs_total: 10 * applied_index,
            applied_index: *applied_index,
            audit_size: *audit_size,
            ..NodeStatus::default()
        };
        Counters {
            read: Instant::now(),
            nodes: nodes.iter().map(status).collect(),
        }
    }

    #[test]
    fn a_node_is_compared_with_itself() {
        let before = counters(&[(1, 10, 100), (2, 9, 90)]);
        let mut after = counters(&[(3, 99, 999), (1, 12, 160), (2, 20, 400)]);
        after.read = before.read + Duration::from_secs(2);
        let counted = after.since(&before).unwrap();
        assert_eq!((counted.entries, counted.records), (11, 310));
        assert!(
            (counted.syncs_per_second - 65.0).abs() < 1e-9,
            "2 and 11 times 10 in 2 s"
        );
        assert_eq!(counters(&[]).since(&before), None);
    }
}
