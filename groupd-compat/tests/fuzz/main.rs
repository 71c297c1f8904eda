//! Generated input: bytes for every decoder, values there and back, events for one machine, lives of clusters.
//!
//! `FUZZ_FACTOR=100 cargo test --release --test fuzz` tries a hundred times as much; `./x fuzz --minutes 60` goes on for an
//! hour with each.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, and how long it runs is asked of the environment"
)]

#[path = "../cluster/mod.rs"]
mod cluster;
mod decoders;
mod lives;
mod machine;
mod recorded;
#[allow(dead_code, unreachable_pub, reason = "shared with the replay of the same recordings")]
#[path = "../replay/transcript.rs"]
mod transcript;
mod values;

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

/// The same lives in each run of `./x test`: a test that fails by luck tells nobody anything. `FUZZ_FACTOR` above 1
/// searches: that many times more, and other seeds.
fn config(cases: u32) -> ProptestConfig {
    let factor = std::env::var("FUZZ_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let rng_seed = if factor == 1 { RngSeed::Fixed(1) } else { RngSeed::Random };
    let ProptestConfig { max_local_rejects, max_global_rejects, .. } = ProptestConfig::default();
    ProptestConfig {
        cases: cases.saturating_mul(factor),
        max_local_rejects: max_local_rejects.saturating_mul(factor),
        max_global_rejects: max_global_rejects.saturating_mul(factor),
        failure_persistence: None,
        rng_seed,
        ..ProptestConfig::default()
    }
}
