//! One node entry: number, address, port, and whether it is this host.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;
use crate::name::NodeName;

/// The highest node number; 255 is ERANGE.
pub const NODE_NUM_MAX: u8 = 254;
/// The highest port; 65535 is ERANGE.
pub const PORT_MAX: u16 = 65534;

/// An o2cb node number, 0 to 254. Not corosync's nodeid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct NodeNum(u8);

impl NodeNum {
    /// What an entry without a number reads.
    pub const ZERO: Self = Self(0);

    /// Never truncates: a nodeid above 254 is refused.
    pub fn new(num: u32) -> Result<Self, Invalid> {
        match u8::try_from(num) {
            Ok(small) if small <= NODE_NUM_MAX => Ok(Self(small)),
            _ => Err(Invalid::NodeNum(num)),
        }
    }

    /// The number itself.
    pub fn as_u8(self) -> u8 {
        self.0
    }
}

/// The TCP port of a node's o2net, 1 to 65534.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Port(u16);

impl Port {
    /// What ocfs2-tools use when nothing is said.
    pub const DEFAULT: Self = Self(7777);

    /// Refuses 0 and 65535, as the kernel does.
    pub fn new(port: u32) -> Result<Self, Invalid> {
        match u16::try_from(port) {
            Ok(small) if (1..=PORT_MAX).contains(&small) => Ok(Self(small)),
            _ => Err(Invalid::Port(port)),
        }
    }

    /// The port itself.
    pub fn as_u16(self) -> u16 {
        self.0
    }
}

/// The IPv4 address of a node's o2net; unique in the cluster, whatever the port. Any but 0.0.0.0, which is how an
/// address that was never stored reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ipv4Addr", into = "Ipv4Addr")]
pub struct Address(Ipv4Addr);

impl Address {
    /// Refuses 0.0.0.0.
    pub fn new(address: Ipv4Addr) -> Result<Self, Invalid> {
        if address.is_unspecified() { Err(Invalid::Address(address)) } else { Ok(Self(address)) }
    }

    /// The address itself.
    pub fn as_ipv4(self) -> Ipv4Addr {
        self.0
    }
}

macro_rules! shown_as_inner {
    ($($name:ident: $wide:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl TryFrom<$wide> for $name {
            type Error = Invalid;
            fn try_from(value: $wide) -> Result<Self, Invalid> {
                Self::new(value)
            }
        }
        impl From<$name> for $wide {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }
    )*};
}
shown_as_inner!(NodeNum: u32, Port: u32, Address: Ipv4Addr);

/// A complete node entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The entry's directory.
    pub name: NodeName,
    /// `num`: what o2hb's disk slots and o2dlm's domains go by.
    pub num: NodeNum,
    /// `ipv4_address`.
    pub address: Address,
    /// `ipv4_port`.
    pub port: Port,
    /// `local`: this entry is the host itself, and its socket listens.
    pub local: bool,
}

impl Node {
    /// Equal in everything that is stored once; `local` apart.
    pub fn same_entry(&self, other: &Self) -> bool {
        (&self.name, self.num, self.address, self.port) == (&other.name, other.num, other.address, other.port)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}:{}", self.num, self.name, self.address, self.port)?;
        if self.local { f.write_str(" local") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_numbers_end_at_254_and_are_never_truncated() {
        assert_eq!(NodeNum::new(254).map(NodeNum::as_u8), Ok(254));
        for bad in [255, 256, 257, u32::MAX] {
            assert_eq!(NodeNum::new(bad), Err(Invalid::NodeNum(bad)));
        }
    }

    #[test]
    fn port_65535_is_refused_as_the_kernel_refuses_it() {
        assert_eq!(Port::new(65534).map(Port::as_u16), Ok(65534));
        for bad in [0, 65535, 65536] {
            assert_eq!(Port::new(bad), Err(Invalid::Port(bad)));
        }
    }

    #[test]
    fn the_unset_address_is_no_address() {
        assert_eq!(Address::new(Ipv4Addr::UNSPECIFIED), Err(Invalid::Address(Ipv4Addr::UNSPECIFIED)));
    }
}
