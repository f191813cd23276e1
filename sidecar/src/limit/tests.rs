use super::*;

fn rate(count: u32) -> Obligation {
    Obligation::rate(count, 60)
}

fn together(count: u32) -> Obligation {
    Obligation::Concurrency {
        pool: Pool::Caller,
        reach: Reach::Surface,
        count,
    }
}

fn charge(obligation: Obligation, key: &str) -> Charge {
    Charge {
        obligation,
        key: key.to_owned(),
    }
}

fn limits() -> Arc<Limits> {
    Arc::new(Limits::new(1000))
}

#[test]
fn refuses_the_call_after_the_last_and_says_when() {
    let limits = limits();
    let alice = [charge(rate(3), "alice github/get_issue")];
    for _ in 0..3 {
        assert!(limits.take(&alice).is_ok());
    }
    let throttled = limits.take(&alice).unwrap_err();
    assert!(throttled.retry_after <= Duration::from_secs(20));
    assert!(throttled.retry_after > Duration::from_secs(15));
    assert_eq!(throttled.detail(), "rate 3/m");
}

#[test]
fn buckets_and_limits_do_not_share() {
    let limits = limits();
    let a = [charge(rate(3), "alice github/a")];
    for _ in 0..3 {
        assert!(limits.take(&a).is_ok());
    }
    assert!(limits.take(&a).is_err());
    assert!(limits.take(&[charge(rate(3), "alice github/b")]).is_ok());
    assert!(limits.take(&[charge(rate(4), "alice github/a")]).is_ok());
}

#[test]
fn a_limit_of_none_refuses() {
    for none in [rate(0), together(0)] {
        assert!(limits().take(&[charge(none, "alice")]).is_err());
    }
}

#[test]
fn a_flood_of_names_shares_one_allowance() {
    let limits = Arc::new(Limits::new(160));
    let name = |n: u32| [charge(rate(3), &n.to_string())];
    let let_through = (0..10_000).filter(|n| limits.take(&name(*n)).is_ok());
    // Each of 16 shards has 11 buckets of its own and at most one that the others share.
    assert!(let_through.count() <= 16 * (11 + 3));
    limits.forget_idle();
}

#[test]
fn a_call_that_one_limit_refuses_is_counted_by_none() {
    let limits = limits();
    let both = [charge(rate(5), "team"), charge(rate(1), "alice")];
    assert!(limits.take(&both).is_ok());
    for _ in 0..10 {
        assert_eq!(limits.take(&both).unwrap_err().limit, rate(1));
    }
    let team = [charge(rate(5), "team")];
    let left = (0..10).filter(|_| limits.take(&team).is_ok()).count();
    assert_eq!(left, 4);
}

#[test]
fn places_come_back_when_calls_end() {
    let limits = limits();
    let two = [charge(together(2), "alice"), charge(rate(100), "alice")];
    let first = limits.take(&two).unwrap();
    let second = limits.take(&two).unwrap();
    let third = limits.take(&two).unwrap_err();
    assert_eq!((third.limit, third.seconds()), (together(2), 1));
    drop(first);
    let fourth = limits.take(&two).unwrap();
    assert!(limits.take(&two).is_err());
    drop((second, fourth));
    assert!(limits.take(&two).is_ok());
}

#[test]
fn a_refused_call_gives_its_places_back() {
    let limits = limits();
    let place = charge(together(1), "alice");
    let refused = [place.clone(), charge(rate(0), "alice")];
    assert!(limits.take(&refused).is_err());
    assert!(limits.take(&[place]).is_ok());
}

#[test]
fn many_threads_get_exactly_what_there_is() {
    let limits = limits();
    let taken: usize = std::thread::scope(|scope| {
        let count = || {
            let hourly = Obligation::rate(500, 3600);
            let call = [charge(hourly, "alice")];
            (0..400).filter(|_| limits.take(&call).is_ok()).count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(taken, 500);
}

#[test]
fn callers_are_told_in_structured_fields() {
    let limits = limits();
    let call = [charge(rate(30), "alice"), charge(together(2), "alice")];
    let counted = limits.take(&call).unwrap();
    let mut headers = hyper::HeaderMap::new();
    counted.told.write(&mut headers);
    assert_eq!(headers["ratelimit-policy"], "\"caller-30-60\";q=30;w=60");
    assert_eq!(headers["ratelimit"], "\"caller-30-60\";r=29;t=2");
    let mut none = hyper::HeaderMap::new();
    Told::default().write(&mut none);
    assert!(none.is_empty());
}
