//! When a job runs: ISO 8601's repetitions, `R[n]/start/period`. Pure.

use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp, Zoned};
use regex::Regex;
use std::fmt;
use std::sync::LazyLock;

/// Repetitions that are still to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How many; no end when there is no number.
    pub left: Option<u64>,
    /// The next.
    pub start: Zoned,
    period: Period,
}

/// From one start to the next.
#[derive(Clone, Debug, PartialEq)]
struct Period {
    text: String,
    /// Years, months, weeks, days, hours, minutes, seconds.
    parts: [i64; 7],
}

impl Schedule {
    /// Reads a schedule. Without a start it is now; the zone, where there is one, is that of
    /// the start whatever offset it has. `None` when it is no schedule.
    pub fn parse(text: &str, zone: &str, now: Timestamp) -> Option<Self> {
        let (repeat, rest) = text.strip_prefix('R')?.split_once('/')?;
        let (start, period) = rest.rsplit_once('/')?;
        let left = match repeat {
            "" => None,
            number => Some(number.parse().ok()?),
        };
        let start = match start {
            "" => now.to_zoned(TimeZone::UTC),
            start => moment(start, zone)?,
        };
        Some(Self { left, start, period: Period::parse(period)? })
    }

    /// Whether the next is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.left != Some(0) && self.start.timestamp() <= now
    }

    /// After a launch: one fewer, and the next start is to come; those that were missed are left
    /// out. When none were left there is no end any more, as there. `None` where the real one
    /// divides by the length of a period below one second, and runs nothing ever after.
    pub fn launched(&self, now: Timestamp) -> Option<Self> {
        let left = self.left.and_then(|left| left.checked_sub(1));
        let late = now.duration_since(self.start.timestamp()).as_secs();
        let stays = Self { left, ..self.clone() };
        match self.period.seconds() {
            _ if late < 0 || self.period.is_nothing() => Some(stays),
            0 => None,
            length => {
                let passed = self.period.times(late / length + 1);
                let next = passed.and_then(|passed| self.start.checked_add(passed).ok());
                // Beyond the end of all calendars nothing is to come.
                let left = next.as_ref().map_or(Some(0), |_| left);
                Some(Self { left, start: next.unwrap_or(stays.start), ..stays })
            }
        }
    }
}

impl Period {
    fn parse(text: &str) -> Option<Self> {
        static PERIOD: LazyLock<Option<Regex>> = LazyLock::new(|| {
            let part = |unit: &str| format!(r"(?:(-?\d+){unit})?");
            let date = ["Y", "M", "W", "D"].map(part).concat();
            let time = ["H", "M", r"(?:\.\d+)?S"].map(part).concat();
            Regex::new(&format!("^P{date}(?:T{time})?$")).ok()
        });
        let found = PERIOD.as_ref()?.captures(text)?;
        let part = |index: usize| {
            found.get(index + 1).map_or(Some(0), |n| n.as_str().parse().ok())
        };
        let mut parts = [0; 7];
        for (index, value) in parts.iter_mut().enumerate() {
            *value = part(index)?;
        }
        Some(Self { text: text.to_owned(), parts })
    }

    /// With months of 30 days and years of 365, as the real one counts them.
    fn seconds(&self) -> i64 {
        let lengths = [365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1];
        self.parts.iter().zip(lengths).map(|(n, length)| n * length).sum()
    }

    fn is_nothing(&self) -> bool {
        self.parts == [0; 7] && !self.text.contains('.')
    }

    fn times(&self, n: i64) -> Option<Span> {
        let [years, months, weeks, days, hours, minutes, seconds] = self.parts;
        let date = Span::new().try_years(years).ok()?.try_months(months).ok()?;
        let date = date.try_weeks(weeks).ok()?.try_days(days).ok()?;
        let time = date.try_hours(hours).ok()?.try_minutes(minutes).ok()?;
        time.try_seconds(seconds).ok()?.checked_mul(n).ok()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left.map(|left| left.to_string()).unwrap_or_default();
        let start = self.start.strftime("%Y-%m-%dT%H:%M:%S%.3f");
        match self.start.offset() == Offset::UTC {
            true => write!(f, "R{left}/{start}Z/{}", self.period.text),
            false => {
                let offset = self.start.strftime("%:z");
                write!(f, "R{left}/{start}{offset}/{}", self.period.text)
            }
        }
    }
}

fn moment(text: &str, zone: &str) -> Option<Zoned> {
    // A year beyond those of our calendar is the last of them: it is never due.
    let text = match text.split_once('-') {
        Some((year, rest)) if year.len() > 4 && year.parse::<u32>().is_ok() => {
            format!("9999-{rest}")
        }
        Some(_) if !text.contains(' ') => text.to_owned(),
        _ => return None,
    };
    let pieces = Pieces::parse(&text).ok()?;
    let fields = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let zone = match (zone, pieces.to_numeric_offset()) {
        ("", Some(offset)) => TimeZone::fixed(offset),
        ("", None) => TimeZone::UTC,
        // As Java has it, a zone that nobody knows is that of Greenwich.
        (name, _) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    fields.to_zoned(zone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a schedule with a launch late in November 2026.
    fn launched(text: &str, zone: &str) -> Option<String> {
        let now = "2026-11-29T15:03:04Z".parse().unwrap();
        let schedule = Schedule::parse(text, zone, now).unwrap();
        schedule.launched(now).map(|next| next.to_string())
    }

    #[test]
    fn a_launch_counts_down_and_leaves_out_what_was_missed() {
        for (text, zone, after) in [
            ("R5/2030-01-01T00:00:00Z/PT1H", "", "R4/2030-01-01T00:00:00.000Z/PT1H"),
            ("R//PT1H", "", "R/2026-11-29T16:03:04.000Z/PT1H"),
            ("R1/2020-01-01T00:00:00Z/PT1H", "", "R0/2026-11-29T16:00:00.000Z/PT1H"),
            ("R0/2030-01-01/PT1H", "", "R/2030-01-01T00:00:00.000Z/PT1H"),
            ("R/2020-01-31T00:00:00Z/P1M", "", "R/2027-01-31T00:00:00.000Z/P1M"),
            (
                "R/2020-01-01T08:00:00+05:00/P1D",
                "",
                "R/2026-11-30T08:00:00.000+05:00/P1D",
            ),
            (
                "R/2020-01-01T08:00:00+05:00/P1D",
                "America/New_York",
                "R/2026-11-30T08:00:00.000-05:00/P1D",
            ),
            ("R3/2020-01-01T00:00:00Z/PT0S", "", "R2/2020-01-01T00:00:00.000Z/PT0S"),
        ] {
            assert_eq!(launched(text, zone).as_deref(), Some(after), "{text}");
        }
        assert_eq!(launched("R/2020-01-01T00:00:00Z/PT0.5S", ""), None);
    }
}
