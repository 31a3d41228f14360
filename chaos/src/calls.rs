//! Making the calls of a history through the client library, and noting what they were answered.

mod kept;
mod proofs;
mod uses;

use crate::answers;
use crate::history::{Answer, Asked, CallId, DataKey, Proof, Recorder, Right, Sealed};
use crate::named::material_of;
use conclave_client::{Client, v1};
use conclave_core::{Role, Transition};
use std::time::Duration;

/// Tells how long the run lasts already.
pub type Stopwatch = fn() -> Duration;

/// Makes calls and notes them.
#[derive(Clone)]
pub struct Caller {
    /// As whom.
    pub principal: String,
    /// How.
    pub client: Client,
    /// Where.
    pub recorder: Recorder,
    /// When.
    pub now: Stopwatch,
}

fn wire_grant(right: &Right) -> v1::Grant {
    let role = match right.role {
        Role::Admin => v1::Role::Admin,
        Role::Operator => v1::Role::Operator,
        Role::User => v1::Role::User,
        Role::UseCompromised => v1::Role::UseCompromised,
    };
    v1::Grant {
        principal: right.principal.clone(),
        keyring: right.keyring.clone(),
        role: role.into(),
    }
}

/// How long a destruction waits.
const DAY: prost_types::Duration = prost_types::Duration {
    seconds: 86_400,
    nanos: 0,
};

