use super::*;

fn decode(text: &[u8]) -> Result<Request, DecodeError> {
    let mut bytes = text.to_vec();
    bytes.resize(FRAME_LEN, 0);
    Request::decode(&Frame::try_from(bytes).unwrap())
}

fn name(text: &str) -> GroupName {
    GroupName::new(text.as_bytes()).unwrap()
}

#[test]
fn commands_are_exact_words() {
    assert_eq!(decode(b"join alpha"), Ok(Request::Join { name: name("alpha") }));
    for odd in
        ["JOIN alpha", " join alpha", "joinx alpha", "get_groupsx 3", "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    {
        assert!(matches!(decode(odd.as_bytes()), Err(DecodeError::UnknownCommand { .. })), "{odd:?}");
    }
    assert_eq!(decode(b"get_version on event connection"), Ok(Request::GetVersion));
}

#[test]
fn arguments_are_separated_by_single_spaces() {
    assert_eq!(decode(b"join  alpha"), Err(DecodeError::Name { len: 0 }));
    assert_eq!(decode(b"join alpha and more"), Ok(Request::Join { name: name("alpha") }));
    assert!(matches!(decode(b"join\talpha"), Err(DecodeError::Missing { .. })));
}

#[test]
fn missing_arguments_are_errors() {
    for text in [
        "setup",
        "setup x",
        "join",
        "leave",
        "stop_done",
        "start_done",
        "start_done a",
        "send",
        "send a",
        "get_groups",
        "get_group",
        "get_group 1",
    ] {
        assert!(matches!(decode(text.as_bytes()), Err(DecodeError::Missing { .. })), "{text:?}");
    }
}

#[test]
fn numbers_are_read_as_atoi_reads_them() {
    assert_eq!(atoi(b"12"), 12);
    assert_eq!(atoi(b"+7x"), 7);
    assert_eq!(atoi(b"-3 4"), -3);
    assert_eq!(atoi(b"x3"), 0);
    assert_eq!(atoi(b""), 0);
    assert_eq!(atoi(b"99999999999999999999999"), i32::MAX);
    assert_eq!(atoi(b"-99999999999999999999999"), i32::MIN);
    assert_eq!((atoi(b"- 3"), atoi(b"+-3")), (0, 0));
}

#[test]
fn an_event_number_above_31_bits_is_answered_with_its_sign_or_without() {
    for text in ["start_done a -1", "start_done a 4294967295"] {
        let answer = Request::StartDone { name: name("a"), nr: EventNr(u32::MAX) };
        assert_eq!(decode(text.as_bytes()), Ok(answer), "{text:?}");
    }
}

#[test]
fn a_level_out_of_range_is_refused() {
    for text in ["setup t -1", "setup t 4", "setup t 1000000"] {
        assert!(matches!(decode(text.as_bytes()), Err(DecodeError::Level { .. })), "{text:?}");
    }
    assert!(decode(b"setup t 3").is_ok());
}

#[test]
fn a_long_type_is_cut() {
    let Ok(Request::Setup { kind, .. }) = decode(&[b"setup ".as_slice(), &[b't'; 48], b" 1"].concat()) else {
        panic!()
    };
    assert_eq!(kind.as_bytes(), [b't'; 31]);
}

#[test]
fn data_begins_after_the_nul_or_one_space() {
    let send = |data: &[u8]| Ok(Request::Send { name: name("a"), data: data.to_vec() });
    assert_eq!(decode(b"send a 4\0x\0yz"), send(b"x\0yz"));
    assert_eq!(decode(b"send a 3 xyzw"), send(b"xyz"));
    assert_eq!(decode(b"send a 3\0xyzw"), send(b"xyz"));
    assert_eq!(decode(b"send a 0\0xyzw"), send(b""));
    assert_eq!(decode(b"send a 2048\0"), send(&[0; 2048]));
}

#[test]
fn a_length_beyond_2048_or_below_0_is_refused() {
    for text in ["send a -1", "send a 2049", "send a 2184", "send a 2147483647", "send a 99999999999"] {
        assert!(matches!(decode(text.as_bytes()), Err(DecodeError::DataLength { .. })), "{text:?}");
    }
}

#[test]
fn a_length_that_ends_the_frame_has_no_data() {
    let mut bytes = b"send a ".to_vec();
    bytes.resize(FRAME_LEN, b'0');
    let frame = Frame::try_from(bytes).unwrap();
    assert_eq!(Request::decode(&frame), Ok(Request::Send { name: name("a"), data: vec![] }));
}

#[test]
fn a_frame_without_nul_is_read_to_its_end() {
    let frame = Frame::from([b'A'; FRAME_LEN]);
    assert!(matches!(Request::decode(&frame), Err(DecodeError::UnknownCommand { word }) if word.len() == 16));
    let mut bytes = [b'B'; FRAME_LEN];
    bytes[..5].copy_from_slice(b"join ");
    assert_eq!(Request::decode(&Frame::from(bytes)), Err(DecodeError::Name { len: 2195 }));
}

#[test]
fn queries_of_nothing_are_still_queries() {
    assert_eq!(decode(b"get_group -1 groupdXYZ"), Ok(Request::GetGroup(Query::Control)));
    for text in ["get_group -1 grou", "get_group 4 a", "get_group 1 ", "get_group -2 groupd"] {
        assert_eq!(decode(text.as_bytes()), Ok(Request::GetGroup(Query::Nothing)), "{text:?}");
    }
    for max in [-1, 0, 1, 10] {
        assert_eq!(decode(format!("get_groups {max}").as_bytes()), Ok(Request::GetGroups { max }));
    }
}

#[test]
fn callbacks_are_written_as_the_original_writes_them() {
    let a = name("alpha");
    let members = vec![NodeId(3), NodeId(2), NodeId(1)];
    let cases: [(Callback, &str); 5] = [
        (Callback::Stop { name: a.clone() }, "stop alpha"),
        (Callback::SetId { name: a.clone(), id: GlobalId(65537) }, "setid alpha 65537"),
        (
            Callback::Start { name: a.clone(), nr: EventNr(3), kind: StartKind::Joined, members },
            "start alpha 3 2 3 3 2 1",
        ),
        (Callback::Finish { name: a.clone(), nr: EventNr(3) }, "finish alpha 3"),
        (Callback::Terminate { name: a }, "terminate alpha"),
    ];
    for (callback, text) in cases {
        let frame = callback.encode().unwrap();
        assert_eq!(frame.text(), text.as_bytes());
        assert_eq!(Callback::decode(&frame), Ok(callback));
    }
}

#[test]
fn the_largest_start_and_deliver_fit() {
    let name = GroupName::new(&[b'n'; 32]).unwrap();
    let members = vec![NodeId(u32::MAX); 128];
    let start = Callback::Start { name: name.clone(), nr: EventNr(u32::MAX), kind: StartKind::Failed, members };
    assert_eq!(Callback::decode(&start.encode().unwrap()), Ok(start));
    let deliver = Callback::Deliver { name, from: NodeId(u32::MAX), data: vec![7; DATA_MAX] };
    assert_eq!(Callback::decode(&deliver.encode().unwrap()), Ok(deliver));
}
