alter table approvals alter column step_key drop not null;
alter table approvals add column patch json;