fn period(every_ms: u64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(every_ms / 1_000).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

/// What a call was given, to be noted in the history.
enum Given {
    Sealed(Vec<Sealed>),
    Proved(Proof),
    Registered(DataKey),
}

impl From<Vec<Sealed>> for Given {
    fn from(sealed: Vec<Sealed>) -> Self {
        Self::Sealed(sealed)
    }
}

impl From<Proof> for Given {
    fn from(proof: Proof) -> Self {
        Self::Proved(proof)
    }
}

impl From<DataKey> for Given {
    fn from(data_key: DataKey) -> Self {
        Self::Registered(data_key)
    }
}

impl Caller {
    /// Makes one call under a fresh request id.
    pub async fn call(&self, asked: Asked) -> CallId {
        let request = match asked.operation() {
            Some(_) => self.client.request_id().to_vec(),
            None => Vec::new(),
        };
        let call = self
            .recorder
            .begin((self.now)(), &self.principal, &request, asked.clone());
        match self.answer(&request, &asked).await {
            Ok(answer) => self.recorder.end((self.now)(), call, answer),
            Err(Given::Sealed(sealed)) => self.recorder.end_sealed((self.now)(), call, sealed),
            Err(Given::Proved(proof)) => self.recorder.end_proved((self.now)(), call, proof),
            Err(Given::Registered(it)) => self.recorder.end_registered((self.now)(), call, it),
        }
        call
    }

    /// Sends a write once more under its request id. If nobody knew what became of it, that is settled now; otherwise
    /// the answer must be the first one's.
    pub async fn repeat(&self, call: CallId) {
        let (request, asked, was_settled) = self.recorder.look(|history| {
            let call = &history.calls[call.0];
            (call.request.clone(), call.asked.clone(), call.is_settled())
        });
        let Ok(answer) = self.answer(&request, &asked).await else {
            return;
        };
        if was_settled {
            self.recorder.repeated(call, answer);
        } else {
            self.recorder.end((self.now)(), call, answer);
        }
    }

    /// The answer, or (as the error) what was given.
    async fn answer(&self, request: &[u8], asked: &Asked) -> Result<Answer, Given> {
        match asked {
            Asked::Encrypt {
                key,
                version,
                plaintexts,
            } => Ok(self.encrypt(request, key, *version, plaintexts).await?),
            Asked::DataKey { key } => Ok(self.data_key(request, key).await?),
            Asked::Register { key } => Ok(self.register(request, key).await?),
            Asked::OpenDataKey(place) => Ok(self.open_data_key(request, *place).await),
            Asked::ProveRecord { sequence } => Ok(self.prove_record(*sequence).await),
            Asked::ReEncrypt { message } => Ok(self.re_encrypt(request, *message).await?),
            Asked::Decrypt { messages } => Ok(self.decrypt(request, messages).await),
            Asked::Prove {
                kind,
                key,
                version,
                message,
            } => Ok(self.prove(request, *kind, (key, *version), message).await?),
            Asked::Check { proof, changed, .. } => Ok(self.check(request, *proof, *changed).await),
            Asked::Share { kind, key, version } => {
                Ok(self.share(request, *kind, (key, *version)).await)
            }
            Asked::Random => Ok(self.random(request).await),
            Asked::GetKey { key } => {
                let request = v1::GetKeyRequest {
                    name: key.clone(),
                    ..v1::GetKeyRequest::default()
                };
                Ok(answers::key(self.client.get_key(request).await))
            }
            Asked::ReadRoot => Ok(self.read_root().await),
            Asked::CreateKey { .. }
            | Asked::CreateDatedKey { .. }
            | Asked::RotateKey { .. }
            | Asked::Transition { .. }
            | Asked::Destroy { .. }
            | Asked::SetRotation { .. }
            | Asked::DeleteDataKey(_)
            | Asked::SetAlias { .. }
            | Asked::DeleteAlias { .. }
            | Asked::Grant(_)
            | Asked::Revoke(_) => Ok(self.write(request, asked).await),
        }
    }

    async fn write(&self, request: &[u8], asked: &Asked) -> Answer {
        let client = &self.client;
        let request_id = request.to_vec();
        match asked {
            Asked::CreateKey { key, later } => self.create(request_id, key, *later, None).await,
            Asked::CreateDatedKey { key, date_ms } => {
                self.create(request_id, key, true, Some(*date_ms)).await
            }
            Asked::RotateKey { key } => {
                let name = key.clone();
                let request = v1::RotateKeyRequest { request_id, name };
                answers::key(client.rotate_key(request).await)
            }
            Asked::Transition {
                key,
                version,
                transition,
            } => self.step(request_id, key, *version, *transition).await,
            Asked::Destroy {
                key,
                version,
                force,
            } => {
                let request = v1::ScheduleKeyDestructionRequest {
                    request_id,
                    name: key.clone(),
                    version: version.unwrap_or(0),
                    waiting_period: Some(DAY),
                    force: *force,
                };
                answers::key(client.schedule_key_destruction(request).await)
            }
            Asked::SetRotation { key, every_ms } => {
                let request = v1::SetKeyRotationRequest {
                    request_id,
                    name: key.clone(),
                    rotation_period: every_ms.map(period),
                };
                answers::key(client.set_key_rotation(request).await)
            }
            Asked::DeleteDataKey(place) => self.delete_data_key(request, *place).await,
            Asked::SetAlias { alias, key, moves } => {
                self.set_alias(request, alias, key, *moves).await
            }
            Asked::DeleteAlias { alias } => self.delete_alias(request, alias).await,
            Asked::Grant(right) => {
                let grant = Some(wire_grant(right));
                answers::done(&client.grant(v1::GrantRequest { request_id, grant }).await)
            }
            Asked::Revoke(right) => {
                let grant = Some(wire_grant(right));
                let request = v1::RevokeRequest { request_id, grant };
                answers::done(&client.revoke(request).await)
            }
            Asked::Encrypt { .. }
            | Asked::DataKey { .. }
            | Asked::Decrypt { .. }
            | Asked::ReEncrypt { .. }
            | Asked::Prove { .. }
            | Asked::Check { .. }
            | Asked::Random
            | Asked::Share { .. }
            | Asked::Register { .. }
            | Asked::OpenDataKey(_)
            | Asked::ProveRecord { .. }
            | Asked::GetKey { .. }
            | Asked::ReadRoot => unreachable!("not a write"),
        }
    }

    async fn step(
        &self,
        request_id: Vec<u8>,
        key: &str,
        version: Option<u32>,
        transition: Transition,
    ) -> Answer {
        let client = &self.client;
        let request = v1::TransitionRequest {
            request_id,
            name: key.to_owned(),
            version: version.unwrap_or(0),
        };
        answers::key(match transition {
            Transition::Activate => client.activate_key(request).await,
            Transition::Suspend => client.suspend_key(request).await,
            Transition::Resume => client.resume_key(request).await,
            Transition::Deactivate => client.deactivate_key(request).await,
            Transition::MarkCompromised => client.mark_key_compromised(request).await,
            Transition::CancelDestruction => client.cancel_key_destruction(request).await,
            Transition::ScheduleDestruction | Transition::Destroy => {
                unreachable!("no step that is asked for by itself")
            }
        })
    }

    async fn create(
        &self,
        request_id: Vec<u8>,
        key: &str,
        pre_active: bool,
        date_ms: Option<u64>,
    ) -> Answer {
        let (algorithm, protection) = material_of(key);
        let stamp = |ms: u64| prost_types::Timestamp {
            seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
            nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
        };
        let request = v1::CreateKeyRequest {
            request_id,
            name: key.to_owned(),
            pre_active,
            algorithm: algorithm.into(),
            protection: protection.into(),
            activate_at: date_ms.map(stamp),
            ..v1::CreateKeyRequest::default()
        };
        answers::key(self.client.create_key(request).await)
    }

    async fn read_root(&self) -> Answer {
        match self
            .client
            .audit_root(v1::AuditRootRequest::default())
            .await
        {
            Ok(answer) => Answer::Root {
                size: answer.size,
                root: answer.root_hash,
            },
            Err(error) => answers::failure(&error),
        }
    }
}
