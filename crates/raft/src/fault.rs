//! The one thing that ends a replica before its time.

use std::sync::Arc;
use tokio::sync::watch;

/// Empty until something fatal happens; the first one stays. Clones are the same fault.
#[derive(Clone)]
pub(crate) struct Fault(Arc<watch::Sender<Option<String>>>);

impl Fault {
    pub(crate) fn none() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Remembers what happened, unless something did before.
    pub(crate) fn set(&self, text: &str) {
        if self.set_first(text) {
            tracing::error!(fault = text, "replication stops on this node");
        }
    }

    /// Ends the replica because somebody wants it to.
    pub(crate) fn end(&self) {
        self.set_first("this node is stopping");
    }

    fn set_first(&self, text: &str) -> bool {
        self.0.send_if_modified(|fault| {
            let is_first = fault.is_none();
            if is_first {
                *fault = Some(text.to_owned());
            }
            is_first
        })
    }

    pub(crate) fn get(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.0.subscribe()
    }

    /// Waits for it.
    pub(crate) async fn happened(&self) -> String {
        let mut fault = self.0.subscribe();
        let happened = fault
            .wait_for(Option::is_some)
            .await
            .expect("we hold the sender");
        happened.clone().expect("waited for it")
    }
}
