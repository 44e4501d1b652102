-- Attempts that wait for their retry are found by its time, without a look at any other event. A number of any kind will
-- do: an expression that raised an error would keep the event from being written.
create index run_events_retries on run_events ((json_text(data, 'retryAt')::numeric), run_id)
  where type = 'attempt.failed';
