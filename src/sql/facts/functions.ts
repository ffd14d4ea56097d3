import type { Risk } from '../effects.ts';
import { CATALOG_FUNCTIONS_A_I } from './catalog-functions-a-i.ts';
import { CATALOG_FUNCTIONS_J_Z } from './catalog-functions-j-z.ts';

/** What is known of a function of pg_catalog: how much it can do, and in which words the audit says so. */
export interface FunctionFacts {
  readonly risk: Risk;
  /** Why it is not safe; empty where it is. */
  readonly reason: string;
  /** Whether it runs code or SQL that the text does not show. */
  readonly opaque: boolean;
}

const SAFE: FunctionFacts = Object.freeze({ risk: 'safe', reason: '', opaque: false });

interface Group {
  readonly risk: Risk;
  readonly reason: string;
  readonly opaque?: true;
  readonly names: string;
}

/**
 * Functions that PostgreSQL calls volatile, and the few stable ones that do more than read, by what they do.
 * A test asks a real server for all of pg_proc and names those that are missing here.
 */
const GROUPS: readonly Group[] = [
  {
    risk: 'safe',
    reason: '',
    names: `array_sample array_shuffle clock_timestamp current_query currtid2 currval gen_random_uuid lastval
      pg_available_wal_summaries pg_blocking_pids pg_collation_actual_version pg_control_checkpoint pg_control_init
      pg_control_recovery pg_control_system pg_current_logfile pg_current_wal_flush_lsn pg_current_wal_insert_lsn
      pg_current_wal_lsn pg_database_collation_actual_version pg_database_size pg_get_aios
      pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_multixact_members pg_get_sequence_data
      pg_get_shmem_allocations pg_get_shmem_allocations_numa pg_get_wait_events pg_get_wal_replay_pause_state
      pg_get_wal_resource_managers pg_get_wal_summarizer_state pg_get_replication_slots pg_indexes_size
      pg_is_in_recovery pg_is_wal_replay_paused pg_isolation_test_session_is_blocked pg_jit_available
      pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
      pg_lock_status pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact
      pg_relation_size pg_replication_origin_progress pg_replication_origin_session_is_setup
      pg_replication_origin_session_progress pg_safe_snapshot_blocking_pids pg_sequence_last_value
      pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot
      pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io
      pg_stat_get_recovery_prefetch pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit
      pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time
      pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
      pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_newpage_updated
      pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size
      pg_tablespace_size pg_total_relation_size pg_wal_summary_contents pg_xact_commit_timestamp
      pg_xact_commit_timestamp_origin pg_xact_status random random_normal setseed timeofday txid_status uuidv4 uuidv7
      lo_close lo_get lo_lseek lo_lseek64 lo_open lo_tell lo_tell64 loread`,
  },
  {
    risk: 'low',
    reason: 'takes an advisory lock',
    names: `pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
      pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
      pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared`,
  },
  { risk: 'low', reason: 'advances a sequence', names: 'nextval' },
  { risk: 'low', reason: 'notifies other sessions', names: 'pg_notify' },
  {
    risk: 'low',
    reason: 'takes a transaction number or exports a snapshot',
    names: 'pg_export_snapshot txid_current pg_current_xact_id',
  },
  {
    risk: 'low',
    reason: 'maintains an index',
    names: 'brin_summarize_new_values brin_summarize_range gin_clean_pending_list',
  },
  { risk: 'low', reason: 'makes a large object', names: 'lo_creat lo_create lo_from_bytea' },
  { risk: 'high', reason: 'sets a sequence', names: 'setval' },
  {
    risk: 'high',
    reason: 'may overwrite a large object',
    names: 'lo_put lo_truncate lo_truncate64 lowrite',
  },
  {
    risk: 'high',
    reason: 'maintains an index',
    names: 'brin_desummarize_range',
  },
  {
    risk: 'high',
    reason: 'runs SQL that is not in the text',
    opaque: true,
    names: `query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema
      table_to_xml table_to_xml_and_xmlschema table_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema
      schema_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema ts_stat ts_rewrite`,
  },
  {
    risk: 'high',
    reason: 'is an internal function called as if from SQL',
    opaque: true,
    names: `RI_FKey_cascade_del RI_FKey_cascade_upd RI_FKey_check_ins RI_FKey_check_upd RI_FKey_noaction_del
      RI_FKey_noaction_upd RI_FKey_restrict_del RI_FKey_restrict_upd RI_FKey_setdefault_del
      RI_FKey_setdefault_upd RI_FKey_setnull_del RI_FKey_setnull_upd amvalidate bernoulli brinhandler bthandler
      dsnowball_init dsnowball_lexize ginhandler gisthandler hashhandler heap_tableam_handler
      plpgsql_call_handler plpgsql_inline_handler plpgsql_validator spghandler suppress_redundant_updates_trigger
      system tsvector_update_trigger tsvector_update_trigger_column unique_key_recheck fmgr_c_validator
      fmgr_internal_validator fmgr_sql_validator`,
  },
  {
    risk: 'critical',
    reason: 'acts on other sessions or the server',
    names: `pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile pg_rotate_logfile_old
      pg_log_backend_memory_contexts pg_log_standby_snapshot pg_promote pg_switch_wal pg_create_restore_point
      pg_wal_replay_pause pg_wal_replay_resume pg_backup_start pg_backup_stop pg_start_backup pg_stop_backup`,
  },
  { risk: 'critical', reason: 'removes a large object', names: 'lo_unlink' },
  {
    risk: 'critical',
    reason: 'discards statistics',
    names: `pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot pg_stat_reset_shared
      pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
      pg_stat_reset_subscription_stats pg_clear_attribute_stats pg_clear_relation_stats
      pg_restore_attribute_stats pg_restore_relation_stats`,
  },
  {
    risk: 'critical',
    reason: 'changes the system catalog',
    names: 'pg_import_system_collations pg_extension_config_dump pg_nextoid pg_stop_making_pinned_objects',
  },
  {
    risk: 'forbidden',
    reason: 'reads or writes files of the server',
    names: `pg_read_file pg_read_file_old pg_read_binary_file pg_stat_file pg_ls_dir pg_ls_logdir pg_ls_waldir
      pg_ls_tmpdir pg_ls_archive_statusdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir
      pg_ls_summariesdir pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings pg_file_write
      pg_file_rename pg_file_unlink pg_file_sync pg_logdir_ls lo_export lo_import`,
  },
  {
    risk: 'forbidden',
    reason: 'acts on replication',
    names: `pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
      pg_create_physical_replication_slot pg_drop_replication_slot pg_logical_emit_message
      pg_logical_slot_get_binary_changes pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes
      pg_logical_slot_peek_changes pg_replication_origin_advance pg_replication_origin_create
      pg_replication_origin_drop pg_replication_origin_session_reset pg_replication_origin_session_setup
      pg_replication_origin_xact_reset pg_replication_origin_xact_setup pg_replication_slot_advance
      pg_sync_replication_slots`,
  },
  {
    risk: 'forbidden',
    reason: 'is meant for pg_upgrade alone',
    names: `binary_upgrade_add_sub_rel_state binary_upgrade_create_empty_extension
      binary_upgrade_logical_slot_has_caught_up binary_upgrade_replorigin_advance
      binary_upgrade_set_missing_value binary_upgrade_set_next_array_pg_type_oid
      binary_upgrade_set_next_attribute_versions binary_upgrade_set_next_heap_pg_class_oid
      binary_upgrade_set_next_heap_relfilenode binary_upgrade_set_next_index_pg_class_oid
      binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
      binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid
      binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid
      binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
      binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs`,
  },
  {
    risk: 'forbidden',
    reason: 'runs SQL on another server',
    opaque: true,
    names: `dblink dblink_exec dblink_connect dblink_connect_u dblink_open dblink_fetch dblink_close
      dblink_send_query dblink_get_result dblink_disconnect dblink_get_connections dblink_cancel_query
      dblink_build_sql_insert dblink_build_sql_delete dblink_build_sql_update`,
  },
];

