//! Who is allowed which call, and with which reasons it is refused: found out by calling, so that nobody has to keep a table.

use crate::descriptors::{Api, Call, Service};
use crate::filling::{Filling, KEYRING};
use crate::raw;
use crate::reasons::Reasons;
use anyhow::{Context as _, Result, bail, ensure};
use conclave_chaos::real::{Cluster, Options, requests};
use conclave_client::Client;
use conclave_client::v1::{self, Algorithm, Role};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

/// The node that is asked, and one that is sealed.
const NODE: u64 = 1;
const SEALED_NODE: u64 = 3;
const DENIED: &str = "PERMISSION_DENIED";
/// Holds all roles, so that what it is refused is refused for another reason.
const MASTER: &str = "admin";
/// With one role each on the keyring, then on all.
const ON_KEYRING: [(&str, Role); 3] = [
    ("user", Role::User),
    ("operator", Role::Operator),
    ("admin-of-keyring", Role::Admin),
];
const ON_ALL: [(&str, Role); 3] = [
    ("user-of-all", Role::User),
    ("operator-of-all", Role::Operator),
    ("admin-of-all", Role::Admin),
];

/// Of keys that are deactivated: one for each purpose, or more.
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Aes256Gcm,
    Algorithm::Ed25519,
    Algorithm::HmacSha256,
    Algorithm::RsaOaep2048,
    Algorithm::MlKem768,
    Algorithm::X25519,
];

/// What has to do with the cluster and not with the call: it is made again, after a pause.
const PASSING: [&str; 6] = [
    "CONFLICT",
    "CONTENDED",
    "DEADLINE_EXCEEDED",
    "NO_QUORUM",
    "OUTCOME_UNKNOWN",
    "OVERLOADED",
];
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// What was found out about a call.
pub(crate) struct Known {
    /// Who may call.
    pub(crate) takes: String,
    /// That were seen.
    pub(crate) reasons: BTreeSet<String>,
}

/// What came of a call: reasons, none if it was done.
type Seen = BTreeSet<String>;

/// Calls a cluster.
struct World<'a> {
    cluster: Cluster,
    api: &'a Api,
    reasons: &'a Reasons,
    /// By caller and node.
    channels: Mutex<BTreeMap<(String, u64), Channel>>,
    /// Keys for other purposes and in other states, with messages.
    others: Vec<(String, Vec<u8>)>,
}

/// Finds out about all calls.
pub(crate) async fn find_out(
    api: &Api,
    reasons: &Reasons,
) -> Result<BTreeMap<(String, String), Known>> {
    let cluster = Cluster::start(Options::default()).await?;
    let mut world = World {
        cluster,
        api,
        reasons,
        channels: Mutex::default(),
        others: Vec::new(),
    };
    let mut filling = world.prepare().await?;
    world.others = world.others(&filling).await?;
    let mut known = BTreeMap::new();
    for service in &api.services {
        for call in &service.calls {
            filling.new = format!("{KEYRING}/new-{}", call.name.to_lowercase());
            let found = world.known(service, call, &filling).await;
            let found = found.with_context(|| format!("{}.{}", service.name, call.name))?;
            known.insert((service.name.clone(), call.name.clone()), found);
        }
    }
    world.cluster.finish()?;
    Ok(known)
}

