//! Bare PKCS#11 on a SoftHSM token: sessions that do nothing but call the module, each in a thread of its own.

use crate::meter::{Tally, Window, on_threads};
use crate::report::Report;
use anyhow::{Context as _, Result};
use conclave_benches::token::Seat;
use conclave_crypto::message::prk_hsm_message;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::time::{Duration, Instant};

const KEY_BYTES: u64 = 32;
const TAG_BITS: u64 = 128;

/// The token's keys, as a node's are: of the session that made them, sensitive, not extractable.
#[derive(Clone, Copy)]
struct Keys {
    mac: ObjectHandle,
    aes: ObjectHandle,
}

/// One call, and nothing but that.
type Call = fn(&Session, Keys) -> Result<()>;

/// The HMAC from which a node makes a message's key at protection HSM, and an AES-256-GCM of 32 bytes inside the token,
/// with one session and with several.
///
/// # Errors
/// As the module has them.
pub(crate) fn measure(
    seat: &Seat,
    sessions: usize,
    length: Duration,
    report: &mut Report,
) -> Result<()> {
    let module = Pkcs11::new(&seat.module)?;
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
    let slot = find_slot(&module, seat.label)?;
    // The keys live as long as it does.
    let owner = module.open_rw_session(slot)?;
    owner.login(UserType::User, Some(&AuthPin::from(seat.pin.as_str())))?;
    let keys = Keys::make(&owner)?;
    let mut counts = vec![1, sessions];
    counts.dedup();
    let calls: [(&str, Call); 2] = [("HMAC-SHA-256", hmac), ("AES-256-GCM, 32 B", encrypt)];
    for (name, call) in calls {
        for count in &counts {
            let workers = (0..*count).map(|_| {
                let session = module.open_rw_session(slot)?;
                Ok(move |window: &Window| repeat(&session, keys, call, window))
            });
            let workers = workers.collect::<Result<Vec<_>>>()?;
            let name = format!("PKCS#11 {name}, {count} sessions");
            let name = name.replace(" 1 sessions", " 1 session");
            report.add(&on_threads(name, length, workers)?)?;
        }
    }
    Ok(())
}

fn repeat(session: &Session, keys: Keys, call: Call, window: &Window) -> Result<Tally> {
    let mut tally = Tally::default();
    while !window.is_over() {
        let began = Instant::now();
        call(session, keys)?;
        tally.call(window, began.elapsed());
    }
    Ok(tally)
}

fn hmac(session: &Session, keys: Keys) -> Result<()> {
    let message = prk_hsm_message(&[9; 32]);
    session.sign(&Mechanism::Sha256Hmac, keys.mac, &message)?;
    Ok(())
}

fn encrypt(session: &Session, keys: Keys) -> Result<()> {
    let mut nonce = [1; 12];
    let parameters = GcmParams::new(&mut nonce, b"", TAG_BITS.into())?;
    session.encrypt(&Mechanism::AesGcm(parameters), keys.aes, &[3; 32])?;
    Ok(())
}

impl Keys {
    fn make(owner: &Session) -> Result<Self> {
        let template = |purpose| {
            [
                Attribute::Token(false),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::ValueLen(KEY_BYTES.into()),
                purpose,
            ]
        };
        let (mac, aes) = (Mechanism::GenericSecretKeyGen, Mechanism::AesKeyGen);
        Ok(Self {
            mac: owner.generate_key(&mac, &template(Attribute::Sign(true)))?,
            aes: owner.generate_key(&aes, &template(Attribute::Encrypt(true)))?,
        })
    }
}

fn find_slot(module: &Pkcs11, label: &str) -> Result<Slot> {
    for slot in module.get_slots_with_initialized_token()? {
        if module.get_token_info(slot)?.label() == label {
            return Ok(slot);
        }
    }
    None.context("SoftHSM does not see the token that was made for it: check softhsm2-util")
}
