//! Writing a history.

use super::{
    Answer, Asked, Call, CallId, DataKey, DataKeyPlace, History, Message, MessageId, Proof, ProofId,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Is told of each beginning and end.
pub type Listener = Arc<dyn Fn(Duration, &str) + Send + Sync>;

/// A history that is being written. Clones write the same one.
#[derive(Clone, Default)]
pub struct Recorder {
    history: Arc<Mutex<History>>,
    listener: Option<Listener>,
}

impl Recorder {
    /// A history whose beginnings and ends somebody is told of.
    pub fn told_to(listener: Listener) -> Self {
        Self {
            history: Arc::default(),
            listener: Some(listener),
        }
    }

    fn tell(&self, at: Duration, text: impl FnOnce() -> String) {
        if let Some(listener) = &self.listener {
            listener(at, &text());
        }
    }

    /// A call begins.
    pub fn begin(&self, at: Duration, principal: &str, request: &[u8], asked: Asked) -> CallId {
        let mut history = self.history.lock();
        let begun = history.moment(at);
        let id = CallId(history.calls.len());
        self.tell(at, || {
            format!(
                "call {} by {principal}, request {}: {}",
                id.0,
                hex::encode(request),
                asked.brief()
            )
        });
        // A request that is repeated on purpose is one request.
        if !request.is_empty() {
            history.by_request.entry(request.to_vec()).or_insert(id);
        }
        history.calls.push(Call {
            principal: principal.to_owned(),
            request: request.to_vec(),
            asked,
            begun,
            ended: None,
        });
        id
    }

    /// It is answered.
    pub fn end(&self, at: Duration, call: CallId, answer: Answer) {
        let mut history = self.history.lock();
        let moment = history.moment(at);
        self.tell(at, || format!("call {} ends: {}", call.0, answer.brief()));
        history.calls[call.0].ended = Some((moment, answer));
    }

    /// Notes messages that a call was given, and answers it with them.
    pub fn end_sealed(&self, at: Duration, call: CallId, given: Vec<Sealed>) {
        let mut history = self.history.lock();
        let moment = history.moment(at);
        let first = history.messages.len();
        let messages = given.into_iter().map(|sealed| Message {
            key: sealed.key,
            version: sealed.version,
            plaintext: sealed.plaintext,
            ciphertext: sealed.ciphertext,
            given: moment,
        });
        history.messages.extend(messages);
        let ids = (first..history.messages.len()).map(MessageId).collect();
        let answer = Answer::Sealed(ids);
        self.tell(at, || format!("call {} ends: {}", call.0, answer.brief()));
        history.calls[call.0].ended = Some((moment, answer));
    }

    /// Notes a code or signature that a call was given, and answers it with it.
    pub fn end_proved(&self, at: Duration, call: CallId, given: Proof) {
        let mut history = self.history.lock();
        let moment = history.moment(at);
        let answer = Answer::Proved(ProofId(history.proofs.len()));
        history.proofs.push(given);
        self.tell(at, || format!("call {} ends: {}", call.0, answer.brief()));
        history.calls[call.0].ended = Some((moment, answer));
    }

    /// Notes a registered data key that a call was given, and answers it with it.
    pub fn end_registered(&self, at: Duration, call: CallId, given: DataKey) {
        let mut history = self.history.lock();
        let moment = history.moment(at);
        let answer = Answer::Registered(DataKeyPlace(history.data_keys.len()));
        history.data_keys.push(given);
        self.tell(at, || format!("call {} ends: {}", call.0, answer.brief()));
        history.calls[call.0].ended = Some((moment, answer));
    }

    /// A call that was acknowledged was sent once more.
    pub fn repeated(&self, call: CallId, answer: Answer) {
        self.history.lock().repeats.push((call, answer));
    }

    /// Looks at what there is so far.
    pub fn look<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.history.lock())
    }

    /// A copy of what there is so far.
    pub fn history(&self) -> History {
        self.history.lock().clone()
    }
}

/// A message as an answer gives it.
pub struct Sealed {
    /// Under which key.
    pub key: String,
    /// Under which version.
    pub version: u32,
    /// In clear.
    pub plaintext: Vec<u8>,
    /// Encrypted.
    pub ciphertext: Vec<u8>,
}
