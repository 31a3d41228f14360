//! Custodians: their identities, and the shares that the ceremony gave them.

use anyhow::{Context as _, Result};
use conclave_client::v1;
use conclave_crypto::{ShareFile, decrypt_with, generate_identity};

/// Of five.
const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// Of them are needed.
const THRESHOLD: u32 = 3;

/// One custodian.
pub struct Hand {
    /// Its name, also as a principal.
    pub name: String,
    /// The age identity file.
    pub identity: String,
    /// What the ceremony gave, encrypted to the identity.
    pub encrypted: Vec<u8>,
    /// Ready to be submitted.
    pub request: v1::SubmitShareRequest,
}

/// A ceremony that was held.
pub struct Ceremony {
    /// The custodians.
    pub hands: Vec<Hand>,
    /// What the node answered.
    pub answer: v1::InitResponse,
}

impl Ceremony {
    /// Five custodians, threshold three, through the given administrator's client.
    ///
    /// # Errors
    /// If the cluster refuses, or a share is not its custodian's.
    pub async fn hold(admin: &conclave_client::Client) -> Result<Self> {
        let identities: Vec<_> = NAMES
            .iter()
            .map(|name| (*name, generate_identity()))
            .collect();
        let custodian = |(name, (_, recipient)): &(&str, (_, String))| v1::Custodian {
            name: (*name).to_owned(),
            recipient: recipient.clone(),
        };
        let custodians = identities.iter().map(custodian).collect();
        let request = v1::InitRequest {
            custodians,
            threshold: THRESHOLD,
            ..v1::InitRequest::default()
        };
        let answer = admin.custody_init(request).await.context("the ceremony")?;
        let mut hands = Vec::new();
        for (name, (identity, _)) in identities {
            let identity = String::from_utf8(identity.expose().to_vec())?;
            let given = answer.shares.iter().find(|it| it.custodian == name);
            let encrypted = given
                .with_context(|| format!("{name} got no share"))?
                .share
                .clone();
            let file = decrypt_with(&identity, &encrypted)?;
            let request = submission(&ShareFile::parse(file.expose())?);
            hands.push(Hand {
                name: name.to_owned(),
                identity,
                encrypted,
                request,
            });
        }
        Ok(Self { hands, answer })
    }

    /// The submission of the custodian at `place`.
    pub fn share(&self, place: usize) -> v1::SubmitShareRequest {
        self.hands[place].request.clone()
    }

    /// How many shares it takes.
    ///
    /// # Panics
    /// Never: there are at most 255.
    pub fn threshold(&self) -> usize {
        usize::try_from(self.answer.threshold).expect("a small number")
    }
}

fn submission(file: &ShareFile) -> v1::SubmitShareRequest {
    v1::SubmitShareRequest {
        custodian: file.custodian.to_string(),
        cluster_id: file.cluster.as_bytes().to_vec(),
        set_id: file.set.set_id.as_bytes().to_vec(),
        generation: file.set.generation.0,
        share: file.share.expose().to_vec(),
        ..v1::SubmitShareRequest::default()
    }
}
