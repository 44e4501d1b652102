-- Dead letters are found by their time, without a look at any other event.
create index run_events_failed on run_events (at, run_id, seq) where type = 'step.failed';
