//! Dates written year first, `2024-03` or `2024-03-31`, and how a regular sequence of them goes on.

/// A date; months have no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Date {
    year: i64,
    month: i64,
    day: Option<i64>,
}

impl Date {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = |digits: usize| -> Option<i64> {
            let part = parts.next()?;
            let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
            if plain { part.parse().ok() } else { None }
        };
        let (year, month) = (next(4)?, next(2)?);
        let day = if text.len() > 7 { Some(next(2)?) } else { None };
        let date = Self { year, month, day };
        let whole = parts.next().is_none() && (1..=12).contains(&month);
        (whole && day.is_none_or(|d| (1..=length(year, month)).contains(&d))).then_some(date)
    }

    fn months(self) -> i64 {
        12 * self.year + self.month - 1
    }

    /// Days since the first of March of the year 0: years that begin in March end with the leap day.
    fn days(self) -> i64 {
        let months = self.months() - 2;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
        365 * year + leaps(year) + (153 * month + 2) / 5 + self.day.unwrap_or(1) - 1
    }

    fn of_days(days: i64) -> Self {
        // 146097 days are 400 years
        let mut year = (400 * days).div_euclid(146_097);
        while 365 * (year + 1) + leaps(year + 1) <= days {
            year += 1;
        }
        while 365 * year + leaps(year) > days {
            year -= 1;
        }
        let rest = days - 365 * year - leaps(year);
        let month = (5 * rest + 2) / 153;
        Self::of_months(12 * year + month + 2, Some(rest - (153 * month + 2) / 5 + 1))
    }

    /// A day beyond the month's last is its last.
    fn of_months(months: i64, day: Option<i64>) -> Self {
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        Self {
            year,
            month,
            day: day.map(|d| d.min(length(year, month))),
        }
    }

    fn text(self) -> Option<String> {
        let head = format!("{:04}-{:02}", self.year, self.month);
        (0..=9999).contains(&self.year).then(|| match self.day {
            Some(day) => format!("{head}-{day:02}"),
            None => head,
        })
    }
}

/// Leap days before the March of a year.
fn leaps(year: i64) -> i64 {
    year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The dates after the last of a sequence, where they lie so many days or so many months apart.
#[must_use]
pub fn after(dates: &[&str], ahead: usize) -> Option<Vec<String>> {
    let dates: Vec<Date> = dates.iter().map(|d| Date::parse(d)).collect::<Option<_>>()?;
    let last = *dates.last().filter(|_| dates.len() > 1)?;
    let step = |of: &dyn Fn(Date) -> i64| {
        let step = of(last) - of(dates[dates.len() - 2]);
        dates.windows(2).all(|w| of(w[1]) - of(w[0]) == step).then_some(step)
    };
    let steps = || 1..=i64::try_from(ahead).unwrap_or(i64::MAX);
    // the same day of every month, or its last one
    let day = dates.iter().filter_map(|d| d.day).max();
    let regular = dates.iter().all(|d| *d == Date::of_months(d.months(), d.day.and(day)));
    if let Some(months) = step(&Date::months).filter(|&m| regular && m != 0) {
        return steps()
            .map(|h| Date::of_months(last.months() + months * h, day).text())
            .collect();
    }
    last.day?;
    let days = step(&Date::days)?;
    steps().map(|h| Date::of_days(last.days() + days * h).text()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_and_come_back() {
        let (mut date, mut days) = ((1896, 2, 27), None);
        for _ in 0..200_000 {
            let d = Date::parse(&format!("{:04}-{:02}-{:02}", date.0, date.1, date.2)).expect("a date");
            assert_eq!(Date::of_days(d.days()), d);
            assert!(days.is_none_or(|before| d.days() == before + 1), "{d:?}");
            days = Some(d.days());
            date.2 += 1;
            if date.2 > length(date.0, date.1) {
                date = (date.0, date.1 + 1, 1);
            }
            if date.1 > 12 {
                date = (date.0 + 1, 1, 1);
            }
        }
    }

    #[test]
    fn sequences_go_on() {
        let case = |dates: &[&str]| after(dates, 2).map(|d| d.join(" "));
        assert_eq!(
            case(&["2024-02-27", "2024-02-28"]).as_deref(),
            Some("2024-02-29 2024-03-01")
        );
        assert_eq!(case(&["2023-11", "2023-12"]).as_deref(), Some("2024-01 2024-02"));
        assert_eq!(
            case(&["2023-11-30", "2023-12-31", "2024-01-31"]).as_deref(),
            Some("2024-02-29 2024-03-31")
        );
        assert_eq!(
            case(&["2023-01-01", "2023-04-01"]).as_deref(),
            Some("2023-07-01 2023-10-01")
        );
        assert_eq!(
            case(&["2022-10-01", "2023-01-01", "2023-04-01"]).as_deref(),
            Some("2023-07-01 2023-10-01")
        );
        assert_eq!(case(&["2023-01-01", "2023-01-05", "2023-01-06"]), None);
        assert_eq!(case(&["2023-13", "2023-14"]), None);
        assert_eq!(case(&["week 1", "week 2"]), None);
        assert_eq!(case(&["9999-12"]), None);
    }
}
