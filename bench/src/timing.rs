//! Timing of what is done in this process.

use std::{fs, time::Instant};

/// Nanoseconds of CPU a round of `round`, the fewest of several: what the machine's other work
/// costs is left out as far as it can be. A round should last for some milliseconds.
pub fn fastest(rounds: usize, mut round: impl FnMut()) -> f64 {
    let once = |()| {
        let (wall, before) = (Instant::now(), own_cpu());
        round();
        let spent = own_cpu().zip(before).map(|(after, before)| after - before);
        spent.unwrap_or_else(|| wall.elapsed().as_nanos() as f64)
    };
    let times = std::iter::repeat_n((), rounds).map(once);
    times.fold(f64::INFINITY, f64::min)
}

/// Nanoseconds that this thread has run, where the kernel counts them.
fn own_cpu() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// The value at this share of a list that is sorted: 0.5 is the median.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The median of a list.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// The least of a list.
pub fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The greatest of a list.
pub fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
