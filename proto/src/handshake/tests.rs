use super::*;

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
        nodelist_hash: 0x1234,
        protocol: (1, 1),
        fence: String::new(),
        locking: None,
        features: 0b0110,
    }
}

/// What ours says about theirs, one line each; checks on the way that theirs says the same about ours.
fn compared(ours: &Blocks, theirs: &Blocks) -> Vec<String> {
    let mirrored = compare(theirs, ours).into_iter();
    let mirrored: Vec<Mismatch> =
        mirrored.map(|it| Mismatch { block: it.block, ours: it.theirs, theirs: it.ours }).collect();
    assert_eq!(compare(ours, theirs), mirrored);
    mirrored.iter().map(ToString::to_string).collect()
}

fn changed(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut theirs = facts();
    change(&mut theirs);
    compared(&Blocks::produce(&facts()), &Blocks::produce(&theirs))
}

fn blocks(change: impl FnOnce(&mut BTreeMap<u16, Vec<u8>>)) -> Blocks {
    let mut blocks = Blocks::produce(&facts());
    change(&mut blocks.0);
    blocks
}

fn refused(bytes: &[u8]) -> String {
    Blocks::parse(bytes).unwrap_err().to_string()
}

#[test]
fn equal_facts_have_no_mismatch() {
    assert_eq!(changed(|_| ()), Vec::<String>::new());
}

