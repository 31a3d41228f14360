//! Where a page of a list ends and the next one begins. A token is opaque to callers, says of which list it is, and holds
//! no secret: it is no capability, since each page is authorised by itself.
//!
//! Hexadecimal: 1 (the version), the list's digest (16 bytes), the place.

use conclave_core::KeyName;
use thiserror::Error;

const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 16;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PageTokenError {
    /// It was changed, or cut, or is that of something else.
    #[error("this is none that a page gave: begin again without one")]
    Malformed,
    /// A later node made it.
    #[error("a node of another version made it: begin again without one")]
    Version,
    /// What is asked for changed since the page that gave it.
    #[error(
        "it belongs to another list: ask for what the page was asked for that gave it (the same prefix, filter and key), \
         or begin again without one"
    )]
    OtherList,
}

/// The token of a place in a list.
pub(crate) fn write(list: [u8; DIGEST_BYTES], place: &[u8]) -> String {
    hex::encode([&[VERSION], list.as_slice(), place].concat())
}

/// The place in a list; `None`: from the beginning.
pub(crate) fn read(
    list: [u8; DIGEST_BYTES],
    token: &str,
) -> Result<Option<Vec<u8>>, PageTokenError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = hex::decode(token).map_err(|_| PageTokenError::Malformed)?;
    let (version, rest) = bytes.split_first().ok_or(PageTokenError::Malformed)?;
    if *version != VERSION {
        return Err(PageTokenError::Version);
    }
    let (digest, place) = rest
        .split_at_checked(DIGEST_BYTES)
        .ok_or(PageTokenError::Malformed)?;
    if digest != list {
        return Err(PageTokenError::OtherList);
    }
    Ok(Some(place.to_vec()))
}

/// The name behind which a page of a list of names begins.
pub(crate) fn read_name(
    list: [u8; DIGEST_BYTES],
    token: &str,
) -> Result<Option<KeyName>, PageTokenError> {
    let Some(place) = read(list, token)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&place).ok();
    let name = text.and_then(|text| KeyName::new(text).ok());
    name.map(Some).ok_or(PageTokenError::Malformed)
}

/// The token of a page that begins behind a name; empty if there is none.
pub(crate) fn of_name(list: [u8; DIGEST_BYTES], name: Option<&KeyName>) -> String {
    let token = |name: &KeyName| write(list, name.as_str().as_bytes());
    name.map(token).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_list() {
        let token = write([7; 16], b"a/b");
        assert_eq!(read([7; 16], &token), Ok(Some(b"a/b".to_vec())));
        assert_eq!(read([8; 16], &token), Err(PageTokenError::OtherList));
        assert_eq!(read([8; 16], ""), Ok(None));
        for bad in ["a/b", "0", "01", "01ff", "é"] {
            assert_eq!(read([7; 16], bad), Err(PageTokenError::Malformed), "{bad}");
        }
        let later = format!("02{}", &token[2..]);
        assert_eq!(read([7; 16], &later), Err(PageTokenError::Version));
    }
}
