//! What to do about a failed call, where the node did not say.

use tonic::Code;

/// What to do about a failed call: by its stable reason, else by its code.
pub fn remedy(reason: &str, code: Code) -> &'static str {
    of_keys(reason)
        .or_else(|| of_nodes(reason))
        .unwrap_or_else(|| by_code(code))
}

/// What has to do with keys and who uses them.
fn of_keys(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "KEY_NOT_FOUND" => "look for the name with `conclave key list`",
        "ALIAS_NOT_FOUND" => "look for the name with `conclave alias list`",
        "ALIAS_EXISTS" | "KEY_EXISTS" => "choose another name: keys and aliases share them",
        "ALIAS_MOVED" => "look with `conclave alias list` which key it is of, and decide again",
        "ALIAS_PURPOSE" | "ALIAS_KEYRING" => "choose a key of the same keyring and purpose",
        "NAMED_BY_ALIAS" => {
            "repeat it with the name of the key that the message says, if you mean that key"
        }
        "PAGE_TOKEN_INVALID" => "begin the list again, without a page token",
        "VERSION_NOT_FOUND" => "look for the version with `conclave key get`",
        "PERMISSION_DENIED" => {
            "see your roles with `conclave access whoami`, and ask an administrator of the keyring"
        }
        "CIPHERTEXT_INVALID" => {
            "check that the ciphertext is whole, and that --context (or --label and --version) is what it was encrypted with"
        }
        "PUBLIC_KEY_INVALID" => {
            "give the peer's public key of the same curve as the key: see `conclave key get`"
        }
        "LIMIT_REACHED" => "remove what is not needed; docs/configuration.md lists the limits",
        "KEY_STATE" => {
            "see the states with `conclave key get`; docs/lifecycle.md says what each allows, and what comes after it"
        }
        "KEY_PURPOSE" => "name a key whose algorithm is for this: see `conclave key list`",
        "KEY_COMPROMISED" => {
            "ask an administrator of the keyring: `conclave access grant NAME use-compromised KEYRING`"
        }
        "SIGNATURE_INVALID" => {
            "check that the message is whole, and name the --version and the --scheme that it was signed with"
        }
        "HSM_NOT_OFFERED" => {
            "see docs/algorithms.md for what HSMs have, or use --protection software"
        }
        "KEY_IN_USE" => {
            "see with `conclave key get` and `conclave audit list` who uses it; --force destroys it all the same"
        }
        "IMPORT_JOB_NOT_FOUND" | "IMPORT_JOB_EXPIRED" | "IMPORT_JOB_USED" => {
            "make another import job and wrap the key with its public key, or let `conclave key import --material` do both"
        }
        "IMPORT_JOB_PROTECTION" => {
            "make an import job of the key's protection: `conclave import-job create KEYRING --protection hsm`"
        }
        "IMPORT_JOB_KEYRING" => "make an import job for the keyring of the key",
        "WRAPPED_KEY_INVALID" => {
            "see `conclave import-job wrap --help` for what is to be wrapped, and look whether the job is the one that wrapped it"
        }
        "NOT_DESTROYED" => {
            "see with `conclave key get` when it is due; name the --version if only a version is destroyed"
        }
        "KEY_NOT_EXPORTABLE" => {
            "create another key with --exportable, and bring what this one protects under it"
        }
        "DATA_KEY_NOT_FOUND" => "look for the id with `conclave datakey list KEY`",
        "DATA_KEYS_LEFT" => "see with `conclave key get` which versions wrap data keys",
        "CONTEXT_MISMATCH" => "see the context with `conclave datakey get`",
        "MAC_INVALID" => {
            "check that the message is whole, and name the --version that the code was made with"
        }
        "KEY_MISMATCH" => "leave --key out, or name the key that the message says",
        _ => return None,
    })
}

/// What has to do with nodes and custodians.
fn of_nodes(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "NODE_SEALED" => "have custodians run `conclave custody unseal`, or name another node",
        "NODE_UNSEALED" => "nothing: the node serves already",
        "CUSTODY_NOT_INITIALIZED" => "an administrator runs `conclave custody init` once",
        "CLUSTER_NOT_FORMED" => "try again when `conclave status` shows a leader",
        "NODE_STOPPING" => "name another node, or try again when it runs",
        "NODE_OUTDATED" => "upgrade the node, or name another one",
        "LAST_ADMIN" => "grant admin on '*' to another principal first",
        "REQUEST_ID_REUSED" => "draw another request id for each request",
        "SHARE_MANGLED" => {
            "submit the share as it was given out, from another copy if there is one"
        }
        "CUSTODY_SETTLED" | "SHARE_NOT_A_CUSTODIAN" => {
            "see with `conclave custody status` who the custodians are"
        }
        "SHARE_OLD_GENERATION" | "SHARE_SET_REPLACED" => "submit the share of the last ceremony",
        "SHARE_OTHER_CLUSTER" => {
            "check of which cluster the share is, and whose addresses you gave"
        }
        "SHARE_REPEATED" => {
            "see with `conclave custody status` whose shares count; it takes those of others"
        }
        "SHARES_DO_NOT_REBUILD" => "keep the shares and the node's disk for examination",
        "NO_QUORUM" => "see with `conclave status` which nodes are missing, and bring them back",
        "OUTCOME_UNKNOWN" => "look whether it was done, and repeat it if not",
        "MATERIAL_TAMPERED" => "keep the node's disk for examination, and use another node",
        "STORAGE_FAILED" => "look at the node's disk and log",
        "HSM_FAILED" => "look at the node's HSM and log",
        "OVERLOADED" | "CONTENDED" => "try again in a moment",
        _ => return None,
    })
}

fn by_code(code: Code) -> &'static str {
    match code {
        Code::Unavailable | Code::Unknown | Code::Cancelled => {
            "check the addresses, that the nodes run, and that --ca, --cert and --cert-key belong \
             to this cluster"
        }
        Code::DeadlineExceeded => {
            "see with `conclave status` which nodes answer; a longer --timeout may help"
        }
        Code::InvalidArgument | Code::OutOfRange => "correct the request",
        Code::NotFound => "check the name",
        Code::AlreadyExists => "choose another name, or use what there is",
        Code::PermissionDenied | Code::Unauthenticated => {
            "see who you are with `conclave access whoami`, and ask an administrator"
        }
        Code::FailedPrecondition => "bring it into the state that the message asks for first",
        Code::ResourceExhausted | Code::Aborted => "try again in a moment",
        Code::Unimplemented => "compare the versions of client and node",
        Code::Ok | Code::Internal | Code::DataLoss => "look at the node's log",
    }
}
