//! The share file of a custodian (`docs/format/share.md`): short text, kept encrypted by age.
//!
//! One spelling only: eight lines, in order, each ended by a line feed.

use crate::error::CryptoError;
use crate::limits::SHARE_FILE_BYTES_MAX;
use crate::secret::{Secret, SecretBytes};
use crate::share::{SHARE_BYTES, Share, ShareSet};
use conclave_core::{ClusterId, CustodianName, Generation, SetId};
use std::fmt::Write as _;

const TITLE: &str = "conclave-share-v1";

/// One custodian's share, and what it belongs to.
pub struct ShareFile {
    /// Whose root key it is.
    pub cluster: ClusterId,
    /// The set that it is of.
    pub set: ShareSet,
    /// Who holds it.
    pub custodian: CustodianName,
    /// The share.
    pub share: Share,
}

impl ShareFile {
    /// As text, to be encrypted.
    ///
    /// # Panics
    /// Never.
    pub fn to_bytes(&self) -> SecretBytes {
        let Self {
            cluster,
            set,
            custodian,
            share,
        } = self;
        let ShareSet {
            set_id,
            generation,
            threshold,
            count,
        } = set;
        // Large enough at once: growing would leave a share behind in freed memory.
        let mut text = String::with_capacity(1_024);
        writeln!(
            text,
            "{TITLE}\ncluster: {cluster}\nset: {set_id}\ngeneration: {generation}\n\
             custodian: {custodian}\nthreshold: {threshold}\ncount: {count}"
        )
        .expect("a string takes all");
        let hex = Secret::<{ 2 * SHARE_BYTES }>::from_fn(|out| {
            hex::encode_to_slice(share.expose(), out).expect("twice as long");
        });
        text.push_str("share: ");
        text.extend(hex.expose().iter().map(|byte| char::from(*byte)));
        text.push('\n');
        SecretBytes::from_vec(text.into_bytes())
    }

    /// Reads a decrypted share file.
    ///
    /// # Errors
    /// [`CryptoError::ShareFile`] names the line; [`CryptoError::UnknownFormat`] if a newer release
    /// made it; [`CryptoError::Share`] and [`CryptoError::Custodian`] if its content is impossible.
    pub fn parse(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() > SHARE_FILE_BYTES_MAX {
            let (max, actual) = (SHARE_FILE_BYTES_MAX, bytes.len());
            return Err(CryptoError::TooLarge {
                what: "share file",
                max,
                actual,
            });
        }
        let mut lines = Lines::new(bytes)?;
        lines.title()?;
        let cluster = ClusterId(lines.id("cluster: ", "expected 'cluster: ' and 32 hex digits")?);
        let set_id = SetId(lines.id("set: ", "expected 'set: ' and 32 hex digits")?);
        let generation =
            Generation(lines.number("generation: ", "expected 'generation: ' and a number")?);
        let custodian = lines.value("custodian: ", "expected 'custodian: ' and a name")?;
        let custodian = CustodianName::new(custodian)?;
        let threshold =
            lines.number("threshold: ", "expected 'threshold: ' and a number to 255")?;
        let count = lines.number("count: ", "expected 'count: ' and a number to 255")?;
        let share = lines.share()?;
        lines.end()?;
        let set = ShareSet {
            set_id,
            generation,
            threshold,
            count,
        };
        set.check()?;
        set.check_number(share.x())?;
        Ok(Self {
            cluster,
            set,
            custodian,
            share,
        })
    }
}

