//! Requests with what a test cares about, and all else by default.

use conclave_client::v1;

/// Creates a key, protected in software.
pub fn create_key(name: &str) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest {
        name: name.to_owned(),
        ..v1::CreateKeyRequest::default()
    }
}

/// Creates a key of the given protection.
pub fn create_key_with(name: &str, protection: v1::Protection) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest {
        protection: protection.into(),
        ..create_key(name)
    }
}

/// Reads a key.
pub fn get_key(name: &str) -> v1::GetKeyRequest {
    v1::GetKeyRequest {
        name: name.to_owned(),
        ..v1::GetKeyRequest::default()
    }
}

/// Rotates a key.
pub fn rotate_key(name: &str) -> v1::RotateKeyRequest {
    v1::RotateKeyRequest {
        name: name.to_owned(),
        ..v1::RotateKeyRequest::default()
    }
}

/// Moves a key as a whole.
pub fn transition(name: &str) -> v1::TransitionRequest {
    v1::TransitionRequest {
        name: name.to_owned(),
        ..v1::TransitionRequest::default()
    }
}

/// Encrypts.
pub fn encrypt(key: &str, plaintext: &[u8]) -> v1::EncryptRequest {
    v1::EncryptRequest {
        key: key.to_owned(),
        plaintext: plaintext.to_vec(),
        ..v1::EncryptRequest::default()
    }
}

/// Decrypts.
pub fn decrypt(ciphertext: &[u8]) -> v1::DecryptRequest {
    v1::DecryptRequest {
        ciphertext: ciphertext.to_vec(),
        ..v1::DecryptRequest::default()
    }
}

/// Re-encrypts under the primary version of the same key.
pub fn re_encrypt(ciphertext: &[u8]) -> v1::ReEncryptRequest {
    v1::ReEncryptRequest {
        ciphertext: ciphertext.to_vec(),
        ..v1::ReEncryptRequest::default()
    }
}

/// Draws a data key of 32 bytes.
pub fn data_key(key: &str) -> v1::GenerateDataKeyRequest {
    v1::GenerateDataKeyRequest {
        key: key.to_owned(),
        ..v1::GenerateDataKeyRequest::default()
    }
}

/// Grants a role.
pub fn grant(principal: &str, keyring: &str, role: v1::Role) -> v1::GrantRequest {
    let grant = v1::Grant {
        principal: principal.to_owned(),
        keyring: keyring.to_owned(),
        role: role.into(),
    };
    v1::GrantRequest {
        grant: Some(grant),
        ..v1::GrantRequest::default()
    }
}

/// Takes a role back.
pub fn revoke(principal: &str, keyring: &str, role: v1::Role) -> v1::RevokeRequest {
    let v1::GrantRequest { request_id, grant } = grant(principal, keyring, role);
    v1::RevokeRequest { request_id, grant }
}
