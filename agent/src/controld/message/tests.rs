use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The other direction of `decode`: what a tool sends.
fn sent(ask: &MountAsk) -> Block {
    block(&match ask {
        MountAsk::Mount { fstype, uuid, cluster, device, service, .. } => {
            format!("MOUNT {fstype} {uuid} {cluster} {device} {service}")
        }
        MountAsk::Result { fstype, uuid, errno, service } => format!("MRESULT {fstype} {uuid} {errno} {service}"),
        MountAsk::Unmount { fstype, uuid, service } => format!("UNMOUNT {fstype} {uuid} {service}"),
        MountAsk::ListVolumes { fstype, cluster } => format!("LISTFS {fstype} {cluster}"),
        MountAsk::ListMounts { fstype, uuid } => format!("LISTMOUNTS {fstype} {uuid}"),
        MountAsk::ListClusters => "LISTCLUSTERS".into(),
        MountAsk::Dump => "DUMP".into(),
        MountAsk::Unreadable { why } => panic!("no tool sends what cannot be read: {why}"),
    })
}

/// The other direction of `encode`, for a STATUS: what a tool reads.
fn heard(block: &Block) -> MountAnswer {
    let text = text_of(block);
    let (errno, text) = text.strip_prefix("STATUS ").and_then(|rest| rest.split_once(' ')).expect("a STATUS");
    MountAnswer::Status { errno: errno.parse().unwrap(), text: text.to_owned() }
}

