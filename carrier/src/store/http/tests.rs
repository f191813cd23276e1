use std::time::Instant as Clock;

use super::*;
use crate::testing::{Manner, Server, run};
use crate::{Carrier, Token};

/// Limits that a test can wait for.
fn strict() -> Options {
    Options {
        timeout: Duration::from_secs(3),
        stall: Duration::from_millis(600),
        ..Options::default()
    }
}

fn open(server: &Server, options: Options) -> Carrier {
    Carrier::open(&server.location(), options).unwrap()
}

/// What comes of a file that is answered in some manner.
fn fault(manner: Manner) -> (CarrierError, Duration) {
    let server = Server::start();
    server.behave("all.lkb", manner);
    let carrier = open(&server, strict());
    let start = Clock::now();
    let got = run(carrier.get("all.lkb", 100_000));
    (got.unwrap_err(), start.elapsed())
}

#[test]
fn a_file_comes_once_and_then_only_its_tag() {
    let server = Server::start();
    server.set(names::RELEASE, b"one");
    let carrier = open(&server, strict());
    run(async {
        for _ in 0..3 {
            let got = carrier.get(names::RELEASE, 100).await.unwrap();
            assert_eq!(got.as_deref(), Some(&b"one"[..]));
        }
        server.set(names::RELEASE, b"two");
        let got = carrier.get(names::RELEASE, 100).await.unwrap();
        assert_eq!(got.as_deref(), Some(&b"two"[..]));
        assert_eq!(carrier.get("none", 100).await, Ok(None));
    });
    let statuses = server
        .requests()
        .join(", ")
        .replace("GET release.dsse.json ", "");
    assert_eq!(statuses, "200, 304, 304, 200, GET none 404");
}

#[test]
fn endless_oversized_and_truncated_bodies_are_given_up() {
    let (error, _) = fault(Manner::Endless);
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    let (error, _) = fault(Manner::Short(100_001));
    assert_eq!(error.kind(), Kind::TooLarge, "{error}");
    let (error, _) = fault(Manner::Short(1000));
    assert_eq!(error.kind(), Kind::Unreachable, "{error}");
}

#[test]
fn a_body_of_exactly_the_limit_comes() {
    let server = Server::start();
    server.set("all.lkb", &[7; 1000]);
    let carrier = open(&server, strict());
    let got = run(carrier.get("all.lkb", 1000)).unwrap();
    assert_eq!(got.map(|bytes| bytes.len()), Some(1000));
    let error = run(carrier.get("all.lkb", 999)).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLarge);
}

