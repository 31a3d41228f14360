//! `KeyService`.

use super::unary;
use crate::v1::key_service_client::KeyServiceClient;

unary! { KeyServiceClient<_>:
    /// Creates a key with version 1.
    create_key = create_key(CreateKeyRequest) -> Key;
    /// One key.
    get_key = get_key(GetKeyRequest) -> Key;
    /// The public half of a version, to verify or encrypt with elsewhere.
    get_public_key = get_public_key(GetPublicKeyRequest) -> PublicKey;
    /// One page of the keys whose name starts with a prefix, in the order of their names.
    list_keys = list_keys(ListKeysRequest) -> ListKeysResponse;
    /// Sets some labels of a key and removes others.
    update_key_labels = update_key_labels(UpdateKeyLabelsRequest) -> Key;
    /// Another name for a key.
    create_alias = create_alias(CreateAliasRequest) -> Alias;
    /// Has an alias lead to another key, and answers to which it led before.
    update_alias = update_alias(UpdateAliasRequest) -> UpdateAliasResponse;
    /// The end of an alias.
    delete_alias = delete_alias(DeleteAliasRequest) -> DeleteAliasResponse;
    /// One page of the aliases whose name starts with a prefix, in the order of their names.
    list_aliases = list_aliases(ListAliasesRequest) -> ListAliasesResponse;
    /// One page of all that was done with a key but its uses, the earliest first.
    get_key_history = get_key_history(GetKeyHistoryRequest) -> GetKeyHistoryResponse;
    /// Makes a new primary version.
    rotate_key = rotate_key(RotateKeyRequest) -> Key;
    /// Moves a key or a version from `PRE_ACTIVE` to `ACTIVE`.
    activate_key = activate_key(TransitionRequest) -> Key;
    /// Moves a key or a version from `ACTIVE` to `SUSPENDED`.
    suspend_key = suspend_key(TransitionRequest) -> Key;
    /// Moves a key or a version from `SUSPENDED` to `ACTIVE`.
    resume_key = resume_key(TransitionRequest) -> Key;
    /// Moves a key or a version to `DEACTIVATED`.
    deactivate_key = deactivate_key(TransitionRequest) -> Key;
    /// Moves a key or a version to `COMPROMISED`.
    mark_key_compromised = mark_key_compromised(TransitionRequest) -> Key;
    /// Schedules the destruction of a key or a version.
    schedule_key_destruction = schedule_key_destruction(ScheduleKeyDestructionRequest) -> Key;
    /// Moves a key or a version from `DESTROY_SCHEDULED` to `DEACTIVATED`.
    cancel_key_destruction = cancel_key_destruction(TransitionRequest) -> Key;
    /// What becomes of a key's registered data keys when it is rotated.
    set_rewrap_policy = set_rewrap_policy(SetRewrapPolicyRequest) -> Key;
    /// Has a key's registered data keys wrapped by its primary version.
    rewrap_data_keys = rewrap_data_keys(RewrapDataKeysRequest) -> Key;
    /// One registered data key, without the key itself.
    get_data_key = get_data_key(GetDataKeyRequest) -> DataKey;
    /// One page of the registered data keys of a key, in the order of their ids.
    list_data_keys = list_data_keys(ListDataKeysRequest) -> ListDataKeysResponse;
    /// Deletes a registered data key.
    delete_data_key = delete_data_key(DeleteDataKeyRequest) -> DeleteDataKeyResponse;
    /// Makes a public key to wrap material with, for one import.
    create_import_job = create_import_job(CreateImportJobRequest) -> ImportJob;
    /// One import job.
    get_import_job = get_import_job(GetImportJobRequest) -> ImportJob;
    /// The import jobs there are.
    list_import_jobs = list_import_jobs(ListImportJobsRequest) -> ListImportJobsResponse;
    /// What shows to others that a key or a version is destroyed (see [`crate::proof`]).
    get_destruction_certificate = get_destruction_certificate(GetDestructionCertificateRequest) -> DestructionCertificate;
    /// Makes wrapped material a key, or a version of one.
    import_key = import_key(ImportKeyRequest) -> Key;
    /// Gives a key another rotation period, or none.
    set_key_rotation = set_key_rotation(SetKeyRotationRequest) -> Key;
}
