//! SIGSTOP and SIGCONT: a node that stands still does not know that the others went on. What they were told meanwhile
//! binds it as soon as it moves again.

use super::arena::Arena;
use super::draws::Draws;
use super::report::Report;
use super::workload::caller;
use super::{Kind, Settings, trials};
use crate::calls::Caller;
use crate::history::{Answer, Asked, CallId, Recorder, Right};
use crate::real::{Cluster, NODES, Options};
use anyhow::{Context as _, Result, ensure};
use conclave_core::{Role, Transition};
use futures::future::join_all;
use std::time::Duration;
use tokio::time::sleep;

/// Uses that wait at the frozen node when it moves again.
const WAITING: usize = 8;
/// They are handed to the frozen node's kernel by then.
const HANDED_OVER: Duration = Duration::from_millis(100);

pub(super) async fn run(settings: Settings) -> Result<Report> {
    let arena = Arena::open(Options::default(), settings.seed).await?;
    trials(Kind::Freeze, settings, arena, one).await
}

async fn one(arena: &mut Arena, draws: &mut Draws, report: &mut Report) -> Result<Vec<String>> {
    let leader = arena.cluster.leader().await?;
    let victim = if draws.is(1, 2) {
        leader
    } else {
        draws.one(NODES)
    };
    report.count(if victim == leader {
        "leader frozen"
    } else {
        "follower frozen"
    });
    let probe = Probe::new(arena, victim, report.trials)?;
    probe.begin().await?;
    arena.go();
    sleep(draws.millis(50..=400)).await;
    arena.cluster.node(victim).freeze()?;
    let thawed = frozen(&probe, draws, &arena.cluster, victim).await;
    // Whatever went wrong, no process stays frozen.
    arena.cluster.node(victim).thaw()?;
    let uses = thawed?;
    let broken = probe.end(uses).await;
    sleep(draws.millis(0..=300)).await;
    Ok(broken)
}

/// The others suspend and revoke; then uses are asked of the frozen node, which answers when it moves again.
async fn frozen(
    probe: &Probe,
    draws: &mut Draws,
    cluster: &Cluster,
    victim: u64,
) -> Result<Vec<tokio::task::JoinHandle<CallId>>> {
    probe.forbid(cluster, victim).await?;
    sleep(draws.millis(0..=2_000)).await;
    let uses = probe.ask_late();
    sleep(HANDED_OVER).await;
    Ok(uses)
}

/// A key that is suspended, and a role that is revoked, behind the frozen node's back.
struct Probe {
    key: String,
    recorder: Recorder,
    admin: Caller,
    /// Of the frozen node only.
    app: Caller,
    guest: Caller,
}

impl Probe {
    fn new(arena: &Arena, victim: u64, trial: u64) -> Result<Self> {
        let recorder = arena.work.recorder().clone();
        let at = |principal: &str| caller(&arena.cluster, principal, Some(victim), &recorder);
        Ok(Self {
            key: format!("frozen/k{trial}"),
            admin: caller(&arena.cluster, "admin", None, &recorder)?,
            app: at("app")?,
            guest: at("late")?,
            recorder,
        })
    }

    /// Both may use the key, and do, at the node that will be frozen.
    async fn begin(&self) -> Result<()> {
        let create = Asked::CreateKey {
            key: self.key.clone(),
            later: false,
        };
        self.must(&self.admin, create).await?;
        self.must(&self.admin, Asked::Grant(Self::right("app")))
            .await?;
        self.must(&self.admin, Asked::Grant(Self::right("late")))
            .await?;
        self.must(&self.app, self.encrypt("before, app")).await?;
        self.must(&self.guest, self.encrypt("before, late")).await
    }

    async fn forbid(&self, cluster: &Cluster, victim: u64) -> Result<()> {
        // Begins at a node that moves.
        let first = Cluster::others(victim).next().context("there are two")?;
        let mut admin = self.admin.clone();
        admin.client = cluster.client_from("admin", first)?;
        let suspend = Asked::Transition {
            key: self.key.clone(),
            version: None,
            transition: Transition::Suspend,
        };
        self.must(&admin, suspend).await?;
        self.must(&admin, Asked::Revoke(Self::right("late"))).await
    }

    fn ask_late(&self) -> Vec<tokio::task::JoinHandle<CallId>> {
        let ask = |number: usize| {
            let caller = if number.is_multiple_of(2) {
                &self.app
            } else {
                &self.guest
            };
            let (caller, asked) = (caller.clone(), self.encrypt(&format!("late {number}")));
            tokio::spawn(async move { caller.call(asked).await })
        };
        (0..WAITING).map(ask).collect()
    }

    /// None of the late uses may have been carried out, nor may any new one.
    async fn end(&self, late: Vec<tokio::task::JoinHandle<CallId>>) -> Vec<String> {
        let mut calls: Vec<CallId> = Vec::new();
        for call in join_all(late).await {
            match call {
                Ok(call) => calls.push(call),
                Err(error) => return vec![error.to_string()],
            }
        }
        calls.push(self.app.call(self.encrypt("after, app")).await);
        calls.push(self.guest.call(self.encrypt("after, late")).await);
        let answer = |call: CallId| self.recorder.look(|it| it.calls[call.0].answer().cloned());
        let answers = calls.into_iter().map(answer);
        let carried_out = answers.filter(|it| matches!(it, Some(Answer::Sealed(_)) | None));
        carried_out
            .map(|answer| format!("a use of {} after it was forbidden: {answer:?}", self.key))
            .collect()
    }

    fn right(principal: &str) -> Right {
        Right {
            principal: principal.to_owned(),
            keyring: "frozen".to_owned(),
            role: Role::User,
        }
    }

    fn encrypt(&self, text: &str) -> Asked {
        Asked::Encrypt {
            key: self.key.clone(),
            version: None,
            plaintexts: vec![format!("{} {text}", self.key).into_bytes()],
        }
    }

    async fn must(&self, caller: &Caller, asked: Asked) -> Result<()> {
        let what = format!("{asked:?}");
        let call = caller.call(asked).await;
        let done = self
            .recorder
            .look(|it| it.calls[call.0].acknowledged().is_some());
        let answer = self.recorder.look(|it| it.calls[call.0].answer().cloned());
        ensure!(done, "{what} was answered {answer:?}");
        Ok(())
    }
}