impl World<'_> {
    async fn prepare(&self) -> Result<Filling> {
        let admin = self.cluster.client("admin")?;
        for role in [Role::User, Role::Operator] {
            admin.grant(requests::grant(MASTER, "*", role)).await?;
        }
        for (name, role) in ON_KEYRING {
            admin.grant(requests::grant(name, KEYRING, role)).await?;
        }
        for (name, role) in ON_ALL {
            admin.grant(requests::grant(name, "*", role)).await?;
        }
        let key = format!("{KEYRING}/target");
        admin.create_key(requests::create_key(&key)).await?;
        let alias = format!("{key}-alias");
        let request = v1::CreateAliasRequest {
            alias: alias.clone(),
            key: key.clone(),
            ..v1::CreateAliasRequest::default()
        };
        admin.create_alias(request).await?;
        let encrypt = requests::encrypt(&key, b"x");
        let filling = Filling {
            new: String::new(),
            version: 0,
            page_token: String::new(),
            data_key: data_key(&admin, &key).await?,
            import_job: import_job(&admin).await?,
            ciphertext: admin.encrypt(encrypt).await?.ciphertext,
            public_key: rsa_key(&admin).await?,
            share: self.cluster.ceremony().share(0),
            key,
            alias,
        };
        let seal = v1::SealRequest::default();
        self.cluster
            .client_at("admin", SEALED_NODE)?
            .seal(seal)
            .await?;
        Ok(filling)
    }

    /// Keys for other purposes and in other states.
    async fn others(&self, good: &Filling) -> Result<Vec<(String, Vec<u8>)>> {
        let admin = self.cluster.client("admin")?;
        let mut others = Vec::new();
        for algorithm in [Algorithm::Ed25519, Algorithm::HmacSha256] {
            let name = format!("{KEYRING}/active-{}", others.len());
            admin.create_key(key(&name, algorithm)).await?;
            others.push((name, good.ciphertext.clone()));
        }
        for algorithm in ALGORITHMS {
            let name = format!("{KEYRING}/deactivated-{}", others.len());
            admin.create_key(key(&name, algorithm)).await?;
            let ciphertext = if algorithm == Algorithm::Aes256Gcm {
                admin
                    .encrypt(requests::encrypt(&name, b"x"))
                    .await?
                    .ciphertext
            } else {
                good.ciphertext.clone()
            };
            admin.deactivate_key(requests::transition(&name)).await?;
            others.push((name, ciphertext));
        }
        let name = format!("{KEYRING}/compromised");
        admin.create_key(requests::create_key(&name)).await?;
        let sealed = admin.encrypt(requests::encrypt(&name, b"x")).await?;
        admin
            .mark_key_compromised(requests::transition(&name))
            .await?;
        others.push((name, sealed.ciphertext));
        Ok(others)
    }

    async fn known(&self, service: &Service, call: &Call, filling: &Filling) -> Result<Known> {
        if call.client_streaming {
            return Ok(Known {
                takes: "what each use takes".to_owned(),
                reasons: Seen::new(),
            });
        }
        // What is done to seals is done to the sealed node.
        let node = if service.name == "CustodyService" {
            SEALED_NODE
        } else {
            NODE
        };
        let takes = self.takes(node, (service, call), filling).await?;
        let mut reasons = Seen::new();
        let mut sent = BTreeSet::new();
        for (node, filling) in self.wrong(node, filling) {
            // Not twice: equal refusals wait for each other for a second.
            if !sent.insert((node, filling.request(self.api, call))) {
                continue;
            }
            reasons.extend(self.call(MASTER, node, (service, call), &filling).await?);
        }
        // Without the roles, and for what is malformed, any call is refused.
        reasons.retain(|it| it != DENIED && it != "INVALID_REQUEST");
        Ok(Known { takes, reasons })
    }

    async fn call(
        &self,
        caller: &str,
        node: u64,
        (service, call): (&Service, &Call),
        filling: &Filling,
    ) -> Result<Seen> {
        let path = format!("/conclave.v1.{}/{}", service.name, call.name);
        let request = filling.request(self.api, call);
        for _ in 0..TRIES {
            let channel = self.channel(caller, node)?;
            let seen = match raw::call(channel, &path, request.clone()).await {
                // Items of a batch have reasons of their own.
                Ok(answer) => self.reasons_in(&answer),
                Err(status) => Seen::from([reason(&status)?]),
            };
            if !seen.iter().any(|it| PASSING.contains(&it.as_str())) {
                return Ok(seen);
            }
            sleep(PAUSE).await;
        }
        bail!("{path} comes to nothing")
    }

    fn channel(&self, caller: &str, node: u64) -> Result<Channel> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(&(caller.to_owned(), node)) {
            return Ok(channel.clone());
        }
        let channel = self.cluster.channel(caller, node)?;
        channels.insert((caller.to_owned(), node), channel.clone());
        Ok(channel)
    }

    /// Reasons that stand in an answer.
    fn reasons_in(&self, answer: &[u8]) -> Seen {
        let within = |reason: &&str| {
            let size = u8::try_from(reason.len()).expect("they are short");
            let field = [&[2 << 3 | 2, size], reason.as_bytes()].concat();
            answer.windows(field.len()).any(|it| it == field)
        };
        let names = self.reasons.names().filter(within);
        names.map(str::to_owned).collect()
    }

    /// Who may call, in words. Those who may least come first: what they are refused changes nothing.
    async fn takes(&self, node: u64, call: (&Service, &Call), filling: &Filling) -> Result<String> {
        let seen = self.call("nobody", node, call, filling).await?;
        if seen.is_empty() {
            return Ok("nothing".to_owned());
        }
        ensure!(
            seen.contains(DENIED),
            "somebody without a role is refused with {seen:?}: have filling.rs make a request that is good but for the roles"
        );
        let allowed = async |caller: &str| -> Result<bool> {
            let seen = self.call(caller, node, call, filling).await?;
            Ok(!seen.contains(DENIED))
        };
        let mut who = Vec::new();
        for (callers, place) in [(ON_KEYRING, "the keyring"), (ON_ALL, "`*`")] {
            let mut roles = Vec::new();
            for (caller, role) in callers {
                if allowed(caller).await? {
                    roles.push(
                        role.as_str_name()
                            .trim_start_matches("ROLE_")
                            .to_lowercase(),
                    );
                }
            }
            if !roles.is_empty() {
                let roles = roles.join(", ");
                let roles = match roles.rsplit_once(", ") {
                    Some((others, last)) => format!("{others} or {last}"),
                    None => roles,
                };
                who.push(format!("{roles} on {place}"));
                break;
            }
        }
        if allowed(&filling.share.custodian).await? {
            who.push("a custodian".to_owned());
        }
        ensure!(!who.is_empty(), "nobody may call it");
        Ok(who.join(", or "))
    }

    /// Requests with one thing wrong each.
    fn wrong(&self, node: u64, good: &Filling) -> Vec<(u64, Filling)> {
        let with_key = |key: &str| Filling {
            key: key.to_owned(),
            ..good.clone()
        };
        let taken = Filling {
            new: good.key.clone(),
            ..good.clone()
        };
        let unknown = Filling {
            data_key: vec![1; 16],
            import_job: vec![1; 16],
            alias: format!("{KEYRING}/none"),
            ..with_key(&format!("{KEYRING}/none"))
        };
        let mut wrong = vec![
            taken,
            unknown,
            with_key(&good.alias),
            changed(good, good.ciphertext.len() - 1),
            // In the id of the key.
            changed(good, 2),
            Filling {
                version: 99,
                ..good.clone()
            },
            Filling {
                page_token: "0".to_owned(),
                ..good.clone()
            },
        ];
        let others = self.others.iter().map(|(key, ciphertext)| Filling {
            ciphertext: ciphertext.clone(),
            ..with_key(key)
        });
        wrong.extend(others);
        let mut wrong: Vec<_> = wrong.into_iter().map(|it| (node, it)).collect();
        wrong.push((SEALED_NODE, good.clone()));
        wrong
    }
}

