//! `conclave audit prove`, `conclave audit verify` and `conclave key certificate`.

use crate::destination::Destination;
use crate::error::CliError;
use crate::files;
use crate::limits::PROOF_BYTES_MAX;
use crate::parse::key_name;
use crate::session::Session;
use crate::show;
use clap::Args;
use conclave_client::proof::{Certified, ProofError, RecordProof};
use conclave_client::store::v1::AuditRecord;
use conclave_client::{ClientError, v1};
use conclave_crypto::CryptoError;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt as _;

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The records' numbers, 1 to 100
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<u64>,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// What `audit prove` or `key certificate` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The cluster's verifier key
    #[arg(long, value_name = "KEY")]
    verifier_key: String,
}

#[derive(Debug, Args)]
pub(crate) struct CertificateArgs {
    /// The key's name
    #[arg(value_parser = key_name)]
    name: String,
    /// Of this version [default: of the key as a whole]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn prove(args: ProveArgs, session: &Session) -> Result<(), CliError> {
    let request = v1::ProveRecordsRequest {
        sequences: args.records,
        ..v1::ProveRecordsRequest::default()
    };
    let proofs = session.client()?.prove_records(request).await?;
    write(proofs, args.out.as_deref()).await
}

pub(crate) async fn certificate(args: CertificateArgs, session: &Session) -> Result<(), CliError> {
    let request = v1::GetDestructionCertificateRequest {
        name: args.name,
        version: args.version.unwrap_or(0),
        ..v1::GetDestructionCertificateRequest::default()
    };
    let client = session.client()?;
    let certificate = client.get_destruction_certificate(request).await?;
    let destruction = certificate.destruction.unwrap_or_default();
    write(certificate.proofs.unwrap_or_default(), args.out.as_deref()).await?;
    let (erased, nodes) = (destruction.erased_by_nodes.len(), destruction.nodes);
    if u32::try_from(erased).is_ok_and(|erased| erased < nodes) {
        session.output.note(&format!(
            "erased on {erased} of {nodes} nodes so far: have the certificate made again when it is on all"
        ));
    }
    Ok(())
}

async fn write(proofs: v1::RecordProofs, to: Option<&Path>) -> Result<(), CliError> {
    let nonsense = ClientError::BadAnswer {
        what: "a proof of the audit log is none",
    };
    let proofs = RecordProof::of(proofs).ok_or(nonsense)?;
    let texts: Vec<_> = proofs.iter().map(ToString::to_string).collect();
    let mut out = Destination::open(to, false)?;
    let written = out.writer().write_all(texts.join("\n").as_bytes()).await;
    written.map_err(CliError::file("write", out.path()))?;
    out.finish().await
}

pub(crate) fn verify(args: &VerifyArgs, session: &Session) -> Result<(), CliError> {
    let bytes = files::read(&args.file, PROOF_BYTES_MAX)?;
    let proved = proved(&bytes, &args.verifier_key).map_err(|why| refused(&args.file, why))?;
    let records: Vec<_> = proved.iter().map(|(record, _)| record.clone()).collect();
    let certified = Certified::by(&records).ok();
    session.output.print(
        || text(&proved, certified.as_ref()),
        || json(&proved, certified.as_ref()),
    )
}

fn refused(path: &Path, why: ProofError) -> CliError {
    if let ProofError::Checkpoint {
        why: why @ CryptoError::VerifierKey,
        ..
    } = &why
    {
        return CliError::Usage {
            problem: why.to_string(),
            remedy: "give the whole key, as `conclave audit root` prints it",
        };
    }
    CliError::Proof {
        path: path.to_owned(),
        why,
    }
}

type Proved = Vec<(AuditRecord, u64)>;

fn proved(bytes: &[u8], verifier_key: &str) -> Result<Proved, ProofError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ProofError::Empty)?;
    let proofs = RecordProof::parse(text)?;
    proofs.iter().map(|it| it.verify(verifier_key)).collect()
}

fn entry(record: &AuditRecord) -> v1::AuditEntry {
    v1::AuditEntry {
        sequence: record.sequence,
        leaf: Vec::new(),
        record: Some(record.clone()),
    }
}

fn text(proved: &Proved, certified: Option<&Certified>) -> String {
    let records = proved.iter().map(|(record, size)| {
        let shown = show::audit_text(&entry(record));
        format!("{shown}\n          proved: in the cluster's log of {size} records")
    });
    let mut lines: Vec<_> = records.collect();
    if let Some(it) = certified {
        lines.push(String::new());
        let what = show::key_and_version(&it.key, it.version);
        let (id, at) = (hex::encode(&it.key_id), show::time_ms(it.destroyed_ms));
        lines.push(format!("destroyed: {what} (id {id}), {at}"));
        for (node, at) in &it.erased_ms {
            lines.push(format!("erased:    by node {node}, {}", show::time_ms(*at)));
        }
    }
    lines.join("\n")
}

fn json(proved: &Proved, certified: Option<&Certified>) -> Value {
    let record = |(record, size): &(AuditRecord, u64)| json!({ "record": show::audit_record_json(record), "size": size });
    let erased = |it: &Certified| {
        let nodes = it.erased_ms.iter();
        nodes
            .map(|(node, at)| json!({ "node_id": node, "time": show::time_ms(*at) }))
            .collect::<Vec<_>>()
    };
    let destroyed = certified.map(|it| {
        json!({
            "key": it.key,
            "key_id": hex::encode(&it.key_id),
            "version": it.version,
            "time": show::time_ms(it.destroyed_ms),
            "erased": erased(it),
        })
    });
    json!({
        "verified": true,
        "records": proved.iter().map(record).collect::<Vec<_>>(),
        "destroyed": destroyed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_key_that_is_none_is_a_wrong_option() {
        let of = |why| {
            refused(
                Path::new("a.tlog-proof"),
                ProofError::Checkpoint { record: 5, why },
            )
        };
        let wrong = of(CryptoError::VerifierKey);
        assert!(matches!(&wrong, CliError::Usage { problem, .. } if problem.contains("NAME+HASH")));
        let unsigned = of(CryptoError::Origin);
        assert!(matches!(unsigned, CliError::Proof { .. }));
    }
}
