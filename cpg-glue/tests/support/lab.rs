//! Nodes as namespaces: each has its own network, mounts, pids and shared memory, and a corosync when it is started.
//!
//! Everything hangs on a holder process per node, which waits for the end of its standard input: when the test ends, in
//! whatever way, the holders end, and with them their pid namespaces, mounts and interfaces. Nothing of the machine is
//! changed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use cpg_glue::Event;

/// No wait is longer than this, the deadline of everything that should come at once and may come late on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What the mount namespace of a node hides, so that corosync finds a machine of its own.
const SETUP: &str = "
set -e
mount --make-rprivate /
mount -t proc proc /proc
for dir in /run /dev/shm /etc/corosync /var/lib/corosync; do mount -t tmpfs tmpfs $dir; done
ip link set lo up
echo ready
exec cat
";

/// A cluster of nodes on one switch.
pub(crate) struct Lab {
    pub(crate) nodes: Vec<Node>,
    _switch: Holder,
}

/// One machine.
pub(crate) struct Node {
    pub(crate) nodeid: u32,
    holder: Holder,
    corosync: Option<Corosync>,
}

/// A process that keeps namespaces alive.
struct Holder {
    child: Child,
    /// The process inside.
    leader: u32,
    _stdin: ChildStdin,
}

/// A corosync, and its pid as its node sees it.
struct Corosync {
    child: Child,
    pid: u32,
}

/// A program with the glue in it, on one node.
pub(crate) struct Program {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// Everything it has said.
    said: Vec<String>,
}

impl Lab {
    /// `count` nodes with a running corosync, or `None` if the person said to go without.
    ///
    /// # Panics
    /// If the machine refuses; the message says what is missing.
    pub(crate) fn up(count: u32) -> Option<Self> {
        let mut lab = Self::off(count)?;
        for node in &mut lab.nodes {
            node.start();
        }
        for node in &lab.nodes {
            node.wait_for_members(count);
        }
        Some(lab)
    }

    /// The same without corosync.
    pub(crate) fn off(count: u32) -> Option<Self> {
        if std::env::var_os("O2CPG_WITHOUT_LAB").is_some() {
            // Past the capture of the test runner: a suite that was not run must be seen.
            let _ = writeln!(std::io::stderr().lock(), "not run: O2CPG_WITHOUT_LAB is set");
            return None;
        }
        let switch = Holder::start(
            &["--net"],
            "ip link set lo up; ip link add switch0 type bridge forward_delay 0; ip link set switch0 up; echo ready; exec cat",
        );
        let nodes = (1..=count).map(|nodeid| Node::boot(nodeid, count, &switch)).collect();
        Some(Self { nodes, _switch: switch })
    }
}

impl Holder {
    fn start(spaces: &[&str], script: &str) -> Self {
        let mut child = Command::new("unshare")
            .args(spaces)
            .args(["--fork", "--kill-child=KILL", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is needed to make nodes");
        let stdin = child.stdin.take().expect("it is piped");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let _ = BufReader::new(stdout).read_line(&mut line);
        let hint = "no namespaces: run as root on a kernel that has them, or set O2CPG_WITHOUT_LAB=1";
        assert!(line == "ready\n", "{hint}");
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let leader = std::fs::read_to_string(children).expect("/proc shows children");
        let leader = leader.trim().parse().expect("unshare has one child");
        Self { child, leader, _stdin: stdin }
    }

    fn enter(&self, spaces: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.leader.to_string()]).args(spaces.split(' ')).arg("--");
        command
    }