#[test]
fn each_must_match_value_is_refused_with_both_values() {
    assert_eq!(changed(|it| it.cluster_name = "beta".into()), [r#"cluster name: ours "alpha", theirs "beta""#]);
    assert_eq!(changed(|it| it.stack = "pcmk".into()), [r#"stack: ours "o2cb", theirs "pcmk""#]);
    assert_eq!(changed(|it| it.heartbeat_mode_global = true), [r#"heartbeat mode: ours "local", theirs "global""#]);
    assert_eq!(changed(|it| it.dead_threshold = 61), ["dead threshold: ours 31, theirs 61"]);
    assert_eq!(changed(|it| it.idle_timeout_ms = 1), ["idle time-out: ours 30000 ms, theirs 1 ms"]);
    assert_eq!(changed(|it| it.keepalive_delay_ms = 5), ["keepalive delay: ours 2000 ms, theirs 5 ms"]);
    assert_eq!(changed(|it| it.forget = Forget::Gone), [r#"forget policy: ours "unconfigured", theirs "gone""#]);
}

#[test]
fn all_differences_are_named_at_once() {
    let both = changed(|it| {
        it.dead_threshold = 7;
        it.idle_timeout_ms = 8;
    });
    assert_eq!(both, ["dead threshold: ours 31, theirs 7", "idle time-out: ours 30000 ms, theirs 8 ms"]);
}

#[test]
fn shown_values_and_features_may_differ() {
    let none = changed(|it| {
        it.reconnect_delay_ms = 1;
        it.token_ms = 2;
        it.nodelist_hash = 3;
        it.features = 0;
    });
    assert_eq!(none, Vec::<String>::new());
}

#[test]
fn a_must_match_block_that_is_missing_is_a_mismatch() {
    let ours = blocks(|_| ());
    let theirs = blocks(|it| drop(it.remove(&0x0013)));
    assert_eq!(compared(&ours, &theirs), ["dead threshold: ours 31, theirs not sent"]);
}

#[test]
fn a_block_of_another_form_is_a_mismatch_that_can_be_shown() {
    let ours = blocks(|_| ());
    let wider = blocks(|it| drop(it.insert(0x0013, vec![31, 0, 0, 0, 0])));
    assert_eq!(compared(&ours, &wider), ["dead threshold: ours 31, theirs 5 bytes 1f00000000, unreadable"]);
    let escape = blocks(|it| drop(it.insert(0x0010, b"\x1b[2J".into())));
    assert_eq!(compared(&ours, &escape), [r#"cluster name: ours "alpha", theirs 4 bytes 1b5b324a, unreadable"#]);
}

#[test]
fn an_unknown_block_is_kept_and_does_not_count() {
    let theirs = blocks(|it| drop(it.insert(0x7777, vec![1, 2, 3])));
    let theirs = Blocks::parse(&theirs.encode()).unwrap();
    assert_eq!(theirs.block(0x7777), Some([1, 2, 3].as_slice()));
    assert_eq!(compared(&blocks(|_| ()), &theirs), Vec::<String>::new());
    assert_eq!(theirs.rendered().last(), Some(&("0x7777".into(), "3 bytes".into())));
}

#[test]
fn versions_that_do_not_overlap_are_the_only_mismatch() {
    let both = changed(|it| {
        it.protocol = (2, 3);
        it.dead_threshold = 7;
    });
    assert_eq!(both, ["protocol version: ours 1 to 1, theirs 2 to 3"]);
}

#[test]
fn without_a_readable_version_nothing_is_compared() {
    let ours = blocks(|_| ());
    let silent = blocks(|it| drop(it.remove(&0x0001)));
    assert_eq!(compared(&ours, &silent), ["protocol version: ours 1 to 1, theirs not sent"]);
    let empty_range = blocks(|it| drop(it.insert(0x0001, vec![2, 0, 1, 0])));
    assert_eq!(compared(&ours, &empty_range), ["protocol version: ours 1 to 1, theirs 4 bytes 02000100, unreadable"]);
}

#[test]
fn all_sides_take_the_newest_common_version_and_common_features() {
    let with = |protocol, features| Blocks::produce(&Facts { protocol, features, ..facts() });
    let ours = with((2, 4), 0b0111);
    let others = [with((1, 3), 0b1110), with((3, 5), 0b0101)];
    assert_eq!(negotiate(&ours, &others), Ok(Agreed { version: 3, features: 0b0100 }));
    let refused = negotiate(&ours, &[with((1, 3), 0), with((4, 5), 0)]).unwrap_err();
    assert_eq!(refused.to_string(), "protocol version: ours 2 to 3, theirs 4 to 5");
    let alone: [&Blocks; 0] = [];
    assert_eq!(negotiate(&ours, alone), Ok(Agreed { version: 4, features: 0b0111 }));
}

#[test]
fn a_side_without_feature_bits_has_no_features() {
    let silent = blocks(|it| drop(it.remove(&0x0002)));
    assert_eq!(negotiate(&blocks(|_| ()), [&silent]), Ok(Agreed { version: 1, features: 0 }));
}

#[test]
fn magics_ascend_in_the_registry_and_every_block_renders_its_own_value() {
    assert!(REGISTRY.windows(2).all(|pair| pair[0].magic < pair[1].magic));
    let rendered = Blocks::produce(&facts()).rendered();
    let lines: Vec<String> = rendered.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    assert_eq!(
        lines,
        [
            "protocol version = 1 to 1",
            "features = 0x6",
            r#"cluster name = "alpha""#,
            r#"stack = "o2cb""#,
            r#"heartbeat mode = "local""#,
            "dead threshold = 31",
            "idle time-out = 30000 ms",
            "keepalive delay = 2000 ms",
            r#"forget policy = "unconfigured""#,
            "reconnect delay = 2000 ms",
            "token time-out = 3000 ms",
            "nodelist hash = 0x1234",
        ]
    );
}

#[test]
fn a_block_is_magic_length_data_in_little_endian() {
    let blocks = Blocks(BTreeMap::from([(0x0102, vec![]), (0x0304, vec![9, 8])]));
    let bytes = [0x02, 0x01, 0, 0, 0x04, 0x03, 2, 0, 9, 8];
    assert_eq!(blocks.encode(), bytes);
    assert_eq!(Blocks::parse(&bytes), Ok(blocks));
    assert_eq!(Blocks::parse(&[]), Ok(Blocks::default()));
}

#[test]
fn cut_off_blocks_are_malformed() {
    assert_eq!(refused(&[1, 0, 0]), "malformed message: handshake ends 3 bytes into a block");
    assert_eq!(refused(&[1, 0, 0xff, 0xff, 7]), "malformed message: handshake block 0x0001 has 1 of its 65535 bytes");
}

#[test]
fn blocks_must_ascend_so_that_none_comes_twice() {
    assert_eq!(
        refused(&[2, 0, 0, 0, 1, 0, 0, 0]),
        "malformed message: handshake block 0x0001 after 0x0002, must ascend"
    );
    assert_eq!(
        refused(&[1, 0, 0, 0, 1, 0, 0, 0]),
        "malformed message: handshake block 0x0001 after 0x0001, must ascend"
    );
}

#[test]
fn count_and_length_are_bounded() {
    let empty_blocks =
        |count: u16| (0..count).flat_map(|magic| [magic.to_le_bytes(), [0, 0]].concat()).collect::<Vec<u8>>();
    assert_eq!(Blocks::parse(&empty_blocks(64)).unwrap().0.len(), BLOCKS_MAX);
    assert_eq!(refused(&empty_blocks(65)), "malformed message: handshake of more than 64 blocks");
    assert_eq!(refused(&[0; 4097]), "malformed message: handshake of 4097 bytes, at most 4096");
}

#[test]
fn the_longest_names_still_parse() {
    let name = "x".repeat(70_000);
    let longest = Blocks::produce(&Facts { cluster_name: name.clone(), stack: name, ..facts() }).encode();
    assert!(longest.len() < 700, "{}", longest.len());
    assert!(Blocks::parse(&longest).is_ok());
}
