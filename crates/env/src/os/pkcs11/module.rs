//! Libraries, which are loaded once, and the tokens in their slots.

use super::Pkcs11Config;
use super::error::failed;
use crate::HsmError;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A library is initialised once a process and never finalised, so all tokens of one share it.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

const NEEDED: [(MechanismType, &str); 4] = [
    (MechanismType::AES_KEY_WRAP_PAD, "CKM_AES_KEY_WRAP_PAD"),
    (MechanismType::SHA256_HMAC, "CKM_SHA256_HMAC"),
    (MechanismType::AES_KEY_GEN, "CKM_AES_KEY_GEN"),
    (
        MechanismType::GENERIC_SECRET_KEY_GEN,
        "CKM_GENERIC_SECRET_KEY_GEN",
    ),
];

pub(super) fn load(path: &Path) -> Result<Pkcs11, HsmError> {
    let missing = |error: Error| HsmError::ModuleMissing {
        path: path.display().to_string(),
        detail: error.to_string(),
    };
    let mut modules = MODULES.lock();
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let module = Pkcs11::new(path).map_err(missing)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(failed("initialise", &error)),
    }
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

/// The slot of the token, which can have another number after each reconnect.
pub(super) fn find_slot(module: &Pkcs11, label: &str) -> Result<Slot, HsmError> {
    let slots = module.get_slots_with_initialized_token();
    for slot in slots.map_err(|error| failed("list its tokens", &error))? {
        // A token that vanishes meanwhile is not the one.
        let Ok(token) = module.get_token_info(slot) else {
            continue;
        };
        if token.label() == label {
            if token.user_pin_locked() {
                return Err(HsmError::PinLocked {
                    label: label.to_owned(),
                });
            }
            check_mechanisms(module, slot)?;
            return Ok(slot);
        }
    }
    Err(HsmError::TokenMissing {
        label: label.to_owned(),
    })
}

fn check_mechanisms(module: &Pkcs11, slot: Slot) -> Result<(), HsmError> {
    let offered = module.get_mechanism_list(slot);
    let offered = offered.map_err(|error| failed("list its mechanisms", &error))?;
    match NEEDED.iter().find(|(needed, _)| !offered.contains(needed)) {
        Some((_, mechanism)) => Err(HsmError::Unsupported { mechanism }),
        None => Ok(()),
    }
}

/// What a token says of itself.
pub(super) struct Listed {
    pub(super) mechanisms: Vec<MechanismType>,
    /// Bits of the longest RSA key that it makes; 0 if it makes none.
    pub(super) rsa_bits_max: usize,
    /// Whether it says that it unwraps keys by RSA-OAEP.
    pub(super) unwraps_by_oaep: bool,
}

/// Reads the mechanisms of the token with this label.
pub(super) fn list(module: &Pkcs11, label: &str) -> Result<Listed, HsmError> {
    let slot = find_slot(module, label)?;
    let failed = |error| failed("list its mechanisms", &error);
    let mechanisms = module.get_mechanism_list(slot).map_err(failed)?;
    let rsa = MechanismType::RSA_PKCS_KEY_PAIR_GEN;
    let rsa_bits_max = if mechanisms.contains(&rsa) {
        let rsa = module.get_mechanism_info(slot, rsa);
        rsa.map_err(failed)?.max_key_size()
    } else {
        0
    };
    let oaep = MechanismType::RSA_PKCS_OAEP;
    let unwraps_by_oaep = mechanisms.contains(&oaep) && {
        let oaep = module.get_mechanism_info(slot, oaep);
        oaep.map_err(failed)?.unwrap()
    };
    Ok(Listed {
        mechanisms,
        rsa_bits_max,
        unwraps_by_oaep,
    })
}

/// Logs all sessions of this process in.
pub(super) fn login(session: &Session, config: &Pkcs11Config) -> Result<(), HsmError> {
    let label = config.token.clone();
    let pin = AuthPin::from(config.pin.0.as_str());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
            _,
        )) => Err(HsmError::WrongPin { label }),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(HsmError::PinLocked { label }),
        Err(error) => Err(failed("log in", &error)),
    }
}
