package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var ctx = context.Background()

// cautious leaves out what the default policy holds, whoever sends it.
var cautious = len(os.Args) > 3 && os.Args[3] == "cautious"

var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement,
	pgx.QueryExecModeCacheDescribe,
	pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec,
	pgx.QueryExecModeSimpleProtocol,
}

func connect(url string, mode pgx.QueryExecMode) *pgx.Conn {
	config := value(pgx.ParseConfig(url))
	config.DefaultQueryExecMode = mode
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		fmt.Printf("notice %s %s %q %q %q\n", n.Severity, n.Code, n.Message, n.Detail, n.Hint)
	}
	return value(pgx.ConnectConfig(ctx, config))
}

func rows(conn interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}, sql string, args ...any) string {
	found, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return said(err)
	}
	defer found.Close()
	var out []string
	for found.Next() {
		values, err := found.Values()
		if err != nil {
			return err.Error()
		}
		out = append(out, fmt.Sprint(values...))
	}
	if err := found.Err(); err != nil {
		return said(err)
	}
	var fields []string
	for _, f := range found.FieldDescriptions() {
		fields = append(fields, fmt.Sprintf("%s:%d:%d", f.Name, f.DataTypeOID, f.Format))
	}
	return fmt.Sprintf("%s [%s] %s", found.CommandTag(), strings.Join(fields, " "), strings.Join(out, " | "))
}

func execs(conn interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, sql string, args ...any) string {
	tag, err := conn.Exec(ctx, sql, args...)
	if err != nil {
		return said(err)
	}
	return tag.String()
}

func statements(url string, mode pgx.QueryExecMode) {
	conn := connect(url, mode)
	defer conn.Close(ctx)
	table := fmt.Sprintf("t%d", mode)
	fmt.Println("mode", mode, execs(conn, "create table "+table+" (id int primary key, name text check (name <> 'no'), n numeric)"))
	say := func(what string, said string) { fmt.Println(what, said) }
	for i := 1; i <= 8; i++ {
		say("insert", execs(conn, "insert into "+table+" values ($1, $2, $3)", i, fmt.Sprint("näme ", i), "1.50"))
	}
	say("returning", rows(conn, "insert into "+table+" values ($1, $2) returning id, name", 20, nil))
	for i := 1; i <= 7; i++ {
		say("update", execs(conn, "update "+table+" set name = $2 where id = $1", i, fmt.Sprint("changed ", i)))
		say("upserted", execs(conn, "insert into "+table+" values ($1, $2) on conflict (id) do update set name = excluded.name", i, "upserted"))
		say("delete", execs(conn, "delete from "+table+" where id = $1", 1000+i))
	}
	say("update returning", rows(conn, "update "+table+" set n = n + 1 where id < $1 returning id, n", 4))
	say("select", rows(conn, "select id, name, n::text from "+table+" where id > $1 order by id", 2))
	say("changed row", execs(conn, "delete from "+table+" where id = $1", 8))
	typo := "selec 1"
	if cautious {
		typo = "select"
	}
	for _, wrong := range []string{
		"insert into " + table + " values (1, 'again')", "insert into " + table + " values (99, 'no')", typo,
		"select nothing from " + table, "select 1/0", "insert into " + table + " values (null)",
		"update " + table + " set nam = 'x' where id = 1", "delete from nowhere where id = 1", "select 'a'::int",
	} {
		say("failed", execs(conn, wrong))
	}
	// The plan changes behind the driver's cache of statements: pgx says so once, and prepares anew.
	say("before", rows(conn, "select * from "+table+" where id = $1", 1))
	say("alter", execs(conn, "alter table "+table+" add column extra int default 5"))
	for i := 0; i < 3; i++ {
		say("after", rows(conn, "select * from "+table+" where id = $1", 1))
	}
	say("empty", execs(conn, ""))
	if mode == pgx.QueryExecModeSimpleProtocol {
		say("several", execs(conn, "insert into "+table+" values (50); update "+table+" set name = 'f' where id = 50; select 1"))
	}
	transactions(conn, table)
	batches(conn, table)
	say("left", rows(conn, "select id, name from "+table+" order by id"))
	say("discard", execs(conn, "discard all"))
	must(conn.DeallocateAll(ctx))
	say("again", rows(conn, "select count(*) from "+table))
}