#[test]
fn a_trickle_or_silence_does_not_hold_the_reader() {
    let trickle = Manner::Trickle(Duration::from_millis(50), 1);
    for manner in [trickle, Manner::Silence] {
        let (error, took) = fault(manner);
        assert_eq!(error.kind(), Kind::TooSlow, "{error}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn steady_progress_does_not_outlast_the_deadline() {
    let server = Server::start();
    let steady = Manner::Trickle(Duration::from_millis(100), 16 << 10);
    server.behave("all.lkb", steady);
    let carrier = open(&server, strict());
    let start = Clock::now();
    let error = run(carrier.get("all.lkb", 1 << 30)).unwrap_err();
    assert_eq!(error.kind(), Kind::TooSlow, "{error}");
    assert!(error.to_string().contains("after 3 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_connection_that_the_server_gave_up_costs_no_answer() {
    let server = Server::start();
    server.set("all.lkb", b"policy");
    let carrier = open(&server, strict());
    run(async {
        assert!(carrier.get("all.lkb", 10).await.unwrap().is_some());
        server.behave("all.lkb", Manner::DropOnce);
        assert!(carrier.get("all.lkb", 10).await.unwrap().is_some());
    });
}

#[test]
fn redirects_lead_somewhere_or_end() {
    let server = Server::start();
    server.set("moved", b"here");
    server.behave("all.lkb", Manner::Redirect(server.url("moved")));
    let carrier = open(&server, strict());
    let got = run(carrier.get("all.lkb", 10)).unwrap();
    assert_eq!(got.as_deref(), Some(&b"here"[..]));
    server.behave("all.lkb", Manner::Redirect(server.url("all.lkb")));
    server.requests();
    let error = run(carrier.get("all.lkb", 10)).unwrap_err();
    assert!(
        error.to_string().contains("more than 4 redirects"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 5);
}

#[test]
fn other_statuses_say_what_to_do() {
    let (error, _) = fault(Manner::Status(503));
    assert_eq!(error.kind(), Kind::Answer, "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let (error, _) = fault(Manner::Status(403));
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    // Nobody asked whether it was modified.
    let (error, _) = fault(Manner::Status(304));
    assert_eq!(error.kind(), Kind::Answer, "{error}");
}

#[test]
fn the_token_is_read_again_and_goes_nowhere_else() {
    let (server, other) = (Server::start(), Server::start());
    server.want("first-secret");
    server.set("all.lkb", b"policy");
    other.want("first-secret");
    other.set("all.lkb", b"policy");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let options = Options {
        token: Some(Token::File(file.clone())),
        ..strict()
    };
    let carrier = open(&server, options.clone());
    let error = run(carrier.get("all.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unusable, "{error}");
    std::fs::write(&file, "wrong-secret\n").unwrap();
    let error = run(carrier.get("all.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    assert!(!format!("{error} {error:?} {carrier:?}").contains("secret"));
    std::fs::write(&file, "first-secret\n").unwrap();
    assert!(run(carrier.get("all.lkb", 10)).unwrap().is_some());
    let by_env = Options {
        token: Some(Token::Env("CARGO_MANIFEST_DIR".to_owned())),
        ..strict()
    };
    let of_env = Server::start();
    of_env.want(&std::env::var("CARGO_MANIFEST_DIR").unwrap());
    assert_eq!(run(open(&of_env, by_env).get("all.lkb", 10)), Ok(None));
    server.behave("moved", Manner::Redirect(other.url("all.lkb")));
    let error = run(carrier.get("moved", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error}");
    let open = "http://mirror.example/policy".parse().unwrap();
    let error = Carrier::open(&open, options).unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
}

#[test]
fn nobody_there_is_said_with_its_cause() {
    let location = "http://127.0.0.1:9/".parse().unwrap();
    let carrier = Carrier::open(&location, strict()).unwrap();
    let error = run(carrier.get("all.lkb", 10)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.is_passing());
}

#[test]
fn a_poll_is_one_request_where_there_is_a_pointer() {
    let server = Server::start();
    server.set(names::POINTER, b"one");
    let carrier = open(&server, strict());
    run(async {
        assert_eq!(carrier.changed(None).await, Ok(true));
        assert_eq!(carrier.changed(None).await, Ok(false));
        server.set(names::POINTER, b"two");
        assert_eq!(carrier.changed(None).await, Ok(true));
        assert_eq!(carrier.changed(None).await, Ok(false));
    });
    let statuses = server
        .requests()
        .join(", ")
        .replace("GET pointer.dsse.json ", "");
    assert_eq!(statuses, "200, 304, 200, 304");
}

#[test]
fn without_a_pointer_or_tags_the_statement_is_compared() {
    let server = Server::start();
    server.without_tags();
    let carrier = open(&server, strict());
    run(async {
        assert_eq!(carrier.changed(None).await, Ok(true));
        assert_eq!(carrier.changed(None).await, Ok(false));
        server.set(names::RELEASE, b"one");
        assert_eq!(carrier.changed(None).await, Ok(true));
        assert_eq!(carrier.changed(None).await, Ok(false));
        server.set(names::POINTER, b"one");
        assert_eq!(carrier.changed(None).await, Ok(true));
        assert_eq!(carrier.changed(None).await, Ok(false));
    });
}

#[test]
fn an_unchanged_release_is_answered_when_the_wait_is_over() {
    let server = Server::start();
    server.set(names::RELEASE, b"one");
    let carrier = open(&server, strict());
    let wait = Duration::from_millis(700);
    run(async {
        assert_eq!(carrier.changed(Some(wait)).await, Ok(true));
        let start = Clock::now();
        assert_eq!(carrier.changed(Some(wait)).await, Ok(false));
        assert!(start.elapsed() >= wait, "{:?}", start.elapsed());
    });
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_server_that_holds_the_request_tells_a_change_at_once() {
    for (name, of_each) in [(names::POINTER, 1), (names::RELEASE, 2)] {
        let server = Server::start();
        server.hold();
        server.set(name, b"one");
        let carrier = open(&server, strict());
        let writer = server.clone();
        run(async {
            assert_eq!(carrier.changed(None).await, Ok(true));
            let thread = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(900));
                writer.set(name, b"two");
            });
            let start = Clock::now();
            let wait = Some(Duration::from_secs(30));
            assert_eq!(carrier.changed(wait).await, Ok(true));
            assert!(start.elapsed() < Duration::from_secs(5));
            thread.join().unwrap();
        });
        assert_eq!(server.requests().len(), 2 * of_each);
    }
}
