//! Stories an operator can read: what is done to a cluster, and what each node says and tells its clients.
//!
//! A story is text in `tests/golden`: comments, then commands, then `----`, then what came out; as often as
//! wanted. `UPDATE_EXPECT=1` rewrites what came out.
//!
//! | sign | meaning |
//! |---|---|
//! | `n1 > stop alpha` | node 1 tells its client |
//! | `n1 * STOPPED 1:alpha Join(3/3)` | node 1 multicasts: the change is the join of node 3, 3 members after it |
//! | `n1 ! kill 3` | node 1 asks corosync for something |
//! | `n1 . 1:alpha waits: …` | the answer to `waits` |

#![allow(clippy::disallowed_methods, reason = "a test reads its stories")]

mod cluster;

use cluster::Cluster;
use groupd_compat::machine::{OnClientDeath, Settings};
use std::fmt::Write as _;
use std::path::Path;

fn run(story: &str) -> String {
    let mut out = String::new();
    let (mut cluster, mut busy) = (None, false);
    let mut skipping = false;
    for line in story.lines() {
        if line == "----" {
            let cluster: &mut Cluster = cluster.as_mut().expect("`nodes N` first");
            out.push_str("----\n");
            cluster.log.drain(..).for_each(|line| _ = writeln!(out, "{line}"));
            skipping = true;
        } else if line.is_empty() {
            skipping = false;
            out.push('\n');
        } else if !skipping {
            _ = writeln!(out, "{line}");
            if !line.starts_with('#') {
                busy = (busy || line == "busy") && line != "settle";
                obey(&mut cluster, line);
                if let (Some(cluster), false, false) = (&mut cluster, busy, line == "waits") {
                    // What is asked to die is dead when all else is quiet; `heal` shows first what the living do.
                    cluster.settle();
                }
            }
        }
    }
    out
}

fn obey(cluster: &mut Option<Cluster>, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    // nodes 3, or with the original's model on some of them: nodes 3 originals 2,3
    if let ["nodes", count, originals @ ..] = words.as_slice() {
        let originals = originals.get(1).map_or("", |list| list).split_terminator(',');
        let originals = originals.map(|node| node.parse().expect("a node")).collect();
        *cluster = Some(Cluster::with_originals(count.parse().expect("a count"), originals));
        return;
    }
    let cluster = cluster.as_mut().expect("`nodes N` first");
    let (verb, args) = words.split_first().expect("a command");
    let number = |at: usize| args[at].parse::<u32>().expect("a node");
    let group =
        |at: usize| args[at].split_once(':').map(|(l, n)| (l.parse::<i64>().expect("a level"), n)).expect("L:name");
    match *verb {
        // join 1,2,3 1:alpha: one after the other, each to its end
        "join" => {
            let (level, name) = group(1);
            for node in args[0].split(',') {
                cluster.join(node.parse().expect("a node"), level, name);
                if args[0].contains(',') {
                    cluster.settle();
                }
            }
        }
        "leave" => cluster.leave(number(0), group(1).0, group(1).1),
        "manual" => cluster.manual(number(0), args[1].parse().expect("a level")),
        "auto" => cluster.auto(number(0), args[1].parse().expect("a level")),
        "stop_done" => cluster.stop_done(number(0), group(1).0, group(1).1),
        "start_done" => cluster.start_done(number(0), group(1).0, group(1).1),
        "crash" => cluster.crash_all(&args[0].split(',').map(|n| n.parse().expect("a node")).collect::<Vec<_>>()),
        "boot" => cluster.boot(number(0)),
        "blink" => cluster.blink(number(0)),
        // haunt 2 control 1:alpha: node 2 restarts, and its daemon stays listed there
        "haunt" => {
            let names: Vec<Vec<u8>> = args[1..].iter().map(|cpg| cpg_name(cpg)).collect();
            cluster.haunt(number(0), &names);
        }
        "begin-anew" => cluster.begin_anew(number(0)),
        // lapse 2 1: node 2's corosync restarts under its daemon; node 1 stands still
        "lapse" => cluster.lapse(number(0), number(1)),
        // Daemons that start from here on leave for clients that die.
        "policy-leave" => {
            cluster.settings = |me| Settings { on_client_death: OnClientDeath::Leave, ..Settings::libgroup(me) };
        }
        "daemon" => cluster.start_daemon(number(0)),
        // kill-daemon 3, or so that node 2 is not shown it before the next ring: kill-daemon 3 unheard 2
        "kill-daemon" if args.get(1) == Some(&"unheard") => cluster.kill_daemon_unheard(number(0), number(2)),
        "kill-daemon" => cluster.kill_daemon(number(0)),
        "daemon-leaves" => cluster.daemon_leaves(number(0)),
        "sigterm" => cluster.sigterm(number(0)),
        "client-dies" => cluster.client_dies(number(0), args[1].parse().expect("a level")),
        "partition" => {
            let sides: Vec<Vec<u32>> =
                args.iter().map(|side| side.split(',').map(|n| n.parse().expect("a node")).collect()).collect();
            cluster.partition(&sides.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        "heal" => cluster.heal(),
        "quietly" => {
            cluster.settle();
            cluster.log.clear();
        }
        // From here to `settle` nothing is handed over but by steps.
        "busy" | "settle" => {}
        "steps" => (0..number(1)).for_each(|_| _ = cluster.step_of(number(0))),
        // take 3 1:alpha 2: the next two callbacks of one handle, before all that came earlier on others
        "take" => {
            let cpg = cpg_name(args[1]);
            let handle = cluster.handle_of(number(0), &cpg).expect("a handle");
            (0..number(2)).for_each(|_| assert!(cluster.step_at(number(0), handle), "nothing on {}", args[1]));
        }
        // From here on each departure of a daemon that ends is ordered when told: depart 2 control, depart 2 1:alpha
        "ragged" => cluster.ragged = true,
        "depart" => {
            let cpg = cpg_name(args[1]);
            assert!(cluster.depart_from(number(0), &cpg), "nobody departs from {}", args[1]);
        }
        "revive" => cluster.revive(number(0)),
        "waits" => {
            let lines = cluster.waits();
            cluster.log.extend(if lines.is_empty() { vec!["nobody waits".to_owned()] } else { lines });
        }
        other => panic!("command {other:?}"),
    }
}

/// `control`, or `1:alpha` for the CPG of that group.
fn cpg_name(word: &str) -> Vec<u8> {
    let name = if word == "control" { "groupd".to_owned() } else { word.replace(':', "_") };
    [name.as_bytes(), b"\0"].concat()
}

#[test]
fn stories_come_out_as_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut stories: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    stories.sort();
    assert!(!stories.is_empty());
    let mut changed = Vec::new();
    for path in stories {
        let told = std::fs::read_to_string(&path).unwrap();
        let ours = run(&told);
        if ours == told {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, ours).unwrap();
        } else {
            changed.push(format!("{}:\n{ours}", path.display()));
        }
    }
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}
