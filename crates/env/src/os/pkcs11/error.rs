//! What a module's errors mean depends on the call that they answer.

use crate::HsmError;
use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};

/// Why a call failed: the module's word, or our own verdict.
pub(super) enum Fault {
    Module(Error),
    Verdict(HsmError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Module(error)
    }
}

impl From<HsmError> for Fault {
    fn from(error: HsmError) -> Self {
        Self::Verdict(error)
    }
}

/// What to do about an error of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The session or the device is gone.
    Lost,
    /// A handle means nothing to the module (any more): lost, unless we have destroyed it ourselves.
    Handle,
    /// This input is no wrapped key, no ciphertext or no point, or one of another key.
    Refused,
    /// Anything else; the module goes on.
    Failed,
}

pub(super) fn classify(error: &Error) -> Class {
    let Error::Pkcs11(code, function) = error else {
        return Class::Failed;
    };
    if is_loss(*code) {
        Class::Lost
    } else if is_handle(*code) {
        Class::Handle
    } else if is_of_input(*function) && is_refusal(*code) {
        Class::Refused
    } else {
        Class::Failed
    }
}

fn is_loss(code: RvError) -> bool {
    [
        RvError::CryptokiNotInitialized,
        RvError::DeviceError,
        RvError::DeviceRemoved,
        RvError::SessionClosed,
        RvError::SessionHandleInvalid,
        RvError::SlotIdInvalid,
        RvError::TokenNotPresent,
        RvError::TokenNotRecognized,
        RvError::UserNotLoggedIn,
    ]
    .contains(&code)
}

fn is_handle(code: RvError) -> bool {
    [
        RvError::KeyHandleInvalid,
        RvError::ObjectHandleInvalid,
        RvError::UnwrappingKeyHandleInvalid,
        RvError::WrappingKeyHandleInvalid,
    ]
    .contains(&code)
}

/// Whether a call can fail for what a stranger has sent.
fn is_of_input(function: Function) -> bool {
    matches!(
        function,
        Function::UnwrapKey | Function::Decrypt | Function::DeriveKey
    )
}

/// Modules differ in what they call a damaged input; some have no better word than a general error.
fn is_refusal(code: RvError) -> bool {
    [
        RvError::ArgumentsBad,
        RvError::AttributeValueInvalid,
        RvError::DataInvalid,
        RvError::DataLenRange,
        RvError::DomainParamsInvalid,
        RvError::EncryptedDataInvalid,
        RvError::EncryptedDataLenRange,
        RvError::FunctionFailed,
        RvError::GeneralError,
        RvError::KeyNotWrappable,
        RvError::KeySizeRange,
        RvError::KeyTypeInconsistent,
        RvError::MechanismParamInvalid,
        RvError::PublicKeyInvalid,
        RvError::TemplateInconsistent,
        RvError::WrappedKeyInvalid,
        RvError::WrappedKeyLenRange,
    ]
    .contains(&code)
}

/// Whether a call was refused for what it was given, where a call of that name can otherwise not be.
pub(super) fn is_refused(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(code, _) if is_refusal(*code))
}

/// Short: the names of error and function, without cryptoki's paragraph of explanation.
pub(super) fn describe(error: &Error) -> String {
    if let Error::Pkcs11(code, function) = error {
        format!("{code:?} from C_{function:?}")
    } else {
        error.to_string()
    }
}

pub(super) fn failed(operation: &'static str, error: &Error) -> HsmError {
    HsmError::Failed {
        operation,
        detail: describe(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_input_takes_the_module_from_nobody() {
        let of = |code, function| classify(&Error::Pkcs11(code, function));
        assert_eq!(
            of(RvError::GeneralError, Function::UnwrapKey),
            Class::Refused
        );
        assert_eq!(
            of(RvError::WrappedKeyInvalid, Function::UnwrapKey),
            Class::Refused
        );
        assert_eq!(of(RvError::GeneralError, Function::Sign), Class::Failed);
        assert_eq!(of(RvError::GeneralError, Function::Decrypt), Class::Refused);
        assert_eq!(
            of(RvError::EncryptedDataInvalid, Function::Decrypt),
            Class::Refused
        );
        assert_eq!(
            of(RvError::GeneralError, Function::DeriveKey),
            Class::Refused
        );
        assert_eq!(
            of(RvError::MechanismParamInvalid, Function::DeriveKey),
            Class::Refused
        );
        assert_eq!(of(RvError::DeviceError, Function::DeriveKey), Class::Lost);
        assert_eq!(
            of(RvError::FunctionFailed, Function::GenerateKey),
            Class::Failed
        );
        assert_eq!(
            of(RvError::MechanismInvalid, Function::UnwrapKey),
            Class::Failed
        );
        assert_eq!(
            of(RvError::SessionHandleInvalid, Function::Sign),
            Class::Lost
        );
        assert_eq!(
            of(RvError::TokenNotPresent, Function::UnwrapKey),
            Class::Lost
        );
        assert_eq!(
            of(RvError::KeyHandleInvalid, Function::SignInit),
            Class::Handle
        );
    }
}
