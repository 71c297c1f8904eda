use super::*;
use groupd_compat::ids::{CpgId, Member, RingId};
use groupd_compat::machine::{Access, Caller, Effects, Event, QuorumReport, Reason, Settings, ViewChange};
use groupd_compat::names::{ClientKind, GroupName, Level};
use groupd_compat::verbs::Request;

const CLIENT: ClientId = ClientId(7);
const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Node 1 of two, fed by hand: its client joins what it is told to.
struct Bench {
    machine: Machine,
    waits: Waits,
}

fn member(node: NodeId) -> Member {
    Member { node, pid: 100 + node.0 }
}

fn came(members: &[NodeId], who: NodeId) -> ViewChange {
    let members = members.iter().copied().map(member).collect();
    ViewChange { members, left: vec![], joined: vec![(member(who), Reason::Join)] }
}

fn name(text: &str) -> GroupName {
    GroupName::new(text.as_bytes()).unwrap()
}

impl Bench {
    fn new() -> Bench {
        let mut bench = Bench { machine: Machine::new(Settings::libgroup(ONE)), waits: Waits::new(ONE) };
        bench.feed(Event::Started);
        bench.feed(Event::ViewChanged(CpgId::CONTROL, came(&[ONE, TWO], ONE)));
        bench.feed(Event::ClientCame(CLIENT, Caller { uid: 0, access: Access::Full }));
        let level = Level::try_from(1).unwrap();
        bench.feed(Event::Asked(CLIENT, Ok(Request::Setup { kind: ClientKind::new(b"test"), level })));
        bench
    }

    fn feed(&mut self, event: Event) {
        self.machine.handle(groupd_compat::ids::Tick(0), event, &mut Effects::default());
    }

    fn ask(&mut self, request: Request) {
        self.feed(Event::Asked(CLIENT, Ok(request)));
    }

    fn quorate(&mut self) {
        let (ring, nodes) = (RingId { representative: 1, seq: 4 }, vec![ONE, TWO]);
        self.feed(Event::QuorumChanged(QuorumReport { quorate: true, ring, nodes: nodes.clone(), left: vec![] }));
        self.feed(Event::RingChanged { ring, nodes });
    }

    /// Node 1 joins a group that node 2 is in, and waits for it.
    fn joins(&mut self, group: &str, cpg: u64) {
        self.ask(Request::Join { name: name(group) });
        self.feed(Event::ViewChanged(CpgId(cpg), came(&[TWO, ONE], ONE)));
    }

    fn look(&mut self, at_ms: u64) -> Vec<News> {
        self.waits.look(&self.machine, |client| (client == CLIENT).then_some(4242), Tick(at_ms))
    }

    fn lines(&self, at_ms: u64) -> Vec<WaitLine> {
        WaitLine::of_dump(&format!("1 a line of the journal\n{}", self.waits.lines(17, Tick(at_ms))))
    }
}

fn long(news: &[News]) -> Vec<String> {
    let told = |news: &News| match news {
        News::Long { group, what, .. } => format!("{group} waits for {what}"),
        News::GoesOn { group, after_ms } => format!("{group} goes on after {after_ms}"),
        News::More { long, go_on } => format!("{long} and {go_on} more"),
    };
    news.iter().map(told).collect()
}

#[test]
fn a_wait_is_told_once_when_it_is_long_and_once_when_it_is_over() {
    let mut bench = Bench::new();
    bench.quorate();
    bench.joins("a", 1);
    assert_eq!((bench.look(1_000), bench.waits.is_empty()), (vec![], false));
    assert_eq!((bench.look(10_999), bench.waits.long()), (vec![], vec![]));
    assert_eq!(long(&bench.look(11_000)), ["1:a waits for stop_done of its client on node 2"]);
    assert_eq!(bench.look(12_000), []);
    let [told] = &bench.waits.long()[..] else { panic!("{:?}", bench.waits.long()) };
    assert_eq!(told.text, "legacy group 1:a: stop_done of its client on node 2");
    assert_eq!((told.nodes.as_slice(), told.since), (&[2][..], Tick(1_000)));
    bench.feed(Event::ViewChanged(
        CpgId::CONTROL,
        ViewChange { members: vec![member(ONE)], left: vec![(member(TWO), Reason::NodeDown)], joined: vec![] },
    ));
    // Alone, it goes on at once, and waits for its own client: that is another wait, of which nobody is told yet.
    assert_eq!(long(&bench.look(15_000)), ["1:a goes on after 14000"]);
    assert_eq!(bench.waits.long(), []);
}

#[test]
fn the_client_that_owes_the_answer_is_named() {
    let mut bench = Bench::new();
    bench.quorate();
    bench.ask(Request::Join { name: name("a") });
    bench.feed(Event::ViewChanged(CpgId(1), came(&[ONE], ONE)));
    bench.look(0);
    let [line] = &bench.lines(3_000)[..] else { panic!("{:?}", bench.lines(3_000)) };
    assert_eq!(line.told.what, "start_done of its client on this node 1 (client 7, pid 4242)");
    assert_eq!((line.told.pid, line.told.kind.as_str(), line.since_ms), (Some(4242), "started", 3_000));
    bench.feed(Event::ClientGone(CLIENT));
    bench.look(4_000);
    let [line] = &bench.lines(4_000)[..] else { panic!("{:?}", bench.lines(4_000)) };
    assert_eq!(
        (line.told.what.as_str(), line.since_ms),
        ("start_done of its client on this node 1, which is gone", 4_000)
    );
}

#[test]
fn many_groups_that_wait_for_the_same_are_counted() {
    let mut bench = Bench::new();
    for number in 0..NAMED_MAX + 3 {
        bench.ask(Request::Join { name: name(&format!("g{number:02}")) });
    }
    bench.look(0);
    let told = long(&bench.look(LONG_MS));
    assert_eq!(told.len(), NAMED_MAX + 1);
    assert!(told[0].starts_with("1:g00 waits for the first quorum"), "{told:?}");
    assert_eq!(told[NAMED_MAX], "3 and 0 more");
    let status = bench.waits.long();
    assert_eq!((status.len(), status[NAMED_MAX].text.as_str()), (NAMED_MAX + 1, "3 legacy groups more"));
    assert_eq!(bench.lines(0).len(), NAMED_MAX + 3);
}

#[test]
fn the_lines_of_a_dump_are_read_whatever_the_group_is_called() {
    let mut bench = Bench::new();
    for group in ["a waits {", "b: waits ", "\"\\"] {
        bench.ask(Request::Join { name: name(group) });
    }
    bench.look(0);
    let read: Vec<String> = bench.lines(0).into_iter().map(|line| line.group).collect();
    assert_eq!(read, ["1:\\\"\\\\", "1:a waits {", "1:b: waits "]);
    for strange in ["", "17", "17 1:a waits {}", "17 1:a waits nothing", "17 dump of an original"] {
        assert_eq!(WaitLine::of_dump(strange), [], "{strange}");
    }
}

#[test]
fn nothing_is_looked_at_while_all_groups_rest() {
    let mut bench = Bench::new();
    assert!(bench.look(0).is_empty() && bench.waits.is_empty() && bench.waits.long().is_empty());
    assert_eq!(bench.waits.lines(17, Tick(0)), "");
}
