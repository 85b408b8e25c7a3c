"""The way out: dispatching the queue, finding servers, TLS policy, the attempt, retries and reports."""
