//! corosync's closed process groups, as corosync-cpgtool lays them out: scripts that read one can read the other.
//!
//! `Group Name\t%10s\t%10s`, the group on a line of its own, `\t\t%10u\t%10u (address …)` for each member; or, with a
//! delimiter, `GRP_NAME,PID,NODEID` and one line for each member. What is unprintable in a name is `\xNN`, a backslash
//! two. Members that corosync lists although their node is gone are marked at the end of the line; with a delimiter the
//! fields are exactly those of corosync-cpgtool.
//!
//! Source: corosync-cpgtool(8), and the program's output (corosync 3.1.7).

use proto::control::api::{CpgGroup, CpgList as Groups, CpgMember};

use crate::cli::args::CpgList as Options;
use crate::cli::text::escaped;

/// `o2cpg cpg list`. Bytes, because `-e` shows names as they are.
#[must_use]
pub fn cpg_list(groups: &Groups, options: &Options) -> Vec<u8> {
    let name = |group: &CpgGroup| if options.raw { group.name.clone() } else { escaped_name(&group.name) };
    let mut out = Vec::new();
    if options.names {
        for group in &groups.groups {
            out.extend(name(group));
            out.push(b'\n');
        }
        return out;
    }
    out.extend(header(options.delimiter).as_bytes());
    for group in &groups.groups {
        if options.delimiter.is_none() {
            out.extend(name(group));
            out.push(b'\n');
        }
        for member in &group.members {
            match options.delimiter {
                None => out.extend(member_line(member).as_bytes()),
                Some(by) => {
                    out.extend(name(group));
                    out.extend(format!("{by}{}{by}{}\n", member.pid, member.nodeid).as_bytes());
                }
            }
        }
    }
    out
}

fn header(delimiter: Option<char>) -> String {
    match delimiter {
        None => format!("Group Name\t{:>10}\t{:>10}\n", "PID", "Node ID"),
        Some(by) => format!("GRP_NAME{by}PID{by}NODEID\n"),
    }
}

fn member_line(member: &CpgMember) -> String {
    let ghost =
        if member.ghost { format!("  GHOST: node {} is not in the ring", member.nodeid) } else { String::new() };
    let address = escaped(&member.address);
    format!("\t\t{:>10}\t{:>10} ({address}){ghost}\n", member.pid, member.nodeid)
}

fn escaped_name(name: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'\\' => escaped.extend(br"\\"),
            b' '..=b'~' => escaped.push(*byte),
            _ => escaped.extend(format!("\\x{byte:02X}").as_bytes()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Groups {
        let member = |nodeid, pid, ghost| CpgMember { nodeid, pid, address: format!("10.0.0.1{nodeid}"), ghost };
        let group = |name: &[u8], members| CpgGroup { name: name.into(), members };
        Groups {
            schema: "o2cpg.cpg/1".into(),
            groups: vec![
                group(b"o2cpg", vec![member(1, 2291, false), member(3, 1987, true)]),
                group(b"a\\b\x01\0", vec![member(2, 7, false)]),
            ],
        }
    }

    fn shown(options: Options) -> String {
        String::from_utf8(cpg_list(&groups(), &options)).unwrap()
    }

    #[test]
    fn the_layout_is_that_of_cpgtool_with_ghosts_marked() {
        let expected = concat!(
            "Group Name\t       PID\t   Node ID\n",
            "o2cpg\n",
            "\t\t      2291\t         1 (10.0.0.11)\n",
            "\t\t      1987\t         3 (10.0.0.13)  GHOST: node 3 is not in the ring\n",
            "a\\\\b\\x01\\x00\n",
            "\t\t         7\t         2 (10.0.0.12)\n",
        );
        assert_eq!(shown(Options::default()), expected);
    }

    #[test]
    fn with_a_delimiter_each_member_is_a_line() {
        let options = Options { delimiter: Some(','), ..Options::default() };
        let expected = "GRP_NAME,PID,NODEID\no2cpg,2291,1\no2cpg,1987,3\na\\\\b\\x01\\x00,7,2\n";
        assert_eq!(shown(options), expected);
    }

    #[test]
    fn names_only_and_as_they_are() {
        let options = Options { names: true, raw: true, ..Options::default() };
        assert_eq!(cpg_list(&groups(), &options), b"o2cpg\na\\b\x01\0\n");
    }
}