/** Set by its arguments, not by its name: see settings.ts. */
const SET_CONFIG: FunctionFacts = Object.freeze({ risk: 'low', reason: 'changes a setting', opaque: false });

const FACTS: ReadonlyMap<string, FunctionFacts> = buildFacts();

function buildFacts(): Map<string, FunctionFacts> {
  const facts = new Map<string, FunctionFacts>();
  for (const name of names(CATALOG_FUNCTIONS_A_I)) facts.set(name, SAFE);
  for (const name of names(CATALOG_FUNCTIONS_J_Z)) facts.set(name, SAFE);
  for (const group of GROUPS) {
    const shared =
      group.risk === 'safe'
        ? SAFE
        : Object.freeze({ risk: group.risk, reason: group.reason, opaque: group.opaque === true });
    for (const name of names(group.names)) facts.set(name, shared);
  }
  facts.set('set_config', SET_CONFIG);
  return facts;
}

function names(list: string): string[] {
  return list.trim().split(/\s+/);
}

/** What is known of a function by its name in pg_catalog; undefined where nothing is. */
export function catalogFunction(name: string): FunctionFacts | undefined {
  return FACTS.get(name);
}

/** What is known of a function that does more than what is low, by its name as the effects of a statement have it. */
export function moreThanLow(name: string): FunctionFacts | null {
  const facts = FACTS.get(name.slice(name.lastIndexOf('.') + 1));
  return facts === undefined || facts.risk === 'safe' || facts.risk === 'low' ? null : facts;
}

