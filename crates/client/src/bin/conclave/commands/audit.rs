//! `conclave audit`.

use super::proof;
use crate::error::CliError;
use crate::fleet::{self, Answer};
use crate::limits::RECORDS_PER_PAGE;
use crate::session::Session;
use crate::{show, table};
use clap::Subcommand;
use conclave_client::{Client, v1};
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show records, oldest first
    #[command(after_help = "\
Examples:
  conclave audit list --limit 20               the newest 20
  conclave audit list --start 0 --limit 5000   from the beginning
  conclave audit list --output json            with the bytes that are hashed")]
    List {
        /// The first record's number [default: so that the newest are shown]
        #[arg(long)]
        start: Option<u64>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show each record as it is committed, until interrupted
    #[command(after_help = "\
Examples:
  conclave audit tail
  conclave audit tail --start 0 --output json    everything, one JSON object a line")]
    Tail {
        /// Begin with this record [default: with the next one to come]
        #[arg(long)]
        start: Option<u64>,
    },
    /// Show the size and the root of the log
    #[command(after_help = "\
Examples:
  conclave audit root          with the signed checkpoint
  conclave audit root --all    on each node; the exit code is 1 if they contradict each other")]
    Root {
        /// Ask every node, and compare
        #[arg(long)]
        all: bool,
    },
    /// Write what proves to others that records are in the log
    #[command(after_help = "\
The file is text, C2SP tlog-proof, with the record's bytes in it. `conclave audit verify` reads it
without a cluster, and so do other tools.

Example:
  conclave audit prove 4711 4712 --out records.tlog-proof")]
    Prove(proof::ProveArgs),
    /// Verify proofs and certificates of destruction, without a cluster
    #[command(after_help = "\
The verifier key is the cluster's public key for its log. Have it from somebody whom you trust, and
not from whoever gave you the proof: `conclave audit root` prints it, and it never changes.

Example:
  conclave audit verify gone.tlog-proof --verifier-key 'conclave.example/…+c74f20a3+ARpc…'")]
    Verify(proof::VerifyArgs),
}

pub(crate) async fn run(command: AuditCommand, session: &Session) -> Result<(), CliError> {
    match command {
        AuditCommand::List { start, limit } => list(start, limit, session).await,
        AuditCommand::Tail { start } => tail(start, session).await,
        AuditCommand::Root { all: false } => root(session).await,
        AuditCommand::Root { all: true } => roots(session).await,
        AuditCommand::Prove(args) => proof::prove(args, session).await,
        AuditCommand::Verify(args) => proof::verify(&args, session),
    }
}

/// Prints page by page, so that a long list needs no more memory than a short one; as JSON, one
/// object a line.
async fn list(start: Option<u64>, limit: u32, session: &Session) -> Result<(), CliError> {
    let client = session.client()?;
    let mut next = match start {
        Some(start) => start,
        None => client
            .audit_root(newest())
            .await?
            .size
            .saturating_sub(limit.into()),
    };
    let mut left = limit;
    while left > 0 {
        let page_size = left.min(RECORDS_PER_PAGE);
        let request = v1::ListAuditRequest {
            start: next,
            page_size,
            ..Default::default()
        };
        let page = client.list_audit(request).await?;
        for entry in &page.entries {
            show_entry(entry, session)?;
        }
        let count = u32::try_from(page.entries.len()).unwrap_or(u32::MAX);
        next += u64::from(count);
        left = left.saturating_sub(count);
        if count == 0 || next >= page.size {
            break;
        }
    }
    Ok(())
}

async fn tail(start: Option<u64>, session: &Session) -> Result<(), CliError> {
    let mut tail = session.client()?.audit_tail(start).await?;
    loop {
        show_entry(&tail.next().await?, session)?;
    }
}

fn show_entry(entry: &v1::AuditEntry, session: &Session) -> Result<(), CliError> {
    session
        .output
        .print(|| show::audit_text(entry), || show::audit_json(entry))
}

async fn root(session: &Session) -> Result<(), CliError> {
    let root = session.client()?.audit_root(newest()).await?;
    let text = || {
        let hash = hex::encode(&root.root_hash);
        let mut lines = vec![format!("size: {}", root.size), format!("root: {hash}")];
        if !root.verifier_key.is_empty() {
            lines.push(format!("key:  {}", root.verifier_key));
        }
        if !root.checkpoint.is_empty() {
            lines.push(format!("\n{}", root.checkpoint.trim_end()));
        }
        lines.join("\n")
    };
    session.output.print(text, || root_json(&root))
}

fn newest() -> v1::AuditRootRequest {
    v1::AuditRootRequest::default()
}

fn root_json(root: &v1::AuditRoot) -> Value {
    json!({
        "size": root.size,
        "root": hex::encode(&root.root_hash),
        "applied_index": root.applied_index,
        "checkpoint": root.checkpoint,
        "verifier_key": root.verifier_key,
    })
}

async fn roots(session: &Session) -> Result<(), CliError> {
    let client = &session.client()?;
    let nodes = fleet::discover(client).await;
    let local = v1::ReadConsistency::Local.into();
    let ask = |node: Client| async move {
        node.audit_root(v1::AuditRootRequest { consistency: local })
            .await
    };
    let answers = fleet::ask_each(client, nodes, ask).await;
    session
        .output
        .print(|| roots_text(&answers), || roots_json(&answers))?;
    let known = answers
        .iter()
        .filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?)));
    let roots =
        known.map(|(node, root)| (node.name.as_str(), root.size, root.root_hash.as_slice()));
    fleet::compare_roots(roots)?;
    fleet::someone_answered(&answers)
}

fn roots_text(answers: &[Answer<v1::AuditRoot>]) -> String {
    let row = |(node, answer): &Answer<v1::AuditRoot>| match answer {
        Ok(root) => vec![
            node.name.clone(),
            root.size.to_string(),
            hex::encode(&root.root_hash),
        ],
        Err(error) => vec![node.name.clone(), "-".to_owned(), error.to_string()],
    };
    table::render(
        &["NODE", "SIZE", "ROOT"],
        &answers.iter().map(row).collect::<Vec<_>>(),
    )
}

fn roots_json(answers: &[Answer<v1::AuditRoot>]) -> Value {
    let nodes = answers.iter().map(|(node, answer)| {
        let mut shown = match answer {
            Ok(root) => root_json(root),
            Err(error) => json!({ "error": error.to_string() }),
        };
        shown["node"] = json!(node.name);
        shown
    });
    json!({ "nodes": nodes.collect::<Vec<_>>() })
}