func transactions(conn *pgx.Conn, table string) {
	insert := "insert into " + table + " values ($1, $2)"
	tx := value(conn.Begin(ctx))
	fmt.Println("outer", execs(tx, insert, 300, "outer"), string(conn.PgConn().TxStatus()))
	inner := value(tx.Begin(ctx))
	fmt.Println("inner", execs(inner, "update "+table+" set name = $1 where id = $2", "inner", 300))
	fmt.Println("again", execs(inner, insert, 300, "again"), string(conn.PgConn().TxStatus()))
	fmt.Println("ignored", execs(inner, insert, 301, "ignored"))
	must(inner.Rollback(ctx))
	fmt.Println("status", string(conn.PgConn().TxStatus()), rows(tx, "select name from "+table+" where id = $1", 300))
	must(tx.Commit(ctx))
	doomed := value(conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly}))
	fmt.Println("read only", execs(doomed, "update "+table+" set name = 'x' where id = $1", 1))
	fmt.Println("commit of what has failed", doomed.Commit(ctx), string(conn.PgConn().TxStatus()))
}

func batches(conn *pgx.Conn, table string) {
	batch := &pgx.Batch{}
	for i := 400; i < 405; i++ {
		batch.Queue("insert into "+table+" values ($1, $2)", i, "batched")
	}
	batch.Queue("update "+table+" set name = $1 where id between 400 and 402", "changed")
	batch.Queue("delete from "+table+" where id = $1", 403)
	batch.Queue("select id, name from "+table+" where id >= $1 and id < 500 order by id", 400)
	results := conn.SendBatch(ctx, batch)
	for i := 0; i < 7; i++ {
		tag, err := results.Exec()
		fmt.Println("batch", tag, said(err))
	}
	found, err := results.Query()
	must(err)
	fmt.Println("batch rows", value(pgx.CollectRows(found, pgx.RowToMap)))
	fmt.Println("batch ends", said(results.Close()))

	failing := &pgx.Batch{}
	failing.Queue("insert into "+table+" values ($1, 'is lost')", 410)
	failing.Queue("update "+table+" set name = $1 where id = 400", "is lost")
	failing.Queue("insert into "+table+" values ($1, 'is there')", 1)
	failing.Queue("insert into "+table+" values ($1, 'is skipped')", 411)
	results = conn.SendBatch(ctx, failing)
	for i := 0; i < 4; i++ {
		tag, err := results.Exec()
		fmt.Println("failing batch", tag, said(err))
	}
	fmt.Println("failing batch ends", said(results.Close()), string(conn.PgConn().TxStatus()))
	fmt.Println("after it", rows(conn, "select id, name from "+table+" where id in (400, 410, 411)"))
}

