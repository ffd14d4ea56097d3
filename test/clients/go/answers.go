package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// brief leaves out of our own answers what is another each time.
func brief(err error) string {
	var e *pgconn.PgError
	switch {
	case err == nil:
		return "fine"
	case errors.As(err, &e):
		return fmt.Sprintf("%s %s", e.Code, e.Message)
	default:
		return err.Error()
	}
}

// insisting does what a program does that is given a ticket: it comes again.
func insisting(do func() (pgconn.CommandTag, error)) (string, int) {
	for tries := 1; ; tries++ {
		tag, err := do()
		var e *pgconn.PgError
		if tries < 100 && errors.As(err, &e) && e.Code == "HF001" {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		return fmt.Sprint(tag, " ", brief(err)), tries
	}
}

// answered is what the drivers make of a gateway that blocks, holds and gives tickets, in the midst of whatever they do.
func answered(url string, mode pgx.QueryExecMode) {
	conn := connectQuietly(url, mode)
	defer conn.Close(ctx)
	status := func() string { return string(conn.PgConn().TxStatus()) }
	id := 10 * (int(mode) + 1)
	fmt.Println("mode", mode)
	for i := 0; i < 7; i++ {
		_, err := conn.Exec(ctx, "delete from precious where id = $1", i)
		fmt.Println("blocked", brief(err), status())
	}
	tx := value(conn.Begin(ctx))
	_, err := tx.Exec(ctx, "insert into precious values ($1)", id)
	fmt.Println("within", brief(err), status())
	inner := value(tx.Begin(ctx))
	_, err = inner.Exec(ctx, "delete from precious where id = $1", 1)
	fmt.Println("blocked", brief(err), status())
	_, err = inner.Exec(ctx, "select 1")
	fmt.Println("aborted", brief(err), status())
	must(inner.Rollback(ctx))
	fmt.Println("commit", brief(tx.Commit(ctx)), status())

	batch := &pgx.Batch{}
	batch.Queue("insert into precious values ($1)", id+1)
	batch.Queue("delete from precious where id = $1", 1)
	batch.Queue("insert into precious values ($1)", id+2)
	results := conn.SendBatch(ctx, batch)
	for i := 0; i < 3; i++ {
		tag, err := results.Exec()
		fmt.Println("batch", tag, brief(err))
	}
	fmt.Println("ends", brief(results.Close()), status())

	tag, err := conn.Exec(ctx, "delete from awaited where id = $1", id)
	fmt.Println("held", tag, brief(err))
	batch = &pgx.Batch{}
	batch.Queue("insert into precious values ($1)", id+3)
	batch.Queue("delete from awaited where id = $1", id+1)
	batch.Queue("select count(*) from awaited where id between $1 and $2", id, id+9)
	results = conn.SendBatch(ctx, batch)
	for i := 0; i < 3; i++ {
		tag, err := results.Exec()
		fmt.Println("held batch", tag, brief(err))
	}
	fmt.Println("ends", brief(results.Close()), status())
	said, tries := insisting(func() (pgconn.CommandTag, error) {
		return conn.Exec(ctx, "update ticketed set name = $2 where id = $1", id, "by ticket")
	})
	fmt.Println("ticketed", said, tries > 1)
	said, tries = insisting(func() (pgconn.CommandTag, error) {
		tx := value(conn.Begin(ctx))
		defer tx.Rollback(ctx)
		tag, err := tx.Exec(ctx, "update ticketed set name = $2 where id = $1", id+1, "in a transaction")
		if err != nil {
			return tag, err
		}
		return tag, tx.Commit(ctx)
	})
	fmt.Println("ticketed in a transaction", said, tries > 1)

	// The statement that is given up has to be one that nobody approves.
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	_, err = conn.Exec(short, "delete from awaited where id = -1 and id = $1", id)
	fmt.Println("gave up", pgconn.Timeout(err), conn.IsClosed())
	cancel()
	after := connectQuietly(url, mode)
	defer after.Close(ctx)
	fmt.Printf("left %s, %s, %s\n", values(after, "select id from awaited where id between $1 and $2 order by id", id, id+9),
		values(after, "select id from precious where id between $1 and $2 order by id", id, id+9),
		values(after, "select id, name from ticketed where name is not null and id between $1 and $2 order by id", id, id+9))
}

func values(conn *pgx.Conn, sql string, args ...any) string {
	found, err := conn.Query(ctx, sql, args...)
	must(err)
	var out []string
	for found.Next() {
		for _, v := range value(found.Values()) {
			out = append(out, fmt.Sprint(v))
		}
	}
	must(found.Err())
	return strings.Join(out, " ")
}

func connectQuietly(url string, mode pgx.QueryExecMode) *pgx.Conn {
	config := value(pgx.ParseConfig(url))
	config.DefaultQueryExecMode = mode
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { fmt.Println("notice", n.Severity, n.Code, n.Message) }
	return value(pgx.ConnectConfig(ctx, config))
}
