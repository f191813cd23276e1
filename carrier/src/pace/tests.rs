//! Tests of [`Pace`]: bounds, means, and what a fleet of them does to a registry.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "seconds and counts are small"
)]

use super::*;

const POLL: Duration = Duration::from_secs(30);

fn fleet(count: usize) -> Vec<Pace> {
    let pace = |n| Pace::new(format!("sidecar-{n}").as_bytes(), POLL).unwrap();
    (0..count).map(pace).collect()
}

fn seconds(value: u64) -> Duration {
    Duration::from_secs(value)
}

/// The mean of durations in seconds.
fn mean(values: &[Duration]) -> f64 {
    values.iter().map(Duration::as_secs_f64).sum::<f64>() / values.len() as f64
}

#[test]
fn polls_stay_within_a_fifth_of_the_interval_and_meet_its_mean() {
    for pace in &mut fleet(20) {
        let waits: Vec<Duration> = (0..5000).map(|_| pace.succeeded()).collect();
        assert!(
            waits
                .iter()
                .all(|it| (seconds(24)..=seconds(36)).contains(it))
        );
        assert!((mean(&waits) - 30.0).abs() < 0.2, "{}", mean(&waits));
        // The ends are reached too.
        assert!(waits.iter().min().unwrap() < &Duration::from_millis(24_100));
        assert!(waits.iter().max().unwrap() > &Duration::from_millis(35_900));
    }
}

#[test]
fn backoff_is_uniform_below_a_ceiling_that_doubles_to_ten_intervals() {
    for (failure, ceiling) in [30, 60, 120, 240, 300, 300, 300].into_iter().enumerate() {
        let nth = |pace: &mut Pace| {
            for _ in 0..failure {
                pace.failed(None);
            }
            pace.failed(None)
        };
        let waits: Vec<Duration> = fleet(5000).iter_mut().map(nth).collect();
        assert!(waits.iter().all(|it| *it <= seconds(ceiling)));
        let half = ceiling as f64 / 2.0;
        assert!((mean(&waits) / half - 1.0).abs() < 0.03, "{failure}");
        let tenth = waits.iter().filter(|it| **it < seconds(ceiling) / 10);
        assert!((400..600).contains(&tenth.count()));
    }
}

#[test]
fn backoff_never_overflows_and_one_answer_ends_it() {
    let mut pace = Pace::new(b"a", LONGEST).unwrap();
    for _ in 0..1000 {
        assert!(pace.failed(Some(Duration::MAX)) <= LONGEST + LONGEST_RETRY_AFTER);
    }
    assert_eq!(pace.failures(), 1000);
    pace.failures = u32::MAX;
    pace.failed(None);
    assert!(pace.succeeded() >= LONGEST / 5 * 4);
    assert_eq!(pace.failures(), 0);
    let mut pace = Pace::new(b"a", POLL).unwrap();
    for _ in 0..9 {
        pace.failed(None);
    }
    pace.succeeded();
    assert!(pace.failed(None) <= POLL);
}

#[test]
fn backoff_ceilings_follow_the_interval() {
    let longest = |interval| Pace::new(b"a", interval).unwrap().longest;
    assert_eq!(longest(seconds(1)), seconds(10));
    assert_eq!(longest(seconds(30)), seconds(300));
    assert_eq!(longest(seconds(600)), seconds(900));
    assert_eq!(longest(seconds(3600)), seconds(3600));
}

#[test]
fn an_interval_out_of_bounds_is_refused_in_words() {
    for bad in [Duration::ZERO, SHORTEST / 2, LONGEST + SHORTEST] {
        let said = Pace::new(b"a", bad).unwrap_err().to_string();
        assert!(said.contains("from 10ms to 24h"), "{said}");
    }
    for good in [SHORTEST, LONGEST] {
        assert!(Pace::new(b"a", good).is_ok());
    }
}

