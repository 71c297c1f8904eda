use prost::Message;

use super::*;

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

fn taken(mut bytes: Vec<u8>) -> Result<Option<Request>, ControlError> {
    Request::take(&mut bytes)
}

/// The error for a request that is right but for `change`.
fn refused(ask: Ask, change: impl FnOnce(&mut api::Request)) -> String {
    let mut wire = api::Request::from(Request::new(1000, ask));
    change(&mut wire);
    taken(frame(&wire.encode_to_vec())).unwrap_err().to_string()
}

fn refused_ask(ask: api::request::Ask) -> String {
    refused(Ask::Status, |it| it.ask = Some(ask))
}

fn every_ask() -> Vec<Ask> {
    let node = || Some("bravo".to_owned());
    vec![
        Ask::Status,
        Ask::Plan,
        Ask::Wait(Condition::Quorate),
        Ask::Wait(Condition::Ready),
        Ask::Wait(Condition::Settled),
        Ask::Wait(Condition::NodeGone("bravo".into())),
        Ask::Wait(Condition::NodeReady("2".into())),
        Ask::CanStop,
        Ask::Pin { text: "backup".into(), node: None },
        Ask::Unpin { text: "backup".into(), node: node() },
        Ask::Events { since: u64::MAX, all: true, follow: true },
        Ask::Log(None),
        Ask::Log(Some(LogChange { directives: "cpg_glue=trace".into(), for_s: None })),
        Ask::Log(Some(LogChange { directives: "debug".into(), for_s: Some(600) })),
        Ask::Config,
        Ask::Dump,
        Ask::CpgList,
        Ask::Groups,
        Ask::Forget { node: "bravo".into() },
        Ask::AckDead { node: "bravo".into(), by: "alice".into() },
    ]
}

#[test]
fn every_ask_comes_back_as_it_was_asked() {
    for ask in every_ask() {
        let request = Request::new(DEADLINE_MAX_MS, ask);
        assert_eq!(taken(request.encode().unwrap()), Ok(Some(request)));
    }
}

#[test]
fn requests_are_taken_one_by_one_as_their_bytes_come() {
    let requests: Vec<Request> = every_ask().into_iter().map(|ask| Request::new(1, ask)).collect();
    let stream: Vec<u8> = requests.iter().flat_map(|request| request.encode().unwrap()).collect();
    let (mut received, mut taken) = (Vec::new(), Vec::new());
    for byte in stream {
        received.push(byte);
        taken.extend(Request::take(&mut received).unwrap());
    }
    assert_eq!(taken, requests);
    assert!(received.is_empty());
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
    let mut request = vec![0x01, 0x00, 0x01, 0x00];
    assert_eq!(Request::take(&mut request), Err(ControlError::TooLong { len: 65537, len_max: 65536 }));
    let mut answer = vec![0xff; 4];
    assert_eq!(take_answer(&mut answer), Err(ControlError::TooLong { len: 0xffff_ffff, len_max: RESPONSE_LEN_MAX }));
}

#[test]
fn an_answer_over_the_limit_is_not_sent() {
    let part = |len| api::response::Answer::Dump(api::DumpPart { data: vec![0; len], last: false });
    assert!(encode_answer(part(RESPONSE_LEN_MAX - 16)).is_ok());
    let refused = encode_answer(part(RESPONSE_LEN_MAX)).unwrap_err().to_string();
    assert_eq!(refused, "frame of 16777226 bytes, at most 16777216");
}

#[test]
fn a_bad_frame_is_gone_and_the_next_one_can_be_read() {
    let next = Request::new(1, Ask::Status);
    let mut received = [frame(&[0xff, 0xff]), next.encode().unwrap()].concat();
    assert!(matches!(Request::take(&mut received), Err(ControlError::Malformed { .. })));
    assert_eq!(Request::take(&mut received), Ok(Some(next)));
}

#[test]
fn other_versions_are_refused_by_number() {
    assert_eq!(refused(Ask::Status, |it| it.version = 0), "contract version 0, spoken are 1 to 1");
    assert_eq!(refused(Ask::Status, |it| it.version = 2), "contract version 2, spoken are 1 to 1");
}

#[test]
fn what_is_not_known_here_is_said_to_be_unknown() {
    let unknown = "asks or answers nothing that contract version 1 knows";
    assert_eq!(refused(Ask::Status, |it| it.ask = None), unknown);
    assert_eq!(take_answer(&mut frame(&[])).unwrap_err().to_string(), unknown);
}

#[test]
fn deadlines_are_at_least_1_ms_and_at_most_a_day() {
    assert_eq!(refused(Ask::Status, |it| it.deadline_ms = 0), "deadline_ms is 0, must be 1 to 86400000");
    assert_eq!(
        refused(Ask::Status, |it| it.deadline_ms = 86_400_001),
        "deadline_ms is 86400001, must be 1 to 86400000"
    );
}