func copies(url string) {
	conn := connect(url, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	fmt.Println(execs(conn, "create table copied (id int, note text)"))
	source := func(from, to int) pgx.CopyFromSource {
		i := from
		return pgx.CopyFromFunc(func() ([]any, error) {
			if i >= to {
				return nil, nil
			}
			i++
			return []any{i - 1, fmt.Sprint("note ", i-1)}, nil
		})
	}
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id", "note"}, source(0, 5000))
	fmt.Println("copy from", n, said(err))
	n, err = conn.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id", "nothing"}, source(0, 5))
	fmt.Println("copy from", n, said(err))
	raw := conn.PgConn()
	tag, err := raw.CopyFrom(ctx, strings.NewReader("1\tone\ntwo\ttwo\n"), "copy copied from stdin")
	fmt.Println("copy fails", tag, said(err), string(raw.TxStatus()))
	var out bytes.Buffer
	tag, err = raw.CopyTo(ctx, &out, "copy (select * from copied where id < 3 order by id) to stdout")
	fmt.Printf("copy to %s %s %q\n", tag, said(err), out.String())
	tag, err = raw.CopyTo(ctx, io.Discard, "copy copied to stdout (format binary)")
	fmt.Println("copy to", tag, said(err))
	tag, err = raw.CopyTo(ctx, io.Discard, "copy nowhere to stdout")
	fmt.Println("copy to", tag, said(err))
}

func largeObjects(url string) {
	conn := connect(url, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	tx := value(conn.Begin(ctx))
	objects := tx.LargeObjects()
	oid := value(objects.Create(ctx, 4711))
	object := value(objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite))
	n := value(object.Write(bytes.Repeat([]byte("0123456789"), 10000)))
	fmt.Println("large object", oid, n, value(object.Seek(99_990, io.SeekStart)), value(object.Tell()))
	rest := value(io.ReadAll(object))
	fmt.Println("read", string(rest))
	must(object.Close())
	must(tx.Commit(ctx))
}

func listening(url string) {
	conn, other := connect(url, pgx.QueryExecModeCacheStatement), connect(url, pgx.QueryExecModeExec)
	defer conn.Close(ctx)
	defer other.Close(ctx)
	fmt.Println(execs(conn, "listen news"))
	execs(other, "select pg_notify($1, $2)", "news", "first ✓")
	execs(other, "notify news, 'second'")
	for i := 0; i < 2; i++ {
		note, err := conn.WaitForNotification(ctx)
		must(err)
		fmt.Println("heard", note.Channel, note.Payload, note.PID == other.PgConn().PID())
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := conn.WaitForNotification(short)
	fmt.Println("nothing", pgconn.Timeout(err), conn.IsClosed())
}

func cancelling(url string) {
	for _, mode := range modes {
		conn := connect(url, mode)
		go func() {
			time.Sleep(150 * time.Millisecond)
			must(conn.PgConn().CancelRequest(ctx))
		}()
		fmt.Println("cancelled", execs(conn, "select pg_sleep($1)", 30.0), execs(conn, "select 1"))
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err := conn.Exec(short, "select pg_sleep(30)")
		fmt.Println("deadline", pgconn.Timeout(err), conn.IsClosed())
		cancel()
		conn.Close(ctx)
	}
}

func pipelines(url string) {
	conn := connect(url, pgx.QueryExecModeCacheStatement)
	defer conn.Close(ctx)
	fmt.Println(execs(conn, "create table piped (id int primary key, name text)"))
	pipe := conn.PgConn().StartPipeline(ctx)
	drain := func() {
		for {
			result, err := pipe.GetResults()
			switch found := result.(type) {
			case nil:
				fmt.Println("  none", said(err))
				if err == nil {
					return
				}
			case *pgconn.ResultReader:
				read := found.Read()
				fmt.Printf("  result %s %q %s\n", read.CommandTag, read.Rows, said(read.Err))
			case *pgconn.StatementDescription:
				fmt.Println("  described", found.Name, found.ParamOIDs, len(found.Fields))
			case *pgconn.PipelineSync:
				fmt.Println("  sync", string(conn.PgConn().TxStatus()))
			default:
				fmt.Println("  closed", said(err))
			}
		}
	}
	text := func(s string) []byte { return []byte(s) }
	pipe.SendPrepare("ins", "insert into piped values ($1, $2)", nil)
	pipe.SendPrepare("upd", "update piped set name = $2 where id = $1 returning *", nil)
	pipe.SendPrepare("del", "delete from piped where id = $1", nil)
	must(pipe.Sync())
	for i := 0; i < 3; i++ {
		pipe.SendQueryPrepared("ins", [][]byte{text(fmt.Sprint(i)), text("piped")}, nil, nil)
		pipe.SendQueryPrepared("upd", [][]byte{text(fmt.Sprint(i)), text("changed")}, nil, nil)
	}
	pipe.SendQueryPrepared("del", [][]byte{text("0")}, nil, nil)
	must(pipe.Sync())
	pipe.SendQueryParams("insert into piped values ($1, 'lost')", [][]byte{text("7")}, nil, nil, nil)
	pipe.SendQueryParams("select 1 / $1::int", [][]byte{text("0")}, nil, nil, nil)
	pipe.SendQueryPrepared("del", [][]byte{text("1")}, nil, nil)
	must(pipe.Sync())
	pipe.SendQueryParams("select * from piped order by id", nil, nil, nil, nil)
	pipe.SendDeallocate("del")
	must(pipe.Sync())
	must(pipe.Flush())
	drain()
	fmt.Println("pipeline ends", said(pipe.Close()))
}

func pools(url string) {
	config := value(pgxpool.ParseConfig(url))
	config.MaxConns = 4
	config.AfterRelease = func(conn *pgx.Conn) bool {
		_, err := conn.Exec(ctx, "reset all; discard temp")
		return err == nil
	}
	pool := value(pgxpool.NewWithConfig(ctx, config))
	defer pool.Close()
	must(pool.Ping(ctx))
	sums := make(chan int, 100)
	for i := 0; i < 100; i++ {
		go func(i int) {
			var n int
			must(pool.QueryRow(ctx, "select $1::int * 2", i).Scan(&n))
			sums <- n
		}(i)
	}
	total := 0
	for i := 0; i < 100; i++ {
		total += <-sums
	}
	fmt.Println("pool", total)
}

func parameters(url string) {
	config := value(pgx.ParseConfig(url))
	for name, setting := range map[string]string{
		"application_name": "ä client", "options": "-c work_mem=5MB -c extra_float_digits=1", "DateStyle": "German, DMY",
		"TimeZone": "Asia/Kathmandu", "search_path": "pg_catalog,public", "statement_timeout": "60000", "IntervalStyle": "iso_8601",
	} {
		config.RuntimeParams[name] = setting
	}
	conn := value(pgx.ConnectConfig(ctx, config))
	defer conn.Close(ctx)
	tell := func() {
		var told []string
		for _, name := range []string{"application_name", "client_encoding", "DateStyle", "TimeZone", "IntervalStyle", "integer_datetimes",
			"standard_conforming_strings", "is_superuser", "session_authorization", "in_hot_standby", "default_transaction_read_only",
			"server_version", "server_encoding", "search_path", "scram_iterations"} {
			told = append(told, name+"="+conn.PgConn().ParameterStatus(name))
		}
		sort.Strings(told)
		fmt.Println("told", told)
	}
	tell()
	fmt.Println(rows(conn, "select current_setting('work_mem'), current_setting('extra_float_digits'), timestamptz '2024-02-29 12:00Z'::text, current_setting('search_path'), current_setting('statement_timeout')"))
	for _, set := range []string{"set application_name = 'another'", "set timezone = 'UTC'", "set datestyle = 'ISO'", "set client_encoding = 'LATIN1'",
		"set extra_float_digits = 3", "reset all", "set search_path = public", "set application_name to default"} {
		fmt.Println(execs(conn, set))
		tell()
	}
	wrong := value(pgx.ParseConfig(url))
	wrong.RuntimeParams["options"] = "-c nothing.at_all=1 -c wrk_mem=1"
	_, err := pgx.ConnectConfig(ctx, wrong)
	fmt.Println("startup", said(err))
	wrong = value(pgx.ParseConfig(url))
	wrong.Database = "nowhere"
	_, err = pgx.ConnectConfig(ctx, wrong)
	fmt.Println("startup", said(err))
}

func main() {
	url := fmt.Sprintf("postgres://postgres@127.0.0.1:%s/%s?sslmode=disable", os.Args[1], os.Args[2])
	if len(os.Args) > 3 && os.Args[3] == "answers" {
		for _, mode := range []pgx.QueryExecMode{modes[0], modes[1], modes[4]} {
			answered(url, mode)
		}
		return
	}
	for _, mode := range modes {
		if cautious && mode == pgx.QueryExecModeDescribeExec {
			continue
		}
		statements(url, mode)
	}
	copies(url)
	if !cautious {
		largeObjects(url)
	}
	listening(url)
	cancelling(url)
	pipelines(url)
	pools(url)
	parameters(url)
	throughDatabaseSQL(url)
}
