//! A small world of network namespaces, which the run makes and removes: one in the middle, where clients are, and one
//! for each node. Every packet between two nodes passes the middle, which can drop those from one to another.
//!
//! ```text
//!   node 1 ── 10.231.1.1 ──┐
//!   node 2 ── 10.231.2.1 ──┼── the middle, 10.231.*.254, where this program is
//!   node 3 ── 10.231.3.1 ──┘
//! ```

use crate::real::NODES;
use anyhow::{Context as _, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// All names begin with it; the process id of whoever made them follows.
const PREFIX: &str = "conclave-";
/// Where `ip` keeps namespaces.
const NAMES: &str = "/run/netns";

/// The address of a node in its world.
pub(super) fn host(id: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 231, u8::try_from(id).unwrap_or(0), 1)
}

fn middle_host(id: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 231, u8::try_from(id).unwrap_or(0), 254)
}

fn middle_name(owner: u32) -> String {
    format!("{PREFIX}{owner}-middle")
}

fn node_name(owner: u32, id: u64) -> String {
    format!("{PREFIX}{owner}-node{id}")
}

/// The namespaces of one run. Dropping it removes them.
pub struct World {
    owner: u32,
}

impl World {
    /// Makes one. What earlier runs that were killed left is removed first.
    ///
    /// # Errors
    /// If this machine does not allow it; nothing is left then.
    pub fn create() -> Result<Self> {
        sweep();
        let world = Self {
            owner: std::process::id(),
        };
        // What exists when a step fails is removed as the world is dropped.
        world.build()?;
        Ok(world)
    }

    fn build(&self) -> Result<()> {
        let middle = middle_name(self.owner);
        ip(&["netns", "add", &middle])?;
        ip(&["-n", &middle, "link", "set", "lo", "up"])?;
        inside(&middle, &["sysctl", "-qw", "net.ipv4.ip_forward=1"])?;
        for id in NODES {
            let (name, outer, inner) = (node_name(self.owner, id), format!("to{id}"), "net0");
            ip(&["netns", "add", &name])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&[
                "-n", &middle, "link", "add", &outer, "type", "veth", "peer", "name", inner,
                "netns", &name,
            ])?;
            let (near, far) = (
                format!("{}/24", middle_host(id)),
                format!("{}/24", host(id)),
            );
            ip(&["-n", &middle, "addr", "add", &near, "dev", &outer])?;
            ip(&["-n", &middle, "link", "set", &outer, "up"])?;
            ip(&["-n", &name, "addr", "add", &far, "dev", inner])?;
            ip(&["-n", &name, "link", "set", inner, "up"])?;
            let gateway = middle_host(id).to_string();
            ip(&["-n", &name, "route", "add", "default", "via", &gateway])?;
        }
        Ok(())
    }

    /// Whether this program runs in a world already.
    pub fn is_around_us() -> bool {
        std::env::var_os(INSIDE).is_some()
    }

    /// A command that runs this program once more, in the middle.
    ///
    /// # Errors
    /// If the program's path is not known.
    pub fn command(&self) -> Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &middle_name(self.owner)]);
        command.arg(std::env::current_exe().context("the path of this program")?);
        command.env(INSIDE, self.owner.to_string());
        Ok(command)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        remove(self.owner);
    }
}

/// Tells a program that is run in the middle whose world it is in.
const INSIDE: &str = "CONCLAVE_HAVOC_WORLD";

/// The world from inside: where links are cut.
pub(super) struct Links {
    owner: u32,
    can_delay: bool,
}

impl Links {
    /// Of the world that this program runs in; `None` if it runs in none.
    pub(super) fn around_us() -> Option<Self> {
        let owner = std::env::var(INSIDE).ok()?.parse().ok()?;
        // Whatever the variable says: no link is cut anywhere else.
        if !Path::new("/sys/class/net/to1").exists() {
            return None;
        }
        let can_delay = delay(1, "delay 1ms").is_ok() && undelay(1).is_ok();
        Some(Self { owner, can_delay })
    }

    /// Whether this kernel has what delays and loses packets.
    pub(super) fn can_delay(&self) -> bool {
        self.can_delay
    }

    /// Begins the life of a node in its namespace. `ip` becomes the node, without a fork.
    pub(super) fn prefix(&self, id: u64) -> Vec<OsString> {
        let name = node_name(self.owner, id);
        ["ip".into(), "netns".into(), "exec".into(), name.into()].into()
    }
}

/// Drops all packets from one node to another, in the world around us. The other way they go on.
pub(super) fn cut(from: u64, to: u64) -> Result<()> {
    rule("add", from, to)
}

/// Lets packets from one node to another through again.
pub(super) fn mend(from: u64, to: u64) -> Result<()> {
    rule("del", from, to)
}

/// Delays or loses, as `how` says to netem, packets to a node.
pub(super) fn delay(id: u64, how: &str) -> Result<()> {
    let device = format!("to{id}");
    let mut arguments = vec!["qdisc", "add", "dev", &device, "root", "netem"];
    arguments.extend(how.split(' '));
    run("tc", &arguments)
}

/// Ends [`delay`].
pub(super) fn undelay(id: u64) -> Result<()> {
    run("tc", &["qdisc", "del", "dev", &format!("to{id}"), "root"])
}

fn rule(what: &str, from: u64, to: u64) -> Result<()> {
    let (from, to) = (host(from).to_string(), host(to).to_string());
    ip(&["rule", what, "from", &from, "to", &to, "blackhole"])
}

/// Removes the worlds of processes that are gone.
fn sweep() {
    let Ok(names) = fs::read_dir(NAMES) else {
        return;
    };
    for name in names.flatten() {
        let name = name.file_name();
        let owner = name.to_str().and_then(|name| {
            let (owner, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
            owner.parse::<u32>().ok()
        });
        if let Some(owner) = owner.filter(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            remove(owner);
        }
    }
}

/// Removes all namespaces of one owner, and with them their devices.
fn remove(owner: u32) {
    let Ok(names) = fs::read_dir(NAMES) else {
        return;
    };
    let ours = format!("{PREFIX}{owner}-");
    for name in names.flatten() {
        let name = name.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with(&ours))
            && let Err(error) = ip(&["netns", "del", name])
        {
            eprintln!("the namespace {name} is left over: {error}");
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

fn inside(name: &str, arguments: &[&str]) -> Result<()> {
    ip(&[&["netns", "exec", name], arguments].concat())
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.with_context(|| format!("{program} does not run: apt-get install iproute2"))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    bail!("{program} {}: {}", arguments.join(" "), said.trim())
}
