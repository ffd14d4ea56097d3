# Ruby's pg: the functions of libpq as they are, its pipeline and single row modes among them.
require 'pg'

$stdout.sync = true
PORT, DATABASE, CAUTIOUS = ARGV
TARGET = { host: '127.0.0.1', port: PORT, dbname: DATABASE, user: 'postgres', sslmode: 'disable' }.freeze
FIELDS = %w[SEVERITY SQLSTATE MESSAGE_PRIMARY MESSAGE_DETAIL MESSAGE_HINT STATEMENT_POSITION INTERNAL_POSITION CONTEXT
            SCHEMA_NAME TABLE_NAME COLUMN_NAME DATATYPE_NAME CONSTRAINT_NAME SOURCE_FILE SOURCE_LINE SOURCE_FUNCTION].freeze

def fields(result)
  FIELDS.map { |field| result.error_field(PG.const_get("PG_DIAG_#{field}")) }.join('|')
end

def told(result)
  "#{result.cmd_status} #{result.fields} #{result.values}"
end

def say(what)
  said = yield
  puts "#{what}: #{said.is_a?(PG::Result) ? told(said) : said.inspect}"
rescue PG::Error => e
  puts "#{what}: #{e.class} #{e.result ? fields(e.result) : 'no result'}"
end

conn = PG.connect(TARGET)
conn.set_notice_receiver { |result| puts "notice: #{fields(result)}" }
say('create') { conn.exec("create table t (id int primary key, name text check (name <> 'no'))") }
conn.prepare('insert', 'insert into t values ($1, $2)')
conn.prepare('update', 'update t set name = $2 where id = $1 returning *')
conn.prepare('delete', 'delete from t where id = $1')
(1..8).each do |id|
  say('insert') { conn.exec_prepared('insert', [id, "näme #{id}"]) }
  say('update') { conn.exec_prepared('update', [id, "changed #{id}"]) }
  say('delete') { conn.exec_prepared('delete', [id + 4]) }
end
say('described') { conn.describe_prepared('update').then { |r| [r.nparams, r.paramtype(0), r.fields] } }
say('binary') { conn.exec_params('select id, name from t where id = $1', [1], 1) }
["insert into t values (1, 'again')", "insert into t values (99, 'no')", CAUTIOUS ? 'select' : 'selec 1', 'select nothing from t',
 'select 1/0', "update t set nam = 'x' where id = 1", "select 'a'::int"].each do |wrong|
  say('failed') { conn.exec(wrong) }
  say('failed with parameters') { conn.exec_params(wrong, []) }
end
say('if exists') { conn.exec('drop table if exists not_there') }
say('several') { conn.exec("insert into t values (300, 'a'); update t set name = 'b' where id = 300; delete from t where id = 300") }
conn.send_query("select 1; insert into t values (301, 'a'); select 1/0; select 2")
while (result = conn.get_result)
  puts "one of several: #{result.res_status(result.result_status)} #{result.cmd_status} #{fields(result)}"
end

conn.enter_pipeline_mode
(400..405).each do |id|
  conn.send_query_prepared('insert', [id, 'piped'])
  conn.send_query_prepared('update', [id, 'changed in the pipe'])
end
conn.send_query_prepared('delete', [405])
conn.pipeline_sync
conn.send_query_params('insert into t values ($1, $2)', [406, 'lost'])
conn.send_query_params('select 1 / $1::int', [0])
conn.send_query_prepared('delete', [400])
conn.pipeline_sync
conn.send_query_prepared('delete', [401])
conn.send_flush_request
syncs = 0
quiet = 0
while syncs < 2 || quiet < 1
  result = conn.get_result
  next if result.nil?
  puts "piped: #{result.res_status(result.result_status)} #{result.cmd_status} #{fields(result)} #{conn.transaction_status}"
  syncs += 1 if result.result_status == PG::PGRES_PIPELINE_SYNC
  quiet += 1 if syncs == 2 && result.result_status == PG::PGRES_COMMAND_OK
end
conn.get_result
conn.pipeline_sync
conn.get_result
conn.exit_pipeline_mode
say('left') { conn.exec('select id, name from t order by id') }

conn.transaction do
  say('outer') { conn.exec("insert into t values (500, 'outer')") }
  conn.exec('savepoint s')
  say('inner') { conn.exec("update t set name = 'inner' where id = 500") }
  say('again') { conn.exec("insert into t values (500, 'again')") }
  say('aborted') { conn.exec('select 1') }
  say('status') { conn.transaction_status }
  conn.exec('rollback to s')
end
conn.send_query_params('update t set name = $1 where id < 410 returning id', ['row by row'])
conn.set_single_row_mode
conn.get_result.stream_each { |row| puts "row #{row}" }
conn.get_result

say('create') { conn.exec('create table copied (id int, note text)') }
say('copied') { conn.copy_data('copy copied from stdin') { 3000.times { |i| conn.put_copy_data("#{i}\tnöte #{i}\n") } } }
say('copy fails') { conn.copy_data('copy copied from stdin') { conn.put_copy_data("1\tone\ntwo\ttwo\n") } }
conn.copy_data('copy (select * from copied where id < 3 order by id) to stdout') { while (line = conn.get_copy_data) do puts "out #{line}" end }
begin
  conn.copy_data('copy copied from stdin') { raise 'changed my mind' }
rescue RuntimeError => e
  puts "given up: #{e.message} #{conn.transaction_status}"
end

conn.exec('listen news')
PG.connect(TARGET) { |other| other.exec("notify news, 'first'") }
conn.wait_for_notify(5) { |channel, _, payload| puts "heard #{channel} #{payload}" }
conn.send_query('select pg_sleep(30)')
sleep 0.15
puts "cancel #{conn.cancel.inspect}"
say('cancelled') { conn.get_last_result }
conn.transaction do
  oid = conn.lo_creat
  object = conn.lo_open(oid, PG::INV_READ | PG::INV_WRITE)
  say('large object') { [conn.lo_write(object, 'x' * 100_000), conn.lo_lseek(object, 99_990, PG::SEEK_SET), conn.lo_read(object, 100)] }
  conn.lo_close(object)
end
['set datestyle = german', 'reset all', 'discard all'].each { |sql| say(sql) { conn.exec(sql) } }
%w[client_encoding DateStyle TimeZone application_name standard_conforming_strings is_superuser search_path].each do |name|
  puts "#{name} #{conn.parameter_status(name)}"
end
say('alive') { conn.exec_params('select $1::text', ['yes']) }
conn.reset
say('after a reset') { conn.exec('select count(*) from t') }
begin
  PG.connect(TARGET.merge(dbname: 'nowhere'))
rescue PG::Error => e
  puts "nowhere: #{e.message.sub(/port \d+/, 'port')}"
end
