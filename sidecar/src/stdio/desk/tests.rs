use super::*;

const ROOM: Room = Room {
    bytes: 1000,
    requests: 2,
    linger: Duration::from_hours(1),
};

fn request(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"_meta":{{"progressToken":{id}}}}}}}"#
    )
}

fn ask(desk: &Arc<Desk>, id: &str) -> Result<(Letters, Ticket), NotSent> {
    let text = request(id);
    desk.ask(&Message::read(text.as_bytes()).unwrap())
}

fn cancel(desk: &Desk, id: &str) -> Result<(), NotSent> {
    tell(
        desk,
        &format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        ),
    )
}

fn tell(desk: &Desk, text: &str) -> Result<(), NotSent> {
    desk.tell(&Message::read(text.as_bytes()).unwrap())
}

async fn next(letters: &mut Letters) -> String {
    let message = letters.next().await.unwrap().unwrap();
    String::from_utf8(message.to_vec()).unwrap()
}

#[tokio::test]
async fn two_callers_with_one_id_get_their_own_answers() {
    let (desk, mut lines) = Desk::new(Era::Shared, ROOM);
    let (mut one, _one) = ask(&desk, "\"x\"").unwrap();
    let (mut two, _two) = ask(&desk, "\"x\"").unwrap();
    assert!(next(&mut lines).await.contains("\"id\":1,"));
    assert!(next(&mut lines).await.contains("\"id\":2,"));
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":2,"result":{"n":2}}"#),
        Heard::Passed
    );
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":1,"result":{"n":1}}"#),
        Heard::Passed
    );
    assert_eq!(
        next(&mut one).await,
        r#"{"jsonrpc":"2.0","id":"x","result":{"n":1}}"#
    );
    assert_eq!(
        next(&mut two).await,
        r#"{"jsonrpc":"2.0","id":"x","result":{"n":2}}"#
    );
    assert!(one.is_over() && two.is_over());
    // Answered, so there is nothing to take back; and never twice.
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Heard::Passed
    );
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":3,"result":{}}"#),
        Heard::Dropped
    );
    assert!(one.is_over());
}

