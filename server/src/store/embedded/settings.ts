/**
 * How the embedded server is set: everything that Weft promises is durable (`fsync`, `synchronous_commit`,
 * `full_page_writes` stay on), and it is small enough for a laptop. On the command line rather than in a file, so that
 * a newer Weft sets its own; nothing here is secret.
 */
export function serverArguments(folder: string, port: number): string[] {
  const settings: Record<string, string | number> = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '', // a socket's path may have at most 107 bytes, which a data directory easily exceeds
    password_encryption: 'scram-sha-256',

    fsync: 'on',
    synchronous_commit: 'on',
    full_page_writes: 'on',

    max_connections: 60,
    shared_buffers: '64MB',
    work_mem: '4MB',
    maintenance_work_mem: '32MB',
    effective_cache_size: '512MB',
    max_wal_size: '512MB',
    min_wal_size: '80MB',
    huge_pages: 'off',
    jit: 'off',
    max_parallel_workers_per_gather: 0,
    // One engine, no replicas: `minimal` logs less, and these processes would only sit in memory.
    wal_level: 'minimal',
    max_wal_senders: 0,
    max_logical_replication_workers: 0,
    io_method: 'sync',
    autovacuum_max_workers: 2,
    random_page_cost: 1.1,

    timezone: 'UTC',
    log_timezone: 'UTC',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
    log_checkpoints: 'off',
    log_min_messages: 'warning',
    // An error's detail and statement quote rows, hence user data; the message alone does not (R14).
    log_error_verbosity: 'terse',
    log_min_error_statement: 'panic',
  }
  return ['-D', folder, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}
