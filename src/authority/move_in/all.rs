//! Awaits several futures of one kind.

use std::pin::Pin;
use std::task::Poll;

/// Awaits all futures at once, and returns their outputs in order.
pub(super) async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> =
        futures.into_iter().map(|future| Running::Pending(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for one in &mut running {
            if let Running::Pending(future) = one {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *one = Running::Done(output),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // All are done by now, so no pending one is dropped.
    let outputs = running.into_iter().filter_map(|one| match one {
        Running::Done(output) => Some(output),
        Running::Pending(_) => None,
    });
    outputs.collect()
}

enum Running<F: Future> {
    Pending(Pin<Box<F>>),
    Done(F::Output),
}
