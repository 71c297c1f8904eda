//! When the configuration is read again: after a change, never in the middle of a reload, one read at a time.
//!
//! corosync tells each changed key by itself, a hundred in a row at a reload, between its flag going up and down. So
//! changes are only marked. A read counts if nothing was marked by the time it ended and the flag was down in it; no
//! waiting for quiet is needed. A read that corosync refuses is repeated: nothing need ever change again.

use tokio::time::Instant;

use crate::cmap::ReadError;
use crate::config::{Config, Keys, RELOAD_FLAG, Unreadable};
use crate::event::Event;
use crate::ids::{Connection, NodeId};
use crate::retry;

/// What is known about the map.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    /// Something changed since the last read began.
    changed: bool,
    reading: bool,
    /// Reads in a row that corosync did not let come to an end, and when the next one is due.
    failures: u32,
    again_at: Option<Instant>,
    told: Option<Result<Config, String>>,
}

impl Default for ConfigWatch {
    /// Nothing is known, so everything is new.
    fn default() -> Self {
        Self { changed: true, reading: false, failures: 0, again_at: None, told: None }
    }
}

impl ConfigWatch {
    /// A watched key changed.
    pub(crate) fn changed(&mut self) {
        self.changed = true;
    }

    /// Whether a read is to be started.
    pub(crate) fn wants_read(&self, now: Instant) -> bool {
        (self.changed || self.again_at.is_some_and(|at| at <= now)) && !self.reading
    }

    /// When a read that failed is repeated.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again_at.filter(|_| !self.reading)
    }

    /// A read was started.
    pub(crate) fn reading(&mut self) {
        self.changed = false;
        self.again_at = None;
        self.reading = true;
    }

    /// A read ended, and every change before its end has been marked. The event to tell, if it brought anything new.
    pub(crate) fn read(
        &mut self,
        connection: Connection,
        result: Result<Keys, ReadError>,
        local: NodeId,
        now: Instant,
    ) -> Option<Event> {
        self.reading = false;
        if self.changed {
            return None;
        }
        self.repeat_if_cut_short(&result, now);
        let config = match result {
            // The flag goes down again, and that is a change.
            Ok(keys) if keys.get(RELOAD_FLAG).is_some_and(|flag| flag == "1") => return None,
            Ok(keys) => Config::from_keys(&keys, local).map_err(|why| why.to_string()),
            Err(ReadError::Content(why)) => Err(why.to_string()),
            Err(ReadError::Corosync(why)) => Err(why.to_string()),
        };
        let is_news = self.told.as_ref() != Some(&config);
        self.told = Some(config.clone());
        is_news.then(|| match config {
            Ok(config) => Event::Config { connection, config: Box::new(config) },
            Err(why) => Event::ConfigUnreadable { connection, why },
        })
    }

    /// What is in the map stays unreadable until it changes; what came between us and the map may be over.
    fn repeat_if_cut_short(&mut self, result: &Result<Keys, ReadError>, now: Instant) {
        let is_cut_short = matches!(result, Err(ReadError::Corosync(_) | ReadError::Content(Unreadable::Restless(_))));
        self.failures = if is_cut_short { self.failures.saturating_add(1) } else { 0 };
        self.again_at = is_cut_short.then(|| now + retry::READ.delay(self.failures));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Call, Code, Failure};

    const HERE: Connection = Connection(1);

    fn now() -> Instant {
        Instant::now()
    }

    fn keys(token: &str) -> Result<Keys, ReadError> {
        Ok([("runtime.config.totem.token", token), ("runtime.config.totem.consensus", "1200")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into())
    }

    fn token(event: Option<Event>) -> Option<u64> {
        match event {
            Some(Event::Config { config, .. }) => Some(config.token_ms),
            _ => None,
        }
    }

    #[test]
    fn the_first_read_is_told_and_an_equal_one_is_not() {
        let mut watch = ConfigWatch::default();
        assert!(watch.wants_read(now()));
        watch.reading();
        assert!(!watch.wants_read(now()));
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1), now())), Some(1000));
        watch.changed();
        watch.reading();
        assert_eq!(watch.read(HERE, keys("1000"), NodeId(1), now()), None);
        assert!(!watch.wants_read(now()));
    }

    #[test]
    fn the_same_configuration_is_told_again_after_one_that_could_not_be_read() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1), now())), Some(1000));
        watch.changed();
        watch.reading();
        assert!(matches!(watch.read(HERE, keys("many"), NodeId(1), now()), Some(Event::ConfigUnreadable { .. })));
        watch.changed();
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1), now())), Some(1000));
    }

    #[test]
    fn a_read_in_the_middle_of_a_reload_does_not_count() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        let mut torn = keys("1000").unwrap();
        torn.insert(RELOAD_FLAG.to_owned(), "1".to_owned());
        assert_eq!(watch.read(HERE, Ok(torn), NodeId(1), now()), None);
        assert!(!watch.wants_read(now()), "the end of the reload starts the next one");
        watch.changed();
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("2000"), NodeId(1), now())), Some(2000));
    }

    #[test]
    fn a_read_that_a_change_overtook_does_not_count() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        watch.changed();
        assert_eq!(watch.read(HERE, keys("1000"), NodeId(1), now()), None);
        assert!(watch.wants_read(now()));
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("2000"), NodeId(1), now())), Some(2000));
    }

    #[test]
    fn an_unreadable_map_is_told_and_keeps_what_was_told() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        let told = watch.read(HERE, Ok(Keys::new()), NodeId(1), now());
        assert!(matches!(told, Some(Event::ConfigUnreadable { .. })), "{told:?}");
    }

    #[test]
    fn what_corosync_refuses_is_read_again_and_told_once() {
        let (mut watch, at) = (ConfigWatch::default(), now());
        let refused = || Err(ReadError::Corosync(Failure::of(Call::CmapIterate, Code::TRY_AGAIN)));
        watch.reading();
        let told = watch.read(HERE, refused(), NodeId(1), at);
        assert!(matches!(told, Some(Event::ConfigUnreadable { .. })), "{told:?}");
        let due = watch.deadline().expect("a second read");
        assert_eq!((watch.wants_read(at), due), (false, at + retry::READ.first));
        assert!(watch.wants_read(due));
        watch.reading();
        assert_eq!((watch.deadline(), watch.read(HERE, refused(), NodeId(1), due)), (None, None));
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1), due)), Some(1000));
        assert_eq!(watch.deadline(), None);
    }
}
