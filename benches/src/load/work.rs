//! One request of each operation. Every answer is looked at: what is wrong in it counts as a failure.

use super::plan::{Operation, Plan};
use anyhow::{Context as _, Result, ensure};
use conclave_client::v1::batch_decrypt_response::result::Result as Opened;
use conclave_client::v1::batch_encrypt_response::result::Result as Sealed;
use conclave_client::{Client, ClientError, v1};
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::Code;

/// Ciphertexts that are made beforehand for `decrypt`.
const CIPHERTEXTS: usize = 16;
/// Data keys that are registered beforehand for `open-data-key`.
const DATA_KEYS: usize = 16;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Stable: by it failures are counted.
    pub reason: String,
    /// For people.
    pub text: String,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = || {
            error
                .code()
                .map_or("FAILED".to_owned(), |code| format!("{code:?}"))
        };
        let reason = match error.reason() {
            "" => code(),
            reason => reason.to_owned(),
        };
        Self {
            reason,
            text: error.to_string(),
        }
    }
}

fn wrong(text: &str) -> Failure {
    Failure {
        reason: "WRONG_ANSWER".to_owned(),
        text: text.to_owned(),
    }
}

fn refused(item: v1::ItemError) -> Failure {
    Failure {
        reason: item.reason,
        text: item.message,
    }
}

/// An operation with all that it needs.
#[derive(Debug)]
pub struct Work {
    operation: Operation,
    key: String,
    protection: v1::Protection,
    plaintext: Vec<u8>,
    batch: usize,
    ciphertexts: Vec<Vec<u8>>,
    data_keys: Vec<Vec<u8>>,
    new_keys: String,
    turns: AtomicU64,
}

impl Work {
    /// Creates the key if it is missing, and what is to be opened.
    ///
    /// # Errors
    /// If the cluster refuses, or the key is there with another protection.
    pub async fn prepare(plan: &Plan, client: &Client) -> Result<Self> {
        let run = client.request_id();
        let keyring = plan.key.split('/').next().unwrap_or_default();
        let mut work = Self {
            operation: plan.operation,
            key: plan.key.clone(),
            protection: plan.protection.into(),
            plaintext: (0..plan.payload_bytes).map(|at| (at % 251) as u8).collect(),
            batch: plan.batch as usize,
            ciphertexts: Vec::new(),
            data_keys: Vec::new(),
            new_keys: format!("{keyring}/load-{}", hex::encode(&run[..6])),
            turns: AtomicU64::new(0),
        };
        let needs_key = !matches!(plan.operation, Operation::Random | Operation::CreateKey);
        if needs_key {
            work.create_missing_key(client).await?;
        }
        if matches!(plan.operation, Operation::Decrypt | Operation::BatchDecrypt) {
            for _ in 0..CIPHERTEXTS {
                let answer = client.encrypt(work.encrypt_request()).await?;
                work.ciphertexts.push(answer.ciphertext);
            }
        }
        if plan.operation == Operation::OpenDataKey {
            for _ in 0..DATA_KEYS {
                let drawn = client
                    .generate_data_key(work.data_key_request(true))
                    .await?;
                work.data_keys.extend(drawn.id);
            }
        }
        Ok(work)
    }

    async fn create_missing_key(&self, client: &Client) -> Result<()> {
        let request = v1::GetKeyRequest {
            name: self.key.clone(),
            ..Default::default()
        };
        let key = match client.get_key(request).await {
            Err(error) if error.code() == Some(Code::NotFound) => {
                let asked = client
                    .create_key(self.create_request(self.key.clone()))
                    .await;
                asked.with_context(|| format!("create the key {}", self.key))?
            }
            found => found.with_context(|| format!("look at the key {}", self.key))?,
        };
        ensure!(
            key.protection() == self.protection,
            "the key {} is there with another protection: give another --key",
            self.key
        );
        Ok(())
    }

