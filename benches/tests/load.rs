//! The load generator against three real nodes: what it reports is what it did.

use anyhow::Result;
use clap::Parser;
use conclave_benches::load::{Plan, Report, run, write_table};
use conclave_chaos::real::{Cluster, HsmKind, NODES, Options, requests};
use conclave_client::v1::Role;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
}

const PRINCIPAL: &str = "bench";

async fn load(cluster: &mut Cluster, line: &str) -> Result<Report> {
    let mut arguments = vec!["load".to_owned()];
    let mut give = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    for id in NODES {
        give("pid", cluster.node(id).pid()?.to_string());
        give("endpoint", cluster.layout().api(id).to_owned());
    }
    let credentials = cluster.layout().principal(PRINCIPAL)?;
    give("ca", cluster.layout().pki().ca().display().to_string());
    give("cert", credentials.cert.display().to_string());
    give("cert-key", credentials.key.display().to_string());
    arguments.extend(line.split_whitespace().map(str::to_owned));
    let plan = Arguments::try_parse_from(arguments)?.plan;
    Box::pin(run(&plan, |_| ())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_is_put_on_and_reported() {
    let options = Options {
        hsm: HsmKind::Software,
        ..Options::default()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    let admin = cluster.client("admin").unwrap();
    for role in [Role::User, Role::Admin] {
        let grant = requests::grant(PRINCIPAL, PRINCIPAL, role);
        admin.grant(grant).await.unwrap();
    }
    for (line, items) in [
        ("--requests 300 --callers 16 --connections 2", 300),
        ("--requests 50 --operation decrypt --unary", 50),
        ("--requests 20 --operation batch-encrypt --batch 10", 200),
        ("--requests 20 --operation create-key --callers 4", 20),
        (
            "--requests 20 --operation data-key --protection hsm --key bench/hsm",
            20,
        ),
    ] {
        let report = load(&mut cluster, line).await.unwrap();
        assert_eq!(report.items, items, "{line}: {:?}", report.errors);
        assert_eq!(report.failed, 0, "{line}");
        // Nothing was released that is not recorded.
        let raft = report.raft.unwrap();
        assert!(raft.audit_records >= report.requests, "{line}: {raft:?}");
        let mut table = Vec::new();
        write_table(&report, &mut table).unwrap();
        assert!(
            String::from_utf8(table)
                .unwrap()
                .contains("requests a second")
        );
    }
    let refused = load(&mut cluster, "--requests 5 --callers 1 --key other/key").await;
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("other"), "{refused}");
    cluster.finish().unwrap();
}
