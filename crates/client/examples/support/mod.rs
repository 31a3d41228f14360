//! What all examples begin and end with.

use conclave_client::v1::{Algorithm, CreateKeyRequest};
use conclave_client::{Client, ClientConfig, ClientError};
use std::error::Error;
use std::process::ExitCode;

/// A client as the environment describes it.
pub(crate) fn connect() -> Result<Client, ClientError> {
    Client::connect(ClientConfig::from_environment()?)
}

/// Creates a key, unless it is there.
pub(crate) async fn create_once(
    client: &Client,
    name: &str,
    algorithm: Algorithm,
) -> Result<(), ClientError> {
    let request = CreateKeyRequest {
        name: name.to_owned(),
        algorithm: algorithm.into(),
        ..CreateKeyRequest::default()
    };
    match client.create_key(request).await {
        Err(error) if error.reason() != "KEY_EXISTS" => Err(error),
        _ => Ok(()),
    }
}

/// Says what went wrong, and what to do about it.
pub(crate) fn end(result: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error}");
    if let Some(error) = error.downcast_ref::<ClientError>() {
        eprintln!("what to do: {}", error.remedy());
    }
    ExitCode::FAILURE
}