    fn sh(&self, spaces: &str, script: &str) {
        let status = self.enter(spaces).args(["sh", "-ec", script]).status().expect("nsenter runs");
        assert!(status.success(), "in a node: {script}");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    fn boot(nodeid: u32, count: u32, switch: &Holder) -> Self {
        let spaces = ["--mount", "--net", "--ipc", "--uts", "--pid"];
        let holder = Holder::start(&spaces, SETUP);
        let inside = holder.leader;
        switch.sh(
            "-n",
            &format!(
                "ip link add v{nodeid} type veth peer name eth0 netns {inside}; ip link set v{nodeid} master switch0 up"
            ),
        );
        let node = Self { nodeid, holder, corosync: None };
        node.sh(&format!("ip addr add 10.77.0.{nodeid}/24 dev eth0; ip link set eth0 up"));
        node.configure(corosync_conf(count, ""));
        node
    }

    /// Writes corosync.conf.
    pub(crate) fn configure(&self, conf: impl AsRef<[u8]>) {
        let mut cat = self
            .command(&["sh", "-c", "cat > /etc/corosync/corosync.conf"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        cat.stdin.take().expect("it is piped").write_all(conf.as_ref()).expect("the node takes it");
        assert!(cat.wait().expect("it ends").success());
    }

    /// A command that runs on the node.
    pub(crate) fn command(&self, argv: &[&str]) -> Command {
        let mut command = self.holder.enter("-m -n -i -u -p");
        command.args(argv);
        command
    }

    fn sh(&self, script: &str) {
        self.holder.sh("-m -n -i -u -p", script);
    }

    /// Runs a command on the node to its end.
    pub(crate) fn run(&self, argv: &[&str]) -> Output {
        self.command(argv).output().expect("nsenter runs")
    }

    /// Starts a command on the node.
    pub(crate) fn spawn(&self, argv: &[&str]) -> Child {
        self.command(argv).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nsenter runs")
    }

    /// Starts corosync.
    pub(crate) fn start(&mut self) {
        let script = "echo $$; exec corosync -f >>/run/corosync.log 2>&1";
        let mut child = self.command(&["sh", "-c", script]).stdout(Stdio::piped()).spawn().expect("nsenter runs");
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line);
        let pid = line.trim().parse().expect("the shell says its pid");
        self.corosync = Some(Corosync { child, pid });
    }

    /// Sends a signal to corosync: STOP, CONT, KILL, TERM.
    pub(crate) fn signal(&mut self, signal: &str) {
        let corosync = self.corosync.as_mut().expect("corosync was started");
        let pid = corosync.pid;
        self.holder.sh("-m -n -i -u -p", &format!("kill -{signal} {pid}"));
        if signal != "STOP" {
            // nsenter stops together with what it runs, but does not wake up with it.
            let nsenter = corosync.child.id().to_string();
            assert!(Command::new("kill").args(["-CONT", &nsenter]).status().expect("kill runs").success());
        }
        if matches!(signal, "KILL" | "TERM") {
            self.wait_for_end();
        }
    }

    /// Waits for corosync to end by itself.
    pub(crate) fn wait_for_end(&mut self) {
        let mut corosync = self.corosync.take().expect("corosync was started");
        until("corosync ends", || corosync.child.try_wait().expect("it can be waited for").is_some());
    }

    /// Waits until corosync sees so many nodes.
    pub(crate) fn wait_for_members(&self, count: u32) {
        let votes = format!("Total votes:      {count}\n");
        until(&format!("node {} sees {count} members", self.nodeid), || {
            let shown = self.run(&["corosync-quorumtool", "-s"]);
            String::from_utf8_lossy(&shown.stdout).contains(&votes)
        });
    }

    /// Starts a program with the glue in it.
    pub(crate) fn program(&self) -> Program {
        self.program_after(":")
    }

    /// Starts it from a shell that has done this before.
    pub(crate) fn program_after(&self, line: &str) -> Program {
        let me = std::env::current_exe().expect("the test binary has a path");
        let me = me.to_str().expect("its path is text");
        let line = format!("{line}; O2CPG_NODE=1 exec {me} --exact node_program --nocapture");
        let mut child = self
            .command(&["sh", "-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with('{') && sender.send(line).is_err() {
                    break;
                }
            }
        });
        Program { child, stdin, lines, said: Vec::new() }
    }
}

impl Program {
    /// Gives it one line; see [`super::node`].
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the program reads");
    }

    /// Sends the process `pid` in it a signal: STOP, CONT.
    pub(crate) fn signal(&self, node: &Node, pid: u32, signal: &str) {
        assert!(node.run(&["kill", &format!("-{signal}"), &pid.to_string()]).status.success());
        if signal == "CONT" {
            let nsenter = self.child.id().to_string(); // as with corosync
            assert!(Command::new("kill").args(["-CONT", &nsenter]).status().expect("kill runs").success());
        }
    }

    /// Reads on until `pick` takes an event.
    ///
    /// # Panics
    /// If none is taken in time: with everything the program has said.
    pub(crate) fn expect<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        self.expect_line(what, |line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            let event = serde_json::from_value(value.get("event")?.clone()).expect("an event");
            pick(&event)
        })
    }

    /// Gives a line that asks, and reads on until the answer.
    pub(crate) fn ask(&mut self, line: &str, name: &str) -> serde_json::Value {
        self.tell(line);
        self.expect_line(&format!("answer {name}"), |line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            value.get(name).map(|_| value.clone())
        })
    }

    fn expect_line<T>(&mut self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(why) => self.give_up(what, why),
            };
            let picked = pick(&line);
            self.said.push(line);
            if let Some(picked) = picked {
                return picked;
            }
        }
    }

    fn give_up(&self, what: &str, why: RecvTimeoutError) -> ! {
        panic!("{what}: {why}; it said:\n{}", self.said.join("\n"))
    }

    /// Every event so far that `keep` takes.
    pub(crate) fn seen<T>(&self, keep: impl Fn(&Event) -> Option<T>) -> Vec<T> {
        let values = self.said.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let events = values.filter_map(|value| serde_json::from_value::<Event>(value.get("event")?.clone()).ok());
        events.filter_map(|event| keep(&event)).collect()
    }

    /// Waits for its end and says whether it was a good one.
    pub(crate) fn end(mut self) -> bool {
        let mut status = None;
        until("the program ends", || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        status.is_some_and(|status| status.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Corosync {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A corosync.conf for nodes 1 to `count`, with `own` as our section.
pub(crate) fn corosync_conf(count: u32, own: &str) -> String {
    let nodes: String = (1..=count)
        .map(|n| format!("  node {{\n    ring0_addr: 10.77.0.{n}\n    name: n{n}\n    nodeid: {n}\n  }}\n"))
        .collect();
    format!(
        "totem {{\n  version: 2\n  cluster_name: glue\n  transport: udpu\n  token: 1000\n  token_coefficient: 0\n}}\n\
         nodelist {{\n{nodes}}}\nquorum {{\n  provider: corosync_votequorum\n}}\n\
         o2cpg {{\n{own}}}\nsystem {{\n  sched_rr: no\n}}\n\
         logging {{\n  to_stderr: yes\n  to_syslog: no\n  timestamp: hires\n}}\n"
    )
}
