//! `conclave custody unseal`.

use crate::error::CliError;
use crate::files;
use crate::fleet::{self, Answer};
use crate::session::Session;
use clap::Args;
use conclave_client::{Client, ClientError, v1};
use conclave_crypto::limits::{IDENTITY_FILE_BYTES_MAX, SHARE_FILE_BYTES_MAX};
use conclave_crypto::{CryptoError, ShareFile, decrypt_with};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const HELP: &str = "\
Example:
  conclave custody unseal --share share.age --identity identity.txt

Your share goes to every sealed node, so each custodian does this once for the whole
cluster. When a threshold of you have done so within ten minutes, the nodes serve.";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct UnsealArgs {
    /// Your share, as the ceremony made it
    #[arg(long, value_name = "FILE")]
    share: PathBuf,
    /// The identity that opens it
    #[arg(long, value_name = "FILE")]
    identity: PathBuf,
}

/// What came of a node.
#[derive(Debug)]
enum Progress {
    /// It served before.
    UnsealedAlready,
    /// The share counts.
    Counted(v1::CustodyStatus),
}

pub(crate) async fn run(args: &UnsealArgs, session: &Session) -> Result<(), CliError> {
    let share = open_share(&args.share, &args.identity)?;
    let client = session.custody_client()?;
    let nodes = fleet::discover(&client).await;
    let answers = fleet::ask_each(&client, nodes, |node| give(node, &share)).await;
    session.output.print(|| text(&answers), || json(&answers))?;
    judge(&answers)
}

fn open_share(share: &Path, identity: &Path) -> Result<ShareFile, CliError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source: CryptoError| CliError::Custody { path, source }
    };
    let encrypted = files::read(share, SHARE_FILE_BYTES_MAX)?;
    let text = files::read(identity, IDENTITY_FILE_BYTES_MAX)?;
    let text =
        std::str::from_utf8(&text).map_err(|_| wrong(identity)(CryptoError::AgeIdentityMissing))?;
    let opened = decrypt_with(text, &encrypted).map_err(|error| {
        let at_identity = matches!(
            error,
            CryptoError::AgeIdentity { .. } | CryptoError::AgeIdentityMissing
        );
        wrong(if at_identity { identity } else { share })(error)
    })?;
    ShareFile::parse(opened.expose()).map_err(wrong(share))
}

async fn give(node: Client, share: &ShareFile) -> Result<Progress, ClientError> {
    let before = node.custody_status(v1::CustodyStatusRequest {}).await?;
    if before.state() == v1::SealState::Unsealed {
        return Ok(Progress::UnsealedAlready);
    }
    let request = v1::SubmitShareRequest {
        request_id: Vec::new(),
        custodian: share.custodian.to_string(),
        cluster_id: share.cluster.as_bytes().to_vec(),
        set_id: share.set.set_id.as_bytes().to_vec(),
        generation: share.set.generation.0,
        share: share.share.expose().to_vec(),
    };
    let nothing = ClientError::BadAnswer {
        what: "it does not say how far the unseal is",
    };
    let after = node.submit_share(request).await?.status.ok_or(nothing)?;
    Ok(Progress::Counted(after))
}

