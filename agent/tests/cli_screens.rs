//! Screens of the command for whole situations, as golden texts in `cli/`. `UPDATE_EXPECT=1` writes them again; review
//! the difference. Sentences of waits and refusals are the core's own, so a change there shows here.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;

use agent::cli::render;
use agent::cli::volumes::{Region, Volume};
use agent_core::event::KernelRefusal;
use agent_core::ids::{Member, NodeId};
use agent_core::refusal::Refusal;
use agent_core::wait::Wait;
use expect_test::{ExpectFile, expect_file};
use proto::control::api::{self, Health, agent::State};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// Compares without colour, and holds every line to 80 columns.
#[track_caller]
fn check(text: &str, expected: ExpectFile) {
    let text = plain(text);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        assert_eq!(line.trim_end(), line, "blanks at the end");
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn check_status(status: &api::Status, expected: ExpectFile) {
    check(&render::status(status, 0, 80), expected);
}

fn node(name: &str, nodeid: u32) -> api::Node {
    api::Node {
        name: name.into(),
        nodeid,
        number: Some(nodeid),
        address: format!("10.0.0.1{nodeid}"),
        port: 7777,
        this_node: nodeid == 1,
        corosync: "member".into(),
        agent: "1.0.0".into(),
        standing: "ready".into(),
        in_table: "yes".into(),
        since_ms: 12 * DAY_MS + 4 * HOUR_MS,
        mounts: 1,
        regions: 1,
        in_kernel: true,
    }
}

fn mounted(path: &str) -> api::Pin {
    api::Pin { kind: "mounted".into(), text: format!("ocfs2 volume mounted on {path}"), node: String::new() }
}

fn wait(wait: &Wait, since_ms: u64) -> api::Wait {
    api::Wait { kind: wait.kind().into(), text: wait.to_string(), nodes: wait.nodes(), since_ms, fix: wait.fix() }
}

fn trouble(nodeid: u32, refusal: &Refusal) -> api::Trouble {
    let (kind, what) = (refusal.kind().into(), refusal.to_string());
    api::Trouble { kind, nodeid, what, cause: refusal.cause(), fix: refusal.fix() }
}

fn healthy() -> api::Status {
    let entry = |node: &api::Node| api::Entry {
        nodeid: node.nodeid,
        number: node.nodeid,
        name: node.name.clone(),
        address: node.address.clone(),
        port: node.port,
    };
    let nodes = vec![node("alpha", 1), node("bravo", 2), node("charlie", 3)];
    api::Status {
        schema: "o2cpg.status/1".into(),
        cluster: "prod".into(),
        stack: "o2cb".into(),
        kernel: "6.1.0-28-amd64".into(),
        agent: Some(api::Agent {
            release: "1.0.0".into(),
            pid: 812,
            up_ms: 12 * DAY_MS + 4 * HOUR_MS,
            backend: "kernel".into(),
            state: State::Ready.into(),
        }),
        corosync: Some(api::Corosync {
            connected: true,
            ring: "1.3f2".into(),
            quorate: true,
            members: 3,
            expected: 3,
            since_ms: 3 * HOUR_MS + 600_000,
            token_ms: 3_650,
            consensus_ms: 4_380,
        }),
        table: Some(api::Table { step: 12, ring: "1.3f2".into(), entries: nodes.iter().map(entry).collect() }),
        nodes,
        pins: vec![mounted("/srv/data"), mounted("/srv/logs")],
        mounts: vec![
            api::Mount {
                device: "/dev/sdb".into(),
                path: "/srv/data".into(),
                uuid: "DCDA2845177F4D59A0F2DCD8DE507CC3".into(),
            },
            api::Mount { device: "/dev/sdc".into(), path: "/srv/logs".into(), uuid: String::new() },
        ],
        health: Health::Ok.into(),
        adopted: vec![api::Verdict {
            verdict: "adopted".into(),
            thing: "node alpha".into(),
            why: "written by us".into(),
        }],
        counters: Some(api::Counters { views: 7, messages: 312, kernel_ops: 18, ..Default::default() }),
        ..Default::default()
    }
}

/// Node 3 lost power; somebody asked to forget it, and its disk heartbeat still runs out.
fn node_3_died() -> api::Status {
    let mut status = healthy();
    let corosync = status.corosync.as_mut().unwrap();
    (corosync.ring, corosync.members, corosync.since_ms) = ("1.3f4".into(), 2, 9_000);
    let gone = &mut status.nodes[2];
    (gone.corosync, gone.agent, gone.standing) = ("gone".into(), "none".into(), "gone".into());
    (gone.in_table, gone.since_ms, gone.mounts) = ("removing".into(), 9_000, 0);
    let held = Wait::Held {
        entry: "charlie 3 10.0.0.13:7777".into(),
        by: NodeId(1),
        pins: vec!["the kernel refused: rmdir: EBUSY (still in use, or already set)".into()],
    };
    status.waits = vec![wait(&held, 9_400)];
    status.health = Health::Warn.into();
    status
}

fn refused_joiner() -> api::Status {
    let mut status = healthy();
    let refused = &mut status.nodes[2];
    (refused.standing, refused.in_table, refused.in_kernel) = ("refused".into(), "no".into(), false);
    (refused.number, refused.mounts) = (None, 0);
    let mismatch = Refusal::Mismatch { block: "idle_timeout_ms".into(), ours: "30000".into(), theirs: "60000".into() };
    status.troubles = vec![trouble(3, &mismatch)];
    status.health = Health::Warn.into();
    status
}

fn corosync_down_with_mounts() -> api::Status {
    let mut status = healthy();
    status.corosync = Some(api::Corosync { expected: 3, ..Default::default() });
    status.agent.as_mut().unwrap().state = State::Waiting.into();
    for node in &mut status.nodes {
        (node.corosync, node.standing) = ("unknown".into(), "gone".into());
        node.agent = "none".into();
    }
    let lost =
        Wait::Corosync { why: "cpg_dispatch: CS_ERR_LIBRARY (2); corosync does not run or has just ended".into() };
    status.waits = vec![wait(&lost, 190_000)];
    status.health = Health::Crit.into();
    status
}

fn change_with_a_missing_answer() -> api::Status {
    let mut status = healthy();
    let joiner = node("delta", 4);
    status.nodes.push(api::Node { in_table: "adding".into(), standing: "joining".into(), mounts: 0, ..joiner });
    let corosync = status.corosync.as_mut().unwrap();
    (corosync.members, corosync.expected) = (4, 4);
    let step = "add delta";
    status.change = Some(api::Change { step: step.into(), round: 7, answered: vec![1, 2], missing: vec![3] });
    let from = BTreeSet::from([Member { nodeid: 3, pid: 1987 }]);
    status.waits = vec![wait(&Wait::Answers { step: step.into(), from }, 12_000)];
    status.health = Health::Warn.into();
    status
}

fn drift() -> api::Status {
    let mut status = healthy();
    let foreign = Refusal::Foreign { entries: vec!["9 stranger 10.0.0.99:7777".into()] };
    let attribute =
        Refusal::Attribute { name: "idle_timeout_ms".into(), kernel: "30000".into(), wanted: "58000".into() };
    status.nodes[1].in_kernel = false;
    status.troubles = vec![trouble(1, &foreign), trouble(1, &attribute)];
    status.health = Health::Warn.into();
    status
}

fn not_configured() -> api::Status {
    let refusal = Refusal::NotInNodelist { nodeid: NodeId(1_084_783_704) };
    let nodeid = 1_084_783_704;
    let this = api::Node {
        name: "node 1084783704".into(),
        number: None,
        address: String::new(),
        standing: "refused".into(),
        in_table: "no".into(),
        in_kernel: false,
        mounts: 0,
        this_node: true,
        ..node("", nodeid)
    };
    let mut status = healthy();
    status.agent.as_mut().unwrap().state = State::Refused.into();
    status.corosync = Some(api::Corosync { members: 1, expected: 0, ..status.corosync.unwrap() });
    api::Status {
        cluster: String::new(),
        table: None,
        nodes: vec![this],
        pins: vec![],
        mounts: vec![],
        troubles: vec![trouble(nodeid, &refusal)],
        health: Health::Warn.into(),
        ..status
    }
}

#[test]
fn three_healthy_nodes() {
    check_status(&healthy(), expect_file!["cli/status-healthy.txt"]);
}

#[test]
fn three_healthy_nodes_in_detail() {
    check(&render::status(&healthy(), 1, 80), expect_file!["cli/status-healthy-verbose.txt"]);
}

#[test]
fn a_node_has_just_died_and_is_waited_for() {
    check_status(&node_3_died(), expect_file!["cli/status-node-died.txt"]);
}

#[test]
fn a_joiner_is_refused_for_another_idle_timeout() {
    check_status(&refused_joiner(), expect_file!["cli/status-refused-joiner.txt"]);
}

#[test]
fn corosync_is_down_while_volumes_are_mounted() {
    check_status(&corosync_down_with_mounts(), expect_file!["cli/status-corosync-down.txt"]);
}

#[test]
fn a_change_misses_an_answer() {
    check_status(&change_with_a_missing_answer(), expect_file!["cli/status-change.txt"]);
}

#[test]
fn the_kernel_tree_has_drifted() {
    check_status(&drift(), expect_file!["cli/status-drift.txt"]);
}

#[test]
fn nothing_is_configured_yet() {
    check_status(&not_configured(), expect_file!["cli/status-not-configured.txt"]);
}

#[test]
fn sixteen_nodes_with_long_names_and_many_pins_still_fit_and_keep_every_address() {
    let mut status = healthy();
    status.nodes = (1..=16)
        .map(|nodeid| api::Node {
            name: format!("pve-{nodeid:03}.datacenter.example.org"),
            number: Some(nodeid + 200),
            address: format!("192.168.100.{}", nodeid + 100),
            agent: "1.0.0-rc.12".into(),
            ..node("", nodeid + 200)
        })
        .collect();
    status.pins = (0..20).map(|n| mounted(&format!("/srv/a/very/long/path/to/a/volume/of/some/tenant/{n}"))).collect();
    check_status(&status, expect_file!["cli/status-crowded.txt"]);
    assert_eq!(render::status(&status, 0, 80).matches(":7777 ").count(), 16);
}

#[test]
fn what_other_nodes_send_cannot_act_on_the_terminal() {
    let mut status = healthy();
    status.nodes[1].name = "bra\x1b[2Jvo".into();
    status.cluster = "pr\x1b]0;od".into();
    status.pins[0].text = "a\nb".into();
    status.troubles = vec![api::Trouble { nodeid: 2, what: "x\x07y".into(), ..Default::default() }];
    let text = plain(&render::status(&status, 1, 80));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
}

#[test]
fn nodes_with_since() {
    check(&render::nodes(&node_3_died(), 80), expect_file!["cli/nodes.txt"]);
    check(&render::node_removal(&node_3_died().nodes[2], 80), expect_file!["cli/forget.txt"]);
}

#[test]
fn a_plan_with_every_mark() {
    let line = |mark: &str, thing: &str, why: &str| api::plan::Line {
        mark: mark.into(),
        thing: thing.into(),
        why: why.into(),
    };
    let attribute =
        Refusal::Attribute { name: "idle_timeout_ms".into(), kernel: "30000".into(), wanted: "58000".into() };
    let plan = api::Plan {
        schema: "o2cpg.plan/1".into(),
        root: "/sys/kernel/config/cluster/prod".into(),
        lines: vec![
            line("=", "node alpha  1  10.0.0.11:7777", ""),
            line("=", "node bravo  2  10.0.0.12:7777", ""),
            line("+", "node delta  4  10.0.0.14:7777", "being added on all members"),
            line("-", "node charlie  3  10.0.0.13:7777", "not in the agreed table; goes by agreement only"),
            line("!", "node 9 stranger 10.0.0.99:7777", "not ours: made by another program, left alone"),
            line("~", &attribute.to_string(), &attribute.cause()),
        ],
        now: 1,
        deferred: 2,
        conflicts: 1,
    };
    check(&render::plan(&plan, 80), expect_file!["cli/plan.txt"]);
    let quiet = api::Plan { lines: plan.lines[..2].to_vec(), now: 0, deferred: 0, conflicts: 0, ..plan };
    check(&render::plan(&quiet, 80), expect_file!["cli/plan-nothing.txt"]);
}

#[test]
fn may_it_stop() {
    let no = api::CanStop {
        schema: "o2cpg.can-stop/1".into(),
        yes: false,
        pins: vec![mounted("/srv/data"), mounted("/srv/logs")],
        advice: "umount /srv/data /srv/logs, then ask again".into(),
    };
    check(&render::can_stop(&no, 80), expect_file!["cli/can-stop-no.txt"]);
    check(
        &render::can_stop(&api::CanStop { yes: true, ..Default::default() }, 80),
        expect_file!["cli/can-stop-yes.txt"],
    );
}

#[test]
fn volumes_and_regions() {
    let uuid = "DCDA2845177F4D59A0F2DCD8DE507CC3";
    let used = Volume {
        uuid: uuid.into(),
        device: "/dev/sdb".into(),
        paths: vec!["/srv/data".into(), "/mnt".into()],
        nodes: vec![1, 2, 3],
        state: "stable".into(),
        ..Volume::default()
    };
    let elsewhere = Volume { uuid: "0".repeat(32), nodes: vec![2], state: "stable".into(), ..Volume::default() };
    check(&render::mounts(&[used.clone(), elsewhere], 80), expect_file!["cli/mounts.txt"]);
    let recovering =
        Volume { state: "recovering".into(), waits: "the death of node 3".into(), since_ms: 9_000, ..used.clone() };
    check(&render::mounts(&[recovering], 80), expect_file!["cli/mounts-recovering.txt"]);
    let unknown = Volume { nodes: vec![], state: String::new(), uuid: String::new(), ..used };
    check(&render::mounts(&[unknown], 80), expect_file!["cli/mounts-local.txt"]);

    let region = |pid| Region { uuid: uuid.into(), device: "sdb".into(), pid, paths: vec!["/srv/data".into()] };
    let idle = Region { uuid: "0".repeat(32), device: String::new(), pid: None, paths: vec![] };
    check(&render::regions(&[region(Some(2912)), idle], 80), expect_file!["cli/regions.txt"]);
    let broken = Region { uuid: "1".repeat(32), device: String::new(), pid: Some(7), paths: vec![] };
    assert!(render::regions(&[broken], 80).contains("broken off, do not touch"));
    assert_eq!(render::mounts(&[], 80), "no node uses a volume\n");
    assert_eq!(render::regions(&[], 80), "no heartbeat region in this kernel\n");
}

#[test]
fn groups_settings_and_log() {
    let refused = KernelRefusal { errno: 16, path: "node/charlie".into(), what: "rmdir".into() };
    let waits = Wait::Misaligned { node: NodeId(2), refusal: refused }.to_string();
    let group =
        api::Group { name: "o2cpg".into(), state: "changing".into(), members: vec![1, 2], waits, since_ms: 9_000 };
    let groups = api::Groups { schema: "o2cpg.groups/1".into(), groups: vec![group] };
    check(&render::groups(&groups, 80), expect_file!["cli/groups.txt"]);

    let setting = |key: &str, value: &str, origin: &str, pending: &str| api::config::Setting {
        key: key.into(),
        value: value.into(),
        origin: origin.into(),
        pending: pending.into(),
    };
    let settings = vec![
        setting("o2net.idle_timeout_ms", "30000", "default", "58000 from cmap, when no peer is connected"),
        setting("forget", "unconfigured", "/etc/o2cpg/o2cpg.toml:3", ""),
    ];
    let config = api::Config { schema: "o2cpg.config/1".into(), settings };
    check(&render::config(&config, 80), expect_file!["cli/config.txt"]);

    let log = api::Log { directives: "info,cpg_glue=trace".into(), configured: "info".into(), back_in_s: 598 };
    check(&render::log(&log, 80), expect_file!["cli/log.txt"]);
}
