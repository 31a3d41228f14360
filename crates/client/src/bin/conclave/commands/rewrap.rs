//! `conclave key rewrap` and `conclave key set-rewrap`.

use crate::error::CliError;
use crate::limits::REWRAP_LOOK_INTERVAL;
use crate::parse::key_name;
use crate::session::Session;
use crate::show;
use clap::Args;
use conclave_client::{Client, ClientError, v1};
use tokio::time::sleep;

#[derive(Debug, Args)]
pub(crate) struct RewrapArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    /// Wait until none is left, and say how far it has come meanwhile
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    #[command(flatten)]
    policy: Policy,
}

/// What becomes of registered data keys.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    /// Wrap registered data keys anew only when asked to, not after each rotation
    #[arg(long = "rewrap-by-hand")]
    by_hand: bool,
    /// Deactivate a version as soon as it wraps no registered data key any more
    #[arg(long)]
    deactivate_old_versions: bool,
}

impl From<Policy> for v1::RewrapPolicy {
    fn from(policy: Policy) -> Self {
        Self {
            by_hand: policy.by_hand,
            deactivate_old_versions: policy.deactivate_old_versions,
        }
    }
}

impl From<PolicyArgs> for v1::SetRewrapPolicyRequest {
    fn from(args: PolicyArgs) -> Self {
        Self {
            request_id: Vec::new(),
            name: args.name,
            policy: Some(args.policy.into()),
        }
    }
}

/// Asks for it, and looks after it if the caller wants to.
pub(crate) async fn run(
    client: &Client,
    args: RewrapArgs,
    session: &Session,
) -> Result<v1::Key, ClientError> {
    let request = v1::RewrapDataKeysRequest {
        request_id: Vec::new(),
        name: args.name.clone(),
    };
    let mut key = client.rewrap_data_keys(request).await?;
    let mut said = None;
    while args.wait && key.data_keys_to_rewrap > 0 {
        if said != Some(key.data_keys_to_rewrap) {
            session.output.note(&show::rewrap_progress(&key));
            said = Some(key.data_keys_to_rewrap);
        }
        sleep(REWRAP_LOOK_INTERVAL).await;
        let request = v1::GetKeyRequest {
            name: args.name.clone(),
            ..v1::GetKeyRequest::default()
        };
        key = client.get_key(request).await?;
    }
    Ok(key)
}

/// Prints how far it has come.
pub(crate) fn shown(key: &v1::Key, session: &Session) -> Result<(), CliError> {
    session
        .output
        .print(|| show::rewrap_progress(key), || show::key_json(key))
}