#[test]
fn texts_are_one_line_and_bounded() {
    use api::request::Ask as Wire;
    let pin = |text: &str| refused_ask(Wire::Pin(api::PinRequest { text: text.into(), node: String::new() }));
    let rule = "must be 1 to 256 bytes without control characters";
    assert_eq!(pin(""), format!(r#"text is "", {rule}"#));
    assert_eq!(pin("a\nb"), format!(r#"text is "a\nb", {rule}"#));
    assert!(pin(&"x".repeat(257)).ends_with(rule));
    let unpin = refused_ask(Wire::Unpin(api::UnpinRequest { text: "x".into(), node: "a\x1bb".into() }));
    assert_eq!(unpin, r#"node is "a\u{1b}b", must be 1 to 64 bytes without control characters"#);
    assert!(refused_ask(Wire::Forget(api::ForgetRequest { node: String::new() })).starts_with(r#"node is "","#));
    let log = api::LogRequest { directives: "x".repeat(1025), for_s: 0 };
    assert!(refused_ask(Wire::Log(log)).ends_with("must be 1 to 1024 bytes without control characters"));
}

#[test]
fn a_time_without_log_directives_is_refused() {
    let log = api::LogRequest { directives: String::new(), for_s: 5 };
    assert_eq!(refused_ask(api::request::Ask::Log(log)), "for_s is 5, must be 0 without directives");
}

#[test]
fn a_condition_names_a_node_exactly_if_it_is_about_one() {
    let wait = |condition: i32, argument: &str| {
        refused_ask(api::request::Ask::Wait(api::WaitRequest { condition, argument: argument.into() }))
    };
    assert_eq!(wait(0, ""), "condition is 0, must be 1 to 5");
    assert_eq!(wait(6, ""), "condition is 6, must be 1 to 5");
    assert_eq!(wait(2, "bravo"), r#"argument is "bravo", must be empty: this condition is about no node"#);
    assert_eq!(wait(4, ""), r#"node is "", must be 1 to 64 bytes without control characters"#);
}

#[test]
fn what_the_daemon_would_refuse_is_not_sent() {
    let request = Request::new(0, Ask::Status);
    assert!(matches!(request.encode(), Err(ControlError::Invalid { .. })));
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn nothing_is_left_out_of_json() {
    assert_eq!(
        json(&api::Status::default()),
        concat!(
            r#"{"schema":"","cluster":"","stack":"","kernel":"","agent":null,"corosync":null,"table":null,"#,
            r#""nodes":[],"waits":[],"troubles":[],"pins":[],"mounts":[],"health":"unspecified","adopted":[],"#,
            r#""counters":null,"change":null}"#
        )
    );
    assert_eq!(
        json(&api::Node::default()),
        concat!(
            r#"{"name":"","nodeid":0,"number":null,"address":"","port":0,"this_node":false,"corosync":"","agent":"","#,
            r#""standing":"","in_table":"","since_ms":0,"mounts":0,"regions":0,"in_kernel":false}"#
        )
    );
}

#[test]
fn enums_are_lower_case_words_in_json() {
    let refusal = |kind| json(&api::Refusal { kind, ..Default::default() });
    let kind = api::refusal::Kind::NotPermitted.into();
    assert_eq!(refusal(kind), r#"{"kind":"not_permitted","what":"","cause":"","fix":""}"#);
    assert_eq!(refusal(99), r#"{"kind":"unknown","what":"","cause":"","fix":""}"#);
    let state = api::Agent { state: api::agent::State::Joining.into(), ..Default::default() };
    assert!(json(&state).contains(r#""state":"joining""#));
    let health = api::Status { health: api::Health::Crit.into(), ..Default::default() };
    assert!(json(&health).contains(r#""health":"crit""#));
}

#[test]
fn the_kind_of_an_answer_is_a_lower_case_word_in_json() {
    let answer = api::response::Answer::CpgList(api::CpgList::default());
    assert_eq!(json(&answer), r#"{"cpg_list":{"schema":"","groups":[]}}"#);
}

#[test]
fn bytes_are_text_in_json_and_read_back() {
    let names: [&[u8]; 5] = [b"o2cpg", b"a\\b\x00\x1f\x7f", b"\xff\xc3", "größe".as_bytes(), b"\\\\x41"];
    let shown = [r#""o2cpg""#, r#""a\\\\b\\x00\\x1f\\x7f""#, r#""\\xff\\xc3""#, r#""größe""#, r#""\\\\\\\\x41""#];
    for (name, shown) in names.into_iter().zip(shown) {
        let group = api::CpgGroup { name: name.into(), members: vec![] };
        assert_eq!(json(&group), format!(r#"{{"name":{shown},"members":[]}}"#));
        assert_eq!(serde_json::from_str::<api::CpgGroup>(&json(&group)).unwrap(), group);
    }
    for wrong in [r"\", r"\x", r"\x4", r"\xzz", r"\x+1", r"\n", r"\xä"] {
        let text = serde_json::json!({ "name": wrong }).to_string();
        assert!(serde_json::from_str::<api::CpgGroup>(&text).is_err(), "{wrong}");
    }
}

#[test]
fn json_of_other_releases_reads_missing_fields_as_empty_and_passes_over_new_ones() {
    let status: api::Status = serde_json::from_str(r#"{"cluster":"alpha","health":"warn","new":[1]}"#).unwrap();
    let health = api::Health::Warn.into();
    assert_eq!(status, api::Status { cluster: "alpha".into(), health, ..Default::default() });
    assert!(serde_json::from_str::<api::Status>(r#"{"health":"unknown"}"#).is_err());
}
