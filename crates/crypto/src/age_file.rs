//! Share files for custodians' hands: encryption to one X25519 recipient by age
//! (age-encryption.org).
//!
//! age draws its file keys and identities from the operating system by itself.

use crate::error::CryptoError;
use crate::limits::{IDENTITY_FILE_BYTES_MAX, SHARE_FILE_BYTES_MAX};
use crate::secret::SecretBytes;
use age::secrecy::ExposeSecret;
use age::{DecryptError, Decryptor, Identity, armor::ArmoredReader, x25519};
use std::io::Read;

/// Encrypts to one recipient (`age1…`), armored.
///
/// # Errors
/// [`CryptoError::AgeRecipient`] for anything but an X25519 recipient; [`CryptoError::TooLarge`].
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn encrypt_to(recipient: &str, plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    check_size("share file", plaintext, SHARE_FILE_BYTES_MAX)?;
    let recipient: x25519::Recipient = recipient.parse().map_err(|_| CryptoError::AgeRecipient)?;
    let armored = age::encrypt_and_armor(&recipient, plaintext);
    Ok(armored.expect("a vector takes all").into_bytes())
}

/// Decrypts, armored or not, with the content of an identity file: comment lines and X25519
/// identities, as age-keygen writes it.
///
/// # Errors
/// [`CryptoError::AgeIdentity`] and [`CryptoError::AgeIdentityMissing`] for the identity file,
/// [`CryptoError::AgeOtherRecipient`], [`CryptoError::AgeDamaged`], [`CryptoError::TooLarge`].
pub fn decrypt_with(identity_file: &str, age_file: &[u8]) -> Result<SecretBytes, CryptoError> {
    check_size(
        "identity file",
        identity_file.as_bytes(),
        IDENTITY_FILE_BYTES_MAX,
    )?;
    // Encrypted and armored, it has some more bytes than in clear, but less than twice as many.
    check_size(
        "encrypted share file",
        age_file,
        SHARE_FILE_BYTES_MAX.saturating_mul(2),
    )?;
    let identities = parse_identities(identity_file)?;
    let decryptor =
        Decryptor::new_buffered(ArmoredReader::new(age_file)).map_err(|e| refusal(&e))?;
    let mut reader = decryptor
        .decrypt(identities.iter().map(|identity| identity as &dyn Identity))
        .map_err(|e| refusal(&e))?;
    // Large enough at once: growing would leave plaintext behind in freed memory.
    let mut plaintext = zeroize::Zeroizing::new(Vec::with_capacity(age_file.len()));
    reader
        .read_to_end(&mut plaintext)
        .map_err(|_| CryptoError::AgeDamaged)?;
    Ok(SecretBytes::from_vec(std::mem::take(&mut plaintext)))
}

/// A new identity: the text of its file, and its recipient.
pub fn generate_identity() -> (SecretBytes, String) {
    let identity = x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let secret = identity.to_string();
    let parts = [
        "# public key: ",
        &recipient,
        "\n",
        secret.expose_secret(),
        "\n",
    ];
    (
        SecretBytes::from_vec(parts.concat().into_bytes()),
        recipient,
    )
}

fn parse_identities(text: &str) -> Result<Vec<x25519::Identity>, CryptoError> {
    let identities = text
        .lines()
        .zip(1..)
        .map(|(line, number)| (line.trim_end(), number))
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .map(|(text, line)| text.parse().map_err(|_| CryptoError::AgeIdentity { line }))
        .collect::<Result<Vec<_>, _>>()?;
    if identities.is_empty() {
        Err(CryptoError::AgeIdentityMissing)
    } else {
        Ok(identities)
    }
}

fn refusal(error: &DecryptError) -> CryptoError {
    if matches!(error, DecryptError::NoMatchingKeys) {
        CryptoError::AgeOtherRecipient
    } else {
        CryptoError::AgeDamaged
    }
}

fn check_size(what: &'static str, bytes: &[u8], max: usize) -> Result<(), CryptoError> {
    let actual = bytes.len();
    if actual > max {
        Err(CryptoError::TooLarge { what, max, actual })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> (String, String) {
        let (file, recipient) = generate_identity();
        (
            String::from_utf8(file.expose().to_vec()).unwrap(),
            recipient,
        )
    }

    #[test]
    fn only_the_recipient_decrypts() {
        let (file, recipient) = identity();
        let encrypted = encrypt_to(&recipient, b"share").unwrap();
        assert!(encrypted.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
        let decrypt = |file: &str, age: &[u8]| decrypt_with(file, age).map(|p| p.expose().to_vec());
        assert_eq!(decrypt(&file, &encrypted), Ok(b"share".to_vec()));
        let (other, _) = identity();
        assert_eq!(
            decrypt(&other, &encrypted),
            Err(CryptoError::AgeOtherRecipient)
        );
        assert_eq!(decrypt(&(other + &file), &encrypted), Ok(b"share".to_vec()));
        let windows = file.replace('\n', "\r\n");
        assert_eq!(decrypt(&windows, &encrypted), Ok(b"share".to_vec()));
    }

    #[test]
    fn what_is_cut_short_or_changed_is_refused() {
        let (file, recipient) = identity();
        let encrypted = encrypt_to(&recipient, &[7; 600]).unwrap();
        // All that matters of the armor's end is its last line without the line feed.
        for len in 0..encrypted.len() - 1 {
            assert!(
                decrypt_with(&file, &encrypted[..len]).is_err(),
                "cut to {len}"
            );
        }
        for at in (0..encrypted.len() - 1).step_by(7) {
            let mut changed = encrypted.clone();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(decrypt_with(&file, &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn other_recipients_are_refused() {
        let (file, recipient) = identity();
        for wrong in [
            "",
            "alice",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN",
            "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt",
            &recipient[..recipient.len() - 1],
            file.lines().last().unwrap(),
        ] {
            assert_eq!(
                encrypt_to(wrong, b"x"),
                Err(CryptoError::AgeRecipient),
                "{wrong}"
            );
        }
    }

    #[test]
    fn other_identities_are_refused_by_line_and_never_quoted() {
        let (_, recipient) = identity();
        let encrypted = encrypt_to(&recipient, b"share").unwrap();
        let refused = |file: &str| decrypt_with(file, &encrypted).err().unwrap();
        assert_eq!(refused("# nothing\n\n"), CryptoError::AgeIdentityMissing);
        let canary = "# comment\nAGE-SECRET-KEY-1CANARY\n";
        assert_eq!(refused(canary), CryptoError::AgeIdentity { line: 2 });
        assert!(!refused(canary).to_string().contains("CANARY"));
        assert_eq!(
            refused("AGE-PLUGIN-YUBIKEY-1Q"),
            CryptoError::AgeIdentity { line: 1 }
        );
        assert!(matches!(
            refused(&"x".repeat(70_000)),
            CryptoError::TooLarge { .. }
        ));
    }
}