    /// Makes one request, and says how many messages, keys or draws its answer held.
    ///
    /// # Errors
    /// If it was refused or its answer is wrong.
    pub async fn once(&self, client: &Client) -> Result<u64, Failure> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        match self.operation {
            Operation::Encrypt => self.encrypt(client).await,
            Operation::Decrypt => self.decrypt(client, turn).await,
            Operation::DataKey => self.data_key(client, false).await,
            Operation::RegisterDataKey => self.data_key(client, true).await,
            Operation::OpenDataKey => self.open_data_key(client, turn).await,
            Operation::CreateKey => self.create_key(client, turn).await,
            Operation::BatchEncrypt => self.batch_encrypt(client).await,
            Operation::BatchDecrypt => self.batch_decrypt(client, turn).await,
            Operation::Random => self.random(client).await,
        }
    }

    fn encrypt_request(&self) -> v1::EncryptRequest {
        v1::EncryptRequest {
            key: self.key.clone(),
            plaintext: self.plaintext.clone(),
            ..Default::default()
        }
    }

    fn create_request(&self, name: String) -> v1::CreateKeyRequest {
        v1::CreateKeyRequest {
            name,
            protection: self.protection.into(),
            ..Default::default()
        }
    }

    fn ciphertext(&self, turn: u64) -> &[u8] {
        let place = usize::try_from(turn).unwrap_or_default() % self.ciphertexts.len();
        &self.ciphertexts[place]
    }

    async fn encrypt(&self, client: &Client) -> Result<u64, Failure> {
        let answer = client.encrypt(self.encrypt_request()).await?;
        self.check_sealed(&answer).map(|()| 1)
    }

    async fn decrypt(&self, client: &Client, turn: u64) -> Result<u64, Failure> {
        let ciphertext = self.ciphertext(turn).to_vec();
        let answer = client
            .decrypt(v1::DecryptRequest {
                ciphertext,
                ..Default::default()
            })
            .await?;
        self.check_opened(answer.plaintext.expose()).map(|()| 1)
    }

    fn data_key_request(&self, register: bool) -> v1::GenerateDataKeyRequest {
        v1::GenerateDataKeyRequest {
            key: self.key.clone(),
            register,
            ..Default::default()
        }
    }

    async fn data_key(&self, client: &Client, register: bool) -> Result<u64, Failure> {
        let request = self.data_key_request(register);
        let answer = client.generate_data_key(request).await?;
        let is_kept = !answer.ciphertext.is_empty() || answer.id.is_some();
        if answer.plaintext.expose().len() == 32 && is_kept {
            Ok(1)
        } else {
            Err(wrong("a data key has not 32 bytes"))
        }
    }

    async fn open_data_key(&self, client: &Client, turn: u64) -> Result<u64, Failure> {
        let place = usize::try_from(turn).unwrap_or_default() % self.data_keys.len();
        let request = v1::DecryptDataKeyRequest {
            data_key_id: self.data_keys[place].clone(),
            ..Default::default()
        };
        let answer = client.decrypt_data_key(request).await?;
        if answer.plaintext.expose().len() == 32 {
            Ok(1)
        } else {
            Err(wrong("a data key has not 32 bytes"))
        }
    }

    async fn create_key(&self, client: &Client, turn: u64) -> Result<u64, Failure> {
        let name = format!("{}-{turn}", self.new_keys);
        let answer = client.create_key(self.create_request(name.clone())).await?;
        if answer.name == name {
            Ok(1)
        } else {
            Err(wrong("a key has another name"))
        }
    }

    async fn batch_encrypt(&self, client: &Client) -> Result<u64, Failure> {
        let item = || v1::batch_encrypt_request::Item {
            plaintext: self.plaintext.clone(),
            ..Default::default()
        };
        let items = (0..self.batch).map(|_| item()).collect();
        let key = self.key.clone();
        let request = v1::BatchEncryptRequest {
            key,
            items,
            ..Default::default()
        };
        let answer = client.batch_encrypt(request).await?;
        self.check_count(answer.results.len())?;
        for item in answer.results {
            match item.result {
                Some(Sealed::Ok(sealed)) => self.check_sealed(&sealed)?,
                Some(Sealed::Error(error)) => return Err(refused(error)),
                None => return Err(wrong("an item has no result")),
            }
        }
        Ok(self.batch as u64)
    }

    async fn batch_decrypt(&self, client: &Client, turn: u64) -> Result<u64, Failure> {
        let item = |place: usize| v1::batch_decrypt_request::Item {
            ciphertext: self.ciphertext(turn.wrapping_add(place as u64)).to_vec(),
            ..Default::default()
        };
        let items = (0..self.batch).map(item).collect();
        let request = v1::BatchDecryptRequest {
            items,
            ..Default::default()
        };
        let answer = client.batch_decrypt(request).await?;
        self.check_count(answer.results.len())?;
        for item in answer.results {
            match item.result {
                Some(Opened::Ok(opened)) => self.check_opened(&opened.plaintext)?,
                Some(Opened::Error(error)) => return Err(refused(error)),
                None => return Err(wrong("an item has no result")),
            }
        }
        Ok(self.batch as u64)
    }

    async fn random(&self, client: &Client) -> Result<u64, Failure> {
        let length = u32::try_from(self.plaintext.len()).unwrap_or_default();
        let request = v1::GenerateRandomRequest {
            length,
            ..Default::default()
        };
        let answer = client.generate_random(request).await?;
        if answer.random.len() == self.plaintext.len() {
            Ok(1)
        } else {
            Err(wrong("not as many random bytes as were asked for"))
        }
    }

    fn check_sealed(&self, answer: &v1::EncryptResponse) -> Result<(), Failure> {
        if answer.ciphertext.len() > self.plaintext.len() {
            Ok(())
        } else {
            Err(wrong("a ciphertext is too short"))
        }
    }

    fn check_opened(&self, plaintext: &[u8]) -> Result<(), Failure> {
        if plaintext == self.plaintext {
            Ok(())
        } else {
            Err(wrong("another plaintext came out"))
        }
    }

    fn check_count(&self, results: usize) -> Result<(), Failure> {
        if results == self.batch {
            Ok(())
        } else {
            Err(wrong("not a result for each item"))
        }
    }
}
