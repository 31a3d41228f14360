//! Moves a table to a new version of its key: 500 rows are encrypted in one call, the key is rotated, and all rows are
//! re-encrypted in another. No node gives them out in clear meanwhile.

mod support;

use conclave_client::v1;
use conclave_client::v1::{
    batch_encrypt_request, batch_encrypt_response, batch_re_encrypt_response,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

const KEY: &str = "programs/table";
const ROWS: u32 = 500;

#[tokio::main]
async fn main() -> ExitCode {
    support::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let client = support::connect()?;
    let mut out = io::stdout();
    support::create_once(&client, KEY, v1::Algorithm::Aes256Gcm).await?;

    // The context is part of what must be right to decrypt; it goes to the audit log.
    let context: BTreeMap<_, _> = [("table".to_owned(), "customers".to_owned())].into();
    let rows = (0..ROWS).map(|row| batch_encrypt_request::Item {
        plaintext: format!("customer {row}").into_bytes(),
        ..batch_encrypt_request::Item::default()
    });
    let request = v1::BatchEncryptRequest {
        key: KEY.to_owned(),
        context: context.clone(),
        items: rows.collect(),
        ..v1::BatchEncryptRequest::default()
    };
    let mut table = Vec::new();
    for row in client.batch_encrypt(request).await?.results {
        use batch_encrypt_response::result::Result::{Error, Ok};
        match row.result {
            Some(Ok(row)) => table.push(row.ciphertext),
            Some(Error(error)) => return Err(error.message.into()),
            None => return Err("a row has no result".into()),
        }
    }
    writeln!(out, "encrypted {} rows", table.len())?;

    let rotated = client
        .rotate_key(v1::RotateKeyRequest {
            name: KEY.to_owned(),
            ..v1::RotateKeyRequest::default()
        })
        .await?;
    let primary = rotated.primary_version;

    let items = table.iter().map(|row| v1::batch_re_encrypt_request::Item {
        ciphertext: row.clone(),
        ..v1::batch_re_encrypt_request::Item::default()
    });
    let request = v1::BatchReEncryptRequest {
        context: context.clone(),
        items: items.collect(),
        ..v1::BatchReEncryptRequest::default()
    };
    let moved = client.batch_re_encrypt(request).await?.results;
    for (place, row) in table.iter_mut().zip(moved) {
        use batch_re_encrypt_response::result::Result::{Error, Ok};
        match row.result {
            // What failed stays as it was, and can be tried again.
            Some(Ok(row)) if row.version == primary => *place = row.ciphertext,
            Some(Ok(row)) => return Err(format!("a row is under version {}", row.version).into()),
            Some(Error(error)) => return Err(error.message.into()),
            None => return Err("a row has no result".into()),
        }
    }
    writeln!(out, "moved {} rows to version {primary}", table.len())?;

    let request = v1::DecryptRequest {
        ciphertext: table.swap_remove(17),
        context,
        ..v1::DecryptRequest::default()
    };
    let opened = client.decrypt(request).await?;
    let text = String::from_utf8_lossy(opened.plaintext.expose());
    writeln!(out, "row 17: {text}, by version {}", opened.version)?;
    Ok(())
}
