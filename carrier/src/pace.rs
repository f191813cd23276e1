//! When to look again: poll intervals, backoff, start delays.
