//! Names of directories in the tree.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;

/// Bytes in a cluster name: the superblock field of OCFS2.
pub const CLUSTER_NAME_LEN_MAX: usize = 16;
/// Bytes in a node name; one more is ENAMETOOLONG.
pub const NODE_NAME_LEN_MAX: usize = 64;
/// Bytes in a region name; one more is ENAMETOOLONG. It is a volume's UUID: 32 hex digits.
pub const REGION_NAME_LEN_MAX: usize = 32;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the rules above.
            pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type! {
    /// A cluster that the kernel and the stock ocfs2-tools both take: 1 to 16 ASCII letters and digits.
    ClusterName, check_cluster
}
name_type! {
    /// A node entry's directory: 1 to 64 bytes, no slash, no control characters, not `.` or `..`.
    NodeName, check_node
}
name_type! {
    /// A heartbeat region's directory: 1 to 32 bytes, otherwise like [`NodeName`].
    RegionName, check_region
}

fn check_cluster(text: &str) -> Result<(), Invalid> {
    let long = 1..=CLUSTER_NAME_LEN_MAX;
    if long.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Invalid::ClusterName(text.to_owned()))
}

fn check_node(text: &str) -> Result<(), Invalid> {
    if !(1..=NODE_NAME_LEN_MAX).contains(&text.len()) {
        return Err(Invalid::NodeNameLength(text.to_owned()));
    }
    if is_directory_name(text) { Ok(()) } else { Err(Invalid::NodeNameCharacters(text.to_owned())) }
}

fn check_region(text: &str) -> Result<(), Invalid> {
    if !(1..=REGION_NAME_LEN_MAX).contains(&text.len()) {
        return Err(Invalid::RegionNameLength(text.to_owned()));
    }
    if is_directory_name(text) { Ok(()) } else { Err(Invalid::RegionNameCharacters(text.to_owned())) }
}

fn is_directory_name(text: &str) -> bool {
    text != "." && text != ".." && !text.contains(|c: char| c == '/' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_name_is_1_to_16_letters_and_digits() {
        assert!(ClusterName::new("o2").is_ok());
        assert!(ClusterName::new("a".repeat(16)).is_ok());
        for bad in ["", "a b", "my-cluster", "näme", "aaaaaaaaaaaaaaaaa"] {
            assert_eq!(ClusterName::new(bad), Err(Invalid::ClusterName(bad.to_owned())));
        }
    }

    #[test]
    fn a_node_name_is_up_to_64_bytes_not_characters() {
        assert!(NodeName::new("a".repeat(64)).is_ok());
        assert!(matches!(NodeName::new("a".repeat(65)), Err(Invalid::NodeNameLength(_))));
        assert!(matches!(NodeName::new("ä".repeat(33)), Err(Invalid::NodeNameLength(_))));
        assert!(matches!(NodeName::new(""), Err(Invalid::NodeNameLength(_))));
    }

    #[test]
    fn a_node_name_is_one_printable_path_component() {
        for good in ["bravo", ".hidden", "with space", "näme", "a.b-c_d"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
        for bad in [".", "..", "a/b", "a\0", "a\n"] {
            assert!(matches!(NodeName::new(bad), Err(Invalid::NodeNameCharacters(_))), "{bad:?}");
        }
    }

    #[test]
    fn a_region_name_is_up_to_32_bytes() {
        assert!(RegionName::new("0".repeat(32)).is_ok());
        assert!(matches!(RegionName::new("0".repeat(33)), Err(Invalid::RegionNameLength(_))));
    }

    #[test]
    fn a_refusal_quotes_the_value_and_the_rule() {
        let refusal = ClusterName::new("my-cluster").expect_err("has a dash");
        assert_eq!(refusal.to_string(), r#"cluster name "my-cluster" is not 1 to 16 ASCII letters and digits"#);
    }
}
