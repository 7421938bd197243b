"""What may change while a process runs: kept in Consul's KV, validated before it is applied."""
