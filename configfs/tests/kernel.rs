//! The model answers every recorded script as the kernel did, line by line, in the recorded order on one fresh node.

use std::net::Ipv4Addr;

use configfs::transcript::{Script, compare, parse_recording, run};
use configfs::{Model, read_tree};

/// The address of the node that the recordings were made on.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 78, 2, 1);

macro_rules! recordings {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("kernel/", $name, ".ops")), include_str!(concat!("kernel/", $name, ".jsonl")))),*]
    };
}

/// In the order of the recording: what one script leaves behind, the next one meets.
const RECORDINGS: [(&str, &str, &str); 7] =
    recordings!["node-attrs", "cluster-attrs", "configfs-generic", "dlm", "configfs-links", "o2cb-more", "dlm-more"];

#[test]
fn every_recorded_line_comes_out_the_same() {
    let mut model = Model::new().with_host_addresses([HOST]);
    let mut lines = 0;
    let mut report = String::new();
    for (name, script, recorded) in RECORDINGS {
        let recorded = parse_recording(recorded).unwrap();
        let got = run(&mut model, &Script::parse(script).unwrap()).unwrap();
        for difference in compare(&recorded, &got) {
            report.push_str(&format!("{name} {difference}"));
        }
        lines += recorded.len();
        if let Some(read) = model.read() {
            assert_eq!(read_tree(&model).unwrap(), read, "after {name}: the short way ends elsewhere");
        }
    }
    assert!(report.is_empty(), "the model is not the kernel (- kernel, + model):\n{report}");
    assert_eq!(lines, 624, "a recording lost lines");
}

#[test]
fn a_recording_is_written_back_byte_for_byte() {
    for (name, _, recorded) in RECORDINGS {
        let written: String = parse_recording(recorded).unwrap().iter().map(|entry| format!("{entry}\n")).collect();
        assert_eq!(written, recorded, "{name}");
    }
}
