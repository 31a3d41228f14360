//! `conclave custody init`: the ceremony.

use crate::error::CliError;
use crate::files;
use crate::parse::custodian;
use crate::session::Session;
use clap::Args;
use conclave_client::{ClientError, v1};
use conclave_core::CustodianName;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Example:
  conclave custody init --threshold 2 --out shares \\
      --custodian alice=age1… --custodian bob=age1… --custodian carol=age1…

Each custodian makes an identity with `conclave custody keygen` and tells you its recipient,
age1…. Each gets DIR/NAME/share.age, which only that custodian can open. It takes a
threshold of them to unseal the nodes after a restart: choose it so that some may be away,
and no few can conspire.";

const SHARE_FILE: &str = "share.age";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct InitArgs {
    /// A custodian and its age recipient; repeat it for each
    #[arg(long = "custodian", value_name = "NAME=RECIPIENT", required = true)]
    #[arg(value_parser = custodian)]
    custodians: Vec<(CustodianName, String)>,
    /// How many custodians it takes to unseal
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(2..=255))]
    threshold: u32,
    /// The directory to write the shares to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) async fn run(args: InitArgs, session: &Session) -> Result<(), CliError> {
    let recipients = check(&args)?;
    let client = session.custody_client()?;
    let places = prepare(&args.out, &recipients)?;
    let custodian = |(name, recipient): (CustodianName, String)| v1::Custodian {
        name: name.into(),
        recipient,
    };
    let request = v1::InitRequest {
        request_id: client.request_id().to_vec(),
        custodians: args.custodians.into_iter().map(custodian).collect(),
        threshold: args.threshold,
    };
    let answer = client.custody_init(request).await?;
    keep(&answer, &places)?;
    let json = || {
        json!({
            "threshold": answer.threshold,
            "generation": answer.generation,
            "set_id": hex::encode(&answer.set_id),
            "audit_public_key": answer.audit_public_key,
            "shares": places,
        })
    };
    session.output.print(|| text(&answer, &places), json)
}

fn text(answer: &v1::InitResponse, places: &BTreeMap<String, PathBuf>) -> String {
    let files = places
        .iter()
        .map(|(name, path)| format!("  {name}: {}", path.display()));
    format!(
        "The root key is split into {} shares; {} of them rebuild it.\n\n{}\n\n\
         What to do next:\n\
         1. Give each custodian their file, and have them keep a copy of it elsewhere.\n\
         2. {} custodians each run\n\
         \x20      conclave custody unseal --share share.age --identity identity.txt\n\
         3. Note the public key of the audit log; it verifies the log without trust in any node:\n\
         \x20      {}",
        places.len(),
        answer.threshold,
        files.collect::<Vec<_>>().join("\n"),
        answer.threshold,
        answer.audit_public_key,
    )
}

fn check(args: &InitArgs) -> Result<BTreeMap<String, String>, CliError> {
    let mut recipients = BTreeMap::new();
    for (name, recipient) in &args.custodians {
        if recipients
            .insert(name.to_string(), recipient.clone())
            .is_some()
        {
            return Err(CliError::Usage {
                problem: format!("custodian {name} was named twice"),
                remedy: "name each custodian once",
            });
        }
    }
    if usize::try_from(args.threshold).is_ok_and(|threshold| threshold > recipients.len()) {
        let (threshold, count) = (args.threshold, recipients.len());
        return Err(CliError::Usage {
            problem: format!(
                "{threshold} shares can never be brought together, as there are {count}"
            ),
            remedy: "lower the threshold, or name more custodians",
        });
    }
    Ok(recipients)
}

/// Makes the directories, so that no share is lost because it cannot be written.
fn prepare(
    dir: &Path,
    recipients: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let mut places = BTreeMap::new();
    for name in recipients.keys() {
        let place = dir.join(name);
        files::create_dir(&place)?;
        let path = place.join(SHARE_FILE);
        if path.symlink_metadata().is_ok() {
            return Err(CliError::Exists { path });
        }
        let probe = place.join(".probe");
        drop(files::create_new(&probe)?);
        std::fs::remove_file(&probe).map_err(CliError::file("write", &probe))?;
        places.insert(name.clone(), path);
    }
    Ok(places)
}

/// Writes each share where its custodian's belongs; names in the answer choose no path of their
/// own.
fn keep(answer: &v1::InitResponse, places: &BTreeMap<String, PathBuf>) -> Result<(), CliError> {
    let shares: BTreeMap<&str, &[u8]> = answer
        .shares
        .iter()
        .map(|share| (share.custodian.as_str(), &*share.share))
        .collect();
    for (name, path) in places {
        let missing = ClientError::BadAnswer {
            what: "a custodian's share is missing",
        };
        let share = shares.get(name.as_str()).ok_or(missing)?;
        files::write_new(path, share)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(names: &[&str]) -> v1::InitResponse {
        let share = |name: &&str| v1::EncryptedShare {
            custodian: (*name).to_owned(),
            share: format!("share of {name}").into_bytes(),
        };
        v1::InitResponse {
            shares: names.iter().map(share).collect(),
            threshold: 2,
            ..v1::InitResponse::default()
        }
    }

    fn recipients(names: &[&str]) -> BTreeMap<String, String> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "age1x".to_owned()))
            .collect()
    }

    #[test]
    fn each_custodian_gets_a_file_and_none_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let places = prepare(dir.path(), &recipients(&["alice", "bob"])).unwrap();
        keep(&answer(&["bob", "alice"]), &places).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name).join(SHARE_FILE));
        assert_eq!(read("alice").unwrap(), "share of alice");
        assert_eq!(read("bob").unwrap(), "share of bob");
        let again = prepare(dir.path(), &recipients(&["bob", "carol"]));
        assert!(matches!(again, Err(CliError::Exists { .. })));
    }

    #[test]
    fn a_missing_share_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let places = prepare(dir.path(), &recipients(&["alice", "bob"])).unwrap();
        assert!(keep(&answer(&["alice", "../bob"]), &places).is_err());
    }

    #[test]
    fn impossible_ceremonies_are_wrong_usage() {
        let custodian = |name: &str| (CustodianName::new(name).unwrap(), "age1x".to_owned());
        let args = |names: &[&str], threshold| InitArgs {
            custodians: names.iter().map(|name| custodian(name)).collect(),
            threshold,
            out: PathBuf::new(),
        };
        assert!(check(&args(&["a", "b"], 2)).is_ok());
        assert_eq!(
            check(&args(&["a", "a", "b"], 2)).unwrap_err().exit_code(),
            2
        );
        assert_eq!(check(&args(&["a", "b"], 3)).unwrap_err().exit_code(), 2);
    }
}
