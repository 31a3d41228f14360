//! Functions of the C library, replaced in this program by the simulation's: its clock and its randomness.
//!
//! Simulated time does not reach whoever reads the real clock: h2 forgets the streams that it has reset after one real
//! second, which changes the order in which calls fail, and hyper dates its answers. Nor does a seed reach whoever
//! draws real randomness: age's files have random lengths, maps have random orders.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Nanoseconds since 1970; 0: not frozen.
static NOW: AtomicU64 = AtomicU64::new(0);
/// The state of the generator.
static RANDOM: AtomicU64 = AtomicU64::new(0);

/// From now on every clock of the process stands at this instant of the simulation.
pub(crate) fn freeze(elapsed: Duration) {
    let epoch = Duration::from_millis(conclave_chaos::sim::EPOCH_MS);
    let nanos = u64::try_from((epoch + elapsed).as_nanos()).unwrap_or(u64::MAX);
    NOW.store(nanos, Relaxed);
}

/// Randomness follows from the seed from now on.
pub(crate) fn seed(seed: u64) {
    RANDOM.store(seed | 1 << 63, Relaxed);
}

/// `SplitMix64` (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). Not for secrets: there are
/// none in a simulation.
fn next() -> u64 {
    let mut z = RANDOM.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The C function of this name.
///
/// # Safety
/// `out` is valid, as for the function that this one replaces at link time.
#[allow(unsafe_code, reason = "stands in for a function of the C library")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    out: *mut libc::timespec,
) -> libc::c_int {
    let nanos = NOW.load(Relaxed);
    if nanos == 0 {
        // SAFETY: the arguments are the caller's.
        let answer = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, out) };
        return libc::c_int::try_from(answer).unwrap_or(-1);
    }
    let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let now = libc::timespec {
        tv_sec: part(nanos / 1_000_000_000),
        tv_nsec: part(nanos % 1_000_000_000),
    };
    // SAFETY: the caller's pointer is valid for a timespec.
    unsafe { out.write(now) };
    0
}

/// Fills from the generator.
///
/// # Safety
/// `out` is valid for `length` bytes.
#[allow(unsafe_code, reason = "writes to a pointer of the C library's callers")]
unsafe fn fill(out: *mut u8, length: usize) -> libc::ssize_t {
    // SAFETY: see above.
    let bytes = unsafe { std::slice::from_raw_parts_mut(out, length) };
    for chunk in bytes.chunks_mut(8) {
        let word = next().to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
    libc::ssize_t::try_from(length).unwrap_or(-1)
}

/// The C function of this name.
///
/// # Safety
/// `out` is valid for `length` bytes, as for the function that this one replaces at link time.
#[allow(unsafe_code, reason = "stands in for a function of the C library")]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn getrandom(
    out: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if RANDOM.load(Relaxed) == 0 {
        // SAFETY: the arguments are the caller's.
        let answer = unsafe { libc::syscall(libc::SYS_getrandom, out, length, flags) };
        return libc::ssize_t::try_from(answer).unwrap_or(-1);
    }
    // SAFETY: the caller's pointer is valid for so many bytes.
    unsafe { fill(out.cast(), length) }
}

type Syscall = unsafe extern "C" fn(
    libc::c_long,
    libc::c_long,
    libc::c_long,
    libc::c_long,
    libc::c_long,
    libc::c_long,
    libc::c_long,
) -> libc::c_long;

/// The C function of this name, by which some libraries draw randomness: all other calls go on to the C library's own.
/// There it takes any number of arguments; all of them are integers or pointers, which the ABIs of Linux pass in the
/// same registers either way.
///
/// # Safety
/// As for the function that this one replaces at link time.
#[allow(unsafe_code, reason = "stands in for a function of the C library")]
#[expect(
    clippy::many_single_char_names,
    reason = "arguments have no other names"
)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn syscall(
    number: libc::c_long,
    a: libc::c_long,
    b: libc::c_long,
    c: libc::c_long,
    d: libc::c_long,
    e: libc::c_long,
    f: libc::c_long,
) -> libc::c_long {
    static REAL: AtomicU64 = AtomicU64::new(0);
    if number == libc::SYS_getrandom && RANDOM.load(Relaxed) != 0 {
        let length = usize::try_from(b).unwrap_or(0);
        // SAFETY: the caller's pointer is valid for so many bytes.
        return unsafe { fill(a as *mut u8, length) } as libc::c_long;
    }
    let mut real = REAL.load(Relaxed);
    if real == 0 {
        // SAFETY: a constant name; the C library has the function.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"syscall".as_ptr()) };
        real = found as u64;
        REAL.store(real, Relaxed);
    }
    // SAFETY: what the C library has under that name takes these arguments.
    unsafe {
        let real: Syscall = std::mem::transmute(real);
        real(number, a, b, c, d, e, f)
    }
}
