import type { Risk } from '../effects.ts';

/** What changing a setting can do. */
export interface SettingFacts {
  readonly risk: Risk;
  /** Why it is not safe; empty where it is. */
  readonly reason: string;
}

interface Group extends SettingFacts {
  readonly names: string;
}

const GROUPS: readonly Group[] = [
  {
    risk: 'safe',
    reason: '',
    names: `application_name datestyle intervalstyle timezone lc_messages lc_monetary lc_numeric lc_time
      extra_float_digits bytea_output xmlbinary xmloption statement_timeout lock_timeout
      idle_in_transaction_session_timeout idle_session_timeout transaction_timeout client_min_messages
      default_transaction_isolation transaction_isolation default_transaction_deferrable transaction_deferrable
      default_text_search_config geqo geqo_threshold geqo_effort geqo_pool_size geqo_generations
      geqo_selection_bias geqo_seed seed work_mem maintenance_work_mem hash_mem_multiplier temp_buffers
      logical_decoding_work_mem effective_cache_size random_page_cost seq_page_cost cpu_tuple_cost
      cpu_index_tuple_cost cpu_operator_cost parallel_setup_cost parallel_tuple_cost effective_io_concurrency
      maintenance_io_concurrency min_parallel_table_scan_size min_parallel_index_scan_size
      max_parallel_workers max_parallel_workers_per_gather max_parallel_maintenance_workers
      default_statistics_target constraint_exclusion cursor_tuple_fraction from_collapse_limit
      join_collapse_limit plan_cache_mode recursive_worktable_factor jit jit_above_cost jit_inline_above_cost
      jit_optimize_above_cost parallel_leader_participation tcp_keepalives_idle tcp_keepalives_interval
      tcp_keepalives_count tcp_user_timeout client_connection_check_interval gin_fuzzy_search_limit
      gin_pending_list_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_hit vacuum_cost_page_miss
      vacuum_cost_page_dirty vacuum_freeze_min_age vacuum_freeze_table_age vacuum_multixact_freeze_min_age
      vacuum_multixact_freeze_table_age vacuum_failsafe_age vacuum_multixact_failsafe_age
      enable_async_append enable_bitmapscan enable_gathermerge enable_group_by_reordering enable_hashagg
      enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material
      enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash
      enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join
      enable_presorted_aggregate enable_seqscan enable_self_join_elimination enable_sort enable_tidscan
      default_toast_compression default_with_oids operator_precedence_warning password_encryption
      debug_print_parse debug_print_rewritten debug_print_plan debug_pretty_print
      stats_fetch_consistency escape_string_warning quote_all_identifiers scram_iterations
      icu_validation_level trace_notify trace_sort backend_flush_after commit_siblings commit_delay
      max_stack_depth transform_null_equals synchronize_seqscans timezone_abbreviations
      enable_distinct_reordering io_combine_limit md5_password_warnings vacuum_buffer_usage_limit
      vacuum_max_eager_freeze_failure_rate vacuum_truncate temp_file_limit exit_on_error wal_sender_timeout
      default_tablespace temp_tablespaces default_table_access_method`,
  },
  {
    risk: 'low',
    reason: 'changes where names are looked up',
    names: 'search_path',
  },
  {
    risk: 'low',
    reason: 'changes how text is read',
    names: 'client_encoding standard_conforming_strings backslash_quote array_nulls',
  },
  {
    risk: 'low',
    reason: 'changes whether transactions may write',
    names: 'default_transaction_read_only transaction_read_only',
  },
  {
    risk: 'low',
    reason: 'changes when function bodies are checked',
    names: 'check_function_bodies createrole_self_grant event_source restrict_nonsystem_relation_kind',
  },
  {
    risk: 'low',
    reason: 'changes what is logged or counted',
    names: `backtrace_functions log_statement log_duration log_min_messages log_min_error_statement log_min_duration_statement
      log_min_duration_sample log_statement_sample_rate log_transaction_sample_rate log_parameter_max_length
      log_parameter_max_length_on_error log_error_verbosity log_lock_waits log_lock_failures log_temp_files
      log_replication_commands log_executor_stats log_parser_stats log_planner_stats log_statement_stats
      track_activities track_activity_query_size track_counts track_functions track_io_timing
      track_wal_io_timing track_cost_delay_timing compute_query_id update_process_title deadlock_timeout`,
  },
  {
    risk: 'low',
    reason: 'changes how durably commits are written',
    names: 'synchronous_commit wal_compression wal_skip_threshold wal_init_zero wal_recycle file_copy_method',
  },
  { risk: 'high', reason: 'acts as another role', names: 'role' },
  {
    risk: 'critical',
    reason: 'changes the identity of the session',
    names: 'session_authorization is_superuser',
  },
  {
    risk: 'critical',
    reason: 'disables triggers and foreign keys',
    names: 'session_replication_role',
  },
  // Off does not lift row security: a query that it would have filtered fails instead. pg_dump sets it.
  { risk: 'low', reason: 'makes row security fail instead of filter', names: 'row_security' },
  {
    risk: 'critical',
    reason: 'disables a protection of the server',
    names: `allow_system_table_mods lo_compat_privileges event_triggers ignore_system_indexes
      ignore_checksum_failure zero_damaged_pages ignore_invalid_pages allow_in_place_tablespaces
      wal_consistency_checking jit_debugging_support jit_dump_bitcode jit_profiling_support jit_expressions
      jit_tuple_deforming debug_discard_caches debug_io_direct debug_parallel_query force_parallel_mode
      debug_logical_replication_streaming debug_copy_parse_plan_trees debug_write_read_parse_plan_trees
      debug_raw_expression_coverage_test allow_alter_system extension_control_path`,
  },
  {
    risk: 'forbidden',
    reason: 'loads code into the server',
    names: `local_preload_libraries session_preload_libraries shared_preload_libraries dynamic_library_path
      jit_provider archive_library`,
  },
];

