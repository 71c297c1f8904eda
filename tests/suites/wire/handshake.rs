//! The blocks inside a Hello.

use proto::handshake::{Blocks, Facts, Forget, compare};

const BLOCKS: &str = "handshake";
const OTHER_WORDS: &str = "handshake-other-words";

fn facts() -> Facts {
    Facts {
        cluster_name: "alpha".into(),
        stack: "o2cb".into(),
        idle_timeout_ms: 30_000,
        keepalive_delay_ms: 2_000,
        reconnect_delay_ms: 2_000,
        dead_threshold: 31,
        heartbeat_mode_global: false,
        forget: Forget::Unconfigured,
        token_ms: 3_000,
        nodelist_hash: 0xdead_beef_cafe,
        protocol: (1, 1),
        fence: String::new(),
        locking: None,
        features: 1 << 63 | 1,
    }
}

pub(crate) fn names() -> Vec<&'static str> {
    vec![BLOCKS, OTHER_WORDS]
}

#[test]
fn blocks_of_a_handshake() {
    let read = |bytes: &[u8]| Blocks::parse(bytes).unwrap();
    super::check(BLOCKS, &Blocks::produce(&facts()), read, Blocks::encode);
}

#[test]
fn a_newer_agents_block_is_kept_and_its_words_are_compared() {
    let newer = Blocks::parse(&super::frozen(OTHER_WORDS)).unwrap();
    assert_eq!(newer.block(0x7001), Some([1, 2, 3].as_slice()));
    assert_eq!(newer.encode(), super::frozen(OTHER_WORDS));
    let other = Facts { heartbeat_mode_global: true, forget: Forget::Gone, ..facts() };
    assert_eq!(compare(&Blocks::produce(&other), &newer), []);
}
