-- Spreads the tables of privet over a distributed PostgreSQL by tenant, with Citus. Run it once, as the owner of the schema,
-- when the tables are there; with another schema than `privet`, put its name in.
--
-- The key store has a row for each person, so it is spread like the data. Where it is in another database or schema, take its line
-- out here; there, if that database is distributed too, run it with the name of that schema and without `colocate_with`. Keys of
-- the installation have an empty tenant, and are together on one node.
--
-- What stays where it is, on the coordinator, since one instance at a time writes to it and nothing is joined with it:
-- local: privet._privet_migrations (which versions of the tables are there: read when an app starts)
-- local: privet.leases (who does what one instance at a time does: the nodes would not pass over a row that is locked)
-- local: privet.ledger (one chain of lines, whoever appends; best in another database)
SELECT create_reference_table('privet.meta');
SELECT create_distributed_table('privet.notices', 'tenant');
SELECT create_distributed_table('privet.statements', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.consent_records', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.consent_links', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.consent_heads', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.consent_counts', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.contacts', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.conversations', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.messages', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.erased_messages', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.fences', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.outbox', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.retention_rules', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.notes', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.audit_events', 'tenant', colocate_with => 'privet.notices');
SELECT create_distributed_table('privet.keys', 'tenant', colocate_with => 'privet.notices');
