//! The same work on many things, over all cores, with the results in order.

use std::{
    num::NonZero,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Is told how many things are done, of how many.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

/// Does `work` on each item, over all cores. The calling thread works too, and tells `progress`
/// after each item of its own and at the end.
pub fn map<T: Sync, R: Send + Sync>(
    items: &[T],
    progress: Progress<'_>,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let results: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = |tell: Progress<'_>| {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(result)) = (items.get(at), results.get(at)) else {
                break;
            };
            result.get_or_init(|| work(item));
            tell(done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
        }
    };
    thread::scope(|scope| {
        for _ in 1..cores.min(items.len()) {
            scope.spawn(|| worker(&mut |_, _| {}));
        }
        worker(progress);
    });
    progress(items.len(), items.len());
    results
        .into_iter()
        .filter_map(OnceLock::into_inner)
        .collect()
}

/// The same, and nobody is told.
pub fn map_quietly<T: Sync, R: Send + Sync>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    map(items, &mut |_, _| {}, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..1000).collect();
        let mut told = Vec::new();
        let squares = map(&items, &mut |done, all| told.push((done, all)), |it| {
            it * it
        });
        assert!(
            squares
                .iter()
                .zip(&items)
                .all(|(square, it)| *square == it * it)
        );
        assert_eq!(squares.len(), 1000);
        assert_eq!(told.last(), Some(&(1000, 1000)));
        assert!(told.is_sorted() && told.iter().all(|(done, all)| done <= all && *all == 1000));
        assert!(map_quietly(&[] as &[u8], |it| *it).is_empty());
    }
}
