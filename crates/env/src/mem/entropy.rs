//! Bytes that look random and repeat with the seed.

use crate::Entropy;
use parking_lot::Mutex;
use ring::digest::{Context, SHA256};

/// The stream SHA-256(label ‖ seed ‖ counter), for simulation only: whoever knows the seed, a number that is
/// printed with every run, knows every byte.
pub struct MemEntropy {
    seed: u64,
    state: Mutex<Stream>,
}

struct Stream {
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl MemEntropy {
    /// The stream of a seed, from its beginning.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            state: Mutex::new(Stream {
                counter: 0,
                block: [0; 32],
                used: 32,
            }),
        }
    }

    fn next_block(&self, counter: u64) -> [u8; 32] {
        let mut hash = Context::new(&SHA256);
        hash.update(b"conclave simulated entropy");
        hash.update(&self.seed.to_be_bytes());
        hash.update(&counter.to_be_bytes());
        hash.finish()
            .as_ref()
            .try_into()
            .expect("SHA-256 has 32 bytes")
    }
}

impl Entropy for MemEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut stream = self.state.lock();
        for byte in out {
            if stream.used == stream.block.len() {
                stream.block = self.next_block(stream.counter);
                stream.counter += 1;
                stream.used = 0;
            }
            *byte = stream.block[stream.used];
            stream.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_with_the_seed_whatever_the_pieces() {
        let (one, two) = (MemEntropy::new(7), MemEntropy::new(7));
        let mut whole = [0; 100];
        one.fill(&mut whole);
        let mut parts = [0; 100];
        for part in parts.chunks_mut(17) {
            two.fill(part);
        }
        assert_eq!(whole, parts);
        let mut other = [0; 100];
        MemEntropy::new(8).fill(&mut other);
        assert_ne!(whole, other);
    }
}