fn text_of(block: &[u8]) -> String {
    let text = block.split(|byte| *byte == 0).next().unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

fn texts(answer: &MountAnswer) -> Vec<String> {
    let bytes = encode(answer);
    assert_eq!(bytes.len() % BLOCK_LEN, 0);
    bytes.chunks(BLOCK_LEN).map(text_of).collect()
}

fn why(text: &[u8]) -> String {
    let mut block = [0; BLOCK_LEN];
    block[..text.len()].copy_from_slice(text);
    match decode(&block) {
        MountAsk::Unreadable { why } => why,
        read => panic!("{} is read as {read:?}", text.escape_ascii()),
    }
}

#[test]
fn a_message_has_as_many_words_as_its_command_and_the_last_takes_the_rest() {
    let ask = decode(&block("MOUNT ocfs2 AB lab /dev/sdb my own service"));
    let MountAsk::Mount { fstype, uuid, cluster, device, number, service } = ask else { panic!("{ask:?}") };
    assert_eq!([fstype, uuid, cluster, device, service], ["ocfs2", "AB", "lab", "/dev/sdb", "my own service"]);
    assert!(number.is_err());
    assert_eq!(decode(&block("LISTCLUSTERS")), MountAsk::ListClusters);
    let trailing = MountAsk::ListMounts { fstype: "ocfs2".into(), uuid: "AB ".into() };
    assert_eq!(decode(&block("LISTMOUNTS ocfs2 AB ")), trailing, "blanks at the end belong to the last word");
}

#[test]
fn what_cannot_be_read_says_why() {
    let table: &[(&[u8], &str)] = &[
        (b"", "unknown command \"\"; known are MOUNT MRESULT UNMOUNT LISTFS LISTMOUNTS LISTCLUSTERS DUMP"),
        (b" MOUNT", "unknown command \"\""),
        (b"MOUNTX ocfs2", "unknown command \"MOUNTX\""),
        (b"mount ocfs2 A lab /dev/sdb ocfs2", "unknown command \"mount\""),
        (b"MOUNT", "MOUNT needs fstype uuid cluster device service; fstype is missing"),
        (b"MOUNT ", "fstype is missing"),
        (b"MOUNT ocfs2", "uuid is missing"),
        (b"MOUNT ocfs2 A lab /dev/sdb", "service is missing"),
        (b"MOUNT ocfs2 A lab /dev/sdb ", "service is missing"),
        (b"MOUNT ocfs2  lab /dev/sdb ocfs2", "uuid is missing"),
        (b"MRESULT ocfs2 A 0", "MRESULT needs fstype uuid errno service; service is missing"),
        (b"UNMOUNT ocfs2 A", "UNMOUNT needs fstype uuid service; service is missing"),
        (b"LISTFS ocfs2", "LISTFS needs fstype cluster; cluster is missing"),
        (b"LISTMOUNTS", "LISTMOUNTS needs fstype uuid; fstype is missing"),
        (b"LISTCLUSTERS all", "LISTCLUSTERS stands alone, without any words after it"),
        (b"LISTCLUSTERS ", "LISTCLUSTERS stands alone"),
        (b"DUMP me", "DUMP stands alone"),
        (b"STATUS 0 OK", "STATUS is an answer, not a question"),
        (b"ITEM x", "ITEM is an answer, not a question"),
        (b"MOUNT ocfs2 A lab /dev/\xff ocfs2", "the message is not text: invalid utf-8"),
        (b"\x1b[31m\nX", "unknown command \"\\u{1b}[31m\\nX\""),
    ];
    for (text, part) in table {
        let why = why(text);
        assert!(why.contains(part), "{}: {why}", text.escape_ascii());
        assert!(why.len() <= TEXT_LEN_MAX, "{why}");
    }
}

#[test]
fn byte_255_counts_as_nul_and_a_block_without_blanks_is_no_command() {
    let mut full = [b'A'; BLOCK_LEN];
    assert!(why(&full).contains(&format!("unknown command \"{}\"", "A".repeat(QUOTED_MAX))));
    full[..7].copy_from_slice(b"LISTFS ");
    full[7] = b' ';
    assert!(why(&full).contains("fstype is missing"));
    full[7..9].copy_from_slice(b"o ");
    let cluster = "A".repeat(TEXT_LEN_MAX - 9);
    assert_eq!(decode(&full), MountAsk::ListVolumes { fstype: "o".into(), cluster });
    let hidden = decode(&block("DUMP\0hidden"));
    assert_eq!(hidden, decode(&block("DUMP hidden")), "our own encoder puts no NUL into a text");
    let mut ended = block("DUMP");
    ended[5..9].copy_from_slice(b"rest");
    assert_eq!(decode(&ended), MountAsk::Dump, "what follows the first NUL is not looked at");
}

#[test]
fn a_list_is_its_length_its_items_and_a_status() {
    let items = MountAnswer::Items(vec!["AB".into(), String::new(), "with blanks".into()]);
    assert_eq!(texts(&items), ["ITEMCOUNT 3", "ITEM AB", "ITEM -", "ITEM with blanks", "STATUS 0 OK"]);
    assert_eq!(texts(&MountAnswer::Items(vec![])), ["ITEMCOUNT 0", "STATUS 0 OK"]);
    let many = texts(&MountAnswer::Items(vec!["x".into(); ITEMS_MAX + 7]));
    assert_eq!(many.len(), ITEMS_MAX + 2);
    assert_eq!((many[0].as_str(), many[ITEMS_MAX + 1].as_str()), ("ITEMCOUNT 1024", "STATUS 75 7 more are not shown"));
}

#[test]
fn a_status_is_never_empty_and_is_cut_between_two_characters() {
    let status = |errno, text: &str| texts(&MountAnswer::Status { errno, text: text.into() }).remove(0);
    assert_eq!(status(0, ""), "STATUS 0 OK");
    assert_eq!(status(22, ""), "STATUS 22 refused");
    assert_eq!(status(22, "a\0b"), "STATUS 22 a b");
    assert_eq!(status(5, &"x".repeat(300)).len(), TEXT_LEN_MAX);
    let cut = status(5, &"é".repeat(300));
    assert_eq!(cut.len(), TEXT_LEN_MAX, "STATUS 5 and a blank are 9 bytes, and 246 bytes are 123 letters");
    assert_eq!(status(22, &"é".repeat(300)).len(), TEXT_LEN_MAX - 1);
}

/// Each message that the stock tools of 2023 sent and were sent, in tests/vectors/controld.
#[test]
fn every_recorded_message_is_read_and_written_byte_for_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/controld");
    let (mut asked, mut answered) = (0, 0);
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let Some(text) = line["text"].as_str() else { continue };
            let recorded = block(text);
            if line["dir"] == "in" {
                assert_eq!(sent(&decode(&recorded)), recorded, "{}: {text}", path.display());
                asked += 1;
            } else {
                assert_eq!(encode(&heard(&recorded)), recorded, "{}: {text}", path.display());
                answered += 1;
            }
        }
    }
    assert!(asked > 50 && asked == answered, "{asked} questions and {answered} answers");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_what_it_says_fits_into_an_answer(bytes in prop::collection::vec(any::<u8>(), BLOCK_LEN)) {
        if let MountAsk::Unreadable { why } = decode(&bytes.try_into().unwrap()) {
            prop_assert!(!why.is_empty());
        }
    }

    #[test]
    fn what_is_read_is_written_again(
        command in prop::sample::select(QUESTIONS), words in prop::collection::vec("[!-~]{1,30}", 5), rest in "[ -~]{0,40}",
    ) {
        let (command, needed) = command;
        let mut text = command.to_owned();
        words[..needed.len()].iter().for_each(|word| { text.push(' '); text.push_str(word); });
        if !needed.is_empty() {
            text.push_str(&rest);
        }
        prop_assert_eq!(sent(&decode(&block(&text))), block(&text));
    }

    #[test]
    fn any_answer_is_whole_blocks_that_end_with_a_status(errno: i32, items in prop::collection::vec(any::<String>(), 0..20)) {
        for answer in [MountAnswer::Status { errno, text: items.concat() }, MountAnswer::Items(items)] {
            let bytes = encode(&answer);
            prop_assert_eq!(bytes.len() % BLOCK_LEN, 0);
            for block in bytes.chunks(BLOCK_LEN) {
                let text = std::str::from_utf8(block).unwrap().trim_end_matches('\0');
                prop_assert!(!text.contains('\0') && text.split_once(' ').is_some_and(|(_, rest)| !rest.is_empty()));
            }
            prop_assert!(bytes[bytes.len() - BLOCK_LEN..].starts_with(b"STATUS "));
        }
    }
}
