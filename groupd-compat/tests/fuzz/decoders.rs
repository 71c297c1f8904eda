//! Bytes that nobody meant have a verdict; what was meant comes back.

use crate::config;
use crate::recorded::{Kind, bent};
use crate::values::{callback, message, request};
use groupd_compat::cpg_message::Message;
use groupd_compat::frame::{FRAME_LEN, Frame, FrameReader};
use groupd_compat::records::{GroupRecord, RECORD_LEN};
use groupd_compat::verbs::{Callback, DATA_MAX, Request};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// Random bytes behind the number of a message: few others get further than that.
fn of_some_kind() -> impl Strategy<Value = Vec<u8>> {
    (prop::collection::vec(any::<u8>(), 0..300), 0u8..9).prop_map(|(mut bytes, kind)| {
        if let Some(at) = bytes.get_mut(12..16) {
            at.copy_from_slice(&[kind, 0, kind, 0]);
        }
        bytes
    })
}

/// What a decoder made of a frame is no more than a frame holds, and says the same again.
fn comes_back_if_it_means_something(frame: &Frame) -> TestCaseResult {
    if let Ok(request) = Request::decode(frame) {
        if let Request::Send { data, .. } = &request {
            prop_assert!(data.len() <= DATA_MAX);
        }
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }
    if let Ok(callback) = Callback::decode(frame) {
        prop_assert_eq!(Callback::decode(&callback.encode().unwrap()), Ok(callback));
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn any_frame_is_decoded_or_refused(
        bytes in prop_oneof![3 => bent(Kind::Frame), 1 => prop::collection::vec(any::<u8>(), FRAME_LEN)],
    ) {
        comes_back_if_it_means_something(&Frame::try_from(bytes).unwrap())?;
    }

    /// Random bytes rarely begin with a word: here they do.
    #[test]
    fn any_arguments_are_decoded_or_refused(
        word in prop::sample::select(vec!["setup", "join", "leave", "stop_done", "start_done", "send", "get_groups",
            "get_group", "get_version", "dump", "log", "stop", "setid", "start", "finish", "terminate", "deliver"]),
        rest in "[ a-z0-9+\\-\\x00\\xff]{0,80}",
    ) {
        let mut bytes = format!("{word} {rest}").into_bytes();
        bytes.resize(FRAME_LEN, 0);
        comes_back_if_it_means_something(&Frame::try_from(bytes).unwrap())?;
    }

    #[test]
    fn any_message_is_decoded_or_refused(bytes in prop_oneof![bent(Kind::Message), of_some_kind()]) {
        if let Ok(decoded) = Message::decode(&bytes) {
            let encoded = decoded.encode();
            prop_assert!(encoded.len() <= 64 + DATA_MAX);
            prop_assert_eq!(Message::decode(&encoded), Ok(decoded));
        }
    }

    #[test]
    fn any_record_is_decoded_or_refused(
        bytes in prop_oneof![
            bent(Kind::Record),
            prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..RECORD_LEN + 8)
        ],
    ) {
        if let Ok(record) = GroupRecord::decode(&bytes) {
            prop_assert!(record.members.len() <= 256);
            prop_assert_eq!(GroupRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_stream_is_cut_into_the_same_frames_however_it_is_read(
        frames in prop::collection::vec(request(), 1..5), cuts in prop::collection::vec(1usize..3000, 1..8)
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|request| *request.encode().unwrap().as_bytes()).collect();
        let (mut reader, mut rest, mut seen) = (FrameReader::default(), stream.as_slice(), Vec::new());
        for cut in cuts.iter().cycle() {
            let (mut piece, tail) = rest.split_at((*cut).min(rest.len()));
            while let Some(frame) = reader.next_frame(&mut piece) {
                seen.push(Request::decode(&frame).unwrap());
            }
            prop_assert!(reader.partial_len() < FRAME_LEN);
            rest = tail;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn requests_come_back(request in request()) {
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Ok(request));
    }

    #[test]
    fn callbacks_come_back(callback in callback()) {
        prop_assert_eq!(Callback::decode(&callback.encode().unwrap()), Ok(callback));
    }

    #[test]
    fn messages_come_back(message in message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}
