//! What Conclave is for: a key that is made on one node and works on any of them.

use anyhow::{Context as _, Result, ensure};
use conclave_chaos::real::{Cluster, HsmKind, Options, refusal, requests};
use conclave_client::v1::{self, Protection, batch_decrypt_response, batch_encrypt_response};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use tonic::Code;

/// The size of the large file in MiB.
const LARGE_MIB: &str = "CONCLAVE_LARGE_MIB";
/// What the command line may use of memory.
const PEAK_BYTES_MAX: u64 = 64 << 20;

const PROTECTIONS: [(Protection, &str); 2] = [
    (Protection::Software, "demo/soft"),
    (Protection::Hsm, "demo/hard"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_either_protection_works_on_every_node() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    works_everywhere(&cluster).await?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_key_may_enter_under_an_rsa_key_of_the_hsm() -> Result<()> {
    let options = Options {
        hsm: HsmKind::SoftHsmUnwrapRsa,
        ..Options::default()
    };
    let cluster = Cluster::start(options).await?;
    works_everywhere(&cluster).await?;
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_software_hsm_does_the_same() -> Result<()> {
    let options = Options {
        hsm: HsmKind::Software,
        ..Options::default()
    };
    let cluster = Cluster::start(options).await?;
    works_everywhere(&cluster).await?;
    cluster.finish()
}

async fn works_everywhere(cluster: &Cluster) -> Result<()> {
    let context = BTreeMap::from([("order".to_owned(), "17".to_owned())]);
    for (protection, name) in PROTECTIONS {
        let request = requests::create_key_with(name, protection);
        cluster.client_at("admin", 1)?.create_key(request).await?;
        let request = v1::EncryptRequest {
            context: context.clone(),
            aad: b"aad".to_vec(),
            ..requests::encrypt(name, b"in clear")
        };
        let sealed = cluster.client_at("app", 1)?.encrypt(request).await?;
        for id in [3, 2, 1] {
            let request = v1::DecryptRequest {
                context: context.clone(),
                aad: b"aad".to_vec(),
                ..requests::decrypt(&sealed.ciphertext)
            };
            let opened = cluster.client_at("app", id)?.decrypt(request).await?;
            ensure!(
                opened.plaintext.expose() == b"in clear",
                "node {id} opened it wrongly"
            );
            ensure!((opened.key.as_str(), opened.version) == (name, 1));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_works_on_another_node_than_the_one_before() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    for (protection, name) in PROTECTIONS {
        let request = requests::create_key_with(name, protection);
        cluster.client_at("admin", 1)?.create_key(request).await?;
        let first = cluster
            .client_at("app", 2)?
            .encrypt(requests::encrypt(name, b"one"))
            .await?;
        let rotated = cluster
            .client_at("admin", 3)?
            .rotate_key(requests::rotate_key(name))
            .await?;
        ensure!(
            rotated.primary_version == 2,
            "the rotation made {}",
            rotated.primary_version
        );
        let request = requests::re_encrypt(&first.ciphertext);
        let second = cluster.client_at("app", 1)?.re_encrypt(request).await?;
        ensure!(
            (second.source_version, second.version) == (1, 2),
            "{second:?}"
        );
        for ciphertext in [&first.ciphertext, &second.ciphertext] {
            let opened = cluster
                .client_at("app", 2)?
                .decrypt(requests::decrypt(ciphertext))
                .await?;
            ensure!(opened.plaintext.expose() == b"one");
        }
        let drawn = cluster
            .client_at("app", 3)?
            .generate_data_key(requests::data_key(name))
            .await?;
        ensure!(drawn.plaintext.len() == 32);
        let request = requests::decrypt(&drawn.ciphertext);
        let opened = cluster.client_at("app", 1)?.decrypt(request).await?;
        ensure!(opened.plaintext.expose() == drawn.plaintext.expose());
    }
    let random = |id| {
        let request = v1::GenerateRandomRequest {
            length: 64,
            ..Default::default()
        };
        let client = cluster.client_at("app", id);
        async move { anyhow::Ok(client?.generate_random(request).await?.random) }
    };
    let (one, two) = (random(1).await?, random(2).await?);
    ensure!(one.len() == 64 && two.len() == 64 && one != two);
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_item_does_not_spoil_a_batch() -> Result<()> {
    use batch_encrypt_response::result::Result as Sealed;
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client_at("admin", 1)?
        .create_key(requests::create_key("demo/batch"))
        .await?;
    let item = |plaintext: Vec<u8>| v1::batch_encrypt_request::Item {
        plaintext,
        aad: Vec::new(),
    };
    let items = vec![
        item(b"one".to_vec()),
        item(vec![0; (64 << 10) + 1]),
        item(b"two".to_vec()),
    ];
    let request = v1::BatchEncryptRequest {
        key: "demo/batch".to_owned(),
        items,
        ..Default::default()
    };
    let answer = cluster.client_at("app", 1)?.batch_encrypt(request).await?;
    let mut blobs = Vec::new();
    for (place, result) in answer.results.into_iter().enumerate() {
        match result.result.context("an item has a result")? {
            Sealed::Ok(sealed) => blobs.push(sealed.ciphertext),
            Sealed::Error(error) => {
                ensure!(
                    place == 1 && error.code == i32::from(Code::InvalidArgument),
                    "{error:?}"
                );
                ensure!(error.message.contains("65536"), "{}", error.message);
            }
        }
    }
    ensure!(blobs.len() == 2, "{} items were encrypted", blobs.len());
    let mut broken = blobs[0].clone();
    *broken.last_mut().context("a blob is not empty")? ^= 1;
    let item = |ciphertext| v1::batch_decrypt_request::Item {
        ciphertext,
        aad: Vec::new(),
    };
    let items = [blobs[0].clone(), broken, blobs[1].clone(), Vec::new()]
        .map(item)
        .to_vec();
    let request = v1::BatchDecryptRequest {
        items,
        ..Default::default()
    };
    let answer = cluster.client_at("app", 3)?.batch_decrypt(request).await?;
    check_opened(answer)?;
    cluster.finish()
}

fn check_opened(answer: v1::BatchDecryptResponse) -> Result<()> {
    use batch_decrypt_response::result::Result as Opened;
    let results: Vec<_> = answer.results.into_iter().map(|it| it.result).collect();
    match &results[..] {
        [
            Some(Opened::Ok(one)),
            Some(Opened::Error(changed)),
            Some(Opened::Ok(two)),
            Some(Opened::Error(empty)),
        ] => {
            ensure!(one.plaintext == b"one" && two.plaintext == b"two");
            for error in [changed, empty] {
                ensure!(error.reason == "CIPHERTEXT_INVALID", "{error:?}");
            }
            Ok(())
        }
        _ => anyhow::bail!("the results are {results:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_active_protects_nothing() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 3)?,
    );
    let key = "demo/states";
    admin
        .create_key(v1::CreateKeyRequest {
            pre_active: true,
            ..requests::create_key(key)
        })
        .await?;
    let refused = refusal(app.encrypt(requests::encrypt(key, b"x")).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_STATE", "PRE_ACTIVE")?;
    admin.activate_key(requests::transition(key)).await?;
    let sealed = app.encrypt(requests::encrypt(key, b"x")).await?.ciphertext;
    admin.suspend_key(requests::transition(key)).await?;
    let refused = refusal(app.encrypt(requests::encrypt(key, b"x")).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_STATE", "SUSPENDED")?;
    // What was protected before can be read.
    app.decrypt(requests::decrypt(&sealed)).await?;
    admin.resume_key(requests::transition(key)).await?;
    app.encrypt(requests::encrypt(key, b"x")).await?;
    admin.deactivate_key(requests::transition(key)).await?;
    let refused = refusal(app.decrypt(requests::decrypt(&sealed)).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_STATE", "DEACTIVATED")?;
    let refused = refusal(admin.resume_key(requests::transition(key)).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_STATE", "DEACTIVATED")?;
    cluster.finish()
}

/// A code is made on one node and verified on another, under its own version only; a key is used for nothing but what
/// it is for.
#[tokio::test(flavor = "multi_thread")]
async fn codes_are_verified_under_their_own_version() -> Result<()> {
    use v1::{Algorithm, Protection};
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app, other) = (
        cluster.client_from("admin", 1)?,
        cluster.client_from("app", 2)?,
        cluster.client_from("app", 3)?,
    );
    let kinds = [
        (Algorithm::HmacSha256, Protection::Hsm, 32),
        (Algorithm::HmacSha256, Protection::Software, 32),
        (Algorithm::HmacSha384, Protection::Software, 48),
        (Algorithm::HmacSha512, Protection::Software, 64),
        (Algorithm::HmacSha384, Protection::Hsm, 48),
        (Algorithm::HmacSha512, Protection::Hsm, 64),
    ];
    for (place, (algorithm, protection, bytes)) in kinds.into_iter().enumerate() {
        let key = &format!("demo/mac-{place}");
        let create = v1::CreateKeyRequest {
            algorithm: algorithm.into(),
            ..requests::create_key_with(key, protection)
        };
        admin.create_key(create).await?;
        let request = v1::GenerateMacRequest {
            key: key.clone(),
            message: b"body".to_vec(),
            ..v1::GenerateMacRequest::default()
        };
        let made = app.generate_mac(request.clone()).await?;
        ensure!((made.mac.len(), made.version) == (bytes, 1), "{made:?}");
        let verify = |version, message: &[u8]| v1::VerifyMacRequest {
            key: key.clone(),
            version,
            message: message.to_vec(),
            mac: made.mac.clone(),
            ..v1::VerifyMacRequest::default()
        };
        other.verify_mac(verify(0, b"body")).await?;
        let refused = refusal(other.verify_mac(verify(0, b"bodx")).await)?;
        refused.must_be(Code::InvalidArgument, "MAC_INVALID", "version 1")?;
        admin.rotate_key(requests::rotate_key(key)).await?;
        ensure!(app.generate_mac(request).await?.mac != made.mac);
        other.verify_mac(verify(1, b"body")).await?;
        let refused = refusal(other.verify_mac(verify(0, b"body")).await)?;
        refused.must_be(Code::InvalidArgument, "MAC_INVALID", "version 2")?;
        let refused = refusal(app.encrypt(requests::encrypt(key, b"x")).await)?;
        refused.must_be(Code::FailedPrecondition, "KEY_PURPOSE", "MAC")?;
    }
    let request = v1::GenerateMacRequest {
        key: "demo/first".to_owned(),
        ..v1::GenerateMacRequest::default()
    };
    admin.create_key(requests::create_key("demo/first")).await?;
    let refused = refusal(app.generate_mac(request).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_PURPOSE", "ENCRYPT")?;
    let create = v1::CreateKeyRequest {
        algorithm: Algorithm::Chacha20Poly1305.into(),
        ..requests::create_key_with("demo/none", Protection::Hsm)
    };
    let refused = refusal(admin.create_key(create).await)?;
    refused.must_be(Code::FailedPrecondition, "HSM_NOT_OFFERED", "SOFTWARE")?;
    cluster.finish()
}

/// What was encrypted under a compromised version is brought over by whoever may, and by nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_version_is_left_behind() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let (admin, app) = (
        cluster.client_from("admin", 2)?,
        cluster.client_from("app", 3)?,
    );
    let key = "demo/compromised";
    admin.create_key(requests::create_key(key)).await?;
    let old = app.encrypt(requests::encrypt(key, b"x")).await?.ciphertext;
    let first = v1::TransitionRequest {
        version: 1,
        ..requests::transition(key)
    };
    admin.mark_key_compromised(first).await?;
    let refused = refusal(app.encrypt(requests::encrypt(key, b"y")).await)?;
    refused.must_be(Code::FailedPrecondition, "KEY_STATE", "COMPROMISED")?;
    admin.rotate_key(requests::rotate_key(key)).await?;
    app.encrypt(requests::encrypt(key, b"y")).await?;
    let refused = refusal(app.decrypt(requests::decrypt(&old)).await)?;
    refused.must_be(Code::PermissionDenied, "KEY_COMPROMISED", "use-compromised")?;
    admin
        .grant(requests::grant("app", "demo", v1::Role::UseCompromised))
        .await?;
    let new = app.re_encrypt(requests::re_encrypt(&old)).await?;
    ensure!((new.source_version, new.version) == (1, 2));
    let opened = app.decrypt(requests::decrypt(&new.ciphertext)).await?;
    ensure!(opened.plaintext.expose() == b"x");
    cluster.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_passes_through_two_nodes_in_little_memory() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    cluster
        .client_at("admin", 1)?
        .create_key(requests::create_key("demo/large"))
        .await?;
    let dir = cluster.layout().dir().to_owned();
    let [clear, sealed, opened] = ["clear", "sealed", "opened"].map(|name| dir.join(name));
    let paths = [&clear, &sealed, &opened].map(|path| path.display().to_string());
    let [clear_arg, sealed_arg, opened_arg] = paths.each_ref().map(String::as_str);
    let size = env::var(LARGE_MIB).map_or(Ok(1024), |text| text.parse::<u64>())?;
    write_pattern(&clear, size)?;
    let arguments = [
        "encrypt",
        "demo/large",
        "--in",
        clear_arg,
        "--out",
        sealed_arg,
    ];
    let sealing = cluster
        .cli("app", &[1])?
        .run(&arguments)
        .await?
        .must_succeed()?;
    ensure!(
        fs::metadata(&sealed)?.len() > size << 20,
        "the ciphertext is too short"
    );
    let arguments = ["decrypt", "--in", sealed_arg, "--out", opened_arg];
    let opening = cluster
        .cli("app", &[3])?
        .run(&arguments)
        .await?
        .must_succeed()?;
    must_be_equal(&clear, &opened)?;
    for (what, ran) in [("encrypt", sealing), ("decrypt", opening)] {
        eprintln!(
            "{what} of {size} MiB took at most {} KiB of memory",
            ran.peak_bytes >> 10
        );
        ensure!(ran.peak_bytes > 0, "the memory of {what} was not seen");
        ensure!(
            ran.peak_bytes < PEAK_BYTES_MAX,
            "{what} took {} bytes",
            ran.peak_bytes
        );
    }
    cluster.finish()
}

/// No two MiB are equal, so that one put in another's place would be noticed.
fn write_pattern(path: &Path, size_mib: u64) -> Result<()> {
    let mut file = File::create(path)?;
    let mut block: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    for number in 0..size_mib {
        block[..8].copy_from_slice(&number.to_be_bytes());
        file.write_all(&block)?;
    }
    Ok(())
}

fn must_be_equal(one: &Path, two: &Path) -> Result<()> {
    let (mut one, mut two) = (File::open(one)?, File::open(two)?);
    ensure!(
        one.metadata()?.len() == two.metadata()?.len(),
        "the lengths differ"
    );
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut left)?;
        two.read_exact(&mut right[..count])?;
        ensure!(left[..count] == right[..count], "the contents differ");
        if count == 0 {
            return Ok(());
        }
    }
}
