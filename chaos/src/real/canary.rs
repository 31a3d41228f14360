//! Known secrets, and the search for them in whatever a node leaves behind.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// As many bytes of a form are looked up at once; shorter secrets would be found by chance.
const PREFIX_BYTES: usize = 8;

/// One form of one secret.
struct Form {
    what: String,
    bytes: Vec<u8>,
}

/// Secrets to be searched for: raw, in hexadecimal of either case, and in base64 at any offset.
#[derive(Default)]
pub struct Canary {
    forms: Vec<Form>,
    by_prefix: HashMap<[u8; PREFIX_BYTES], Vec<usize>>,
}

impl Canary {
    /// Adds a secret of at least 16 bytes.
    ///
    /// # Panics
    /// If it is shorter.
    pub fn add(&mut self, what: &str, secret: &[u8]) {
        assert!(
            secret.len() >= 16,
            "{what} is too short to be told from chance"
        );
        self.add_form(format!("{what}, raw"), secret.to_vec());
        self.add_form(format!("{what}, hex"), hex::encode(secret).into_bytes());
        self.add_form(
            format!("{what}, HEX"),
            hex::encode_upper(secret).into_bytes(),
        );
        for engine in [STANDARD, URL_SAFE] {
            for offset in 0..3 {
                let text = engine.encode([&vec![0; offset], secret].concat());
                // The characters that depend on what stands before or behind are left out.
                let inner = text.get(4..text.len() - 4).unwrap_or_default();
                self.add_form(
                    format!("{what}, base64 at {offset}"),
                    inner.as_bytes().to_vec(),
                );
            }
        }
    }

    fn add_form(&mut self, what: String, bytes: Vec<u8>) {
        let prefix = bytes
            .first_chunk()
            .copied()
            .expect("a form is longer than its prefix");
        self.by_prefix
            .entry(prefix)
            .or_default()
            .push(self.forms.len());
        self.forms.push(Form { what, bytes });
    }

    /// Which of them are in `bytes`; `place` says what that is.
    pub fn search(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for at in 0..bytes.len().saturating_sub(PREFIX_BYTES - 1) {
            let Some(prefix) = bytes[at..].first_chunk() else {
                break;
            };
            for form in self.by_prefix.get(prefix).into_iter().flatten() {
                let form = &self.forms[*form];
                if bytes[at..].starts_with(&form.bytes) {
                    found.push(format!("{} in {place} at {at}", form.what));
                }
            }
        }
        found
    }

    /// Which of them are in the files below `dir`.
    ///
    /// # Errors
    /// If a file cannot be read, except one that is gone by then.
    pub fn search_files(&self, dir: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                found.extend(self.search_files(&path)?);
            } else if let Ok(bytes) = fs::read(&path) {
                found.extend(self.search(&path.display().to_string(), &bytes));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_and_nothing_else() {
        let secret = b"a secret of 23 bytes!!!";
        let mut canary = Canary::default();
        canary.add("it", secret);
        let base64 = STANDARD.encode([b"xy".as_slice(), secret, b"z"].concat());
        let forms = [hex::encode(secret), hex::encode_upper(secret), base64];
        for text in forms.map(|form| format!("before {form} after")) {
            assert!(!canary.search("text", text.as_bytes()).is_empty(), "{text}");
        }
        assert_eq!(canary.search("text", secret).len(), 1);
        assert!(canary.search("text", &secret[..22]).is_empty());
    }
}