const FACTS: ReadonlyMap<string, SettingFacts> = new Map(
  GROUPS.flatMap(({ names, risk, reason }) =>
    names
      .trim()
      .split(/\s+/)
      .map((name) => [name, Object.freeze({ risk, reason })] as const),
  ),
);

const CUSTOM: SettingFacts = Object.freeze({ risk: 'safe', reason: '' });
const GUARDED: SettingFacts = Object.freeze({ risk: 'critical', reason: 'changes a setting of the gateway' });
const EXTENSION: SettingFacts = Object.freeze({ risk: 'high', reason: 'changes a setting of an extension' });
const UNKNOWN: SettingFacts = Object.freeze({ risk: 'critical', reason: 'changes an unknown setting' });

/** Prefixes of extensions whose settings run code or switch off what they watch. */
const EXTENSION_PREFIXES: ReadonlySet<string> = new Set([
  'plpgsql',
  'plperl',
  'plpython',
  'pltcl',
  'plv8',
  'pgaudit',
  'auto_explain',
  'pg_stat_statements',
  'citus',
  'timescaledb',
  'anon',
  'sepgsql',
  'pg_hint_plan',
]);

/**
 * What is known of a setting by its name, in any case. A name with a dot is an application's own variable,
 * which does nothing by itself, unless it belongs to an extension that is known to act on it.
 */
export function settingFacts(name: string): SettingFacts {
  const lower = name.toLowerCase();
  const known = FACTS.get(lower);
  if (known !== undefined) return known;
  const dot = lower.indexOf('.');
  if (dot < 0) return UNKNOWN;
  const prefix = lower.slice(0, dot);
  if (prefix === 'holdfast') return GUARDED;
  return EXTENSION_PREFIXES.has(prefix) ? EXTENSION : CUSTOM;
}

const ON = ['on', 'true', 'yes', '1', 't', 'y'];
const OFF = ['off', 'false', 'no', '0', 'f', 'n'];

/** Values that give a protection back, which pg_dump and careful applications set. */
const PROTECTING_VALUES: ReadonlyMap<string, readonly string[]> = new Map([
  ['session_replication_role', ['origin', 'local']],
  ['standard_conforming_strings', ON],
  ['row_security', ON],
  ['transaction_read_only', ON],
  ['default_transaction_read_only', ON],
  ['synchronous_commit', ['on', 'remote_apply', 'remote_write', 'local', 'true', 'yes', '1']],
  ['allow_system_table_mods', OFF],
  ['lo_compat_privileges', OFF],
  ['zero_damaged_pages', OFF],
  ['ignore_checksum_failure', OFF],
  ['ignore_system_indexes', OFF],
]);

const PROTECTING: SettingFacts = Object.freeze({ risk: 'safe', reason: '' });
const CLEARED: SettingFacts = Object.freeze({ risk: 'low', reason: 'gives a setting its default back' });

/** The facts of setting a name to a value; null is a value that the text does not tell. */
export function assignmentFacts(name: string, value: string | null): SettingFacts {
  const values = PROTECTING_VALUES.get(name.toLowerCase());
  if (value !== null && values?.includes(value.toLowerCase())) return PROTECTING;
  return settingFacts(name);
}

/** The facts of giving a setting its default back: the session is then as the server made it. */
export function resetFacts(name: string): SettingFacts {
  const facts = settingFacts(name);
  return facts.risk === 'safe' || facts === GUARDED || facts === UNKNOWN ? facts : CLEARED;
}
