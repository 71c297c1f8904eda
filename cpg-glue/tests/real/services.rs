//! What corosync asks and tells besides groups: cfg and cmap.

use crate::support::lab::{Lab, Program, corosync_conf};
use crate::waiting::{answered, config, lost, message, programs_in_g, view};
use cpg_glue::{Call, Event, NodeId, Reason, Verdict};

#[test]
fn the_shutdown_question_is_vetoed_by_no_and_by_silence_and_allowed_by_yes() {
    let Some(mut lab) = Lab::up(1) else { return };
    let mut program = programs_in_g(&lab).remove(0);
    let ask = |lab: &Lab, program: &mut Program| {
        let tool = lab.nodes[0].spawn(&["corosync-cfgtool", "-H"]);
        program.expect("ShutdownAsked", |event| matches!(event, Event::ShutdownAsked { .. }).then_some(()));
        tool
    };
    let tool = ask(&lab, &mut program);
    program.tell("answer no");
    assert_eq!(answered(&mut program), (Verdict::No, false));
    assert!(tool.wait_with_output().unwrap().status.success(), "the tool says so even for a veto");

    let tool = ask(&lab, &mut program);
    assert_eq!(answered(&mut program), (Verdict::No, true));
    tool.wait_with_output().unwrap();
    let late = program.ask("answer yes", "refused");
    assert_eq!(late["refused"], "no shutdown question is open");
    program.tell("send g alive");
    message(&mut program, "alive");

    let tool = ask(&lab, &mut program);
    program.tell("answer yes");
    lost(&mut program);
    lab.nodes[0].wait_for_end();
    tool.wait_with_output().unwrap();
}

#[test]
fn kill_node_ends_its_corosync_and_an_unknown_node_is_refused() {
    let Some(mut lab) = Lab::up(3) else { return };
    let mut programs = programs_in_g(&lab);
    let order = |program: &mut Program, nodeid: u32| {
        program.tell(&format!("kill {nodeid}"));
        program.expect("KillOrdered", |event| match event {
            Event::KillOrdered { nodeid: node, result } if node.0 == nodeid => Some(result.clone()),
            _ => None,
        })
    };
    let unknown = order(&mut programs[0], 99).unwrap_err();
    assert_eq!((unknown.call, unknown.code.name()), (Call::CfgKillNode, "NOT_EXIST"));
    assert_eq!(order(&mut programs[0], 3), Ok(()));
    lab.nodes[2].wait_for_end();
    lost(&mut programs[2]);
    assert_eq!(view(&mut programs[0], &[1, 2]), [(3, Reason::NodeDown)]);
}

#[test]
fn a_name_that_is_not_utf_8_hides_no_node() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program();
    config(&mut program, "the first config", |_| true);
    let conf = corosync_conf(3, "").replace("name: n2", "name: n?").into_bytes();
    lab.nodes[0].configure(conf.into_iter().map(|byte| if byte == b'?' { 0xfc } else { byte }).collect::<Vec<_>>());
    assert!(lab.nodes[0].run(&["corosync-cfgtool", "-R"]).status.success());
    let why = program.expect("ConfigUnreadable", |event| match event {
        Event::ConfigUnreadable { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(why.starts_with("nodelist.node.1.nodeid is missing"), "{why}");

    lab.nodes[0].configure(corosync_conf(3, ""));
    assert!(lab.nodes[0].run(&["corosync-cfgtool", "-R"]).status.success());
    config(&mut program, "the mended config", |config| config.nodes.len() == 3);
}

#[test]
fn a_reload_and_a_key_set_at_run_time_are_told_whole() {
    let Some(lab) = Lab::up(1) else { return };
    let mut program = lab.nodes[0].program();
    let first = config(&mut program, "the first config", |_| true);
    assert_eq!((first.cluster_name.as_str(), first.token_ms, first.consensus_ms), ("glue", 1000, 1200));
    assert_eq!(first.nodes[&NodeId(1)].addresses[&0], "10.77.0.1");
    assert!(first.own.is_empty());

    let conf = corosync_conf(2, "  stack: o2cb\n  node {\n    a_name_longer_than_fifteen_bytes: yes\n  }\n");
    lab.nodes[0].configure(conf.replace("token: 1000", "token: 1500"));
    assert!(lab.nodes[0].run(&["corosync-cfgtool", "-R"]).status.success());
    let second = config(&mut program, "the reloaded config", |config| config.token_ms == 1500);
    assert_eq!(second.nodes.len(), 2, "never half a reload");
    assert_eq!(second.own["stack"], "o2cb");
    assert_eq!(second.own["node.a_name_longer_than_fifteen_bytes"], "yes");

    assert!(lab.nodes[0].run(&["corosync-cmapctl", "-s", "o2cpg.stack", "str", "user"]).status.success());
    config(&mut program, "the new key", |config| config.own["stack"] == "user");
    assert!(lab.nodes[0].run(&["corosync-cmapctl", "-d", "o2cpg.stack"]).status.success());
    config(&mut program, "the deleted key", |config| !config.own.contains_key("stack"));
}
