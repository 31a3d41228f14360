//! The guides, followed line by line: what they show is typed into a shell, with the command line of a real cluster, and what
//! comes out must be what stands there. How a guide says so is in `docs/guides/README.md`.

mod guide;
mod matching;
mod shell;

use anyhow::{Result, ensure};
use conclave_chaos::real::{Cluster, Options, requests};
use conclave_client::v1::Role;
use futures::future::join_all;
use guide::Guide;
use shell::follow;

/// As `make up` leaves a cluster: admin may use keys too, and there is one.
async fn as_after_make_up(cluster: &Cluster) -> Result<()> {
    let admin = cluster.client("admin")?;
    admin
        .grant(requests::grant("admin", "*", Role::User))
        .await?;
    admin.create_key(requests::create_key("demo/first")).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guides_show_is_what_happens() -> Result<()> {
    let guides = Guide::all()?;
    ensure!(guides.len() >= 10, "there are {} guides", guides.len());
    let cluster = Cluster::start(Options::default()).await?;
    as_after_make_up(&cluster).await?;
    let faults = join_all(guides.iter().map(|guide| follow(&cluster, guide))).await;
    let faults: Vec<String> = faults
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect();
    let count = faults.len();
    ensure!(
        faults.is_empty(),
        "{count} commands did something else than their guide says\n\n{}",
        faults.join("\n\n")
    );
    cluster.finish()
}

#[test]
fn every_guide_shows_how_it_is_done_and_is_in_the_index() -> Result<()> {
    let guides = Guide::all()?;
    let index = guides
        .iter()
        .find(|guide| guide.file == "README.md")
        .expect("the index is one of them");
    for guide in guides.iter().filter(|guide| guide.file != "README.md") {
        let count = guide.steps.len();
        ensure!(count >= 5, "{} shows {count} commands", guide.file);
        let link = format!("({})", guide.file);
        ensure!(
            index.text.contains(&link),
            "docs/guides/README.md has no link to {}",
            guide.file
        );
    }
    Ok(())
}
