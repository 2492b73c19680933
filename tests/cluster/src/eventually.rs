//! Waiting for a condition, with one generous limit.

use std::fmt::Display;
use std::time::Duration;

/// Long enough for the slowest machine; nothing waits so long unless it fails.
const LIMIT: Duration = Duration::from_secs(60);
/// Short enough not to slow a test down.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks again and again until there is an answer.
///
/// # Panics
/// There is none for a minute.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_ok(what, async || ask().await.ok_or("")).await
}

/// Asks again and again until the answer is no error any more.
///
/// # Panics
/// There is none for a minute; the last error is told.
pub async fn eventually_ok<T, E: Display>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if tokio::time::Instant::now() >= deadline => {
                panic!("still not so after {LIMIT:?}: {what}\n{error}");
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
