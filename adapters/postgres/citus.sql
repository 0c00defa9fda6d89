-- Spreads the tables of privet over a distributed PostgreSQL by tenant, with Citus. Run it once, as the owner of the schema,
-- when the tables are there; with another schema than `privet`, put its name in. The tables of the key store and of the
-- ledger are small and stay where they are.
SELECT create_reference_table('privet.meta');
SELECT create_reference_table('privet.leases');
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