/// The lines not yet read.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, CryptoError> {
        match std::str::from_utf8(bytes) {
            Ok(rest) => Ok(Self { rest, line: 0 }),
            Err(_) => Err(CryptoError::ShareFile {
                line: 1,
                wanted: "a share file is text",
            }),
        }
    }

    fn title(&mut self) -> Result<(), CryptoError> {
        let wanted = "a share file begins with 'conclave-share-v1'; was it decrypted?";
        let version = self.value("conclave-share-v", wanted)?;
        match version.parse::<u8>() {
            Ok(1) if version == "1" => Ok(()),
            Ok(other) => Err(CryptoError::UnknownFormat(other)),
            Err(_) => Err(CryptoError::ShareFile { line: 1, wanted }),
        }
    }

    fn value(&mut self, label: &str, wanted: &'static str) -> Result<&'a str, CryptoError> {
        self.line = self.line.saturating_add(1);
        let refused = CryptoError::ShareFile {
            line: self.line,
            wanted,
        };
        let Some((line, rest)) = self.rest.split_once('\n') else {
            return Err(refused);
        };
        self.rest = rest;
        line.strip_prefix(label).ok_or(refused)
    }

    fn id(&mut self, label: &str, wanted: &'static str) -> Result<[u8; 16], CryptoError> {
        let text = self.value(label, wanted)?;
        let mut id = [0; 16];
        self.hex(text, &mut id, wanted)?;
        Ok(id)
    }

    fn number<T: std::str::FromStr + ToString>(
        &mut self,
        label: &str,
        wanted: &'static str,
    ) -> Result<T, CryptoError> {
        let text = self.value(label, wanted)?;
        let number = text
            .parse::<T>()
            .ok()
            .filter(|number| number.to_string() == text);
        number.ok_or(CryptoError::ShareFile {
            line: self.line,
            wanted,
        })
    }

    fn share(&mut self) -> Result<Share, CryptoError> {
        let wanted = "expected 'share: ' and 226 hex digits";
        let text = self.value("share: ", wanted)?;
        let bytes = Secret::<SHARE_BYTES>::try_from_fn(|out| self.hex(text, out, wanted))?;
        Ok(Share::from_bytes(bytes.expose())?)
    }

    fn hex(&self, text: &str, out: &mut [u8], wanted: &'static str) -> Result<(), CryptoError> {
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, out) {
            Ok(()) if lower => Ok(()),
            _ => Err(CryptoError::ShareFile {
                line: self.line,
                wanted,
            }),
        }
    }

    fn end(&self) -> Result<(), CryptoError> {
        let line = self.line.saturating_add(1);
        let wanted = "nothing follows the share";
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CryptoError::ShareFile { line, wanted })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ShareError;
    use proptest::prelude::*;

    fn file() -> ShareFile {
        ShareFile {
            cluster: ClusterId([0xab; 16]),
            set: ShareSet {
                set_id: SetId([0xcd; 16]),
                generation: Generation(4),
                threshold: 3,
                count: 5,
            },
            custodian: CustodianName::new("alice").unwrap(),
            share: Share::from_bytes(&(2..115).collect::<Vec<_>>()).unwrap(),
        }
    }

    fn text() -> String {
        String::from_utf8(file().to_bytes().expose().to_vec()).unwrap()
    }

    fn refused(text: &str) -> CryptoError {
        ShareFile::parse(text.as_bytes())
            .err()
            .expect("must be refused")
    }

    // Custodians keep these for years: this text may never change.
    #[test]
    fn golden_text() {
        let share = hex::encode((2..115).collect::<Vec<_>>());
        let golden = format!(
            "conclave-share-v1\ncluster: {}\nset: {}\ngeneration: 4\ncustodian: alice\n\
             threshold: 3\ncount: 5\nshare: {share}\n",
            "ab".repeat(16),
            "cd".repeat(16),
        );
        assert_eq!(text(), golden);
        let read = ShareFile::parse(golden.as_bytes()).ok().unwrap();
        assert_eq!((read.cluster, read.set), (file().cluster, file().set));
        assert_eq!(read.custodian, file().custodian);
        assert_eq!(read.share.expose(), file().share.expose());
    }

    #[test]
    fn each_wrong_line_is_named() {
        for at in 0..8 {
            let mut lines: Vec<_> = text().lines().map(str::to_owned).collect();
            lines[at] = "nonsense".to_owned();
            let refusal = refused(&(lines.join("\n") + "\n"));
            assert!(matches!(refusal, CryptoError::ShareFile { line, .. } if line == at + 1));
        }
        let refusal = refused(&(text() + "x"));
        assert!(matches!(refusal, CryptoError::ShareFile { line: 9, .. }));
    }

    #[test]
    fn impossible_content_is_refused() {
        let threshold = ShareError::Threshold {
            threshold: 1,
            count: 5,
        };
        let one = text().replace("threshold: 3", "threshold: 1");
        assert_eq!(refused(&one), CryptoError::Share(threshold));
        let zero = text().replace("share: 02", "share: 00");
        assert_eq!(refused(&zero), CryptoError::Share(ShareError::Forged));
        let beyond = text().replace("share: 02", "share: 06");
        let beyond_by = ShareError::Beyond { x: 6, count: 5 };
        assert_eq!(refused(&beyond), CryptoError::Share(beyond_by));
        let name = text().replace("alice", "Alice");
        assert!(matches!(refused(&name), CryptoError::Custodian(_)));
        assert_eq!(
            refused(&text().replace("-v1", "-v2")),
            CryptoError::UnknownFormat(2)
        );
    }

    #[test]
    fn there_is_one_spelling_only() {
        for (from, to) in [
            ("generation: 4", "generation: 04"),
            ("generation: 4", "generation: +4"),
            ("abab", "ABab"),
            ("-v1", "-v01"),
            ("\n", "\r\n"),
        ] {
            assert!(
                ShareFile::parse(text().replace(from, to).as_bytes()).is_err(),
                "{to}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_cut_short_is_accepted(len in 0usize..500) {
            let text = text();
            let len = len.min(text.len() - 1);
            prop_assert!(ShareFile::parse(&text.as_bytes()[..len]).is_err());
        }

        #[test]
        fn what_is_accepted_is_written_back_the_same(at in 0usize..480, byte: u8) {
            let mut bytes = text().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(file) = ShareFile::parse(&bytes) {
                let written = file.to_bytes();
                prop_assert_eq!(written.expose(), &bytes);
            }
        }
    }
}
