//! The real program over real TLS, against a node that keeps what it is given in memory.

#![expect(clippy::unwrap_used, reason = "a test that is wrong may panic")]

#[path = "../src/testing.rs"]
#[expect(dead_code, reason = "the unit tests of the library use the rest")]
mod testing;

use conclave_client::{Client, ClientConfig, v1};
use conclave_env::os::TlsNetwork;
use conclave_env::{Audience, Network as _};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testing::{Serving, TestNode};
use tokio::runtime::Runtime;
use v1::crypto_service_server::CryptoServiceServer;

const MIB: usize = 1024 * 1024;

/// A node, and everything it takes to call it.
struct World {
    dir: TempDir,
    endpoint: String,
    _runtime: Runtime,
}

fn authority(dir: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

fn certify(dir: &Path, name: &str, uri: &str, issuer: &Issuer<'_, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::URI(uri.try_into().unwrap()));
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let certificate = params.signed_by(&key, issuer).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ours = authority(dir.path(), "ca");
        certify(dir.path(), "node", "conclave://node/1", &ours);
        certify(dir.path(), "alice", "conclave://principal/alice", &ours);
        let others = authority(dir.path(), "other-ca");
        certify(dir.path(), "mallory", "conclave://principal/alice", &others);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = free.local_addr().unwrap().to_string();
        drop(free);
        let runtime = Runtime::new().unwrap();
        let [ca, cert, key] = ["ca.pem", "node.pem", "node.key"].map(|file| dir.path().join(file));
        let network = TlsNetwork::from_files(&ca, &cert, &key).unwrap();
        let incoming = runtime
            .block_on(network.listen(&endpoint, Audience::Clients))
            .unwrap();
        let service = CryptoServiceServer::new(Serving(Arc::new(TestNode::default())));
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(incoming));
        Self {
            dir,
            endpoint,
            _runtime: runtime,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conclave"));
        command
            .args(line.split_whitespace())
            .current_dir(self.dir.path());
        command
            .env("HOME", self.dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .env("CONCLAVE_ENDPOINTS", &self.endpoint)
            .env("CONCLAVE_CA", "ca.pem")
            .env("CONCLAVE_CERT", "alice.pem")
            .env("CONCLAVE_CERT_KEY", "alice.key");
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).stdin(Stdio::null()).output().unwrap()
    }

    fn done(&self, line: &str) -> Vec<u8> {
        let output = self.run(line);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()
    };
    std::iter::repeat_with(&mut next)
        .flatten()
        .take(len)
        .collect()
}

/// The highest resident memory of a child until it ends, in KiB.
fn peak_memory_kib(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        peak = peak.max(kib.map_or(0, |kib| kib.parse().unwrap()));
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[test]
fn a_large_file_comes_back_in_constant_memory() {
    let world = World::new();
    let plaintext = noise(160 * MIB + 5);
    fs::write(world.path("in"), &plaintext).unwrap();
    for line in [
        "encrypt a/b --context k=v --in in --out sealed",
        "decrypt --key a/b --context k=v --in sealed --out out",
    ] {
        let begun = Instant::now();
        let mut child = world.command(line).stdin(Stdio::null()).spawn().unwrap();
        let peak = peak_memory_kib(&mut child);
        assert!(child.wait().unwrap().success(), "{line}");
        eprintln!("{line}: {} MiB at most, {:?}", peak / 1024, begun.elapsed());
        assert!((1..64 * 1024).contains(&peak), "{line}: {peak} KiB");
    }
    assert!(fs::read(world.path("out")).unwrap() == plaintext);
}

#[test]
fn pipes_and_base64_work() {
    let world = World::new();
    let mut child = world
        .command("encrypt a/b --base64")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"a secret\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.is_ascii());
    fs::write(world.path("text"), &output.stdout).unwrap();
    assert_eq!(world.done("decrypt --base64 --in text"), b"a secret\n");
}

#[test]
fn a_truncated_file_leaves_nothing_behind() {
    let world = World::new();
    fs::write(world.path("in"), noise(MIB)).unwrap();
    world.done("encrypt a/b --in in --out sealed");
    let sealed = fs::read(world.path("sealed")).unwrap();
    fs::write(world.path("sealed"), &sealed[..sealed.len() - 70_000]).unwrap();
    let output = world.run("decrypt --in sealed --out out");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: the ciphertext is cut short") && said.contains("\nwhat to do: ")
    );
    let mut names: Vec<_> = fs::read_dir(world.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("out"))
        .collect();
    names.sort();
    assert!(names.is_empty(), "{names:?}");
    let output = world.run("decrypt --in sealed --output json");
    assert_eq!(output.status.code(), Some(1));
    assert!(noise(MIB).starts_with(&output.stdout) && !output.stdout.is_empty());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("\"CIPHERTEXT_TRUNCATED\"")
    );
}

#[test]
fn the_wrong_context_is_refused() {
    let world = World::new();
    fs::write(world.path("in"), "x").unwrap();
    world.done("encrypt a/b --context k=v --in in --out sealed");
    let output = world.run("decrypt --context k=w --in sealed");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}

#[test]
fn a_stranger_is_told_so_at_once() {
    let world = World::new();
    fs::write(world.path("in"), "x").unwrap();
    for line in [
        "encrypt a/b --in in --cert mallory.pem --cert-key mallory.key",
        "encrypt a/b --in in --ca other-ca.pem",
    ] {
        let begun = Instant::now();
        let output = world.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{said}"
        );
        assert!(
            said.contains("certificate") && said.contains("--ca"),
            "{said}"
        );
        assert!(begun.elapsed() < Duration::from_secs(5), "{said}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let world = World::new();
    for line in [
        "encrypt Payments/x",
        "nonsense",
        "status --endpoint nowhere",
        "status --profile none",
        "status --cert missing.pem",
    ] {
        let output = world.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.starts_with("error: "), "{line}: {said}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::new();
    fs::write(world.path("in"), noise(8 * MIB)).unwrap();
    let mut child = world
        .command("encrypt a/b --in in")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 100];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut some).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn completions_need_no_cluster() {
    let world = World::new();
    let script = String::from_utf8(world.done("completions bash")).unwrap();
    assert!(script.contains("unseal") && script.contains("reencrypt"));
}
