//! Large input under a data key, chunk by chunk, in constant memory (`docs/format/stream.md`).
//!
//! The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption
//! and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015): the nonce holds the chunk's number and
//! whether it is the last, so that chunks can be neither moved, repeated, dropped, appended nor cut
//! off.

use crate::context::sha256;
use crate::error::CryptoError;
use crate::hkdf;
use crate::limits::{STREAM_CHUNKS_MAX, WRAPPED_DATA_KEY_BYTES_MAX};
use crate::secret::{DataKey, Secret, SecretBytes};
use ring::aead;

/// Plaintext bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of such a chunk when sealed.
pub const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
/// The first bytes of every stream.
pub const MAGIC: &[u8; 8] = b"CONCLAVE";

const TAG_BYTES: usize = 16;
const FORMAT: u8 = 1;
const SALT_BYTES: usize = 32;
const KEY_LABEL: &[u8] = b"conclave/1/stream";

/// What stands before the chunks. All of it goes into the chunks' key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    wrapped_data_key: Vec<u8>,
    salt: [u8; SALT_BYTES],
}

impl StreamHeader {
    /// Bytes that tell how long the header is: magic, format and the wrapped data key's length.
    pub const PREFIX_BYTES: usize = 8 + 1 + 4;

    /// The salt must be fresh random bytes.
    ///
    /// # Errors
    /// [`CryptoError::TooLarge`].
    pub fn new(wrapped_data_key: Vec<u8>, salt: [u8; SALT_BYTES]) -> Result<Self, CryptoError> {
        check_wrapped(wrapped_data_key.len())?;
        Ok(Self {
            wrapped_data_key,
            salt,
        })
    }

    /// The data key as the service wrapped it.
    pub fn wrapped_data_key(&self) -> &[u8] {
        &self.wrapped_data_key
    }

    /// The first bytes of the stream.
    ///
    /// # Panics
    /// Never: the length was checked.
    pub fn encode(&self) -> Vec<u8> {
        let len = u32::try_from(self.wrapped_data_key.len()).expect("at most 4 KiB");
        [
            MAGIC,
            [FORMAT].as_slice(),
            &len.to_be_bytes(),
            &self.wrapped_data_key,
            &self.salt,
        ]
        .concat()
    }

    /// Whether `bytes` begin like a stream.
    pub fn is_stream(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// The length of the whole header that begins with `prefix`.
    ///
    /// # Errors
    /// [`CryptoError::UnknownFormat`] and [`CryptoError::TooLarge`].
    pub fn len_from_prefix(prefix: &[u8; Self::PREFIX_BYTES]) -> Result<usize, CryptoError> {
        let [first, _, _, _, _, _, _, _, format, a, b, c, d] = *prefix;
        if !Self::is_stream(prefix) {
            return Err(CryptoError::UnknownFormat(first));
        }
        if format != FORMAT {
            return Err(CryptoError::UnknownFormat(format));
        }
        let wrapped = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        check_wrapped(wrapped)?;
        Ok(wrapped
            .saturating_add(Self::PREFIX_BYTES)
            .saturating_add(SALT_BYTES))
    }

    /// The header at the beginning of `bytes`, and what follows it.
    ///
    /// # Errors
    /// As [`Self::len_from_prefix`], and [`CryptoError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), CryptoError> {
        let have = bytes.len();
        let (prefix, _) = bytes.split_first_chunk().ok_or(CryptoError::Truncated {
            have,
            need: Self::PREFIX_BYTES,
        })?;
        let need = Self::len_from_prefix(prefix)?;
        let short = CryptoError::Truncated { have, need };
        let (header, chunks) = bytes.split_at_checked(need).ok_or(short.clone())?;
        let (_, header) = header
            .split_first_chunk::<{ Self::PREFIX_BYTES }>()
            .ok_or(short.clone())?;
        let (wrapped, salt) = header.split_last_chunk().ok_or(short)?;
        Ok((
            Self {
                wrapped_data_key: wrapped.to_vec(),
                salt: *salt,
            },
            chunks,
        ))
    }

    fn chunk_key(&self, data_key: &DataKey) -> aead::LessSafeKey {
        let prk = Secret::<32>::from_fn(|out| hkdf::extract(&self.salt, data_key.expose(), out));
        let info = [KEY_LABEL, &sha256(&self.encode())];
        let key = Secret::<32>::from_fn(|out| hkdf::expand(prk.expose(), &info, out));
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key.expose());
        aead::LessSafeKey::new(key.expect("32 bytes are an AES-256 key"))
    }
}

/// Seals one chunk after the other.
pub struct StreamSealer(Chunks);

impl StreamSealer {
    /// To seal what follows `header`.
    pub fn new(data_key: &DataKey, header: &StreamHeader) -> Self {
        Self(Chunks::new(data_key, header))
    }

    /// The next chunk. All but the last have [`CHUNK_BYTES`] of plaintext; the last has at least
    /// one, unless it is the only one.
    ///
    /// # Errors
    /// [`CryptoError::ChunkLength`], [`CryptoError::StreamTooLong`], [`CryptoError::StreamEnded`].
    ///
    /// # Panics
    /// Never: a chunk is below AES-GCM's limit.
    pub fn seal_chunk(&mut self, plaintext: &[u8], last: bool) -> Result<Vec<u8>, CryptoError> {
        self.0.check(plaintext.len(), last)?;
        // Large enough at once: growing would leave plaintext behind in freed memory.
        let mut chunk = Vec::with_capacity(plaintext.len().saturating_add(TAG_BYTES));
        chunk.extend_from_slice(plaintext);
        self.0
            .key
            .seal_in_place_append_tag(self.0.nonce(last), aead::Aad::empty(), &mut chunk)
            .expect("a chunk is below AES-GCM's limit");
        self.0.advance(last);
        Ok(chunk)
    }
}

