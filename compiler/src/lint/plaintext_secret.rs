//! Text that looks like a secret: a policy is read by many, and Git forgets nothing.

use crate::{
    diag::{Diagnostic, codes},
    parallel,
    project::Project,
    source::{SourceMap, Span},
};

/// What secrets of well-known issuers begin with, and whose they are.
const PREFIXES: &[(&str, &str)] = &[
    ("AIza", "a Google API key"),
    ("AKIA", "an AWS access key"),
    ("ASIA", "an AWS access key"),
    ("dop_v1_", "a DigitalOcean token"),
    ("eyJ", "a signed token"),
    ("gho_", "a GitHub token"),
    ("ghp_", "a GitHub token"),
    ("ghs_", "a GitHub token"),
    ("ghu_", "a GitHub token"),
    ("github_pat_", "a GitHub token"),
    ("glpat-", "a GitLab token"),
    ("hf_", "a Hugging Face token"),
    ("npm_", "an npm token"),
    ("pypi-", "a PyPI token"),
    ("rk_live_", "a Stripe key"),
    ("shpat_", "a Shopify token"),
    ("sk-", "an API key"),
    ("sk_live_", "a Stripe key"),
    ("xoxb-", "a Slack token"),
    ("xoxp-", "a Slack token"),
    ("ya29", "a Google token"),
];
/// The fewest characters of a word that is looked at: those of a private key's first line.
const SHORTEST: usize = 10;
/// The fewest characters after a prefix.
const REST: usize = 12;
/// The fewest characters of a text that is judged by how random it is.
const RANDOM: usize = 24;
/// What a random text has at least, in bits for each character.
const ENTROPY: f64 = 4.2;
/// Keys of public things that look random: members of a JSON Web Key, and digests.
const PUBLIC: &[&str] = &[
    "x", "y", "n", "e", "kid", "x5t", "x5t#S256", "x5c", "id", "sha256",
];

pub(super) fn check(project: &Project, sources: &SourceMap, found: &mut Vec<Diagnostic>) {
    let files = sources.files();
    let files: Vec<_> = files
        .filter(|(_, file)| project.includes(file.path()) && file.invalid_at().is_none())
        .collect();
    let all = parallel::map_quietly(&files, |(id, file)| {
        let text = file.text();
        let secrets = words(text).filter_map(|(at, word)| {
            let what = secret(text, at, word)?;
            Some((Span::new(*id, at..at + word.len()), what))
        });
        secrets.collect::<Vec<_>>()
    });
    found.extend(all.into_iter().flatten().map(|(span, what)| {
        Diagnostic::new(
            &codes::PLAINTEXT_SECRET,
            span,
            format!("this looks like {what}"),
        )
        .help(
            "take it out, and have it replaced where it was issued: who can read this \
             repository has it. If it is no secret, say so: \
             `# latchkey: allow(plaintext-secret): why`",
        )
    }));
}

/// The words of a text that are long enough, each with its place.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |byte: &u8| PART.get(usize::from(*byte)) == Some(&true);
    let mut from = 0;
    std::iter::from_fn(move || {
        // A word that is long enough has its last byte at `end`, or goes on past it: most bytes of
        // short words are never looked at.
        while let Some(window) = text.as_bytes().get(from..from + SHORTEST) {
            let end = from + SHORTEST;
            if let Some(apart) = window.iter().rposition(|it| !is_part(it)) {
                from += apart + 1;
                continue;
            }
            let rest = text.as_bytes().get(end..).unwrap_or_default();
            let more = rest.iter().take_while(|it| is_part(it)).count();
            let word = from..end + more;
            from = word.end + 1;
            return Some((word.start, text.get(word)?));
        }
        None
    })
}

/// Which bytes are part of a word: every byte of every text is asked.
#[expect(
    clippy::indexing_slicing,
    reason = "it is done while compiling, and every byte is below 256"
)]
static PART: [bool; 256] = {
    let mut part = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        part[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-');
        byte += 1;
    }
    part
};

/// What a word is that looks like a secret.
fn secret(text: &str, at: usize, word: &str) -> Option<&'static str> {
    if word.starts_with("-----BEGIN") || word.ends_with("-----BEGIN") {
        let line = text.get(at..)?.lines().next()?;
        return line.contains("PRIVATE KEY-----").then_some("a private key");
    }
    // Most words are none, and have no digit either.
    if !word.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    let first = |text: &str| text.bytes().next();
    let alike = PREFIXES
        .iter()
        .filter(|(prefix, _)| first(prefix) == first(word));
    let known = { alike }.find(|(prefix, _)| {
        let rest = word.strip_prefix(prefix).unwrap_or_default();
        rest.len() >= REST && rest.bytes().any(|b| b.is_ascii_digit())
    });
    if let Some((_, what)) = known {
        return Some(what);
    }
    (is_random(word) && !PUBLIC.contains(&key(text, at))).then_some("a secret: it is random")
}

/// The key before a value.
fn key(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let before = before.trim_end_matches(['"', '\'', ' ', '[']);
    let Some(before) = before.strip_suffix(':') else {
        return "";
    };
    let apart = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '#'));
    before
        .trim_end_matches('"')
        .rsplit(apart)
        .next()
        .unwrap_or_default()
}

/// Whether a word is long, mixed, and without a pattern.
fn is_random(word: &str) -> bool {
    let count = |class: fn(&u8) -> bool| word.bytes().filter(class).count();
    let mixed = || {
        count(u8::is_ascii_digit) >= 3
            && count(u8::is_ascii_lowercase) >= 3
            && count(u8::is_ascii_uppercase) >= 3
            && !word.contains("//")
    };
    word.len() >= RANDOM && mixed() && entropy(word) >= ENTROPY
}

/// The entropy of the characters of a word, in bits for each.
fn entropy(word: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    for byte in word.bytes() {
        *counts.entry(byte).or_insert(0_u32) += 1;
    }
    let all = f64::from(u32::try_from(word.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / all;
    -counts
        .values()
        .map(|count| share(count) * share(count).log2())
        .sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let all = words(text).filter_map(|(at, word)| secret(text, at, word));
        all.collect()
    }

    #[test]
    fn known_prefixes_private_keys_and_random_texts_are_found() {
        assert_eq!(
            found("force: ghp_0123456789abcdefghij0123456789abcdef"),
            ["a GitHub token"]
        );
        assert_eq!(found("é: \"xoxb-1234567890-abcdefgh\""), ["a Slack token"]);
        let key = format!("a: |\n  -----BEGIN {} KEY-----\n", "EC PRIVATE");
        assert_eq!(found(&key), ["a private key"]);
        assert_eq!(
            found("force: tN7xQ2vLp9Rk4Ws8Jd3Hf6Zy1Bc5Mg0"),
            ["a secret: it is random"]
        );
    }

    #[test]
    fn names_addresses_digests_and_public_keys_are_not() {
        for text in [
            "payments-refunder-for-the-whole-organization-2026",
            "https://tools.acme.example/payments/v1/refunds",
            "id: 0192f0c1-7a10-7c3e-9b5a-5d1f0c9a1e01",
            "{x: _QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0}",
            "\"x\": \"_QXxeV0rscsV56Lqbmmu2Us9TfJrLY7tBvnz0vvXfd0\"",
            "-----BEGIN PUBLIC KEY-----",
            "sk-something-without-digits-at-all",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
