//! The kinds of calls that clients draw from.

/// How many kinds of calls there are.
pub(crate) const KINDS: usize = 35;
/// Kinds that every seed calls: to create keys, and to encrypt.
pub(crate) const INDISPENSABLE: [usize; 2] = [0, 8];
/// How often each kind is called, before a seed weighs it.
pub(crate) const BASE: [u32; KINDS] = [
    3, 3, 4, 6, 1, 2, 2, 2, 18, 14, 5, 5, 5, 4, 2, 8, 3, 2, 1, 2, 1, 6, 6, 6, 6, 3, 6, 9, 5, 3, 1,
    8, 2, 4, 4,
];

/// One kind of call, in the order of [`BASE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Rotate,
    Suspend,
    Resume,
    Deactivate,
    Activate,
    Grant,
    Revoke,
    Encrypt,
    Decrypt,
    EncryptBatch,
    DecryptBatch,
    DataKey,
    ReEncrypt,
    Random,
    Read,
    Repeat,
    ReadRoot,
    Compromise,
    Destroy,
    CancelDestroy,
    GenerateMac,
    VerifyMac,
    Sign,
    Verify,
    SetRotation,
    Register,
    OpenDataKey,
    DeleteDataKey,
    SetAlias,
    DeleteAlias,
    EncryptByAlias,
    ProveRecord,
    Agree,
    Decapsulate,
}

impl Kind {
    pub(crate) const ALL: [Self; KINDS] = [
        Self::Create,
        Self::Rotate,
        Self::Suspend,
        Self::Resume,
        Self::Deactivate,
        Self::Activate,
        Self::Grant,
        Self::Revoke,
        Self::Encrypt,
        Self::Decrypt,
        Self::EncryptBatch,
        Self::DecryptBatch,
        Self::DataKey,
        Self::ReEncrypt,
        Self::Random,
        Self::Read,
        Self::Repeat,
        Self::ReadRoot,
        Self::Compromise,
        Self::Destroy,
        Self::CancelDestroy,
        Self::GenerateMac,
        Self::VerifyMac,
        Self::Sign,
        Self::Verify,
        Self::SetRotation,
        Self::Register,
        Self::OpenDataKey,
        Self::DeleteDataKey,
        Self::SetAlias,
        Self::DeleteAlias,
        Self::EncryptByAlias,
        Self::ProveRecord,
        Self::Agree,
        Self::Decapsulate,
    ];

    /// Who calls it, as a rule.
    pub(crate) fn principal(self) -> &'static str {
        match self {
            Self::Create
            | Self::Grant
            | Self::Revoke
            | Self::Destroy
            | Self::DeleteDataKey
            | Self::SetAlias
            | Self::DeleteAlias => "admin",
            Self::Rotate
            | Self::Suspend
            | Self::Resume
            | Self::Deactivate
            | Self::Activate
            | Self::Compromise
            | Self::CancelDestroy
            | Self::SetRotation
            | Self::ProveRecord
            | Self::ReadRoot => "ops",
            Self::Encrypt
            | Self::Decrypt
            | Self::EncryptBatch
            | Self::DecryptBatch
            | Self::DataKey
            | Self::Register
            | Self::OpenDataKey
            | Self::EncryptByAlias
            | Self::Agree
            | Self::Decapsulate
            | Self::ReEncrypt
            | Self::GenerateMac
            | Self::VerifyMac
            | Self::Sign
            | Self::Verify
            | Self::Random
            | Self::Read
            | Self::Repeat => "app",
        }
    }
}