fn key(name: &str, algorithm: Algorithm) -> v1::CreateKeyRequest {
    v1::CreateKeyRequest {
        algorithm: algorithm.into(),
        ..requests::create_key(name)
    }
}

/// With another ciphertext.
fn changed(good: &Filling, at: usize) -> Filling {
    let mut filling = good.clone();
    filling.ciphertext[at] ^= 1;
    filling
}

fn reason(status: &Status) -> Result<String> {
    let details = status.get_error_details();
    let info = details.error_info();
    let info = info.with_context(|| format!("a refusal without a reason: {status:?}"))?;
    Ok(info.reason.clone())
}

async fn data_key(admin: &Client, key: &str) -> Result<Vec<u8>> {
    let request = v1::GenerateDataKeyRequest {
        register: true,
        ..requests::data_key(key)
    };
    admin
        .generate_data_key(request)
        .await?
        .id
        .context("it was registered")
}

async fn import_job(admin: &Client) -> Result<Vec<u8>> {
    let request = v1::CreateImportJobRequest {
        keyring: KEYRING.to_owned(),
        ..v1::CreateImportJobRequest::default()
    };
    Ok(admin.create_import_job(request).await?.import_job_id)
}

async fn rsa_key(admin: &Client) -> Result<Vec<u8>> {
    let name = format!("{KEYRING}/rsa");
    admin.create_key(key(&name, Algorithm::Rsa2048)).await?;
    let request = v1::GetPublicKeyRequest {
        name,
        ..v1::GetPublicKeyRequest::default()
    };
    Ok(admin.get_public_key(request).await?.der)
}
