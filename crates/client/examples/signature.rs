//! Signs a document inside the cluster, and verifies it without: with the public key, and `ring`. Then does something wrong,
//! to show what an error says.

mod support;

use conclave_client::v1;
use ring::digest::{SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

const KEY: &str = "programs/documents";
const DOCUMENT: &[u8] = b"We owe the bearer one glass of water.";
/// An uncompressed point of P-256, with which its `SubjectPublicKeyInfo` ends.
const POINT_BYTES: usize = 65;

#[tokio::main]
async fn main() -> ExitCode {
    support::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let client = support::connect()?;
    let mut out = io::stdout();
    support::create_once(&client, KEY, v1::Algorithm::EcdsaP256).await?;

    // Only the digest leaves this machine, however long the document is.
    let request = v1::SignRequest {
        key: KEY.to_owned(),
        input: Some(v1::sign_request::Input::Digest(
            digest(&SHA256, DOCUMENT).as_ref().to_vec(),
        )),
        scheme: v1::SignatureScheme::EcdsaDer.into(),
        ..v1::SignRequest::default()
    };
    let signed = client.sign(request).await?;
    writeln!(
        out,
        "signed by version {} of {}",
        signed.version, signed.key
    )?;

    let request = v1::GetPublicKeyRequest {
        name: KEY.to_owned(),
        version: signed.version,
        ..v1::GetPublicKeyRequest::default()
    };
    let public = client.get_public_key(request).await?;
    let start = public.der.len().checked_sub(POINT_BYTES);
    let point = start.and_then(|start| public.der.get(start..));
    let point = point.ok_or("not a public key of P-256")?;
    let verified =
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(DOCUMENT, &signed.signature);
    verified.map_err(|_| "the signature is not that of the document")?;
    writeln!(out, "verified without the cluster")?;

    let request = v1::EncryptRequest {
        key: KEY.to_owned(),
        ..v1::EncryptRequest::default()
    };
    if let Err(error) = client.encrypt(request).await {
        writeln!(out, "{}: {error}", error.reason())?;
        writeln!(out, "what to do: {}", error.remedy())?;
    }
    Ok(())
}
