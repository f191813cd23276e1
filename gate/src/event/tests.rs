use super::*;

fn chain(count: usize) -> Vec<String> {
    let mut hash = String::new();
    (0..count)
        .map(|at| {
            let id = format!("event-{at}");
            let exchanged = Exchanged {
                event_id: &id,
                ..Exchanged::default()
            };
            let line = Event::lifecycle("bundle_loaded", &exchanged).seal(&hash);
            hash = line.hash;
            line.text
        })
        .collect()
}

fn verify(lines: &[String]) -> Result<usize, ChainError> {
    verify_chain(lines.iter().map(String::as_str))
}

#[test]
fn an_untouched_chain_holds() {
    assert_eq!(verify(&chain(5)), Ok(5));
    assert_eq!(verify(&chain(5)[2..]), Ok(3));
    assert_eq!(verify(&[]), Ok(0));
}

#[test]
fn every_kind_of_tampering_is_seen() {
    let mut changed = chain(3);
    changed[1] = changed[1].replace("event-1", "event-9");
    assert_eq!(verify(&changed).unwrap_err().line, 2);

    let mut removed = chain(3);
    removed.remove(1);
    assert_eq!(verify(&removed).unwrap_err().line, 2);

    let mut swapped = chain(3);
    swapped.swap(1, 2);
    assert_eq!(verify(&swapped).unwrap_err().line, 2);

    let mut cut = chain(2);
    cut[1].pop();
    assert_eq!(verify(&cut).unwrap_err().line, 2);

    let mut doubled = chain(2);
    let again = doubled[1].clone();
    doubled.push(again);
    assert_eq!(verify(&doubled).unwrap_err().line, 3);
}

#[test]
fn an_event_reads_back_as_it_was_written() {
    let event = Event::lifecycle("bundle_loaded", &Exchanged::default());
    let line = event.seal("");
    assert!(!line.text.contains('\n'));
    assert_eq!(serde_json::from_str::<Event>(&line.text).unwrap(), event);
}