#[test]
fn nobody_comes_before_retry_after_and_not_all_at_it() {
    let waits = fleet(5000).into_iter();
    let waits: Vec<Duration> = waits
        .map(|mut pace| pace.failed(Some(seconds(60))))
        .collect();
    assert!(
        waits
            .iter()
            .all(|it| (seconds(60)..=seconds(90)).contains(it))
    );
    assert!((mean(&waits) - 75.0).abs() < 0.5);
    let for_ever = fleet(1)[0].failed(Some(Duration::MAX));
    assert!(for_ever <= LONGEST_RETRY_AFTER + POLL);
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = Time::parse("1994-11-06T08:49:00Z").unwrap();
    let read = |value| retry_after(value, now);
    assert_eq!(read("120"), Some(seconds(120)));
    assert_eq!(read(" 0 "), Some(Duration::ZERO));
    assert_eq!(read("99999999999999999999999"), Some(seconds(u64::MAX)));
    assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(seconds(37)));
    assert_eq!(read("Sat, 05 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
    for bad in [
        "",
        "-1",
        "1.5",
        "soon",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn starts_are_even_over_the_spread_and_stay_where_they_are() {
    let (spread, now) = (seconds(300), seconds(1000));
    let mut tenths = [0; 10];
    for pace in &mut fleet(10_000) {
        let due = pace.start(b"release 1", spread, now);
        assert!((now..=now + spread).contains(&due));
        for later in [1, 30, 299, 5000] {
            // Polls between, answered or not, change nothing.
            pace.succeeded();
            pace.failed(None);
            assert_eq!(pace.start(b"release 1", spread, now + seconds(later)), due);
        }
        tenths[(due.abs_diff(now).as_secs() / 30).min(9) as usize] += 1;
    }
    assert!(
        tenths.iter().all(|it| (900..1100).contains(it)),
        "{tenths:?}"
    );
}

#[test]
fn another_release_is_another_draw() {
    let (spread, later) = (seconds(300), seconds(10_000));
    let both = |pace: &mut Pace| {
        let first = pace.start(b"release 1", spread, Duration::ZERO);
        let second = pace.start(b"release 2", spread, later).abs_diff(later);
        (first.as_secs_f64() - 150.0) * (second.as_secs_f64() - 150.0)
    };
    // Uniform on 300 s has a variance of 7500; the covariance of independent draws is nil.
    let covariance = fleet(10_000).iter_mut().map(both).sum::<f64>() / 10_000.0;
    assert!(covariance.abs() < 400.0, "{covariance}");
}

#[test]
fn urgency_comes_at_once_even_in_the_middle_of_a_wait() {
    for pace in &mut fleet(1000) {
        let waited = pace.start(b"release", seconds(3600), seconds(10));
        let now = seconds(12);
        assert!(pace.start(b"release", Duration::ZERO, now) <= now);
        // And the old plan holds again when the publisher changes his mind.
        assert_eq!(pace.start(b"release", seconds(3600), now), waited);
        assert_eq!(pace.start(b"other", Duration::ZERO, now), now);
    }
}

#[test]
fn many_releases_in_a_row_starve_nobody() {
    // One a minute, each spread over ten: no wait begins anew with every release.
    for pace in &mut fleet(1000) {
        let mut due = Duration::MAX;
        for minute in 0..=10_u64 {
            let now = seconds(60 * minute);
            if due <= now {
                break;
            }
            due = pace.start(&minute.to_le_bytes(), seconds(600), now);
        }
        assert!(due <= seconds(600), "{due:?}");
    }
}

#[test]
fn one_id_repeats_itself_and_two_do_not_agree() {
    let draws = |id: &str| {
        let mut pace = Pace::new(id.as_bytes(), POLL).unwrap();
        let start = pace.start(b"release", POLL, Duration::ZERO);
        [pace.first(), pace.succeeded(), pace.failed(None), start]
    };
    assert_eq!(draws("pod-1"), draws("pod-1"));
    for (one, other) in draws("pod-1").iter().zip(draws("pod-2")) {
        assert_ne!(*one, other);
    }
}

#[test]
fn the_generator_is_the_documented_one() {
    let mut chance = Chance::new(1_234_567);
    let first: Vec<u64> = (0..3).map(|_| chance.next()).collect();
    // The published test values of SplitMix64 for this seed.
    assert_eq!(
        first,
        [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423
        ]
    );
}

/// Polls of a fleet in each second of an hour; the registry is down from `outage` on for ten
/// minutes, and the sidecars begin all in one second.
fn hour(count: usize, outage: u64) -> Vec<usize> {
    let mut load = vec![0; 3600];
    for mut pace in fleet(count) {
        let mut at = pace.first();
        while let Some(second) = load.get_mut(at.as_secs() as usize) {
            *second += 1;
            let down = (outage..outage + 600).contains(&at.as_secs());
            at += if down {
                pace.failed(None)
            } else {
                pace.succeeded()
            };
        }
    }
    load
}

/// The greatest load of any five seconds, against the mean of a fleet that polls undisturbed.
fn peak(load: &[usize], count: usize) -> f64 {
    let usual = count as f64 / POLL.as_secs_f64();
    let greatest = load.chunks(5).map(|five| five.iter().sum::<usize>()).max();
    greatest.unwrap() as f64 / 5.0 / usual
}

#[test]
fn an_outage_does_not_make_a_herd_of_the_fleet() {
    const COUNT: usize = 30_000;
    for outage in [600, 611, 907] {
        let load = hour(COUNT, outage);
        let (start, end) = (outage as usize, outage as usize + 600);
        let before = peak(&load[..start], COUNT);
        let first = peak(&load[start..start + 180], COUNT);
        let during = peak(&load[start + 180..end], COUNT);
        let after = peak(&load[end..], COUNT);
        println!("before {before:.2}, at first {first:.2}, during {during:.2}, after {after:.2}");
        assert!(before < 1.1);
        assert!(first < 2.0);
        assert!(during < 0.34);
        assert!(after < 1.1);
        // Everybody is back within the longest backoff.
        let settled = &load[end + 300..];
        let mean = settled.iter().sum::<usize>() as f64 / settled.len() as f64;
        assert!((mean / (COUNT as f64 / 30.0) - 1.0).abs() < 0.02);
    }
}
