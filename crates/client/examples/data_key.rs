//! Encrypts on this machine, under a data key that the cluster keeps: beside the data stands only its id. When the key is
//! rotated the cluster wraps the data key anew by itself, and nothing here has to change.

mod support;

use conclave_client::{Client, v1};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

const KEY: &str = "programs/files";

/// What stands on the disk.
struct Sealed {
    data_key_id: Vec<u8>,
    ciphertext: Vec<u8>,
}

#[tokio::main]
async fn main() -> ExitCode {
    support::end(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let client = support::connect()?;
    let mut out = io::stdout();
    support::create_once(&client, KEY, v1::Algorithm::Aes256Gcm).await?;

    let sealed = seal(&client, b"the minutes of the board").await?;
    writeln!(out, "sealed {} bytes", sealed.ciphertext.len())?;

    let rotate = v1::RotateKeyRequest {
        name: KEY.to_owned(),
        ..v1::RotateKeyRequest::default()
    };
    client.rotate_key(rotate).await?;

    let opened = open(&client, sealed).await?;
    writeln!(out, "after a rotation: {}", String::from_utf8(opened)?)?;
    Ok(())
}

async fn seal(client: &Client, plaintext: &[u8]) -> Result<Sealed, Box<dyn Error>> {
    let request = v1::GenerateDataKeyRequest {
        key: KEY.to_owned(),
        context: context(),
        register: true,
        ..v1::GenerateDataKeyRequest::default()
    };
    let data_key = client.generate_data_key(request).await?;
    let mut ciphertext = plaintext.to_vec();
    // The plaintext of the data key is wiped when `data_key` goes out of scope.
    let done = aead(data_key.plaintext.expose())?.seal_in_place_append_tag(
        nonce(),
        Aad::empty(),
        &mut ciphertext,
    );
    done.map_err(|_| "the text is too long")?;
    Ok(Sealed {
        data_key_id: data_key.id.ok_or("the data key is not registered")?,
        ciphertext,
    })
}

async fn open(client: &Client, mut sealed: Sealed) -> Result<Vec<u8>, Box<dyn Error>> {
    let request = v1::DecryptDataKeyRequest {
        data_key_id: sealed.data_key_id,
        context: context(),
        ..v1::DecryptDataKeyRequest::default()
    };
    let data_key = client.decrypt_data_key(request).await?;
    let opened = aead(data_key.plaintext.expose())?.open_in_place(
        nonce(),
        Aad::empty(),
        &mut sealed.ciphertext,
    );
    let opened = opened.map_err(|_| "the file was changed")?;
    Ok(opened.to_vec())
}

fn aead(key: &[u8]) -> Result<LessSafeKey, &'static str> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| "not a key of AES-256")?;
    Ok(LessSafeKey::new(key))
}

/// A data key seals one message here, and a nonce is new for each key.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn context() -> BTreeMap<String, String> {
    [("file".to_owned(), "minutes".to_owned())].into()
}
