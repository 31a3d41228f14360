//! Damage at rest: a bit flipped, a file cut short or gone, in the data directory of a node that is down. It may refuse
//! to start, and says then what is damaged; it may take itself out; or it goes on, and then lacks nothing of what it had
//! acknowledged.
//!
//! The damaged node starts together with one that lacks what was acknowledged last, while the only other one that has it
//! is away: what the damaged node forgot in silence would be lost to the whole cluster, and is seen.

mod image;
mod look;
mod place;

use super::arena::Arena;
use super::draws::Draws;
use super::report::Report;
use super::{Kind, Settings, progress, settle};
use crate::real::{NODES, Options};
use anyhow::Result;
use image::Image;
use look::Ending;
use place::Place;
use tokio::time::Instant;

/// Trials that begin from one image.
const TRIALS_PER_IMAGE: u64 = 10;
/// So often that there are checkpoints, purged logs and tables.
const SNAPSHOT: (u64, u64) = (300, 100);

pub(super) async fn run(settings: Settings) -> Result<Report> {
    let options = Options {
        snapshot: SNAPSHOT,
        ..Options::default()
    };
    let mut report = Report::new(Kind::Damage, settings.seed);
    let mut arena = Arena::open(options, settings.seed).await?;
    let mut image: Option<Image> = None;
    let end = settings.first + settings.trials;
    for trial in settings.first..end {
        let begun = Instant::now();
        let mut draws = Draws::of_trial(settings.seed, Kind::Damage, trial);
        if trial.is_multiple_of(TRIALS_PER_IMAGE) || image.is_none() {
            match next_image(&mut arena, image.take(), &mut draws).await {
                Ok((next, broken)) => {
                    report.blame(trial, broken);
                    image = Some(next);
                }
                Err(error) => report.blame(trial, settle(Err(error))),
            }
        }
        let Some(image) = &image else { break };
        let broken = one(&mut arena, image, &settings.file, &mut draws, &mut report).await;
        report.blame(trial, settle(broken));
        report.trials += 1;
        progress(Kind::Damage, trial, end, begun.elapsed());
    }
    arena.close(report.is_well()).await?;
    Ok(report)
}

/// Goes on from the image before, and takes the next one.
async fn next_image(
    arena: &mut Arena,
    before: Option<Image>,
    draws: &mut Draws,
) -> Result<(Image, Vec<String>)> {
    let mut broken = Vec::new();
    if let Some(before) = before {
        before.restore(&arena.cluster)?;
        let all: Vec<u64> = NODES.collect();
        arena.bring_back(&all).await?;
        broken = arena.check(draws).await?;
    }
    Ok((Image::take(arena, draws).await?, broken))
}

/// Damages the image's victim, starts it, and sees what it does.
async fn one(
    arena: &mut Arena,
    image: &Image,
    file: &str,
    draws: &mut Draws,
    report: &mut Report,
) -> Result<Vec<String>> {
    let cluster = &mut arena.cluster;
    image.restore(cluster)?;
    let data_dir = cluster.layout().data_dir(image.victim);
    let place = Place::draw(draws, &data_dir, file)?;
    place.damage(&data_dir)?;
    let seen = look::look(cluster, image, draws).await;
    for id in NODES {
        cluster.node(id).stop_now()?;
    }
    let mut broken = arena.panics();
    match seen {
        Ok((ending, found)) => {
            broken.extend(found);
            report.count(ending_of(ending, &place));
        }
        Err(error) => broken.push(format!("{error:#}")),
    }
    Ok(broken
        .into_iter()
        .map(|text| format!("node {}: {place}: {text}", image.victim))
        .collect())
}

fn ending_of(ending: Ending, place: &Place) -> String {
    let ending = match ending {
        Ending::Refused => "refused to start",
        Ending::TookItselfOut => "took itself out",
        Ending::Served if place.is_of_no_use() => "no effect",
        Ending::Served => "recovered",
    };
    format!("{ending}: {}", place.kind)
}
