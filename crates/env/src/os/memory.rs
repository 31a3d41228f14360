//! Keeps secrets out of core dumps, debuggers and swap.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;
use std::fmt;
use std::ops::{Deref, DerefMut};
use zeroize::Zeroize;

/// What [`harden_process`] could not do, for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hardening {
    /// A measure and what the system said, one each.
    pub failures: Vec<(&'static str, String)>,
}

impl Hardening {
    fn note(&mut self, measure: &'static str, result: rustix::io::Result<()>) {
        if let Err(error) = result {
            self.failures.push((measure, error.to_string()));
        }
    }
}

impl fmt::Display for Hardening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.failures.is_empty() {
            return f.write_str("complete");
        }
        for (number, (measure, error)) in self.failures.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}cannot {measure} ({error})")?;
        }
        Ok(())
    }
}

/// Forbids core dumps, debuggers of the same user, and new privileges. Call it first in `main`, before there
/// are threads: privileges are a thread's own.
pub fn harden_process() -> Hardening {
    let mut done = Hardening::default();
    done.note(
        "forbid debuggers",
        set_dumpable_behavior(DumpableBehavior::NotDumpable),
    );
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    done.note("forbid core dumps", setrlimit(Resource::Core, none));
    done.note("forbid new privileges", set_no_new_privs(true));
    done
}

/// Keeps the pages of a long-lived secret out of swap for the rest of the process's life, and says whether the system
/// allowed it. They are never unlocked: another secret may lie on the same page.
#[must_use]
pub fn lock_for_life(secret: &[u8]) -> bool {
    let locked = region::lock(secret.as_ptr(), secret.len().max(1));
    locked.map(std::mem::forget).is_ok()
}

/// A buffer that begins its own page, so that unlocking it unlocks nobody else's secret.
#[repr(align(4096))]
struct Pages<const N: usize>([u8; N]);

/// `N` secret bytes that are not swapped out, and are wiped before their memory is given back.
pub struct LockedBuf<const N: usize> {
    // Dropped in this order, after the wiping in `drop`: unlocked, then freed.
    lock: Option<region::LockGuard>,
    pages: Box<Pages<N>>,
}

impl<const N: usize> Default for LockedBuf<N> {
    fn default() -> Self {
        Self::zeroed()
    }
}

impl<const N: usize> LockedBuf<N> {
    /// `N` zero bytes, locked if the system allows.
    pub fn zeroed() -> Self {
        let pages = Box::new(Pages([0; N]));
        let lock = region::lock(pages.0.as_ptr(), size_of::<Pages<N>>()).ok();
        Self { lock, pages }
    }

    /// Whether the bytes are locked. If not, the limit of locked memory (`RLIMIT_MEMLOCK`) is too low.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }
}

impl<const N: usize> Deref for LockedBuf<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.pages.0
    }
}

impl<const N: usize> DerefMut for LockedBuf<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.pages.0
    }
}

impl<const N: usize> Drop for LockedBuf<N> {
    fn drop(&mut self) {
        self.pages.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmLck:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn locks_while_it_lives_and_only_its_own_pages() {
        let before = locked_kib();
        let mut one = LockedBuf::<64>::zeroed();
        let two = LockedBuf::<64>::zeroed();
        assert!(one.is_locked() && two.is_locked());
        one[0] = 7;
        assert_eq!(one[..2], [7, 0]);
        assert!(locked_kib() >= before + 8);
        drop(two);
        assert!(locked_kib() >= before + 4);
        drop(one);
        assert_eq!(locked_kib(), before);
    }

    #[test]
    fn a_page_stays_locked_when_its_secret_is_gone() {
        let before = locked_kib();
        let secret = vec![7_u8; 10_000];
        assert!(lock_for_life(&secret));
        drop(secret);
        assert!(locked_kib() >= before + 8);
    }

    #[test]
    fn a_hardened_process_leaves_no_core() {
        assert_eq!(harden_process(), Hardening::default());
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"))
            .unwrap();
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(status.lines().any(|line| line == "NoNewPrivs:\t1"));
        let rustix = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(rustix, DumpableBehavior::NotDumpable);
    }
}