#[tokio::test]
async fn a_shared_child_asks_nobody_and_speaks_to_nobody_in_general() {
    let (desk, mut lines) = Desk::new(Era::Shared, ROOM);
    let (letters, ticket) = ask(&desk, "1").unwrap();
    next(&mut lines).await;
    let said = br#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    assert_eq!(desk.hear(said), Heard::Dropped);
    let asked = br#"{"jsonrpc":"2.0","id":"s","method":"roots/list"}"#;
    assert_eq!(desk.hear(asked), Heard::Dropped);
    let refusal = next(&mut lines).await;
    assert!(
        refusal.contains("\"id\":\"s\"") && refusal.contains("-32601"),
        "{refusal}"
    );
    assert_eq!(
        tell(&desk, r#"{"jsonrpc":"2.0","id":"s","result":{}}"#),
        Err(NotSent::Unfit)
    );
    assert_eq!(desk.watch().unwrap_err(), NotSent::Unfit);
    drop((letters, ticket));
    assert!(next(&mut lines).await.contains("\"requestId\":1"));
}

#[tokio::test]
async fn a_session_asks_its_caller_and_only_what_was_asked_is_answered() {
    let (desk, mut lines) = Desk::new(Era::Session, ROOM);
    let mut watcher = desk.watch().unwrap();
    assert_eq!(desk.watch().unwrap_err(), NotSent::Unfit);
    let asked = br#"{"jsonrpc":"2.0","id":"s","method":"roots/list"}"#;
    assert_eq!(desk.hear(asked), Heard::Passed);
    assert!(next(&mut watcher).await.contains("roots/list"));
    assert_eq!(
        tell(&desk, r#"{"jsonrpc":"2.0","id":"t","result":{}}"#),
        Err(NotSent::Unfit)
    );
    assert_eq!(
        tell(&desk, r#"{"jsonrpc":"2.0","id":"s","result":{}}"#),
        Ok(())
    );
    assert!(next(&mut lines).await.contains("\"id\":\"s\""));
    assert_eq!(
        tell(&desk, r#"{"jsonrpc":"2.0","id":"s","result":{}}"#),
        Err(NotSent::Unfit)
    );
    // While a call is worked on, it is part of the call.
    let (mut letters, _ticket) = ask(&desk, "\"c\"").unwrap();
    assert_eq!(desk.hear(asked), Heard::Passed);
    assert!(next(&mut letters).await.contains("roots/list"));
    let changed = br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    assert_eq!(desk.hear(changed), Heard::Passed);
    assert!(next(&mut watcher).await.contains("list_changed"));
}

#[tokio::test]
async fn who_never_answers_is_asked_on_and_the_oldest_questions_are_given_up() {
    let (desk, mut lines) = Desk::new(Era::Session, ROOM);
    let answer = |id: usize| {
        tell(
            &desk,
            &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#),
        )
    };
    for id in 0..=ASKED {
        let mut watcher = desk.watch().unwrap();
        let asked = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#);
        assert_eq!(desk.hear(asked.as_bytes()), Heard::Passed);
        assert!(next(&mut watcher).await.contains("roots/list"));
    }
    let refused = next(&mut lines).await;
    assert!(refused.contains("\"id\":0,\"error\""), "{refused}");
    assert_eq!(answer(0), Err(NotSent::Unfit));
    assert_eq!(answer(1), Ok(()));
    assert_eq!(answer(ASKED), Ok(()));
}

#[tokio::test]
async fn a_caller_cancels_its_own_requests_only() {
    let (desk, mut lines) = Desk::new(Era::Session, ROOM);
    let (_letters, _ticket) = ask(&desk, "\"c\"").unwrap();
    next(&mut lines).await;
    assert_eq!(cancel(&desk, "1"), Err(NotSent::Unfit));
    assert_eq!(cancel(&desk, "\"c\""), Ok(()));
    assert!(next(&mut lines).await.contains("\"requestId\":1"));
    // Of a shared child it could be somebody else's.
    let (desk, _lines) = Desk::new(Era::Shared, ROOM);
    let _open = ask(&desk, "\"c\"").unwrap();
    assert_eq!(cancel(&desk, "\"c\""), Err(NotSent::Unfit));
}

#[tokio::test]
async fn what_is_cancelled_ends_unanswered_and_takes_up_no_room() {
    let (desk, _lines) = Desk::new(Era::Session, ROOM);
    let progress = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let (mut letters, _one) = ask(&desk, "1").unwrap();
    let (mut other, _two) = ask(&desk, "2").unwrap();
    assert_eq!(desk.hear(progress), Heard::Passed);
    assert_eq!(cancel(&desk, "1"), Ok(()));
    assert!(next(&mut letters).await.contains("progress"));
    assert!(letters.is_over() && !letters.is_answered());
    assert_eq!(letters.next().await, None);
    // What is still said of it is nobody else's, and its answer comes too late.
    assert_eq!(desk.hear(progress), Heard::Dropped);
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Heard::Passed
    );
    assert_eq!(cancel(&desk, "1"), Err(NotSent::Unfit));
    let (mut again, _again) = ask(&desk, "1").unwrap();
    for (number, letters) in [(2, &mut other), (3, &mut again)] {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{}}}}"#);
        assert_eq!(desk.hear(answer.as_bytes()), Heard::Passed);
        assert!(next(letters).await.contains("result"));
        assert!(letters.is_answered());
    }
}

#[tokio::test]
async fn a_cancellation_that_is_not_sent_changes_nothing() {
    let room = Room { bytes: 150, ..ROOM };
    let (desk, _lines) = Desk::new(Era::Session, room);
    let (mut letters, _ticket) = ask(&desk, "1").unwrap();
    assert_eq!(cancel(&desk, "1"), Err(NotSent::Busy));
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Heard::Passed
    );
    assert!(next(&mut letters).await.contains("result"));
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_goes_on_and_takes_up_room_for_a_while() {
    let (desk, mut lines) = Desk::new(Era::Session, ROOM);
    let before = desk.used();
    drop(ask(&desk, "1").unwrap());
    drop(ask(&desk, "2").unwrap());
    assert!(desk.used() > before);
    assert_eq!(ask(&desk, "3").unwrap_err(), NotSent::Busy);
    // It was not taken back, but can be.
    next(&mut lines).await;
    next(&mut lines).await;
    assert_eq!(cancel(&desk, "2"), Ok(()));
    assert!(next(&mut lines).await.contains("\"requestId\":2"));
    let _three = ask(&desk, "3").unwrap();
    assert_eq!(ask(&desk, "4").unwrap_err(), NotSent::Busy);
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Heard::Passed
    );
    ask(&desk, "4").unwrap();
}

