//! Which groups have something to read, so that a turn looks at those alone.
//!
//! Each group's descriptor has a waker of its own, its bell: it writes the group's name down and wakes the owner loop.
//! One waker for all would mean to ask every descriptor at each wake-up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::ids::GroupName;

/// The names that were written down, and whom to wake.
#[derive(Default)]
pub(crate) struct Ready(Mutex<List>);

#[derive(Default)]
struct List {
    names: Vec<GroupName>,
    owner: Option<Waker>,
}

struct Bell {
    name: GroupName,
    ready: Arc<Ready>,
}

impl Ready {
    /// The waker of one group.
    pub(crate) fn bell(self: &Arc<Self>, name: &GroupName) -> Waker {
        Arc::new(Bell { name: name.clone(), ready: self.clone() }).into()
    }

    /// Ready when a bell was rung since the last [`take`](Self::take).
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut list = self.list();
        if !list.names.is_empty() {
            return Poll::Ready(());
        }
        match &mut list.owner {
            Some(owner) => owner.clone_from(cx.waker()),
            owner => *owner = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whose bells were rung.
    pub(crate) fn take(&self) -> Vec<GroupName> {
        std::mem::take(&mut self.list().names)
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut list = self.ready.list();
        list.names.push(self.name.clone());
        let owner = list.owner.take();
        drop(list);
        if let Some(owner) = owner {
            owner.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_rang_is_known_and_the_owner_is_woken_once() {
        let (ready, woken) = (Arc::new(Ready::default()), Arc::new(Count::default()));
        let (a, b) = (GroupName::new("a").unwrap(), GroupName::new("b").unwrap());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(ready.poll(&mut cx).is_pending());
        let bells = [ready.bell(&a), ready.bell(&b)];
        bells.iter().for_each(Waker::wake_by_ref);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(ready.poll(&mut cx).is_ready());
        assert_eq!(ready.take(), [a, b]);
        assert!(ready.poll(&mut cx).is_pending());
    }
}
