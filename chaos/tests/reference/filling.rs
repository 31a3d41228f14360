//! Requests that are good enough to be decided upon, for calls that this test has never heard of.

use crate::descriptors::{Api, Call, Field, Message};
use crate::raw::{Value, put};
use conclave_client::v1;

/// What fields are filled with, by their names.
#[derive(Clone)]
pub(crate) struct Filling {
    pub(crate) key: String,
    /// The name of what is created.
    pub(crate) new: String,
    pub(crate) alias: String,
    pub(crate) version: u64,
    pub(crate) page_token: String,
    /// Of a registered data key, of an import job.
    pub(crate) data_key: Vec<u8>,
    pub(crate) import_job: Vec<u8>,
    /// Under `key`.
    pub(crate) ciphertext: Vec<u8>,
    /// Of RSA.
    pub(crate) public_key: Vec<u8>,
    pub(crate) share: v1::SubmitShareRequest,
}

const USER: u64 = 3;
/// Messages that are filled as well.
const FILLED: [&str; 4] = ["items", "grant", "policy", "set"];
/// The keyring of all that there is.
pub(crate) const KEYRING: &str = "demo";

impl Filling {
    /// The request of a call.
    pub(crate) fn request(&self, api: &Api, call: &Call) -> Vec<u8> {
        let message = api.message(&call.request).expect("requests are described");
        self.message(api, call, message)
    }

    fn message(&self, api: &Api, call: &Call, message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in &message.fields {
            if field.name == "custodians" {
                for name in ["custodian-1", "custodian-2"] {
                    put(&mut bytes, field.number, &Value::Bytes(custodian(name)));
                }
                continue;
            }
            if let Some(value) = self.value(api, call, field) {
                put(&mut bytes, field.number, &value);
            }
        }
        bytes
    }

    fn value(&self, api: &Api, call: &Call, field: &Field) -> Option<Value> {
        let name = field.name.as_str();
        if field.is_map {
            return FILLED
                .contains(&name)
                .then(|| Value::Bytes(pair("team", "cards")));
        }
        if field.is_message {
            let inner = api.message(&field.of).filter(|_| FILLED.contains(&name))?;
            return Some(Value::Bytes(self.message(api, call, inner)));
        }
        let text = |text: &str| Some(Value::Bytes(text.as_bytes().to_vec()));
        let bytes = |bytes: &[u8]| Some(Value::Bytes(bytes.to_vec()));
        match name {
            // Without it the list is of what the caller may see.
            "key" if call.name == "ListAliases" => None,
            "name" if call.name == "CreateKey" => text(&self.new),
            "alias" if call.name == "CreateAlias" => text(&self.new),
            "name" | "key" | "version_of" => text(&self.key),
            "alias" => text(&self.alias),
            "keyring" => text(KEYRING),
            "principal" if call.name != "ListGrants" => text("guest"),
            "role" => Some(Value::Number(USER)),
            "version" => Some(Value::Number(self.version)),
            "page_token" => text(&self.page_token),
            "length" => Some(Value::Number(32)),
            "sequences" => Some(Value::Number(1)),
            "threshold" => Some(Value::Number(2)),
            "data_key_id" => bytes(&self.data_key),
            "import_job_id" => bytes(&self.import_job),
            "ciphertext" => bytes(&self.ciphertext),
            "wrapped_key" => bytes(&[1; 400]),
            "public_key" => bytes(&self.public_key),
            "message" | "plaintext" => bytes(b"x"),
            "custodian" => text(&self.share.custodian),
            "cluster_id" => bytes(&self.share.cluster_id),
            "set_id" => bytes(&self.share.set_id),
            "generation" => Some(Value::Number(self.share.generation.into())),
            "share" => bytes(&self.share.share),
            _ => None,
        }
    }
}

fn pair(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, 1, &Value::Bytes(name.as_bytes().to_vec()));
    put(&mut bytes, 2, &Value::Bytes(value.as_bytes().to_vec()));
    bytes
}

fn custodian(name: &str) -> Vec<u8> {
    pair(name, &conclave_crypto::generate_identity().1)
}
