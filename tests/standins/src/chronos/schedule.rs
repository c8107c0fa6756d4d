//! When a job runs: ISO 8601's repetitions, `R[n]/start/period`. Pure.

use jiff::civil::Time;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, SpanFieldwise, Timestamp, Unit, Zoned};
use std::fmt;

/// Repetitions that are still to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// How many; no end when there is no number.
    pub left: Option<u64>,
    /// The next.
    pub start: Zoned,
    period: SpanFieldwise,
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
        let period = parse_period(period)?;
        // One that does not lead on would never end.
        let leads_on = start.checked_add(period).is_ok_and(|next| next > start);
        leads_on.then_some(Self { left, start, period: period.fieldwise() })
    }

    /// Whether the next is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.left != Some(0) && self.start.timestamp() <= now
    }

    /// Without the next.
    #[must_use]
    pub fn advanced(&self) -> Self {
        self.advanced_by(1)
    }

    /// Without those that were due before `since`.
    #[must_use]
    pub fn without_missed(self, since: Timestamp) -> Self {
        let mut schedule = self;
        if schedule.has_even_periods() {
            let missed = since.duration_since(schedule.start.timestamp()).as_millis();
            let each = schedule.length().as_millis().max(1);
            // All but the last few; these are counted below.
            let whole = u64::try_from(missed / each).unwrap_or_default();
            schedule = schedule.advanced_by(whole.saturating_sub(1));
        }
        while schedule.left != Some(0) && schedule.start.timestamp() < since {
            schedule = schedule.advanced();
        }
        schedule
    }

    fn advanced_by(&self, n: u64) -> Self {
        let n = self.left.map_or(n, |left| left.min(n));
        let times = i64::try_from(n).unwrap_or(i64::MAX);
        let next = self
            .period
            .0
            .checked_mul(times)
            .and_then(|period| self.start.checked_add(period));
        match next {
            Ok(start) => {
                Self { left: self.left.map(|left| left - n), start, period: self.period }
            }
            // Beyond the end of all calendars nothing is to come.
            Err(_) => Self { left: Some(0), ..self.clone() },
        }
    }

    fn has_even_periods(&self) -> bool {
        let period = self.period.0;
        period.get_years() == 0
            && period.get_months() == 0
            && period.get_weeks() == 0
            && period.get_days() == 0
    }

    fn length(&self) -> SignedDuration {
        let next = self.start.checked_add(self.period.0);
        next.map_or(SignedDuration::MAX, |next| next.duration_since(&self.start))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left.map(|left| left.to_string()).unwrap_or_default();
        let start = self.start.strftime("%Y-%m-%dT%H:%M:%S%.3f");
        match self.start.offset() == Offset::UTC {
            true => write!(f, "R{left}/{start}Z/{}", self.period.0),
            false => {
                let offset = self.start.strftime("%:z");
                write!(f, "R{left}/{start}{offset}/{}", self.period.0)
            }
        }
    }
}

fn moment(text: &str, zone: &str) -> Option<Zoned> {
    let pieces = Pieces::parse(text).ok()?;
    let fields = pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight()));
    let zone = match (zone, pieces.to_numeric_offset()) {
        ("", Some(offset)) => TimeZone::fixed(offset),
        ("", None) => TimeZone::UTC,
        // As Java has it, a zone that nobody knows is that of Greenwich.
        (name, _) => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    fields.to_zoned(zone).ok()
}

/// Reads `P…` as a period of calendars and clocks.
fn parse_period(text: &str) -> Option<Span> {
    let iso = text.strip_prefix('P')?;
    let is_iso = iso.chars().all(|c| c.is_ascii_digit() || "YMWDTHS.".contains(c));
    if !is_iso {
        return None;
    }
    text.parse().ok()
}

/// Reads `P…` as a length of time, counting a day as 24 hours.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let span = parse_period(text)?;
    let origin = jiff::civil::date(2000, 1, 1);
    let seconds = span.total((Unit::Second, origin)).ok()?;
    Some(SignedDuration::from_millis((seconds * 1000.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2020-10-29T10:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn parse(text: &str, zone: &str) -> Option<Schedule> {
        Schedule::parse(text, zone, at(NOW))
    }

    fn check(text: &str, zone: &str, shown: &str) {
        let schedule = parse(text, zone).unwrap_or_else(|| panic!("{text} is refused"));
        assert_eq!(schedule.to_string(), shown);
        assert_eq!(parse(shown, zone), Some(schedule));
    }

    #[test]
    fn a_schedule_is_shown_as_it_is_read() {
        check("R1//PT5M", "", "R1/2020-10-29T10:00:00.000Z/PT5M");
        check("R/2030-01-01T00:00:00Z/P1D", "", "R/2030-01-01T00:00:00.000Z/P1D");
        check(
            "R5/2030-01-01T08:00:00.5+02:00/P1Y2M",
            "",
            "R5/2030-01-01T08:00:00.500+02:00/P1Y2M",
        );
        check("R/2030-01-01/P1W", "", "R/2030-01-01T00:00:00.000Z/P1W");
        check(
            "R/2030-07-01T08:00Z/P1D",
            "America/New_York",
            "R/2030-07-01T08:00:00.000-04:00/P1D",
        );
        check("R/2030-01-01T08:00Z/P1D", "Nowhere", "R/2030-01-01T08:00:00.000Z/P1D");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "R1/PT5M",
            "1//PT5M",
            "Rx//PT5M",
            "R//5M",
            "R//1 hour",
            "R//P",
            "R/tomorrow/PT5M",
            "R//PT0S",
        ] {
            assert_eq!(parse(text, ""), None, "{text}");
        }
    }

    #[test]
    fn runs_are_counted_down() {
        let two = parse("R2/2020-10-29T10:00:00Z/PT1H", "").unwrap();
        assert!(two.is_due(at(NOW)));
        let one = two.advanced();
        assert_eq!(one.to_string(), "R1/2020-10-29T11:00:00.000Z/PT1H");
        assert!(!one.is_due(at(NOW)));
        let none = one.advanced();
        assert!(!none.is_due(at("2030-01-01T00:00:00Z")));
        assert_eq!(none.advanced().left, Some(0));
    }

    #[test]
    fn those_that_were_missed_are_left_out() {
        let check = |text: &str, since: &str, shown: &str| {
            let schedule = parse(text, "").unwrap().without_missed(at(since));
            assert_eq!(schedule.to_string(), shown);
        };
        check(
            "R/1970-01-01T00:00:00Z/PT1S",
            "2020-10-29T10:00:00.5Z",
            "R/2020-10-29T10:00:01.000Z/PT1S",
        );
        check(
            "R4/2020-10-29T10:00:00Z/PT1H",
            "2020-10-29T11:30:00Z",
            "R2/2020-10-29T12:00:00.000Z/PT1H",
        );
        check(
            "R2/2020-10-01T10:00:00Z/P1D",
            "2020-10-29T10:00:00Z",
            "R0/2020-10-03T10:00:00.000Z/P1D",
        );
        check(
            "R/2020-01-31T00:00:00Z/P1M",
            "2020-02-01T00:00:00Z",
            "R/2020-02-29T00:00:00.000Z/P1M",
        );
        check("R/2030-01-01T00:00:00Z/P1D", NOW, "R/2030-01-01T00:00:00.000Z/P1D");
    }

    #[test]
    fn durations_are_lengths() {
        assert_eq!(parse_duration("PT15M"), Some(SignedDuration::from_mins(15)));
        assert_eq!(parse_duration("P1DT1S"), Some(SignedDuration::from_secs(86_401)));
        assert_eq!(parse_duration("60"), None);
    }
}
