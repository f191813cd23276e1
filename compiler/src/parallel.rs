//! The same work on many things, over all cores, with the results in order.

use std::{
    num::NonZero,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Is told how many things are done, of how many.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize);

/// Does `work` on each item, over all cores. The calling thread only collects, and tells
/// `progress` after each item.
pub fn map<T: Sync, R: Send>(
    items: &[T],
    progress: Progress<'_>,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    if cores.min(items.len()) <= 1 {
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(work(item));
            progress(results.len(), items.len());
        }
        return results;
    }
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..cores.min(items.len()) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    if sender.send((at, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (done, (at, result)) in receiver.into_iter().enumerate() {
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result);
            }
            progress(done + 1, items.len());
        }
    });
    results.into_iter().flatten().collect()
}

/// The same, and nobody is told.
pub fn map_quietly<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
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
        assert_eq!((told.len(), told.last()), (1000, Some(&(1000, 1000))));
        assert!(map_quietly(&[] as &[u8], |it| *it).is_empty());
    }
}