fn text(answers: &[Answer<Progress>]) -> String {
    let line = |(node, answer): &Answer<Progress>| match answer {
        Ok(progress) => format!("{}: {}", node.name, describe(progress)),
        Err(error) => format!("{}: not done: {error}", node.name),
    };
    answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn describe(progress: &Progress) -> String {
    match progress {
        Progress::UnsealedAlready => "unsealed already".to_owned(),
        Progress::Counted(status) if status.state() == v1::SealState::Unsealed => {
            "unsealed".to_owned()
        }
        Progress::Counted(status) => super::nodes::attempt_text(status),
    }
}

fn json(answers: &[Answer<Progress>]) -> Value {
    let nodes = answers.iter().map(|(node, answer)| {
        let mut shown = match answer {
            Ok(Progress::UnsealedAlready) => json!({ "state": "unsealed", "counted": false }),
            Ok(Progress::Counted(status)) => {
                let mut shown = super::nodes::status_json(status);
                shown["counted"] = json!(true);
                shown
            }
            Err(error) => json!({ "error": error.to_string(), "reason": error.reason() }),
        };
        shown["node"] = json!(node.name);
        shown
    });
    json!({ "nodes": nodes.collect::<Vec<_>>() })
}

/// Done if the share counted somewhere, or if there is nothing left to unseal.
fn judge(answers: &[Answer<Progress>]) -> Result<(), CliError> {
    if answers.iter().any(|(_, answer)| answer.is_ok()) {
        return Ok(());
    }
    Err(CliError::Nodes {
        problem: "the share counts on no node".to_owned(),
        remedy: "see above what each node said; the shares of the others still count",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use conclave_client::v1::{SealState, UnsealAttempt};
    use conclave_core::{ClusterId, CustodianName, Generation, SetId};
    use conclave_crypto::{Share, ShareSet, encrypt_to, generate_identity};

    fn answers() -> Vec<Answer<Progress>> {
        let node = |id| fleet::Node {
            id,
            name: format!("node{id}"),
            address: "a:1".into(),
        };
        let attempt = UnsealAttempt {
            submitted_by: vec!["alice".into(), "bob".into()],
            ..UnsealAttempt::default()
        };
        let sealed = v1::CustodyStatus {
            state: SealState::Sealed.into(),
            threshold: 3,
            attempt: Some(attempt),
            ..v1::CustodyStatus::default()
        };
        let unsealed = v1::CustodyStatus {
            state: SealState::Unsealed.into(),
            ..v1::CustodyStatus::default()
        };
        let lost = ClientError::EndpointCount { actual: 0 };
        vec![
            (node(1), Ok(Progress::Counted(sealed))),
            (node(2), Ok(Progress::Counted(unsealed))),
            (node(3), Ok(Progress::UnsealedAlready)),
            (node(4), Err(lost)),
        ]
    }

    #[test]
    fn progress_is_shown_for_each_node() {
        assert_eq!(
            text(&answers()),
            "node1: 2 of 3 (alice, bob)\n\
             node2: unsealed\n\
             node3: unsealed already\n\
             node4: not done: a client is given 1 to 255 endpoints, not 0"
        );
        assert_eq!(json(&answers())["nodes"][0]["submitted_by"][1], "bob");
    }

    #[test]
    fn a_share_that_counts_nowhere_is_a_failure() {
        assert!(judge(&answers()).is_ok());
        assert_eq!(judge(&answers()[3..]).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn shares_open_with_the_identity_that_they_were_made_for_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let file = ShareFile {
            cluster: ClusterId([1; 16]),
            set: ShareSet {
                set_id: SetId([2; 16]),
                generation: Generation(3),
                threshold: 2,
                count: 3,
            },
            custodian: CustodianName::new("alice").unwrap(),
            share: Share::from_bytes(&[1; 113]).unwrap(),
        };
        let (mine, recipient) = generate_identity();
        let (other, _) = generate_identity();
        let encrypted = encrypt_to(&recipient, file.to_bytes().expose()).unwrap();
        std::fs::write(path("share"), encrypted).unwrap();
        std::fs::write(path("mine"), mine.expose()).unwrap();
        std::fs::write(path("other"), other.expose()).unwrap();
        let opened = open_share(&path("share"), &path("mine")).map_err(|error| error.to_string());
        assert_eq!(
            opened.map(|share| share.custodian.to_string()),
            Ok("alice".to_owned())
        );
        let refused = open_share(&path("share"), &path("other")).err().unwrap();
        assert!(
            refused.to_string().contains("another recipient"),
            "{refused}"
        );
        let swapped = open_share(&path("mine"), &path("share")).err().unwrap();
        assert!(matches!(swapped, CliError::Custody { .. }));
    }
}
