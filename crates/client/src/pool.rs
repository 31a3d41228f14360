//! The nodes of a client, and which of them it speaks to now.

use crate::channel::Node;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Nodes in a ring; all callers stay with one until it fails.
pub(crate) struct Pool {
    nodes: Vec<Arc<Node>>,
    current: AtomicUsize,
}

impl Pool {
    /// Of at least one node.
    pub(crate) fn new(nodes: Vec<Arc<Node>>) -> Self {
        assert!(!nodes.is_empty(), "a pool has a node");
        Self {
            nodes,
            current: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where the next call begins.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn node(&self, place: usize) -> &Arc<Node> {
        &self.nodes[place % self.nodes.len()]
    }

    /// The node at `place` failed: later calls begin at the next one, unless another caller has
    /// moved on already.
    pub(crate) fn leave(&self, place: usize) -> usize {
        let next = (place + 1) % self.nodes.len();
        let moved = |current| (current == place).then_some(next);
        let _ = self
            .current
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
        next
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.address())
    }

    pub(crate) fn find(&self, address: &str) -> Option<Arc<Node>> {
        self.nodes
            .iter()
            .find(|node| node.address() == address)
            .cloned()
    }
}