#[tokio::test]
async fn what_nobody_has_waited_for_in_a_long_time_makes_room() {
    let linger = Duration::ZERO;
    let (desk, _lines) = Desk::new(Era::Session, Room { linger, ..ROOM });
    let (_letters, _ticket) = ask(&desk, "1").unwrap();
    for id in ["2", "3", "4"] {
        drop(ask(&desk, id).unwrap());
    }
    let (mut letters, _last) = ask(&desk, "5").unwrap();
    assert_eq!(ask(&desk, "6").unwrap_err(), NotSent::Busy);
    // Its answer is tolerated all the same.
    for number in [2, 5] {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{number},"result":{{}}}}"#);
        assert_eq!(desk.hear(answer.as_bytes()), Heard::Passed);
    }
    assert!(next(&mut letters).await.contains("\"id\":5"));
}

#[tokio::test]
async fn of_two_calls_with_one_id_the_last_is_cancelled() {
    let (desk, mut lines) = Desk::new(Era::Session, ROOM);
    drop(ask(&desk, "1").unwrap());
    let (mut letters, _ticket) = ask(&desk, "1").unwrap();
    next(&mut lines).await;
    next(&mut lines).await;
    assert_eq!(cancel(&desk, "1"), Ok(()));
    assert!(next(&mut lines).await.contains("\"requestId\":2"));
    assert_eq!(letters.next().await, None);
}

#[tokio::test]
async fn who_has_too_much_to_do_is_not_asked() {
    let (desk, _lines) = Desk::new(Era::Session, ROOM);
    let _one = ask(&desk, "1").unwrap();
    let _two = ask(&desk, "2").unwrap();
    assert_eq!(ask(&desk, "3").unwrap_err(), NotSent::Busy);
    let (desk, _lines) = Desk::new(
        Era::Session,
        Room {
            bytes: 150,
            requests: 9,
            ..ROOM
        },
    );
    let _one = ask(&desk, "1").unwrap();
    assert_eq!(ask(&desk, "2").unwrap_err(), NotSent::Busy);
    let told = r#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{"long":"enough to be too much"}}"#;
    assert_eq!(tell(&desk, told), Err(NotSent::Busy));
}

#[tokio::test]
async fn a_slow_caller_loses_what_is_said_on_the_way_and_not_the_answer() {
    let (desk, _lines) = Desk::new(Era::Session, ROOM);
    let (mut letters, _ticket) = ask(&desk, "\"c\"").unwrap();
    let progress = br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    let passed = (0..100)
        .filter(|_| desk.hear(progress) == Heard::Passed)
        .count();
    assert!(passed > 5 && passed < 20, "{passed}");
    assert_eq!(
        desk.hear(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        Heard::Passed
    );
    let mut last = String::new();
    while let Some(message) = letters.next().await {
        last = String::from_utf8(message.unwrap().to_vec()).unwrap();
    }
    assert!(last.contains("result"), "{last}");
}

#[tokio::test]
async fn when_a_child_ends_nobody_waits() {
    let (desk, mut lines) = Desk::new(Era::Session, ROOM);
    let (mut letters, _ticket) = ask(&desk, "1").unwrap();
    let mut watcher = desk.watch().unwrap();
    desk.end();
    assert_eq!(letters.next().await, Some(Err(BrokenOff)));
    assert_eq!(watcher.next().await, Some(Err(BrokenOff)));
    assert!(lines.next().await.is_some());
    assert!(lines.next().await.is_none());
    assert_eq!(ask(&desk, "2").unwrap_err(), NotSent::Gone);
    assert_eq!(desk.watch().unwrap_err(), NotSent::Gone);
}
