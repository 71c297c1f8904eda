//! When the configuration is read again: after a change, never in the middle of a reload, one read at a time.
//!
//! corosync tells each changed key by itself, a hundred in a row at a reload, between its flag going up and down. So
//! changes are only marked. A read counts if nothing was marked by the time it ended and the flag was down in it; no
//! waiting for quiet is needed.

use crate::cmap::ReadError;
use crate::config::{Config, Keys, RELOAD_FLAG};
use crate::event::Event;
use crate::ids::{Connection, NodeId};

/// What is known about the map.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    /// Something changed since the last read began.
    changed: bool,
    reading: bool,
    told: Option<Config>,
}

impl Default for ConfigWatch {
    /// Nothing is known, so everything is new.
    fn default() -> Self {
        Self { changed: true, reading: false, told: None }
    }
}

impl ConfigWatch {
    /// A watched key changed.
    pub(crate) fn changed(&mut self) {
        self.changed = true;
    }

    /// Whether a read is to be started.
    pub(crate) fn wants_read(&self) -> bool {
        self.changed && !self.reading
    }

    /// A read was started.
    pub(crate) fn reading(&mut self) {
        self.changed = false;
        self.reading = true;
    }

    /// A read ended, and every change before its end has been marked. The event to tell, if it brought anything new.
    pub(crate) fn read(
        &mut self,
        connection: Connection,
        result: Result<Keys, ReadError>,
        local: NodeId,
    ) -> Option<Event> {
        self.reading = false;
        if self.changed {
            return None;
        }
        let config = match result {
            // The flag goes down again, and that is a change.
            Ok(keys) if keys.get(RELOAD_FLAG).is_some_and(|flag| flag == "1") => return None,
            Ok(keys) => Config::from_keys(&keys, local).map_err(|why| why.to_string()),
            Err(ReadError::Content(why)) => Err(why.to_string()),
            Err(ReadError::Corosync(why)) => Err(why.to_string()),
        };
        match config {
            Err(why) => {
                self.told = None; // that it can be read again is news
                Some(Event::ConfigUnreadable { connection, why })
            }
            Ok(config) if self.told.as_ref() == Some(&config) => None,
            Ok(config) => {
                self.told = Some(config.clone());
                Some(Event::Config { connection, config: Box::new(config) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Connection = Connection(1);

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
        assert!(watch.wants_read());
        watch.reading();
        assert!(!watch.wants_read());
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1))), Some(1000));
        watch.changed();
        watch.reading();
        assert_eq!(watch.read(HERE, keys("1000"), NodeId(1)), None);
        assert!(!watch.wants_read());
    }

    #[test]
    fn the_same_configuration_is_told_again_after_one_that_could_not_be_read() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1))), Some(1000));
        watch.changed();
        watch.reading();
        assert!(matches!(watch.read(HERE, keys("many"), NodeId(1)), Some(Event::ConfigUnreadable { .. })));
        watch.changed();
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("1000"), NodeId(1))), Some(1000));
    }

    #[test]
    fn a_read_in_the_middle_of_a_reload_does_not_count() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        let mut torn = keys("1000").unwrap();
        torn.insert(RELOAD_FLAG.to_owned(), "1".to_owned());
        assert_eq!(watch.read(HERE, Ok(torn), NodeId(1)), None);
        assert!(!watch.wants_read(), "the end of the reload starts the next one");
        watch.changed();
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("2000"), NodeId(1))), Some(2000));
    }

    #[test]
    fn a_read_that_a_change_overtook_does_not_count() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        watch.changed();
        assert_eq!(watch.read(HERE, keys("1000"), NodeId(1)), None);
        assert!(watch.wants_read());
        watch.reading();
        assert_eq!(token(watch.read(HERE, keys("2000"), NodeId(1))), Some(2000));
    }

    #[test]
    fn an_unreadable_map_is_told_and_keeps_what_was_told() {
        let mut watch = ConfigWatch::default();
        watch.reading();
        let told = watch.read(HERE, Ok(Keys::new()), NodeId(1));
        assert!(matches!(told, Some(Event::ConfigUnreadable { .. })), "{told:?}");
    }
}
