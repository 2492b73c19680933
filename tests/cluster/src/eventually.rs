//! Waiting for a condition, with one generous limit.

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
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "still not so after {LIMIT:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
