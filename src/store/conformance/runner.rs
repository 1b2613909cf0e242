//! Runs the task of a test, with the host's own runner if there is one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The future of one test, which a runner runs.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a task to its end, on the calling thread or another. It must not return before that.
pub type Runner = fn(Task);

/// Runs a task to its end without a runtime: the default, for a store that needs none.
pub fn block_on(task: Task) {
    crate::block_on::block_on(task);
}

/// Runs a task, and checks that the runner ran it to its end.
///
/// Without the check, a runner that drops tasks would pass every test. Each `#[test]` that
/// [`tests!`](super::tests) makes calls it.
#[doc(hidden)]
pub fn run(runner: Runner, task: Task) {
    let finished = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&finished);
    runner(Box::pin(async move {
        task.await;
        noted.store(true, Ordering::SeqCst);
    }));
    assert!(finished.load(Ordering::SeqCst), "the runner returned before its task was done");
}
