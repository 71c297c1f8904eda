//! What `cargo xtask codegen` makes of `agent.proto` and `control.proto`; compared with them in CI.
//!
//! Included, not declared as modules, so that rustfmt leaves them as they were generated.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

pub(crate) mod agent {
    include!("o2cpg.agent.v1.rs");
}

pub mod control {
    include!("o2cpg.control.v1.rs");
}
