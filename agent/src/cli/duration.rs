//! Durations as people write and read them.

use std::time::Duration;

use proto::control::DEADLINE_MAX_MS;

const UNITS_MS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `500ms`, `5s`, `10m`, `1h`, `1d`: a whole number and a unit.
///
/// # Errors
/// A sentence for the command line.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let example = "a whole number with a unit: 500ms, 5s, 10m, 1h, 1d";
    let number: u64 = number.parse().map_err(|_| format!("must be {example}"))?;
    let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit).ok_or_else(|| format!("must be {example}"))?;
    number.checked_mul(*unit_ms).map(Duration::from_millis).ok_or_else(|| "is too long".to_owned())
}

/// A deadline: more than nothing, and no longer than the daemon takes.
///
/// # Errors
/// As [`parse`].
pub fn parse_deadline(text: &str) -> Result<Duration, String> {
    let duration = parse(text)?;
    match duration.as_millis() {
        0 => Err("must be longer than nothing".to_owned()),
        ms if ms > u128::from(DEADLINE_MAX_MS) => Err("must be at most a day".to_owned()),
        _ => Ok(duration),
    }
}

/// Two units at most, the way a person would say it: `0.4s`, `9s`, `3m 10s`, `3h 10m`, `12d 4h`.
#[must_use]
pub fn spoken(ms: u64) -> String {
    let seconds = ms / 1000;
    let pair = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit} {small}{small_unit}"),
    };
    match seconds {
        0 => format!("0.{}s", ms / 100),
        1..60 => format!("{seconds}s"),
        60..3_600 => pair(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => pair(seconds / 3_600, "h", seconds / 60 % 60, "m"),
        _ => pair(seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
    }
}

/// Whether `word` is a part of what [`spoken`] makes.
#[must_use]
pub fn is_spoken(word: &str) -> bool {
    let number = word.trim_end_matches(['s', 'm', 'h', 'd']);
    number.len() + 1 == word.len() && number.parse::<f64>().is_ok_and(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read() {
        let read = |text| parse(text).map(|duration| duration.as_millis());
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("5s"), Ok(5_000));
        assert_eq!(read("10m"), Ok(600_000));
        assert_eq!(read("1h"), Ok(3_600_000));
        assert_eq!(read("2d"), Ok(172_800_000));
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for bad in
            ["", "5", "s", "1.5s", "-1s", "5 s", "5sec", "5S", "١s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_deadline_is_more_than_nothing_and_at_most_a_day() {
        assert!(parse_deadline("0s").is_err());
        assert!(parse_deadline("1ms").is_ok());
        assert!(parse_deadline("1d").is_ok());
        assert!(parse_deadline("86401s").is_err());
    }

    #[test]
    fn spoken_durations_have_two_units_at_most() {
        let pairs = [
            (0, "0.0s"),
            (499, "0.4s"),
            (9_999, "9s"),
            (60_000, "1m"),
            (190_000, "3m 10s"),
            (11_400_000, "3h 10m"),
            (1_051_200_000, "12d 4h"),
        ];
        for (ms, text) in pairs {
            assert_eq!(spoken(ms), text);
            assert!(text.split(' ').all(is_spoken), "{text}");
        }
        assert!(!["3", "s", "ms", "3x", "1.3f2", "bravo"].into_iter().any(is_spoken));
    }
}