/** Aggregates give one row even where no row came in, as long as there is no GROUP BY. */
const AGGREGATES: ReadonlySet<string> = new Set(
  names(`any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every
    json_agg json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique
    json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict
    jsonb_object_agg_unique jsonb_object_agg_unique_strict max min mode percentile_cont percentile_disc range_agg
    range_intersect_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
    regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance xmlagg`),
);

export function isAggregate(name: string): boolean {
  return AGGREGATES.has(name);
}

/** Functions that may return a set. Of those that tell about the server or take texts apart, which are many, all are. */
const SETS: ReadonlySet<string> = new Set(
  names(`aclexplode generate_series generate_subscripts json_array_elements json_array_elements_text json_each
    json_each_text json_object_keys json_populate_recordset json_to_recordset jsonb_array_elements
    jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query jsonb_path_query_tz
    jsonb_populate_recordset jsonb_to_recordset regexp_matches regexp_split_to_table string_to_table unnest`),
);

export function givesRows(name: string): boolean {
  return SETS.has(name) || /^(?:pg|ts|txid)_/.test(name);
}

const OPERATORS: ReadonlySet<string> = new Set(
  names(`!! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<=
    <<| <= <> != <@ <^ = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~*
    ~<=~ ~<~ ~= ~>=~ ~>~ ~~ ~~*`),
);

/** Whether pg_catalog has an operator of this name. */
export function isCatalogOperator(name: string): boolean {
  return OPERATORS.has(name);
}

const TYPES: ReadonlySet<string> = new Set(
  names(`aclitem any anyarray anycompatible anycompatiblearray anycompatiblemultirange anycompatiblenonarray
    anycompatiblerange anyelement anyenum anymultirange anynonarray anyrange bit bool box bpchar bytea char cid
    cidr circle cstring date datemultirange daterange event_trigger fdw_handler float4 float8 gtsvector
    index_am_handler inet int2 int2vector int4 int4multirange int4range int8 int8multirange int8range internal
    interval json jsonb jsonpath language_handler line lseg macaddr macaddr8 money name numeric nummultirange
    numrange oid oidvector path pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_ddl_command
    pg_dependencies pg_lsn pg_mcv_list pg_ndistinct pg_node_tree pg_snapshot point polygon record refcursor
    regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole
    regtype table_am_handler text tid time timestamp timestamptz timetz trigger tsm_handler tsmultirange tsquery
    tsrange tstzmultirange tstzrange tsvector txid_snapshot unknown uuid varbit varchar void xid xid8 xml`),
);

/** Whether pg_catalog has a base type, range or pseudo-type of this name, or an array of one. */
export function isCatalogType(name: string): boolean {
  return TYPES.has(name) || (name.startsWith('_') && TYPES.has(name.slice(1)));
}

/** Whether a row may be given where this type is declared: composite types of the user's, and what stands for any type. */
export function mayTakeRow(name: string): boolean {
  return !isCatalogType(name) || /^(?:any|record$)/.test(name);
}
