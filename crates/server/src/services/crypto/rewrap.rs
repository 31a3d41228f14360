//! Wrapping one registered data key anew: the data key in clear never leaves the node.

use super::data_key::open;
use super::encrypt::{Item, seal_all};
use crate::error::ServiceError;
use crate::unsealed::Unsealed;
use crate::uses::Chosen;
use conclave_core::DataKey;
use conclave_env::Entropy;

/// The data key under the version `to`.
///
/// # Errors
/// If it does not open, or as the HSM has them.
pub(crate) async fn rewrap(
    entropy: &dyn Entropy,
    unsealed: &Unsealed,
    data_key: &DataKey,
    (from, to): (&Chosen, &Chosen),
) -> Result<Box<[u8]>, ServiceError> {
    let plaintext = open(unsealed, from, data_key).await?;
    let item = Item {
        plaintext: plaintext.expose(),
        aad: &[],
    };
    let blobs = seal_all(entropy, unsealed, to, &data_key.context, &[item]).await?;
    Ok(blobs.into_iter().next().unwrap_or_default().into())
}