/// Opens one chunk after the other. What it has given out is authentic so far; the whole is
/// complete only when [`StreamOpener::finish`] says so.
pub struct StreamOpener(Chunks);

impl StreamOpener {
    /// To open what follows `header`.
    pub fn new(data_key: &DataKey, header: &StreamHeader) -> Self {
        Self(Chunks::new(data_key, header))
    }

    /// The next chunk; `last` if the input ends behind it. After an error give up: nothing that
    /// follows can be trusted to be in its place.
    ///
    /// # Errors
    /// [`CryptoError::DoesNotOpen`]; [`CryptoError::StreamTruncated`] if it opens, but is not the
    /// last; [`CryptoError::StreamTrailing`] if it opens, but is the last already; and as
    /// [`StreamSealer::seal_chunk`].
    pub fn open_chunk(
        &mut self,
        ciphertext: &[u8],
        last: bool,
    ) -> Result<SecretBytes, CryptoError> {
        let (have, need) = (ciphertext.len(), TAG_BYTES);
        let len = have
            .checked_sub(TAG_BYTES)
            .ok_or(CryptoError::Truncated { have, need })?;
        self.0.check(len, last)?;
        match self.try_open(ciphertext, last) {
            Some(plaintext) => {
                self.0.advance(last);
                Ok(plaintext)
            }
            None if self.try_open(ciphertext, !last).is_none() => Err(CryptoError::DoesNotOpen),
            None if last => Err(CryptoError::StreamTruncated),
            None => Err(CryptoError::StreamTrailing),
        }
    }

    /// To be asked when the input has ended.
    ///
    /// # Errors
    /// [`CryptoError::StreamTruncated`] unless the last chunk was opened.
    pub fn finish(self) -> Result<(), CryptoError> {
        if self.0.ended {
            Ok(())
        } else {
            Err(CryptoError::StreamTruncated)
        }
    }

    fn try_open(&self, ciphertext: &[u8], last: bool) -> Option<SecretBytes> {
        let mut chunk = SecretBytes::from_vec(ciphertext.to_vec());
        let (nonce, aad) = (self.0.nonce(last), aead::Aad::empty());
        let len = self
            .0
            .key
            .open_in_place(nonce, aad, chunk.expose_mut())
            .ok()?
            .len();
        chunk.truncate(len);
        Some(chunk)
    }
}

/// The place within a stream.
struct Chunks {
    key: aead::LessSafeKey,
    next: u64,
    ended: bool,
}

impl Chunks {
    fn new(data_key: &DataKey, header: &StreamHeader) -> Self {
        Self {
            key: header.chunk_key(data_key),
            next: 0,
            ended: false,
        }
    }

    fn check(&self, actual: usize, last: bool) -> Result<(), CryptoError> {
        if self.ended {
            return Err(CryptoError::StreamEnded);
        }
        if self.next >= STREAM_CHUNKS_MAX {
            return Err(CryptoError::StreamTooLong {
                max: STREAM_CHUNKS_MAX,
            });
        }
        let fits = match (last, actual) {
            (false, _) => actual == CHUNK_BYTES,
            (true, 0) => self.next == 0,
            (true, _) => actual <= CHUNK_BYTES,
        };
        if fits {
            Ok(())
        } else {
            Err(CryptoError::ChunkLength {
                chunk: CHUNK_BYTES,
                actual,
            })
        }
    }

    /// 3 zero bytes ‖ number of the chunk, u64 big-endian ‖ whether it is the last.
    fn nonce(&self, last: bool) -> aead::Nonce {
        let counted = self.next.to_be_bytes().into_iter().chain([u8::from(last)]);
        let mut nonce = [0; aead::NONCE_LEN];
        for (to, from) in nonce.iter_mut().skip(3).zip(counted) {
            *to = from;
        }
        aead::Nonce::assume_unique_for_key(nonce)
    }

    fn advance(&mut self, last: bool) {
        self.next = self.next.saturating_add(1);
        self.ended = last;
    }
}

fn check_wrapped(actual: usize) -> Result<(), CryptoError> {
    let max = WRAPPED_DATA_KEY_BYTES_MAX;
    if actual > max {
        return Err(CryptoError::TooLarge {
            what: "wrapped data key",
            max,
            actual,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks() -> Chunks {
        let header = StreamHeader::new(vec![1; 134], [2; 32]).unwrap();
        Chunks::new(&DataKey::from_fn(|out| out.fill(3)), &header)
    }

    #[test]
    fn the_nonce_counts_and_marks_the_end() {
        let chunks = Chunks {
            next: 0x0102_0304_0506_0708,
            ..chunks()
        };
        let expected = [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(chunks.nonce(false).as_ref()[..11], expected);
        assert_eq!(chunks.nonce(false).as_ref()[11], 0);
        assert_eq!(chunks.nonce(true).as_ref()[11], 1);
    }

    #[test]
    fn a_stream_has_its_limit() {
        let mut sealer = StreamSealer(Chunks {
            next: STREAM_CHUNKS_MAX - 1,
            ..chunks()
        });
        assert!(sealer.seal_chunk(&vec![0; CHUNK_BYTES], false).is_ok());
        let refusal = Err(CryptoError::StreamTooLong {
            max: STREAM_CHUNKS_MAX,
        });
        assert_eq!(sealer.seal_chunk(&[1], true), refusal);
    }
}
