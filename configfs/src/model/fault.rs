//! Faults that no recorded kernel had: any call on any path can be made to fail.

use super::Model;
use crate::error::Errno;

/// What a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the method of Backend of its name")]
pub enum Call {
    Mkdir,
    Rmdir,
    Show,
    Store,
    List,
    StartHeartbeat,
}

/// A call that is refused from outside the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which call.
    pub call: Call,
    /// On which paths, relative to the `cluster` directory; `*` stands for any text, slashes included.
    pub pattern: String,
    /// With which answer.
    pub errno: Errno,
    /// How often still; `None`: until [`Model::allow`]. Reads do not count.
    pub times: Option<u32>,
}

impl Model {
    /// From here on every such call on such a path fails.
    pub fn refuse(&mut self, call: Call, pattern: impl Into<String>, errno: Errno) {
        self.faults.push(Fault { call, pattern: pattern.into(), errno, times: None });
    }

    /// The next such call on such a path fails. For calls that change something.
    pub fn refuse_once(&mut self, call: Call, pattern: impl Into<String>, errno: Errno) {
        self.faults.push(Fault { call, pattern: pattern.into(), errno, times: Some(1) });
    }

    /// Takes back every fault with that pattern.
    pub fn allow(&mut self, pattern: &str) {
        self.faults.retain(|fault| fault.pattern != pattern);
    }

    /// The faults in force.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    pub(super) fn check_fault(&self, call: Call, path: &str) -> Result<(), Errno> {
        self.faults.iter().find(|fault| fault.hits(call, path)).map_or(Ok(()), |fault| Err(fault.errno))
    }

    pub(super) fn spend_fault(&mut self, call: Call, path: &str) -> Result<(), Errno> {
        let Some(index) = self.faults.iter().position(|fault| fault.hits(call, path)) else { return Ok(()) };
        let errno = self.faults[index].errno;
        if let Some(times) = &mut self.faults[index].times {
            *times -= 1;
        }
        self.faults.retain(|fault| fault.times != Some(0));
        Err(errno)
    }
}

impl Fault {
    fn hits(&self, call: Call, path: &str) -> bool {
        self.call == call && self.times != Some(0) && matches(&self.pattern, path)
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == path };
    let Some(path) = path.strip_prefix(head) else { return false };
    (0..=path.len()).filter(|start| path.is_char_boundary(*start)).any(|start| matches(rest, &path[start..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*/node/b/*", "o2/node/b/num"));
        assert!(matches("*", ""));
        assert!(!matches("*/node/b", "o2/node/bb"));
        assert!(!matches("o2", "o2/node"));
    }

    #[test]
    fn a_fault_for_one_call_is_used_up_by_it() {
        let mut model = Model::new();
        model.refuse_once(Call::Mkdir, "o2", Errno::EIO);
        assert_eq!(model.spend_fault(Call::Rmdir, "o2"), Ok(()));
        assert_eq!(model.spend_fault(Call::Mkdir, "o2"), Err(Errno::EIO));
        assert_eq!(model.spend_fault(Call::Mkdir, "o2"), Ok(()));
        assert!(model.faults().is_empty());
    }
}
