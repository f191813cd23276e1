use super::*;
use crate::testing::noise;

fn subject(bytes: &[u8]) -> Subject {
    Subject::of("github.lkb", bytes)
}

#[test]
fn a_small_change_is_a_small_patch_however_far_back_it_reaches() {
    let old = noise(6 << 20, 1);
    let mut new = noise(100, 2);
    new.extend_from_slice(&old);
    new.truncate(5 << 20);
    let patch = make(&old, &new).unwrap();
    assert!(patch.len() < 16 << 10, "{}", patch.len());
    assert_eq!(apply(&old, &patch, &subject(&new)), Ok(new.clone()));
    assert_eq!(make(&old, &new), Ok(patch));
}

#[test]
fn from_nothing_it_is_the_compressed_file() {
    let new = b"binding ".repeat(10_000);
    let patch = make(b"", &new).unwrap();
    assert!(patch.len() < 200, "{}", patch.len());
    assert_eq!(apply(b"", &patch, &subject(&new)), Ok(new));
    let nothing = make(b"", b"").unwrap();
    assert_eq!(apply(b"", &nothing, &subject(b"")), Ok(Vec::new()));
}

#[test]
fn any_frame_that_makes_other_bytes_is_refused() {
    let (old, new) = (noise(50_000, 1), noise(50_000, 2));
    let patch = make(&old, &new).unwrap();
    let wanted = subject(&new);
    let other = make(&old, &noise(50_000, 3)).unwrap();
    assert_eq!(apply(&old, &other, &wanted), Err(PatchError::Mismatch));
    let shorter = make(&old, &new[1..]).unwrap();
    assert_eq!(apply(&old, &shorter, &wanted), Err(PatchError::Mismatch));
    let close = [&new[..], b"tail"].concat();
    let of_close = make(&new, &close).unwrap();
    // Without the old version that it refers to, a patch makes nothing or nonsense.
    assert!(apply(b"", &of_close, &subject(&close)).is_err());
    assert!(apply(&old, &of_close, &subject(&close)).is_err());
    for cut in [0, 1, 4, patch.len() / 2, patch.len() - 1] {
        assert!(apply(&old, &patch[..cut], &wanted).is_err(), "{cut}");
    }
    assert!(apply(&old, &noise(1000, 4), &wanted).is_err());
}

#[test]
fn a_bomb_is_stopped_at_the_signed_size() {
    let bomb = make(b"", &vec![0; 64 << 20]).unwrap();
    assert!(bomb.len() < 64 << 10, "{}", bomb.len());
    let wanted = subject(b"a few bytes");
    assert_eq!(apply(b"", &bomb, &wanted), Err(PatchError::Unreadable));
    // Many frames one after the other are no way around it.
    let frame = make(b"", b"a few bytes").unwrap();
    let many = frame.repeat(1000);
    assert!(apply(b"", &many, &wanted).is_err());
}

#[test]
fn a_subject_of_absurd_size_is_refused_before_anything_is_reserved() {
    let mut absurd = subject(b"x");
    absurd.size = u64::MAX;
    let patch = make(b"", b"x").unwrap();
    assert_eq!(apply(b"", &patch, &absurd), Err(PatchError::TooLarge));
}

#[test]
fn every_flipped_bit_of_a_patch_is_an_error_or_the_same_bytes() {
    let old = noise(3000, 1);
    let mut new = old.clone();
    new.splice(1000..1010, *b"changed in the middle");
    let patch = make(&old, &new).unwrap();
    for bit in 0..patch.len() * 8 {
        let mut flipped = patch.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(bytes) = apply(&old, &flipped, &subject(&new)) {
            assert_eq!(bytes, new);
        }
    }
}
