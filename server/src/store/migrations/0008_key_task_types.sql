-- The task types that a key of the role `worker` is for; null: all.
alter table api_keys add column task_types text[];
